"""Standard Webhooks 1.0.0: what is signed, with which key, and how it is written in the header."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SYMMETRIC = "whsec_"
ASYMMETRIC = "whsk_"
PUBLIC = "whpk_"
_SECRET_BYTES = 32
_SEED_BYTES = 32


def new_secret() -> str:
    """Return a fresh symmetric secret (256 bits; the specification asks for 192 to 512)."""
    return SYMMETRIC + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def new_private_key() -> str:
    """Return a fresh Ed25519 key, serialised as the specification does: seed, then public key."""
    key = Ed25519PrivateKey.generate()
    raw = key.private_bytes_raw() + key.public_key().public_bytes_raw()
    return ASYMMETRIC + base64.b64encode(raw).decode()


def fresh(signature: str) -> str:
    """Return a fresh key for `v1` or `v1a`."""
    return new_private_key() if signature == "v1a" else new_secret()


def public_of(secret: str) -> str | None:
    """Return what verifies the secret's signatures and is none itself; None where only it can."""
    return public_key(secret) if secret.startswith(ASYMMETRIC) else None


def public_key(private: str) -> str:
    """Return the `whpk_` key that verifies what the `whsk_` key signs."""
    return PUBLIC + base64.b64encode(_ed25519(private).public_key().public_bytes_raw()).decode()


class Signer:
    """Signs under every active secret, newest first; each is read once."""

    def __init__(self, active: Sequence[str]) -> None:
        self._entries = [_entry_of(secret) for secret in active]

    def header(self, message_id: str, timestamp: int, body: bytes) -> str:
        """Return the whole `webhook-signature`: one entry per secret."""
        content = f"{message_id}.{timestamp}.".encode() + body
        return " ".join(
            [
                f"{version},{base64.b64encode(signed(content)).decode()}"
                for version, signed in self._entries
            ]
        )


def header(active: Sequence[str], message_id: str, timestamp: int, body: bytes) -> str:
    """Return `webhook-signature` for one message."""
    return Signer(active).header(message_id, timestamp, body)


def _entry_of(secret: str) -> tuple[str, Callable[[bytes], bytes]]:
    """Return what a signature starts with, and what makes one."""
    if secret.startswith(ASYMMETRIC):
        return "v1a", _ed25519(secret).sign
    keyed = hmac.new(base64.b64decode(secret.removeprefix(SYMMETRIC)), digestmod=hashlib.sha256)

    def sign(content: bytes) -> bytes:
        made = keyed.copy()
        made.update(content)
        return made.digest()

    return "v1", sign


def _ed25519(private: str) -> Ed25519PrivateKey:
    raw = base64.b64decode(private.removeprefix(ASYMMETRIC))
    return Ed25519PrivateKey.from_private_bytes(raw[:_SEED_BYTES])
