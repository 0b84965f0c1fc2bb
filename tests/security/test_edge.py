"""The attack list for the HTTP layer and for access tokens, over a raw socket where it matters."""

import json
import socket
import time
from typing import Any

import httpx
import pytest

from tests.gateway import HTTP, Gateway


def status_of(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer[:200]
    return int(answer[9:12])


def problem_of(answer: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.rpartition(b"\r\n\r\n")[2])
    return found


def head(
    gateway: Gateway, *lines: bytes, target: bytes = b"/v1/cases", method: bytes = b"GET"
) -> bytes:
    token = gateway.clinic.token().encode()
    fixed = [method + b" " + target + b" HTTP/1.1", b"Host: g", b"Authorization: Bearer " + token]
    return b"\r\n".join([*fixed, *lines]) + b"\r\n\r\n"


def is_untouched(gateway: Gateway, before: int) -> bool:
    return len(gateway.upstream.seen) == before


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


REQUESTS: dict[str, bytes] = {
    "no Host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "absolute target": b"GET http://evil.test/healthz HTTP/1.1\r\nHost: g\r\n\r\n",
    "authority target": b"CONNECT g:80 HTTP/1.1\r\nHost: g\r\n\r\n",
    "asterisk target": b"OPTIONS * HTTP/1.1\r\nHost: g\r\n\r\n",
    "length and chunks": b"POST /oauth/token HTTP/1.1\r\nHost: g\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two equal lengths": b"POST /oauth/token HTTP/1.1\r\nHost: g\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
    "a list of lengths": b"POST /oauth/token HTTP/1.1\r\nHost: g\r\nContent-Length: 1, 1\r\n\r\na",
    "negative length": b"POST /oauth/token HTTP/1.1\r\nHost: g\r\nContent-Length: -1\r\n\r\n",
    "length with sign": b"POST /oauth/token HTTP/1.1\r\nHost: g\r\nContent-Length: +1\r\n\r\na",
    "obfuscated coding": b"POST /oauth/token HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "two codings": b"POST /oauth/token HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "coding twice": b"POST /oauth/token HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": b"POST /oauth/token HTTP/1.0\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "folded header": b"GET /healthz HTTP/1.1\r\nHost: g\r\nA: b\r\n c\r\n\r\n",
    "space before colon": b"GET /healthz HTTP/1.1\r\nHost : g\r\n\r\n",
    "bare line feeds": b"GET /healthz HTTP/1.1\nHost: g\n\n",
    "NUL in a value": b"GET /healthz HTTP/1.1\r\nHost: g\r\nA: b\0c\r\n\r\n",
    "two Authorizations": b"GET /v1/cases HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
    "two idempotency keys": b"POST /v1/cases HTTP/1.1\r\nHost: g\r\nIdempotency-Key: a\r\nIdempotency-Key: b\r\n\r\n",
    "bad chunk size": b"POST /oauth/token HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "no version": b"GET /healthz\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "TRACE": b"TRACE /healthz HTTP/1.1\r\nHost: g\r\n\r\n",
    "a WebDAV method": b"PROPFIND /v1/cases HTTP/1.1\r\nHost: g\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("name", REQUESTS)
def test_an_ambiguous_request_is_refused_and_the_connection_closed(
    gateway: Gateway, name: str
) -> None:
    before = len(gateway.upstream.seen)
    answer = gateway.raw(REQUESTS[name])
    assert status_of(answer) in (400, 405)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"application/problem+json" in answer
    assert is_untouched(gateway, before)


def test_what_follows_a_refused_request_is_not_answered(gateway: Gateway) -> None:
    smuggled = b"GET /v1/cases HTTP/1.1\r\nHost: g\r\n\r\n"
    answer = gateway.raw(REQUESTS["length and chunks"] + smuggled)
    assert answer.count(b"HTTP/1.1 ") == 1


def test_pipelined_requests_are_answered_in_order(gateway: Gateway) -> None:
    one = head(gateway, target=b"/v1/cases")
    two = b"GET /nothing HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n"
    answer = gateway.raw(one + two)
    assert [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]] == [200, 404]


def test_a_header_block_of_20_kb_is_refused(gateway: Gateway) -> None:
    answer = gateway.raw(head(gateway, *(b"A%d: " % n + b"x" * 500 for n in range(40))))
    assert (status_of(answer), problem_of(answer)["code"]) == (431, "headers-too-large")


def test_one_endless_header_is_refused(gateway: Gateway) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as wire:
        wire.sendall(b"GET /healthz HTTP/1.1\r\nHost: g\r\nA: ")
        sent = 0
        with pytest.raises(OSError):  # noqa: PT012
            while sent < 60_000_000:
                wire.sendall(b"x" * 16_384)
                sent += 16_384
        assert sent < 8_000_000


def test_a_hundred_headers_are_refused(gateway: Gateway) -> None:
    answer = gateway.raw(head(gateway, *(b"A%d: 1" % n for n in range(100))))
    assert (status_of(answer), problem_of(answer)["code"]) == (431, "too-many-headers")


def test_a_header_that_does_not_end_is_cut_off(gateway: Gateway) -> None:
    started = time.monotonic()
    answer = gateway.raw(b"GET /healthz HTTP/1.1\r\nHost: g\r\nA:", timeout=15)
    assert status_of(answer) == 408
    assert 4 < time.monotonic() - started < 10


def test_a_header_that_drips_is_cut_off(gateway: Gateway) -> None:
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=1) as wire:
        wire.sendall(b"GET /healthz HTTP/1.1\r\nHost: g\r\nA: ")
        with pytest.raises(OSError):  # noqa: PT012
            while time.monotonic() - started < 15:
                wire.sendall(b"x")
                try:
                    assert wire.recv(1000).startswith(b"HTTP/1.1 408")
                    raise OSError
                except TimeoutError:
                    continue
    assert time.monotonic() - started < 10


def test_a_trailer_does_not_become_a_header(gateway: Gateway) -> None:
    body = (
        b"2\r\n{}\r\n0\r\nX-Careloop-Organisation: org_1\r\nIdempotency-Key: evil\r\nA: b\r\n\r\n"
    )
    request = head(gateway, b"Transfer-Encoding: chunked", b"Connection: close", method=b"POST")
    assert status_of(gateway.raw(request + body)) == 200
    names = {name for name, _ in gateway.upstream.last.headers}
    assert not names & {b"x-careloop-organisation", b"idempotency-key", b"a"}


def test_an_upgrade_is_answered_as_plain_http_and_closed(gateway: Gateway) -> None:
    lines = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk")
    answer = gateway.raw(head(gateway, *lines) + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert status_of(answer) == 200
    assert answer.count(b"HTTP/1.1 ") == 1
    assert not {name for name, _ in gateway.upstream.last.headers} & {b"upgrade", b"http2-settings"}


def test_expect_100_continue_is_answered(gateway: Gateway) -> None:
    request = head(
        gateway, b"Content-Length: 2", b"Expect: 100-continue", b"Connection: close", method=b"POST"
    )
    answer = gateway.raw(request + b"{}")
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "OPTIONS"])
def test_other_methods_are_not_offered(gateway: Gateway, method: str) -> None:
    answer = gateway.raw(head(gateway, b"Connection: close", method=method.encode()))
    assert status_of(answer) == 405 or method == "CONNECT"


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate", "identity, gzip"])
def test_a_coded_request_body_is_refused(gateway: Gateway, coding: str) -> None:
    with gateway.clinic.http() as http:
        answer = http.post("/v1/cases", content=b"{}", headers={"Content-Encoding": coding})
    assert answer.status_code == 415


@pytest.mark.parametrize("path", ["/v1/cases", "/v1/organisations", "/oauth/token"])
def test_a_body_of_100_mb_is_a_clear_413(gateway: Gateway, path: str) -> None:
    before = len(gateway.upstream.seen)
    with gateway.admin.http() as http:
        answer = http.post(path, content=b"x" * 100_000_000, headers={"Idempotency-Key": "big"})
    assert answer.status_code == 413
    assert is_untouched(gateway, before)


@pytest.mark.parametrize("path", ["/v1/cases", "/v1/organisations", "/oauth/token"])
def test_a_body_of_endless_chunks_is_a_clear_413(gateway: Gateway, path: str) -> None:
    with gateway.admin.http() as http:
        chunks = (b"x" * 65_536 for _ in range(500))
        answer = http.post(path, content=chunks, headers={"Idempotency-Key": "endless"})
    assert answer.status_code in (413, 400)
    assert answer.status_code == 413 or path == "/oauth/token"


def test_a_document_may_be_larger_than_json(gateway: Gateway) -> None:
    with gateway.clinic.http() as http:
        assert http.post("/v1/documents", content=b"x" * 5_000_000).json() == {"bytes": 5_000_000}
        assert http.post("/v1/documents", content=b"x" * 70_000_000).status_code == 413


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/v1/cases", "cases.write"),
        ("POST", "/v1/cases", "cases.read"),
        ("PATCH", "/v1/persons/x", "persons.read"),
        ("DELETE", "/v1/documents/x", "documents.read"),
        ("PUT", "/v1/referrals/x", "referrals.read"),
        ("POST", "/v1/webhook-endpoints", "events.read"),
        ("POST", "/v1/organisations", "sharing.write"),
        ("PATCH", "/v1/clients/x", "sharing.write"),
        ("POST", "/v1/agreements", "sharing.write"),
        ("POST", "/v1/consents", "sharing.read"),
    ],
)
def test_a_missing_scope_is_403_before_any_service(
    gateway: Gateway, method: str, path: str, scope: str
) -> None:
    before = len(gateway.upstream.seen)
    token = gateway.clinic.token(scope=scope)
    answer = HTTP.request(method, gateway.url + path, headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient-scope")
    assert "insufficient_scope" in answer.headers["www-authenticate"]
    assert is_untouched(gateway, before)


def test_a_method_override_header_changes_nothing(gateway: Gateway) -> None:
    with gateway.clinic.http() as http:
        http.post("/v1/cases", json={}, headers={"X-HTTP-Method-Override": "DELETE"})
    assert gateway.upstream.last.line.startswith(b"POST ")
    assert gateway.upstream.last.header(b"x-http-method-override") is None


def test_no_partner_reaches_an_admin_operation(gateway: Gateway) -> None:
    operations = [
        ("POST", "/v1/organisations"), ("PATCH", f"/v1/organisations/{gateway.clinic.organisation_id}"),
        ("POST", "/v1/clients"), ("PATCH", f"/v1/clients/{gateway.clinic.client_id}"),
        ("POST", "/v1/agreements"), ("POST", "/v1/agreements/agr_1/end"),
    ]  # fmt: skip
    for partner in (gateway.clinic, gateway.pantry, gateway.payer, gateway.outsider):
        with partner.http(**{"Idempotency-Key": "x", "If-Match": '"1"'}) as http:
            assert {http.request(m, p, json={}).status_code for m, p in operations} == {403}


def test_errors_name_no_internals(gateway: Gateway) -> None:
    answers: list[httpx.Response] = [
        gateway.clinic.get("/v1/events"),
        gateway.clinic.get("/v1/nothing"),
        gateway.clinic.post("/v1/consents", {"person_id": "x"}),
    ]
    for answer in answers:
        text = answer.text.lower()
        assert not any(
            word in text for word in ("traceback", "127.0.0.1", "sqlalchemy", "aiohttp", ".py")
        )
