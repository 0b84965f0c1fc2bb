"""Tokens we issue: access tokens for partners, internal identities for our services.

Access token: RFC 9068 (`at+jwt`, ES256), at most 300 s, organisation and purpose inside. It is
verified once and remembered by its SHA-256 until it expires. Internal identity: one audience,
60 s, remembered per access token and service.
"""

import hashlib
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet
from joserfc.jws import JWSRegistry
from svckit.errors import Unauthenticated
from svckit.identity import TYPE as INTERNAL_TYPE
from svckit.identity import Caller

from gateway import jose
from gateway.keys import KeyRing

ACCESS_TYPE = "at+jwt"
PURPOSE_TYPE = "careloop_purpose"
JKT, X5T = "jkt", "x5t#S256"
_METHODS = frozenset({JKT, X5T})
LIFETIME_S = 300
INTERNAL_LIFETIME_S = 60
# an identity with less than this left is replaced: it must outlive the request's way to the service
_INTERNAL_MARGIN_S = 10
_CACHE = 20_000
_ALGORITHMS = frozenset({"ES256"})
_REGISTRY = JWSRegistry(algorithms=["ES256"])


@dataclass(frozen=True)
class Binding:
    """What a token is bound to: `jkt` a DPoP key (RFC 9449), `x5t#S256` a certificate (RFC 8705)."""

    method: str
    thumbprint: str


@dataclass
class Session:
    """An access token that was verified, and the identities derived from it.

    A `binding` demands proof at every request: see `possession`.
    """

    caller: Caller
    issued_at: float
    expires_at: float
    client_version: int = 0
    binding: Binding | None = None
    act: Mapping[str, Any] | None = None
    internal: dict[str, tuple[float, bytes]] = field(default_factory=dict)


class Revoked:
    """What is refused before its time: see `revocations`, which follows the database."""

    def __init__(self) -> None:
        self.tokens: frozenset[str] = frozenset()
        self.clients: frozenset[str] = frozenset()
        self.versions: Mapping[str, int] = {}

    def hit(self, session: Session) -> bool:
        """Tell whether token or client ended, or the client changed since the token was issued."""
        client_id = session.caller.client_id
        return (
            session.caller.token_id in self.tokens
            or client_id in self.clients
            or session.client_version < self.versions.get(client_id, 0)
        )


class Tokens:
    """Issues and checks tokens with one key ring; no I/O but a look at the key file."""

    def __init__(self, keys: Callable[[], KeyRing], issuer: str) -> None:
        self._read = keys
        self._ring: KeyRing | None = None
        self._issuer = issuer
        self._seen: dict[bytes, Session] = {}
        self.revoked = Revoked()

    @property
    def keys(self) -> KeyRing:
        """The keys as they are now. A change forgets what was verified with those before."""
        ring = self._read()
        if ring is not self._ring:
            self._ring = ring
            self._seen.clear()
        return ring

    def issue(
        self,
        caller: Caller,
        *,
        client_version: int = 0,
        binding: Binding | None = None,
        act: Mapping[str, Any] | None = None,
        lives_s: int = LIFETIME_S,
    ) -> str:
        """Return a fresh access token for the caller (RFC 9068 s2.2)."""
        at = int(time.time())
        claims: dict[str, Any] = {
            "iss": self._issuer,
            "sub": caller.actor if act else caller.client_id,
            "client_id": caller.client_id,
            "client_version": client_version,
            "aud": self._issuer,
            "iat": at,
            "exp": at + min(lives_s, LIFETIME_S),
            "jti": caller.token_id,
            "scope": " ".join(sorted(caller.scopes)),
            "purpose": caller.purpose,
            "authorization_details": [details_of(caller.purpose)],
            "org": caller.organisation_id,
            "org_kind": caller.kind,
            "actor": caller.actor,
        }
        if binding:
            claims["cnf"] = {binding.method: binding.thumbprint}
        if act:
            claims["act"] = act
        return _sign(ACCESS_TYPE, claims, self.keys.access.signing(time.time()))

    def check(self, token: str) -> Session:
        """Return the session of an access token. Raises Unauthenticated.

        A session with a binding is good only with proof: `possession.prove`.
        """
        ring = self.keys
        digest = digest_of(token)
        session = self._seen.get(digest)
        if session is None:
            session = self._verified(token, ring)
            if len(self._seen) >= _CACHE:
                self._forget()
            self._seen[digest] = session
        if not self.is_good(session):
            raise refused("The access token is no longer valid.")
        return session

    def is_good(self, session: Session) -> bool:
        """Tell whether the session's token has neither ended nor been revoked by now."""
        return session.expires_at > time.time() and not self.revoked.hit(session)

    def known(self, digest: bytes) -> Session | None:
        """Return the session of a token that was checked before and is still good, else None."""
        _ = self.keys
        session = self._seen.get(digest)
        return session if session is not None and self.is_good(session) else None

    async def __call__(self, token: str) -> Caller:
        """Return who sent the access token: what our own routes ask. Raises Unauthenticated.

        The edge has asked for proof of a bound token before a request comes here.
        """
        return self.check(token).caller

    def internal(self, session: Session, service: str) -> bytes:
        """Return an Authorization value that names the session's caller to one service.

        Raises Unauthenticated for a session that was revoked since its request came in.
        """
        if self.revoked.hit(session):
            raise refused("The access token is no longer valid.")
        return self.identity(session, service)

    def identity(self, session: Session, service: str) -> bytes:
        """Return the same for a session that has just been looked up."""
        at = time.time()
        known = session.internal.get(service)
        if known and known[0] > at:
            return known[1]
        value = self._identity(session.caller, service, session.act, at)
        session.internal[service] = (at + INTERNAL_LIFETIME_S - _INTERNAL_MARGIN_S, value)
        return value

    def own(self, service: str, scope: str) -> bytes:
        """Return an Authorization value that names the gateway itself, for one thing to ask."""
        caller = Caller("", "", "gateway", "gateway", "", frozenset({scope}), new_token_id())
        return self._identity(caller, service, None, time.time())

    def _identity(
        self, caller: Caller, service: str, act: Mapping[str, Any] | None, at: float
    ) -> bytes:
        claims: dict[str, Any] = {
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
        if act:
            claims["act"] = act
        return b"Bearer " + _sign(INTERNAL_TYPE, claims, self.keys.internal.signing(at)).encode()

    def _verified(self, raw: str, ring: KeyRing) -> Session:
        try:
            token = jose.parse(raw, types=frozenset({ACCESS_TYPE}), algorithms=_ALGORITHMS)
            at = time.time()
            jose.verify(token, jose.key_for(KeySet([*ring.access.published(at)]), token.kid))
            claims = token.claims
            exp = jose.check_times(claims, at, lifetime_s=LIFETIME_S, leeway_s=0, needs_iat=True)
            return Session(
                self._caller(claims),
                jose.instant(claims, "iat") or 0,
                exp,
                _version(claims),
                _binding(claims),
                _act(claims),
            )
        except jose.Refused as error:
            raise refused("The access token is not valid.") from error

    def _caller(self, claims: dict[str, Any]) -> Caller:
        if claims.get("iss") != self._issuer or claims.get("aud") != self._issuer:
            raise jose.Refused("iss or aud")
        client_id = jose.text(claims, "client_id")
        actor = jose.text(claims, "actor")
        if claims.get("sub") != (actor if "act" in claims else client_id):
            raise jose.Refused("sub")
        return Caller(
            organisation_id=jose.text(claims, "org"),
            kind=jose.text(claims, "org_kind"),
            client_id=client_id,
            actor=actor,
            purpose=jose.text(claims, "purpose"),
            scopes=frozenset(str(claims.get("scope", "")).split()),
            token_id=jose.text(claims, "jti"),
        )

    def _forget(self) -> None:
        at = time.time()
        self._seen = {k: v for k, v in self._seen.items() if v.expires_at > at}
        if len(self._seen) >= _CACHE:
            self._seen.clear()


def digest_of(token: str) -> bytes:
    return hashlib.sha256(token.encode("latin-1")).digest()


def _version(claims: dict[str, Any]) -> int:
    value = claims.get("client_version", 0)
    if isinstance(value, bool) or not isinstance(value, int):
        raise jose.Refused("client_version")
    return value


def _binding(claims: dict[str, Any]) -> Binding | None:
    """Return what `cnf` names. Raises Refused for a confirmation that nobody here can ask for."""
    if "cnf" not in claims:
        return None
    cnf = claims["cnf"]
    if not isinstance(cnf, dict) or len(cnf) != 1 or not _METHODS & cnf.keys():
        raise jose.Refused("cnf")
    method = next(iter(cnf))
    return Binding(method, jose.text(cnf, method, 64))


def _act(claims: dict[str, Any]) -> Mapping[str, Any] | None:
    found = claims.get("act")
    if found is not None and not isinstance(found, dict):
        raise jose.Refused("act")
    return found


def details_of(purpose: str) -> dict[str, str]:
    """Return the authorization details (RFC 9396) that stand for a purpose of use."""
    return {"type": PURPOSE_TYPE, "purpose": purpose}


def new_token_id() -> str:
    return secrets.token_urlsafe(16)


def refused(detail: str) -> Unauthenticated:
    """Return the 401 of RFC 6750 s3.1 for a token that was sent and is not good."""
    challenge = 'Bearer realm="careloop", error="invalid_token"'
    return Unauthenticated(detail, headers={"WWW-Authenticate": challenge})


def _sign(kind: str, claims: dict[str, object], key: ECKey) -> str:
    header = {"alg": "ES256", "typ": kind, "kid": key.kid}
    return jwt.encode(header, claims, key, registry=_REGISTRY)
