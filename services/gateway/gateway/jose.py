"""One strict profile for every token we accept: assertions of clients and our own access tokens.

RFC 7515, 7519 and 8725. Refused before any key is looked at: anything but three canonical
base64url parts, duplicate or non-finite JSON, headers that bring or point to keys, a missing `kid`
or `typ`. joserfc supplies keys and signatures; its own decoding accepts duplicate members.
"""

import json
import math
from dataclasses import dataclass
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from joserfc.util import urlsafe_b64decode

# a token is a header line: the largest we ever met is 2 kB
MAX_TOKEN = 8192
_MAX_KID = 128
# members that bring keys, point to keys, or change what is signed
_REFUSED_HEADERS = frozenset({"jku", "x5u", "jwk", "x5c", "crit", "b64", "zip", "cty", "enc"})
_FAR_FUTURE = 1 << 33

Key = ECKey | RSAKey | OKPKey


class Refused(Exception):
    """The token is not acceptable; the reason is for our own log, never for the sender."""


@dataclass(frozen=True)
class Token:
    """A token taken apart, not yet believed."""

    header: dict[str, Any]
    claims: dict[str, Any]
    signed: bytes
    signature: bytes

    @property
    def alg(self) -> str:
        return str(self.header["alg"])

    @property
    def kid(self) -> str:
        return str(self.header["kid"])


def parse(
    raw: str, *, types: frozenset[str], algorithms: frozenset[str], brings_key: bool = False
) -> Token:
    """Take a compact JWS apart. Only a DPoP proof brings its key. Raises Refused."""
    if len(raw) > MAX_TOKEN or not raw.isascii():
        raise Refused("size or characters")
    parts = raw.encode().split(b".")
    if len(parts) != 3:  # noqa: PLR2004  # header, claims, signature; five would be a JWE
        raise Refused("number of parts")
    header, claims = _object(parts[0]), _object(parts[1])
    _check_header(header, types, algorithms, brings_key=brings_key)
    return Token(header, claims, parts[0] + b"." + parts[1], _decoded(parts[2]))


def _check_header(
    header: dict[str, Any], types: frozenset[str], algorithms: frozenset[str], *, brings_key: bool
) -> None:
    if (_REFUSED_HEADERS & header.keys()) != ({"jwk"} if brings_key else set()):
        raise Refused("header member")
    for name, allowed in (("typ", types), ("alg", algorithms)):
        if not isinstance(header.get(name), str) or header[name] not in allowed:
            raise Refused(name)
    if brings_key:
        return
    kid = header.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= _MAX_KID or not kid.isprintable():
        raise Refused("kid")


def verify(token: Token, key: Key) -> None:
    """Check the signature with this one key. Raises Refused."""
    algorithm = JWSRegistry.algorithms[token.alg]
    try:
        algorithm.check_key(key)
        good = algorithm.verify(token.signed, token.signature, key)
    except (JoseError, ValueError, TypeError) as error:
        raise Refused("key") from error
    if not good:
        raise Refused("signature")


def key_for(keys: KeySet, kid: str) -> Key:
    """Return the one key of that id. Raises Refused when there is none."""
    found = [key for key in keys.keys if key.kid == kid]
    if len(found) != 1 or not isinstance(found[0], (ECKey, RSAKey, OKPKey)):
        raise Refused("no such key")
    return found[0]


def instant(claims: dict[str, Any], name: str) -> float | None:
    """Return a NumericDate claim, None when absent. Raises Refused for what is no such number."""
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Refused(name)
    if not math.isfinite(value) or not 0 <= value < _FAR_FUTURE:
        raise Refused(name)
    return float(value)


def text(claims: dict[str, Any], name: str, limit: int = 256) -> str:
    """Return a claim that must be a short printable string. Raises Refused."""
    value = claims.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= limit or not value.isprintable():
        raise Refused(name)
    return value


def check_times(
    claims: dict[str, Any], at: float, *, lifetime_s: int, leeway_s: int, needs_iat: bool = False
) -> float:
    """Check exp, iat and nbf against the clock; return exp. Raises Refused."""
    exp, iat, nbf = (instant(claims, name) for name in ("exp", "iat", "nbf"))
    if exp is None or exp <= at - leeway_s or exp > at + lifetime_s + leeway_s:
        raise Refused("exp")
    if iat is None and needs_iat:
        raise Refused("iat")
    if iat is not None and not (at - lifetime_s - leeway_s <= iat <= at + leeway_s and iat < exp):
        raise Refused("iat")
    if iat is not None and exp - iat > lifetime_s:
        raise Refused("lifetime")
    if nbf is not None and nbf > at + leeway_s:
        raise Refused("nbf")
    return exp


def _decoded(part: bytes) -> bytes:
    try:
        return urlsafe_b64decode(part)
    except ValueError as error:
        raise Refused("encoding") from error


def _object(part: bytes) -> dict[str, Any]:
    return object_of(_decoded(part))


def object_of(text: bytes) -> dict[str, Any]:
    """Return a JSON object in which no member stands twice. Raises Refused."""
    try:
        found = json.loads(text.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Refused("JSON") from error
    if not isinstance(found, dict):
        raise Refused("JSON")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Refused("duplicate member")
    return found


def _no_constant(name: str) -> Any:
    raise Refused(name)
