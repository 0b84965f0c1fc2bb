"""Which addresses of others we may connect to: an own deny list, not Python's version-dependent is_private.

Pure. `fault_of` judges a URL as it is written; a name is judged again by the address that it
resolves to, at every connection: see `guarded`.
"""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

_V4_DENIED = tuple(
    ip_network(block)
    for block in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local; cloud metadata
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # class E and broadcast
    )
)
# outside of this lie loopback, v4-mapped, NAT64, discard, SRv6, ULA, link-local and multicast
_V6_GLOBAL = ip_network("2000::/3")
_V6_DENIED = tuple(
    ip_network(block)
    for block in (
        "2001::/23",  # Teredo, ORCHID, benchmarks
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4 carries an IPv4 address
        "3fff::/20",  # documentation
    )
)

_URL = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<rest>(?:/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?(?:\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?)",
    re.ASCII,
)
_NUMERIC = re.compile(r"(?:0[xX][0-9A-Fa-f]*|[0-9]+)\Z")
_MAX_PORT = 65535


def is_public(address: str) -> bool:
    """Tell whether an IP address is one of the public internet; False for what cannot be read."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, IPv4Address):
        return not any(parsed in block for block in _V4_DENIED)
    return parsed in _V6_GLOBAL and not any(parsed in block for block in _V6_DENIED)


def literal(host: str) -> str | None:
    """Return the IP address that a host is, in whatever notation, or None for a name.

    A last label that is a number makes the host an address (WHATWG URL): what then is not four
    plain numbers (`127.1`, `2130706433`, `0x7f.1`) is returned as it is, and is never public.
    """
    bare = host.strip("[]").rstrip(".")
    try:
        parsed: IPv4Address | IPv6Address = ip_address(bare)
    except ValueError:
        return bare if ":" in bare or _NUMERIC.match(bare.rpartition(".")[2]) else None
    return str(parsed)


def fault_of(url: str, *, allow_private: bool, ports: frozenset[int]) -> tuple[str, str] | None:
    """Return why a URL may not be asked, and a code for it; None when it may.

    `allow_private` is for the sandbox alone: plain http, loopback and any port.
    """
    found = _URL.fullmatch(url)
    if not found:
        return (
            "Give an absolute URL of scheme, host, path and query; no user and no fragment.",
            "malformed-url",
        )
    secure = found["scheme"] == "https"
    port = int(found["port"] or (443 if secure else 80))
    if port > _MAX_PORT:
        return "There is no such port.", "port-not-allowed"
    return None if allow_private else _fault_in_public(found["host"], port, ports, secure=secure)


def _fault_in_public(
    host: str,
    port: int,
    ports: frozenset[int],
    *,
    secure: bool,
) -> tuple[str, str] | None:
    address = literal(host)
    if not secure:
        return "Only https is allowed.", "https-required"
    if port not in ports:
        return "This port is not allowed.", "port-not-allowed"
    if address is None and "." not in host.strip("."):
        return "The host is not a public name.", "address-not-public"
    if address is not None and not is_public(address):
        return "The address is not public.", "address-not-public"
    return None
