"""The gateway's private keys: one signs access tokens, another internal identities.

They live in one file (`GATEWAY_KEY_FILE`), made on first use with mode 0600 and never rewritten, so
that replicas that start together agree. The same file holds the pepper of sandbox secrets.
"""

import base64
import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from svckit.errors import Unavailable

_PEPPER_BYTES = 32


@dataclass(frozen=True)
class KeyRing:
    """`access` is known to partners, `internal` only to our services."""

    access: ECKey
    internal: ECKey
    pepper: bytes

    def secret_hash(self, secret: str) -> str:
        """Return the keyed hash under which a sandbox secret (256 random bits) is stored."""
        return hmac.new(self.pepper, secret.encode(), "sha256").hexdigest()

    def public(self, key: ECKey) -> dict[str, Any]:
        """Return the key as a JWK Set of its public part."""
        return {"keys": [{**key.as_dict(private=False), "alg": "ES256", "use": "sig"}]}


def load(path: Path) -> KeyRing:
    """Return the keys of the file, making it first if it is absent. Raises Unavailable."""
    if not path.exists():
        _make(path)
    try:
        found = orjson.loads(path.read_bytes())
        return KeyRing(
            ECKey.import_key(found["access"]),
            ECKey.import_key(found["internal"]),
            base64.b64decode(found["pepper"]),
        )
    except (OSError, ValueError, KeyError, TypeError, JoseError) as error:
        raise Unavailable("The key file cannot be used.") from error


def _make(path: Path) -> None:
    """Write a fresh file whole, under its name only when complete; the first of many wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    content = {
        "access": _fresh(),
        "internal": _fresh(),
        "pepper": base64.b64encode(secrets.token_bytes(_PEPPER_BYTES)).decode(),
    }
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(orjson.dumps(content))
            out.flush()
            os.fsync(out.fileno())
        try:
            os.link(partial, path)
        except FileExistsError:
            return
    finally:
        partial.unlink()


def _fresh() -> dict[str, Any]:
    key = ECKey.generate_key("P-256", auto_kid=True)
    return dict(key.as_dict(private=True))
