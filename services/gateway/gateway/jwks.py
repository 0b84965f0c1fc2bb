"""Which public keys we accept, wherever they come from (RFC 7517)."""

from collections.abc import Sequence
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey

_PUBLIC = ("kty", "kid", "crv", "x", "y", "n", "e", "alg", "use")
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_RSA = frozenset({"RS256", "RS384", "PS256", "PS384"})
_CURVES = {
    "P-256": frozenset({"ES256"}),
    "P-384": frozenset({"ES384"}),
    "Ed25519": frozenset({"EdDSA"}),
}
_RSA_BITS = range(2048, 8193)
_MAX_KID = 128
MAX_KEYS = 10


class KeyUnfit(Exception):
    """A key that may not be used; `pointer` names it within its set."""

    def __init__(self, pointer: str, code: str, detail: str) -> None:
        super().__init__(code)
        self.pointer = pointer
        self.code = code
        self.detail = detail


def checked(keys: Sequence[Any], algorithms: Sequence[str]) -> list[dict[str, Any]]:
    """Return the public members of the keys. Raises KeyUnfit for the first that is no good."""
    if len(keys) > MAX_KEYS:
        raise KeyUnfit("/keys", "too-many-keys", f"No more than {MAX_KEYS} keys are taken.")
    found: list[dict[str, Any]] = []
    for place, jwk in enumerate(keys):
        pointer = f"/keys/{place}"
        _check(jwk, pointer, frozenset(algorithms))
        if any(jwk["kid"] == other["kid"] for other in found):
            raise KeyUnfit(f"{pointer}/kid", "duplicate-kid", "Every key needs a kid of its own.")
        found.append({name: jwk[name] for name in _PUBLIC if name in jwk})
    return found


def _check(jwk: Any, pointer: str, algorithms: frozenset[str]) -> None:
    if not isinstance(jwk, dict):
        raise KeyUnfit(pointer, "key-unfit", "A key is a JSON object.")
    if leaked := _PRIVATE & jwk.keys():
        where = f"{pointer}/{min(leaked)}"
        raise KeyUnfit(where, "private-key", "Only public keys are taken; replace this one.")
    kid = jwk.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= _MAX_KID or not kid.isprintable():
        raise KeyUnfit(f"{pointer}/kid", "kid-missing", "A key needs a kid of 1 to 128 characters.")
    if jwk.get("use", "sig") != "sig":
        raise KeyUnfit(f"{pointer}/use", "key-use", "The key is not for signatures.")
    usable = _usable(jwk) & algorithms
    if not usable or jwk.get("alg", next(iter(usable))) not in tuple(usable):
        raise KeyUnfit(pointer, "key-unfit", "The key fits none of the algorithms.")


def _usable(jwk: dict[str, Any]) -> frozenset[str]:
    """Return the algorithms a key can sign with, none for a key that is no good."""
    try:
        key = KeySet.import_key_set({"keys": [jwk]}).keys[0]
        if isinstance(key, RSAKey):
            return _RSA if key.public_key.key_size in _RSA_BITS else frozenset()
        if isinstance(key, (ECKey, OKPKey)):
            # the property builds the key: a point off its curve is found here
            _ = key.public_key
            return _CURVES.get(str(jwk.get("crv")), frozenset())
    except (JoseError, ValueError, TypeError, KeyError):
        pass
    return frozenset()
