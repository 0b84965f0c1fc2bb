"""The names we answer to (RFC 9110 s7.4): any other Host is a rebound name or a misled proxy."""

from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from svckit.errors import CareloopError

# asked by machines that reach us by address, and of no use to anybody else
_ANYWHERE = frozenset({"/healthz", "/readyz", "/metrics", "/.well-known/internal-jwks.json"})
_REMEMBERED = 64


class Misdirected(CareloopError):
    status = 421
    code = "misdirected-request"


class Hosts:
    """Ports are not compared: a name is what an attacker can choose."""

    def __init__(self, allowed: Iterable[str], issuer: str) -> None:
        own = urlsplit(issuer).hostname or ""
        self._names = {name.lower() for name in allowed} or {own, *_aliases(own)}
        self._good: set[bytes] = set()

    def check(self, host: bytes, path: str) -> None:
        """Raises Misdirected."""
        if host in self._good or path in _ANYWHERE:
            return
        if _name(host) not in self._names:
            raise Misdirected("This is not a host that answers here.")
        if len(self._good) < _REMEMBERED:
            self._good.add(host)


def _name(host: bytes) -> str:
    """Return the name of a Host field's value, "" for one that is no host and port."""
    text = host.decode("latin-1").lower()
    name, colon, port = (
        text.rpartition(":") if text.rpartition(":")[2].isdigit() else (text, "", "")
    )
    return "" if (colon and not name) or len(port) > len("65535") else name.strip("[]")


def _aliases(own: str) -> set[str]:
    try:
        loopback = own == "localhost" or ip_address(own).is_loopback
    except ValueError:
        loopback = False
    return {"localhost", "127.0.0.1", "::1"} if loopback else set()
