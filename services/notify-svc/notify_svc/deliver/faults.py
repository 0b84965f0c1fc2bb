"""What went wrong, in the words of the attempts' log."""

import ssl

import aiohttp
from svckit.guarded import AddressDenied

from notify_svc.domain.attempts import EGRESS

# what a request or its answer may fail with; anything else is a fault of ours and is raised
FAULTS = (aiohttp.ClientError, OSError, ValueError)
_NAMES: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    ((aiohttp.ClientProxyConnectionError,), EGRESS),
    ((TimeoutError,), "timeout"),
    ((AddressDenied,), "address-denied"),
    ((aiohttp.ClientSSLError, ssl.SSLError), "tls"),
)
_PROXY_DENIES = 403
_PROXY_ASKS_WHO = 407


def error_of(error: Exception) -> str:
    """Return why a request failed."""
    if isinstance(error, aiohttp.ClientHttpProxyError):
        known = {_PROXY_DENIES: "address-denied", _PROXY_ASKS_WHO: EGRESS}
        return known.get(error.status, "connection")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "address-denied" if isinstance(error.os_error, AddressDenied) else "dns"
    return next((name for kinds, name in _NAMES if isinstance(error, kinds)), "connection")
