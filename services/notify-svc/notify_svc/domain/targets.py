"""Which addresses a webhook may reach: an own deny list, not Python's version-dependent is_private."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from svckit.errors import FieldError, Invalid

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


class TargetRefused(Invalid):
    code = "webhook-target-refused"

    def __init__(self, why: str, code: str) -> None:
        super().__init__(
            "The webhook cannot go to this address.", errors=[FieldError("#/url", code, why)]
        )


@dataclass(frozen=True)
class TargetRule:
    """`allow_private` is for the sandbox alone: plain http, loopback and any port."""

    allow_private: bool
    ports: frozenset[int]


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


def check(url: str, rule: TargetRule) -> None:
    """Raise TargetRefused unless the URL is one that a webhook may be sent to.

    Names are judged again by the address they resolve to, at every connection.
    """
    found = _URL.fullmatch(url)
    if not found:
        raise TargetRefused(
            "Give an absolute URL of scheme, host, path and query; no user and no fragment.",
            "malformed-url",
        )
    secure = found["scheme"] == "https"
    port = int(found["port"] or (443 if secure else 80))
    if port > _MAX_PORT:
        raise TargetRefused("There is no such port.", "port-not-allowed")
    if rule.allow_private:
        return
    if not secure:
        raise TargetRefused("Only https is allowed.", "https-required")
    if port not in rule.ports:
        raise TargetRefused("This port is not allowed.", "port-not-allowed")
    address = literal(found["host"])
    if address is None and "." not in found["host"].strip("."):
        raise TargetRefused("The host is not a public name.", "address-not-public")
    if address is not None and not is_public(address):
        raise TargetRefused("The address is not public.", "address-not-public")
