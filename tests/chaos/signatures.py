"""Standard Webhooks signatures, written from the specification and not with the code under test."""

import base64
import hashlib
import hmac

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


def verifier(secret):
    """Return what tells whether an entry of `webhook-signature` is this key's over a content."""
    prefix, _, text = secret.partition("_")
    raw = base64.b64decode(text)

    def symmetric(content, entry):
        wanted = "v1," + base64.b64encode(hmac.digest(raw, content, hashlib.sha256)).decode()
        return hmac.compare_digest(entry, wanted)

    if prefix == "whsec":
        return symmetric
    public = Ed25519PublicKey.from_public_bytes(raw) if prefix == "whpk" else None
    public = public or Ed25519PrivateKey.from_private_bytes(raw[:32]).public_key()

    def asymmetric(content, entry):
        version, _, signature = entry.partition(",")
        try:
            public.verify(base64.b64decode(signature), content)
        except (InvalidSignature, ValueError):
            return False
        return version == "v1a"

    return asymmetric
