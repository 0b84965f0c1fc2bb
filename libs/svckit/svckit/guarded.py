"""No connection to an address that is not public, judged at the moment of connecting.

A name may resolve to another address than it did when its URL was accepted (rebinding), so
every resolution is filtered and nothing is cached. aiohttp does not ask a resolver about a host
that is an address itself: `refuse_literal` does that part.
"""

import socket

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from svckit.addresses import is_public, literal


class AddressDenied(OSError):
    """Every address of the host is private, local or reserved."""


class GuardedResolver(AbstractResolver):
    """Resolves as the system does and keeps the public addresses only."""

    def __init__(self, inner: AbstractResolver | None = None) -> None:
        self._inner = inner or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the public addresses of a host. Raises AddressDenied when there is none."""
        found = await self._inner.resolve(host, port, family)
        public = [result for result in found if is_public(result["host"])]
        if not public:
            raise AddressDenied("no public address")
        return public

    async def close(self) -> None:
        await self._inner.close()


def refuse_literal(url: URL) -> None:
    """Raise AddressDenied when the URL's host is itself an address that is not public."""
    address = literal(url.host or "")
    if address is not None and not is_public(address):
        raise AddressDenied("not a public address")
