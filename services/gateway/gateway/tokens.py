"""Tokens we issue: access tokens for partners, internal identities for our services.

Access token: RFC 9068 (`at+jwt`, ES256), at most 300 s, organisation and purpose inside. It is
verified once and remembered by its SHA-256 until it expires. Internal identity: one audience,
60 s, remembered per access token and service.
"""

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet
from joserfc.jws import JWSRegistry
from svckit.errors import Unauthenticated
from svckit.identity import TYPE as INTERNAL_TYPE
from svckit.identity import Caller

from gateway import jose
from gateway.keys import KeyRing

ACCESS_TYPE = "at+jwt"
LIFETIME_S = 300
INTERNAL_LIFETIME_S = 60
# an identity with less than this left is replaced: it must outlive the request's way to the service
_INTERNAL_MARGIN_S = 10
_CACHE = 20_000
_ALGORITHMS = frozenset({"ES256"})
_REGISTRY = JWSRegistry(algorithms=["ES256"])


@dataclass
class Session:
    """An access token that was verified, and the identities derived from it."""

    caller: Caller
    expires_at: float
    internal: dict[str, tuple[float, bytes]] = field(default_factory=dict)


class Revocations:
    """What is refused before its time; refreshed from the database by the edge."""

    def __init__(self) -> None:
        self.tokens: frozenset[str] = frozenset()
        self.clients: frozenset[str] = frozenset()

    def hit(self, caller: Caller) -> bool:
        return caller.token_id in self.tokens or caller.client_id in self.clients


class Tokens:
    """Issues and checks tokens with one key ring; no I/O."""

    def __init__(self, keys: Callable[[], KeyRing], issuer: str) -> None:
        self._keys = keys
        self._issuer = issuer
        self._seen: dict[bytes, Session] = {}
        self.revoked = Revocations()

    @property
    def keys(self) -> KeyRing:
        return self._keys()

    def issue(self, caller: Caller) -> str:
        """Return a fresh access token for the caller (RFC 9068 s2.2)."""
        at = int(time.time())
        claims = {
            "iss": self._issuer,
            "sub": caller.client_id,
            "client_id": caller.client_id,
            "aud": self._issuer,
            "iat": at,
            "exp": at + LIFETIME_S,
            "jti": caller.token_id,
            "scope": " ".join(sorted(caller.scopes)),
            "purpose": caller.purpose,
            "org": caller.organisation_id,
            "org_kind": caller.kind,
            "actor": caller.actor,
        }
        return _sign(ACCESS_TYPE, claims, self.keys.access)

    def check(self, token: str) -> Session:
        """Return the session of an access token. Raises Unauthenticated."""
        digest = hashlib.sha256(token.encode("latin-1")).digest()
        session = self._seen.get(digest)
        if session is None:
            session = self._verified(token)
            if len(self._seen) >= _CACHE:
                self._forget()
            self._seen[digest] = session
        if session.expires_at <= time.time() or self.revoked.hit(session.caller):
            raise refused("The access token is no longer valid.")
        return session

    async def __call__(self, token: str) -> Caller:
        """Return who sent the access token: what our own routes ask. Raises Unauthenticated."""
        return self.check(token).caller

    def internal(self, session: Session, service: str) -> bytes:
        """Return an Authorization value that names the session's caller to one service."""
        at = time.time()
        known = session.internal.get(service)
        if known and known[0] > at:
            return known[1]
        caller = session.caller
        claims = {
            "iss": self._issuer,
            "aud": service,
            "sub": caller.client_id,
            "org": caller.organisation_id,
            "org_kind": caller.kind,
            "actor": caller.actor,
            "purpose": caller.purpose,
            "scope": " ".join(sorted(caller.scopes)),
            "iat": int(at),
            "exp": int(at) + INTERNAL_LIFETIME_S,
            "jti": secrets.token_urlsafe(16),
        }
        value = b"Bearer " + _sign(INTERNAL_TYPE, claims, self.keys.internal).encode()
        session.internal[service] = (at + INTERNAL_LIFETIME_S - _INTERNAL_MARGIN_S, value)
        return value

    def _verified(self, raw: str) -> Session:
        try:
            token = jose.parse(raw, types=frozenset({ACCESS_TYPE}), algorithms=_ALGORITHMS)
            jose.verify(token, jose.key_for(KeySet([self.keys.access]), token.kid))
            exp = jose.check_times(
                token.claims, time.time(), lifetime_s=LIFETIME_S, leeway_s=0, needs_iat=True
            )
            return Session(self._caller(token.claims), exp)
        except jose.Refused as error:
            raise refused("The access token is not valid.") from error

    def _caller(self, claims: dict[str, object]) -> Caller:
        if claims.get("iss") != self._issuer or claims.get("aud") != self._issuer:
            raise jose.Refused("iss or aud")
        if claims.get("sub") != claims.get("client_id"):
            raise jose.Refused("sub")
        return Caller(
            organisation_id=jose.text(claims, "org"),
            kind=jose.text(claims, "org_kind"),
            client_id=jose.text(claims, "sub"),
            actor=jose.text(claims, "actor"),
            purpose=jose.text(claims, "purpose"),
            scopes=frozenset(str(claims.get("scope", "")).split()),
            token_id=jose.text(claims, "jti"),
        )

    def _forget(self) -> None:
        at = time.time()
        self._seen = {k: v for k, v in self._seen.items() if v.expires_at > at}
        if len(self._seen) >= _CACHE:
            self._seen.clear()


def new_token_id() -> str:
    return secrets.token_urlsafe(16)


def refused(detail: str) -> Unauthenticated:
    """Return the 401 of RFC 6750 s3.1 for a token that was sent and is not good."""
    challenge = 'Bearer realm="careloop", error="invalid_token"'
    return Unauthenticated(detail, headers={"WWW-Authenticate": challenge})


def _sign(kind: str, claims: dict[str, object], key: ECKey) -> str:
    header = {"alg": "ES256", "typ": kind, "kid": key.kid}
    return jwt.encode(header, claims, key, registry=_REGISTRY)
