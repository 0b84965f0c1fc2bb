"""HTTP attacks on framing: what two parsers could read in two ways is refused.

The rows of the table that uvicorn, h11 and granian were measured by, and what followed from it.
"""

import pytest

from tests.gateway import Gateway
from tests.wire import head, is_untouched, status_of

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
    "chunk with a wrong line end": b"POST /oauth/token HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n1\r\naXX0\r\n\r\n",
    "chunk that ends in a bare line feed": b"POST /oauth/token HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n1\na\n0\n\n",
    "chunk size beyond 64 bits": b"POST /oauth/token HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    "chunk extension with a line feed": b"POST /oauth/token HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n1;\na\r\n0\r\n\r\n",
    "length beyond 64 bits": b"POST /oauth/token HTTP/1.1\r\nHost: g\r\nContent-Length: 99999999999999999999\r\n\r\n",
    "length in hexadecimal": b"POST /oauth/token HTTP/1.1\r\nHost: g\r\nContent-Length: 0x4\r\n\r\n0\r\n\r\n",
    "TE.TE cow": b"POST /oauth/token HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\nTransfer-encoding: cow\r\n\r\n0\r\n\r\n",
    "TE.TE tab": b"POST /oauth/token HTTP/1.1\r\nHost: g\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "TE.TE leading space": b"POST /oauth/token HTTP/1.1\r\nHost: g\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TE.TE space before colon": b"POST /oauth/token HTTP/1.1\r\nHost: g\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "TE.TE quoted": b'POST /oauth/token HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "TE.TE chunked not last": b"POST /oauth/token HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "TE.TE behind a line feed": b"POST /oauth/token HTTP/1.1\r\nHost: g\r\nX: x\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a fragment in the target": b"GET /healthz#/v1/cases HTTP/1.1\r\nHost: g\r\n\r\n",
    "a space in the target": b"GET /healthz /v1/cases HTTP/1.1\r\nHost: g\r\n\r\n",
    "a version from the future": b"GET /healthz HTTP/3.7\r\nHost: g\r\n\r\n",
    "two expectations": b"POST /v1/cases HTTP/1.1\r\nHost: g\r\nExpect: 100-continue\r\nExpect: 100-continue\r\n\r\n",
    "two DPoP proofs": b"GET /v1/cases HTTP/1.1\r\nHost: g\r\nDPoP: a\r\nDPoP: b\r\n\r\n",
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


def test_an_unknown_expectation_is_417(gateway: Gateway) -> None:
    lines = (b"Content-Length: 2", b"Expect: a miracle")
    assert status_of(gateway.raw(head(gateway, *lines, method=b"POST") + b"{}")) == 417


@pytest.mark.parametrize("method", [b"GET", b"POST", b"HEAD"])
def test_cl_0_a_body_is_a_body_whatever_the_method(gateway: Gateway, method: bytes) -> None:
    smuggled = b"GET /v1/cases/smuggled HTTP/1.1\r\nHost: g\r\n\r\n"
    length = b"Content-Length: %d" % len(smuggled)
    before = len(gateway.upstream.seen)
    answer = gateway.raw(head(gateway, length, b"Connection: close", method=method) + smuggled)
    assert answer.count(b"HTTP/1.1 ") == 1
    seen = gateway.upstream.seen[before:]
    assert [one.body for one in seen] == [smuggled]


def test_a_length_of_nothing_hides_no_request(gateway: Gateway) -> None:
    before = len(gateway.upstream.seen)
    last = head(gateway, b"Connection: close", target=b"/v1/cases/second")
    answer = gateway.raw(head(gateway, b"Content-Length: 0", method=b"POST") + last)
    assert answer.count(b"HTTP/1.1 200") == 2
    lines = [one.line.split(b" ")[1] for one in gateway.upstream.seen[before:]]
    assert lines == [b"/v1/cases", b"/v1/cases/second"]


def test_pipelining_without_end_is_bounded(gateway: Gateway) -> None:
    before = len(gateway.upstream.seen)
    answer = gateway.raw(head(gateway) * 200)
    assert answer.count(b"HTTP/1.1 200") < 40
    assert len(gateway.upstream.seen) - before < 40


@pytest.mark.parametrize("name", [b"Authorization", b"Host", b"Content-Length", b"Traceparent"])
def test_connection_takes_away_nothing_that_the_service_relies_on(
    gateway: Gateway, name: bytes
) -> None:
    lines = (b"Connection: close, " + name, b"Content-Length: 2")
    assert status_of(gateway.raw(head(gateway, *lines, method=b"POST") + b"{}")) == 200
    assert gateway.upstream.last.header(name.lower())
    assert gateway.upstream.last.body == b"{}"


@pytest.mark.parametrize(
    "line",
    [
        b"X_Internal_Token: x", b"X-Internal-Token: x", b"Careloop-Disclosed: x", b"Client-Cert: x",
        b"X-Forwarded-Client-Cert: x", b"X-Careloop-Organisation: x", b"Forwarded: for=x",
    ],
)  # fmt: skip
def test_no_identity_header_from_outside_reaches_a_service(gateway: Gateway, line: bytes) -> None:
    assert status_of(gateway.raw(head(gateway, line, b"Connection: close"))) == 200
    name = line.partition(b":")[0].lower()
    assert name not in {key for key, _ in gateway.upstream.last.headers}
