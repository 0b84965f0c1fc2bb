"""Standard Webhooks 1.0.0: what is signed, with which key, and how it is written in the header."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

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


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Return one entry of `webhook-signature`: `v1,…` for a secret, `v1a,…` for a private key."""
    content = f"{message_id}.{timestamp}.".encode() + body
    if secret.startswith(ASYMMETRIC):
        return "v1a," + base64.b64encode(_ed25519(secret).sign(content)).decode()
    key = base64.b64decode(secret.removeprefix(SYMMETRIC))
    return "v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()


def header(active: Sequence[str], message_id: str, timestamp: int, body: bytes) -> str:
    """Return the whole `webhook-signature`: one entry per active secret, newest first."""
    return " ".join(sign(secret, message_id, timestamp, body) for secret in active)


def _ed25519(private: str) -> Ed25519PrivateKey:
    raw = base64.b64decode(private.removeprefix(ASYMMETRIC))
    return Ed25519PrivateKey.from_private_bytes(raw[:_SEED_BYTES])
