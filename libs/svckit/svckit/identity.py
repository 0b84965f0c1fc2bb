"""Who calls: the gateway's signed internal identity, verified by every service itself.

Internal token: JWT, ES256, `typ` careloop-int+jwt, `aud` one service, at most 60 s. Nothing else
opens a service: no header, no network position.
"""

import asyncio
import base64
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
import structlog
from fastapi import Request, Security
from fastapi.security import HTTPBearer
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from svckit import disclosure
from svckit.errors import Forbidden, Unauthenticated, Unavailable
from svckit.ids import stands_for

TYPE = "careloop-int+jwt"
_CACHE = 4096
_LIFETIME_S = 60
# a key that the gateway withdrew is good for no longer than this; an unknown one is asked for at once
_KEYS_S = 300
_TEXTS = ("org", "org_kind", "sub", "actor", "purpose", "scope", "jti")
_log = structlog.get_logger("identity")


@dataclass(frozen=True)
class Caller:
    """The organisation that acts, through which client, for which person of it, for what purpose.

    `kind` is clinic | social-service | payer | coordinator; `purpose` a v3-ActReason code;
    `actor` the worker as asserted by the organisation, or the client itself.
    """

    organisation_id: str
    kind: str
    client_id: str
    actor: str
    purpose: str
    scopes: frozenset[str]
    token_id: str


Verify = Callable[[str], Awaitable[Caller]]
# of an actor, the provider that the organisation vouches for: `iss_…:nurse-17`
_PROVIDER = re.compile(r"iss_[0-9a-z]{26}:")


def worker_key(organisation_id: str, worker: str) -> str:
    """Return what stands for a worker of an organisation where no name may be: `wrk_…`.

    The same for the worker as the organisation names it and for the actor of its tokens.
    """
    return stands_for("wrk", organisation_id, _PROVIDER.sub("", worker, count=1))


class Verifier:
    """Verifies internal tokens, once per token string; keys are fetched and refetched on demand."""

    def __init__(self, *, issuer: str, audience: str, jwks_url: str) -> None:
        self._issuer = issuer
        self._audience = audience
        self._url = jwks_url
        self._keys: KeySet | None = None
        self._fetched = 0.0
        self._lock = asyncio.Lock()
        self._seen: dict[str, tuple[float, Caller]] = {}

    async def __call__(self, token: str) -> Caller:
        """Return the caller. Raises Unauthenticated, or Unavailable when no key can be had."""
        known = self._seen.get(token)
        if known and known[0] > time.time():
            return known[1]
        claims = await self._claims(token)
        caller = Caller(
            organisation_id=claims["org"],
            kind=claims["org_kind"],
            client_id=claims["sub"],
            actor=claims["actor"],
            purpose=claims["purpose"],
            scopes=frozenset(claims["scope"].split()),
            token_id=claims["jti"],
        )
        if len(self._seen) >= _CACHE:
            self._seen.clear()
        self._seen[token] = (float(claims["exp"]), caller)
        return caller

    async def _claims(self, token: str) -> dict[str, Any]:
        try:
            header = _header(token)
            if header.get("typ") != TYPE or header.get("alg") != "ES256":
                raise _refused()
            keys = await self._keys_for(str(header.get("kid")))
            decoded = jwt.decode(token, keys, algorithms=["ES256"], registry=_REGISTRY)
            rules.validate(decoded.claims)
            claims: dict[str, Any] = decoded.claims
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise _refused() from error
        if claims["iss"] != self._issuer or claims["aud"] != self._audience:
            raise _refused()
        if claims["exp"] - claims["iat"] > _LIFETIME_S:
            raise _refused()
        if not all(isinstance(claims.get(name), str) for name in _TEXTS):
            raise _refused()
        return claims

    async def _keys_for(self, kid: str) -> KeySet:
        known = self._keys and any(key.kid == kid for key in self._keys.keys)
        if self._keys and known and time.monotonic() - self._fetched < _KEYS_S:
            return self._keys
        async with self._lock:
            if time.monotonic() - self._fetched > 1:  # an unknown kid cannot make us a flood
                try:
                    async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
                        answer = (await client.get(self._url)).raise_for_status()
                    self._keys = KeySet.import_key_set(answer.json())
                    self._fetched = time.monotonic()
                except (httpx.HTTPError, ValueError) as error:
                    _log.warning("keys cannot be fetched", error=type(error).__name__)
        if self._keys is None:
            raise Unavailable("The gateway's keys cannot be had just now.")
        return self._keys


def _header(token: str) -> dict[str, Any]:
    part = token.split(".", 1)[0]
    loaded = orjson.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    if not isinstance(loaded, dict):
        raise _refused()
    return loaded


_REGISTRY = JWSRegistry(algorithms=["ES256"])
rules = jwt.JWTClaimsRegistry(
    leeway=2,
    iss={"essential": True},
    aud={"essential": True},
    exp={"essential": True},
    iat={"essential": True},
    sub={"essential": True},
    jti={"essential": True},
)


def _refused() -> Unauthenticated:
    return Unauthenticated(
        "A valid access token is needed.", headers={"WWW-Authenticate": 'Bearer realm="careloop"'}
    )


_bearer = HTTPBearer(auto_error=False, description="Access token from POST /oauth/token")


def requires(scope: str) -> Callable[..., Awaitable[Caller]]:
    """Return a dependency that yields the Caller, or raises Unauthenticated or Forbidden."""

    async def caller(request: Request, _: object = Security(_bearer)) -> Caller:
        kind, _space, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token:
            raise _refused()
        verify: Verify = request.app.state.verify
        found = await verify(token)
        disclosure.bind(found.organisation_id)
        request.state.organisation_id = found.organisation_id
        if scope not in found.scopes:
            raise Forbidden(f"The scope {scope} is needed.", code="insufficient-scope")
        await request.app.state.rights.look()
        return found

    return caller
