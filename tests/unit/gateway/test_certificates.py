"""Whose word about a client's certificate counts, and which of several is meant."""

import base64
import hashlib
from ipaddress import ip_network
from typing import Any
from urllib.parse import quote

import pytest
from gateway.certificates import Proxies, thumbprint_of

INSIDE = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
DER = b"any certificate"
THUMB = base64.urlsafe_b64encode(hashlib.sha256(DER).digest()).rstrip(b"=").decode()
HEX = hashlib.sha256(DER).hexdigest()
PEM = (
    "-----BEGIN CERTIFICATE-----\n"
    + base64.b64encode(DER).decode()
    + "\n-----END CERTIFICATE-----\n"
)


def scope(peer: str, *headers: tuple[str, str], tls: str | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "client": (peer, 1),
        "headers": [(name.encode(), value.encode()) for name, value in headers],
    }
    if tls:
        found["extensions"] = {"tls": {"client_cert_thumbprint": tls}}
    return found


def told(value: str, peer: str = "10.1.2.3") -> str | None:
    proxies = Proxies(INSIDE, "x-forwarded-client-cert")
    return thumbprint_of(scope(peer, ("x-forwarded-client-cert", value)), proxies)


@pytest.mark.parametrize(
    "value",
    [
        f"Hash={HEX}",
        f"By=spiffe://a;Hash={HEX};URI=spiffe://b",
        f'Subject="CN=a,O=b;c";Hash={HEX}',
        f'Cert="{quote(PEM)}"',
        f"Hash={'00' * 32},Hash={HEX}",
        f'Subject="Hash={"00" * 32}";Hash={HEX}',
        f'Hash={"00" * 32};Subject="x,y",By=z;Hash={HEX}',
    ],
)
def test_the_nearest_proxys_element_is_read(value: str) -> None:
    assert told(value) == THUMB


@pytest.mark.parametrize(
    "value", ["", ",", "Hash=", "Hash=zz", f"Hash={HEX[:-2]}", "Cert=x", f"Subject={HEX}"]
)
def test_an_element_without_a_certificate_is_none(value: str) -> None:
    assert told(value) is None


@pytest.mark.parametrize("peer", ["192.0.2.1", "11.0.0.1", "", "unix", "fe80::1"])
def test_a_stranger_tells_nothing(peer: str) -> None:
    assert told(f"Hash={HEX}", peer) is None


def test_a_strangers_own_connection_counts_and_its_header_does_not() -> None:
    given = scope("192.0.2.1", ("client-cert", f":{base64.b64encode(b'x').decode()}:"), tls=THUMB)
    assert thumbprint_of(given, Proxies(INSIDE)) == THUMB


def test_a_proxys_own_certificate_is_not_the_clients() -> None:
    assert thumbprint_of(scope("10.0.0.1", tls=THUMB), Proxies(INSIDE)) is None


def test_rfc_9440_is_read_over_both_families() -> None:
    header = ("client-cert", f":{base64.b64encode(DER).decode()}:")
    for peer in ("10.0.0.9", "fd00::9"):
        assert thumbprint_of(scope(peer, header), Proxies(INSIDE)) == THUMB
    assert thumbprint_of(scope("10.0.0.9", header, header), Proxies(INSIDE)) is None
