"""Whom we trust, and as whom we connect: one TLS context for each client certificate."""

import hashlib
import os
import ssl
import sys
import tempfile
from collections import OrderedDict
from pathlib import Path

_KEPT = 256


class Contexts:
    """TLS contexts, kept: connections are reused only within one."""

    def __init__(self, ca_file: Path | None) -> None:
        self._ca_file = ca_file
        self._plain = self._new()
        self._kept: OrderedDict[bytes, ssl.SSLContext] = OrderedDict()

    def plain(self) -> ssl.SSLContext:
        return self._plain

    def with_certificate(self, chain: str, private_key: str) -> ssl.SSLContext:
        """Return a context that presents the certificate. Raises ssl.SSLError."""
        name = hashlib.sha256(f"{chain}\0{private_key}".encode()).digest()
        found = self._kept.pop(name, None)
        if found is None:
            found = self._new()
            _load(found, f"{private_key}\n{chain}\n")
        self._kept[name] = found
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return found

    def _new(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self._ca_file:
            context.load_verify_locations(self._ca_file)
        return context


def _load(context: ssl.SSLContext, pem: str) -> None:
    """Load key and certificates, which Python can only do from a file: one that lies in memory."""
    if sys.platform == "linux":
        with os.fdopen(os.memfd_create("client"), "w", encoding="ascii") as file:
            file.write(pem)
            file.flush()
            context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
    else:
        with tempfile.NamedTemporaryFile("w", encoding="ascii") as file:
            file.write(pem)
            file.flush()
            context.load_cert_chain(file.name)
