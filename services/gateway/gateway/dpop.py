"""DPoP proofs (RFC 9449): what one says, checked without any I/O.

The proof brings its own public key; the token says which key it must be. The address is compared
with our public one, never with what a Host header says.
"""

import hashlib
import hmac
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import orjson
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, OKPKey
from joserfc.util import urlsafe_b64encode

from gateway import jose

TYPE = "dpop+jwt"
ALGORITHMS = ("ES256", "ES384", "EdDSA", "Ed25519")
# a proof lives this long; partners' clocks differ from ours by the leeway
LIVES_S = 60
_LEEWAY_S = 5
_NONCE_S = 120
_KEYS = 1024
_PORTS = {"http": 80, "https": 443}
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


class NonceNeeded(jose.Refused):
    """The proof is good but for its nonce, which is absent or old (RFC 9449 s8)."""


@dataclass(frozen=True)
class Proof:
    """A proof that holds: of which key, and how long its `jti` must be remembered."""

    thumbprint: str
    jti: str
    expires_at: float


def check(
    raw: str, *, method: str, url: str, token: str | None, at: float, nonces: tuple[str, ...]
) -> Proof:
    """Check a proof for one request; empty `nonces`: none is asked for. Raises Refused."""
    found = jose.parse(
        raw, types=frozenset({TYPE}), algorithms=frozenset(ALGORITHMS), brings_key=True
    )
    key, thumbprint = _key(found.header["jwk"])
    jose.verify(found, key)
    claims = found.claims
    if claims.get("htm") != method or _address(claims.get("htu")) != _address(url):
        raise jose.Refused("htm or htu")
    iat = jose.instant(claims, "iat")
    if iat is None or not at - LIVES_S <= iat <= at + _LEEWAY_S:
        raise jose.Refused("iat")
    exp, nbf = jose.instant(claims, "exp"), jose.instant(claims, "nbf")
    if (exp is not None and exp <= at) or (nbf is not None and nbf > at + _LEEWAY_S):
        raise jose.Refused("exp or nbf")
    jti = jose.text(claims, "jti", 128)
    if token is not None and claims.get("ath") != hash_of(token):
        raise jose.Refused("ath")
    if nonces and claims.get("nonce") not in nonces:
        raise NonceNeeded("nonce")
    return Proof(thumbprint, jti, iat + LIVES_S + _LEEWAY_S)


def hash_of(token: str) -> str:
    """Return the `ath` of an access token (RFC 9449 s4.2)."""
    return urlsafe_b64encode(hashlib.sha256(token.encode("latin-1")).digest()).decode()


def nonces(pepper: bytes, at: float) -> tuple[str, str]:
    """Return the nonce to hand out and the one before it; the same on every replica."""
    now = int(at // _NONCE_S)
    return _nonce(pepper, now), _nonce(pepper, now - 1)


def _nonce(pepper: bytes, period: int) -> str:
    return urlsafe_b64encode(
        hmac.new(pepper, b"dpop-nonce %d" % period, "sha256").digest()
    ).decode()[:22]


def _key(jwk: Any) -> tuple[ECKey | OKPKey, str]:
    if not isinstance(jwk, dict) or _PRIVATE & jwk.keys():
        raise jose.Refused("jwk")
    try:
        return _imported(orjson.dumps(jwk, option=orjson.OPT_SORT_KEYS))
    except orjson.JSONEncodeError as error:
        raise jose.Refused("jwk") from error


# a client shows one key again and again, and to make it costs more than to check a signature
@lru_cache(maxsize=_KEYS)
def _imported(jwk: bytes) -> tuple[ECKey | OKPKey, str]:
    """Return the key and its thumbprint. Raises Refused."""
    try:
        found = KeySet.import_key_set({"keys": [orjson.loads(jwk)]}).keys[0]
        if not isinstance(found, (ECKey, OKPKey)):
            raise jose.Refused("jwk")
        # the property builds the key: a point off its curve is found here
        _ = found.public_key
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise jose.Refused("jwk") from error
    return found, found.thumbprint()


def _address(text: Any) -> tuple[str, str, int, str]:
    """Return an address in one spelling (RFC 3986 s6.2.3). Raises Refused for a query or user."""
    if not isinstance(text, str) or not text.isascii() or set("?#@\\ ") & set(text):
        raise jose.Refused("htu")
    try:
        found = urlsplit(text)
        port = found.port or _PORTS[found.scheme]
    except (ValueError, KeyError) as error:
        raise jose.Refused("htu") from error
    return found.scheme, found.hostname or "", port, found.path or "/"
