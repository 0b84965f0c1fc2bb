"""Where a webhook may go: the list of addresses that are not the public internet."""

import pytest
from notify_svc.domain.targets import TargetRefused, TargetRule, check
from svckit.addresses import is_public, literal

PUBLIC = TargetRule(allow_private=False, ports=frozenset({443, 8443}))
SANDBOX = TargetRule(allow_private=True, ports=frozenset({443}))


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254",
        "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.1.1",
        "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "64:ff9b::7f00:1",
        "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "3fff::1", "5f00::1",
        "fc00::1", "fd12::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "nonsense", "",
    ],
)  # fmt: skip
def test_an_address_that_is_not_of_the_public_internet_is_denied(address):
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "9.255.255.255", "172.32.0.1", "2606:4700::1111", "2a00:1450::1"]
)
def test_a_public_address_is_allowed(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "host", ["127.1", "2130706433", "0x7f.1", "0x7f000001", "0177.0.0.1", "[::1]", "127.0.0.1."]
)
def test_every_notation_of_an_address_is_known_as_one_and_denied(host):
    found = literal(host)
    assert found is not None
    assert not is_public(found)


@pytest.mark.parametrize("host", ["partner.example", "1.2.3.com", "xn--bcher-kva.example"])
def test_a_name_is_not_an_address(host):
    assert literal(host) is None


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://partner.example/hook", "https-required"),
        ("ftp://partner.example/hook", "malformed-url"),
        ("https://user:secret@partner.example/", "malformed-url"),
        ("https://localhost:443@evil.example/", "malformed-url"),
        ("https://partner.example/#part", "malformed-url"),
        ("https://partner.example\\@evil.example/", "malformed-url"),
        ("https://partner.example/ hook", "malformed-url"),
        ("https://partner.example/\nhook", "malformed-url"),
        ("https://partner.example\n", "malformed-url"),
        ("https://ⓔxample.com/", "malformed-url"),
        ("https:///hook", "malformed-url"),
        ("/hook", "malformed-url"),
        ("https://partner.example:22/", "port-not-allowed"),
        ("https://partner.example:99999/", "port-not-allowed"),
        ("https://127.0.0.1/", "address-not-public"),
        ("https://127.1/", "address-not-public"),
        ("https://2130706433/", "address-not-public"),
        ("https://0x7f000001/", "address-not-public"),
        ("https://[::1]/", "address-not-public"),
        ("https://[::ffff:10.0.0.1]/", "address-not-public"),
        ("https://169.254.169.254/latest/meta-data", "address-not-public"),
        ("https://localhost/", "address-not-public"),
        ("https://localhost./", "malformed-url"),
    ],
)
def test_a_url_that_a_webhook_may_not_go_to_is_refused_with_its_reason(url, code):
    with pytest.raises(TargetRefused) as refused:
        check(url, PUBLIC)
    assert [(e.pointer, e.code) for e in refused.value.errors] == [("#/url", code)]


@pytest.mark.parametrize(
    "url",
    [
        "https://partner.example",
        "https://partner.example/hooks/careloop?tenant=7&x=%20",
        "https://partner.example:8443/hook",
        "https://1.1.1.1/",
        "https://[2606:4700::1111]/",
    ],
)
def test_a_public_https_url_is_accepted(url):
    check(url, PUBLIC)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9999/hook", "http://localhost:1/", "https://[::1]:5/"]
)
def test_the_sandbox_allows_http_and_loopback(url):
    check(url, SANDBOX)


def test_the_sandbox_still_refuses_what_is_no_url():
    with pytest.raises(TargetRefused):
        check("http://user@127.0.0.1/", SANDBOX)
