"""HTTP attacks on names: a resource has one spelling, a host a list, a method no override."""

import pytest

from tests.gateway import HTTP, Gateway
from tests.wire import head, is_untouched, status_of

PATHS = [
    "/v1/cases/../persons", "/v1/cases/%2e%2e/persons", "/v1/cases/..%2fpersons", "/v1//cases",
    "//v1/cases", "/v1/cases/", "/v1/cases/.", "/v1/cases;a=b", "/v1/cases%00", "/v1/c%61ses",
    "/v1/cases/a%2Fb", "/v1/cases/a\\b", "/v1/cases/\u00e9", "/v1/cases/*", "/v1/cases/a:b",
    "/v1/cases/" + "a" * 2000,
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[:24])
def test_a_path_in_another_spelling_is_refused(gateway: Gateway, path: str) -> None:
    before = len(gateway.upstream.seen)
    answer = gateway.raw(head(gateway, b"Connection: close", target=path.encode()))
    assert status_of(answer) == 400
    assert is_untouched(gateway, before)


@pytest.mark.parametrize(
    "path", ["/", "/admin", "/v1", "/v2/cases", "/v1/case", "/v1/casesx", "/healthz2", "/oauth"]
)
def test_an_unknown_path_is_a_404_problem(gateway: Gateway, path: str) -> None:
    answer = HTTP.get(gateway.url + path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_method_override_header_changes_nothing(gateway: Gateway) -> None:
    with gateway.clinic.http() as http:
        http.post("/v1/cases", json={}, headers={"X-HTTP-Method-Override": "DELETE"})
    assert gateway.upstream.last.line.startswith(b"POST ")
    assert gateway.upstream.last.header(b"x-http-method-override") is None


@pytest.mark.parametrize(
    "host",
    [b"evil.test", b"g.evil.test", b"g@evil.test", b"evil.test:80", b"", b"g:80:80", b"0", b"[::1",
     b"127.0.0.1.evil.test", b"2130706433"],
)  # fmt: skip
def test_a_host_outside_the_list_is_misdirected(gateway: Gateway, host: bytes) -> None:
    before = len(gateway.upstream.seen)
    request = head(gateway, b"Connection: close").replace(b"Host: g", b"Host: " + host)
    assert status_of(gateway.raw(request)) in (400, 421)
    assert is_untouched(gateway, before)


@pytest.mark.parametrize("host", [b"g", b"G", b"g:8443", b"127.0.0.1", b"localhost:1"])
def test_a_host_of_the_list_is_answered_on_any_port(gateway: Gateway, host: bytes) -> None:
    request = head(gateway, b"Connection: close").replace(b"Host: g", b"Host: " + host)
    assert status_of(gateway.raw(request)) == 200


@pytest.mark.parametrize("target", [b"/v1/cases/../../admin", b"/v1/cases/%2e%2e/persons"])
def test_what_httpx_and_yarl_would_rewrite_is_refused_as_it_came(
    gateway: Gateway, target: bytes
) -> None:
    before = len(gateway.upstream.seen)
    assert status_of(gateway.raw(head(gateway, b"Connection: close", target=target))) == 400
    assert is_untouched(gateway, before)
