"""Verify a delivery as a partner does, by Standard Webhooks 1.0.0, and say why one is refused."""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

TOLERANCE_S = 300
PUBLIC = "whpk_"
VERIFICATION = "webhook.verification"


def fault_of(
    secrets: Sequence[str], headers: Mapping[str, str], body: bytes, *, at: float
) -> str | None:
    """Return why the delivery is not genuine, None when it is.

    `headers` by lower-case name; `at` is the time in seconds. Any of the secrets (`whsec_`, or a
    `whpk_` public key) and any entry of the signature may fit: both change during a rotation.
    """
    message_id, timestamp = (headers.get(f"webhook-{name}", "") for name in ("id", "timestamp"))
    if not message_id or "webhook-signature" not in headers:
        return "it is not signed: webhook-id or webhook-signature is missing"
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= len("999999999999")):
        return "webhook-timestamp is no number of seconds"
    if abs(at - int(timestamp)) > TOLERANCE_S:
        return f"it is stale: signed {at - int(timestamp):.0f} s ago, {TOLERANCE_S} s are allowed"
    signed = f"{message_id}.{timestamp}.".encode() + body
    entries = headers["webhook-signature"].split(" ")
    if any(_fits(secret, entry, signed) for secret in secrets for entry in entries):
        return None
    return "no entry of webhook-signature fits: another secret, or the body was changed"


def is_handshake(body: bytes) -> bool:
    """Tell whether it asks whose endpoint this is, genuine or not."""
    try:
        found = json.loads(body)
    except ValueError:
        return False
    return isinstance(found, dict) and found.get("type") == VERIFICATION


def _fits(secret: str, entry: str, signed: bytes) -> bool:
    version, _, text = entry.partition(",")
    try:
        given = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    if base64.b64encode(given).decode() != text:
        return False
    if version == "v1a" and secret.startswith(PUBLIC):
        return _is_ed25519(base64.b64decode(secret.removeprefix(PUBLIC)), given, signed)
    if version == "v1" and not secret.startswith(PUBLIC):
        key = base64.b64decode(secret.removeprefix("whsec_"))
        return hmac.compare_digest(given, hmac.digest(key, signed, hashlib.sha256))
    return False


def _is_ed25519(public: bytes, given: bytes, signed: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(given, signed)
    except InvalidSignature:
        return False
    return True
