"""Key pairs of the sandbox's partners: the private half in a file, the public half registered."""

from pathlib import Path
from typing import Any

from joserfc.jwk import ECKey, KeyParameters, RSAKey

from careloop.layout import write_private

Key = ECKey | RSAKey


def key_pair(path: Path, alg: str, kid: str) -> Key:
    """Return the key kept in `path` (PEM, PKCS #8, 0600), made at first use."""
    about = _about(alg, kid)
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = (
            RSAKey.generate_key(2048, about)
            if alg.startswith("RS")
            else ECKey.generate_key("P-384", about)
        )
        write_private(path, made.as_pem(private=True).decode())
    return read_key(path, alg, kid)


def _about(alg: str, kid: str) -> KeyParameters:
    return {"kid": kid, "alg": alg, "use": "sig"}


def read_key(path: Path, alg: str, kid: str) -> Key:
    text, about = path.read_text(), _about(alg, kid)
    return RSAKey.import_key(text, about) if alg.startswith("RS") else ECKey.import_key(text, about)


def public_set(*keys: Key) -> dict[str, Any]:
    """Return the JWK Set to register (RFC 7517)."""
    return {"keys": [key.as_dict(private=False) for key in keys]}
