"""Secrets at rest: AES-256-GCM, bound to the row they belong to, under keys that can be replaced.

A sealed text is `s1.<key>.<nonce and ciphertext>`; `key` names the key by the start of its digest.
The first key of the settings seals, every one of them opens: see `python -m notify_svc reseal`.
"""

import base64
import hashlib
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_VERSION = "s1"
_NONCE_BYTES = 12
_KEY_BYTES = 32
_NAME_LENGTH = 8


class CannotOpen(ValueError):
    """Sealed under a key that is not in the settings, for another row, or damaged."""


def key_of(text: str) -> bytes:
    """Return the 256 bits that 64 hexadecimal digits stand for. Raises ValueError."""
    key = bytes.fromhex(text)
    if len(key) != _KEY_BYTES:
        raise ValueError("a sealing key has 64 hexadecimal digits")
    return key


class Sealer:
    """Seals by the first key and opens by any. `row` is the id of what the secret belongs to."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        named = [(hashlib.sha256(key).hexdigest()[:_NAME_LENGTH], key) for key in keys]
        self._first = named[0][0]
        self._ciphers = {name: AESGCM(key) for name, key in named}

    def seal(self, secret: str, row: str) -> str:
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[self._first].encrypt(nonce, secret.encode(), row.encode())
        return f"{_VERSION}.{self._first}.{base64.b64encode(nonce + sealed).decode()}"

    def open(self, sealed: str, row: str) -> str:
        """Return the secret; what was stored before secrets were sealed is returned as it is.

        Raises CannotOpen.
        """
        if not is_sealed(sealed):
            return sealed
        _, name, text = sealed.split(".", 2)
        cipher = self._ciphers.get(name)
        raw = base64.b64decode(text)
        try:
            if cipher is None:
                raise CannotOpen("sealed under a key that is not in the settings")
            return cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], row.encode()).decode()
        except InvalidTag as error:
            raise CannotOpen("sealed for another row, or damaged") from error

    def is_current(self, sealed: str) -> bool:
        """Tell whether it is sealed under the first key."""
        return sealed.startswith(f"{_VERSION}.{self._first}.")


def is_sealed(text: str) -> bool:
    return text.startswith(f"{_VERSION}.")
