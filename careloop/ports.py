"""Loopback ports: a free one for a child, and whether a wanted one is free."""

import random
import socket

# Below the range the system hands out to outgoing connections (32768 on Linux): a port given to a
# child stays free while the child is down for a moment.
_FIRST, _LAST = 20_000, 32_000


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a port nobody listens on; nothing reserves it, so the bind may still fail."""
    for _ in range(200):
        port = random.randint(_FIRST, _LAST)  # noqa: S311 - not a secret
        if is_free(port):
            return port
    raise OSError("no free loopback port")
