"""Client certificates (RFC 8705): where the one of a request comes from, as a thumbprint.

Either this process ends the TLS connection, or a proxy does whose address is configured and which
tells the certificate in one header: RFC 9440 `Client-Cert`, or Envoy's `X-Forwarded-Client-Cert`.
From any other address such a header means nothing.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any
from urllib.parse import unquote_to_bytes

from joserfc.util import urlsafe_b64encode

HEADERS = ("client-cert", "x-forwarded-client-cert")
_ELEMENT = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*")+')
_PAIR = re.compile(r'(?P<name>[A-Za-z]+)=(?P<value>"(?:[^"\\]|\\.)*"|[^";]*)(?:;|$)')
_HEX = re.compile(r"[0-9a-fA-F]{64}")
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True)
class Proxies:
    """Who may tell a certificate, and in which header; the other header means nothing."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    header: str = HEADERS[0]

    def trusts(self, address: str) -> bool:
        try:
            found = ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in self.networks)


def thumbprint_of(scope: Any, proxies: Proxies) -> str | None:
    """Return the `x5t#S256` of the request's client certificate, None when it has none."""
    peer = (scope.get("client") or ("",))[0]
    if not proxies.trusts(peer):
        tls: dict[str, Any] = scope.get("extensions", {}).get("tls", {})
        return tls.get("client_cert_thumbprint")
    name = proxies.header.encode()
    values = [value.decode("latin-1") for key, value in scope["headers"] if key == name]
    if not values:
        return None
    if proxies.header == HEADERS[0]:
        # a list would be two proxies' word, or the sender's own: only one can be meant
        return _of_client_cert(values[0]) if len(values) == 1 else None
    return _of_forwarded(",".join(values))


def thumbprint(der: bytes) -> str:
    """Return the SHA-256 thumbprint of a certificate (RFC 8705 s3.1)."""
    return urlsafe_b64encode(hashlib.sha256(der).digest()).decode()


def _of_client_cert(value: str) -> str | None:
    """Read a Structured Field byte sequence (RFC 9440 s2.1)."""
    inside = value.strip()
    if len(inside) < 3 or inside[0] != ":" or inside[-1] != ":":  # noqa: PLR2004  # two colons and something
        return None
    try:
        return thumbprint(base64.b64decode(inside[1:-1], validate=True))
    except (binascii.Error, ValueError):
        return None


def _of_forwarded(value: str) -> str | None:
    """Read the last element: the nearest proxy's; what stands before it was forwarded."""
    elements = _ELEMENT.findall(value)
    if not elements:
        return None
    pairs = {m["name"].lower(): m["value"].strip('"') for m in _PAIR.finditer(elements[-1].strip())}
    if _HEX.fullmatch(pairs.get("hash", "")):
        return urlsafe_b64encode(bytes.fromhex(pairs["hash"])).decode()
    found = _PEM.search(unquote_to_bytes(pairs.get("cert", "")))
    try:
        return thumbprint(base64.b64decode(found[1], validate=False)) if found else None
    except (binascii.Error, ValueError):
        return None
