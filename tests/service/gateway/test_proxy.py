"""What a service behind the gateway gets, and what a partner gets back."""

import base64
import json
import time

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.gateway import HTTP, Gateway


def identity(gateway: Gateway) -> jwt.Token:
    value = gateway.upstream.last.header(b"authorization") or b""
    keys = HTTP.get(f"{gateway.url}/.well-known/internal-jwks.json").json()
    token = value.removeprefix(b"Bearer ").decode()
    return jwt.decode(token, KeySet.import_key_set(keys), algorithms=["ES256"])


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("/v1/persons", "case-svc"),
        ("/v1/cases/cas_1/notes", "case-svc"),
        ("/v1/case-types", "case-svc"),
        ("/v1/tasks", "case-svc"),
        ("/v1/directory/services", "referral-svc"),
        ("/v1/referrals/ref_1", "referral-svc"),
        ("/v1/documents/doc_1/content", "document-svc"),
    ],
)
def test_the_service_gets_an_identity_for_itself(gateway: Gateway, path: str, service: str) -> None:
    assert gateway.clinic.get(path).status_code == 200
    token = identity(gateway)
    assert token.header["typ"] == "careloop-int+jwt"
    claims = token.claims
    assert (claims["iss"], claims["aud"]) == (gateway.url, service)
    assert claims["org"] == gateway.clinic.organisation_id
    assert (claims["org_kind"], claims["purpose"]) == ("clinic", "TREAT")
    assert claims["sub"] == gateway.clinic.client_id
    assert claims["actor"]
    assert claims["exp"] - claims["iat"] <= 60
    assert "cases.read" in claims["scope"].split()


def test_the_identity_is_made_once_for_many_requests(gateway: Gateway) -> None:
    gateway.clinic.get("/v1/cases")
    first = gateway.upstream.last.header(b"authorization")
    gateway.clinic.get("/v1/cases")
    assert gateway.upstream.last.header(b"authorization") == first


def test_the_access_token_never_reaches_a_service(gateway: Gateway) -> None:
    gateway.clinic.get("/v1/cases")
    seen = b"".join(b"%s: %s" % pair for pair in gateway.upstream.last.headers)
    assert gateway.clinic.token().encode() not in seen


def test_path_and_query_are_forwarded_byte_for_byte(gateway: Gateway) -> None:
    target = b"/v1/cases/a~b.c_d-E?x=%7E%2f%2F+%20&&y=;=&x=%c3%a9&cursor=a%3Db#".rstrip(b"#")
    head = b"GET %s HTTP/1.1\r\nHost: g\r\nConnection: close\r\nAuthorization: Bearer %s\r\n\r\n"
    answer = gateway.raw(head % (target, gateway.clinic.token().encode()))
    assert answer.startswith(b"HTTP/1.1 200")
    assert gateway.upstream.last.line == b"GET " + target + b" HTTP/1.1"


def test_the_body_is_forwarded_byte_for_byte(gateway: Gateway) -> None:
    body = b'{"a": 1, "a": 2, "text": "\xc3\xa9"}'
    with gateway.clinic.http() as http:
        headers = {"Content-Type": "application/json", "Idempotency-Key": "k-1", "If-Match": '"3"'}
        http.post("/v1/cases", content=body, headers=headers)
    seen = gateway.upstream.last
    assert seen.body == body
    assert seen.header(b"content-length") == str(len(body)).encode()
    assert seen.header(b"idempotency-key") == b"k-1"
    assert seen.header(b"if-match") == b'"3"'
    assert seen.header(b"content-type") == b"application/json"


def test_a_chunked_body_is_streamed_on(gateway: Gateway) -> None:
    with gateway.clinic.http() as http:
        answer = http.post("/v1/documents", content=(b"x" * 65_536 for _ in range(32)))
    assert answer.json() == {"bytes": 32 * 65_536}
    assert gateway.upstream.last.header(b"transfer-encoding") == b"chunked"


def test_identity_and_hop_by_hop_headers_from_outside_are_removed(gateway: Gateway) -> None:
    hostile = {
        "X-Forwarded-For": "10.0.0.1",
        "X-Forwarded-Host": "evil.test",
        "Forwarded": "for=10.0.0.1",
        "X-Real-IP": "10.0.0.1",
        "X-Internal-Token": "secret",
        "X_Internal_Token": "secret",
        "X-Careloop-Organisation": "org_1",
        "Careloop-Purpose": "BTG",
        "X-HTTP-Method-Override": "DELETE",
        "X-Original-URL": "/admin",
        "Cookie": "a=b",
        "TE": "trailers",
        "Baggage": "a=b",
        "Proxy-Authorization": "Basic x",
        "Connection": "close, If-None-Match, X-Mine",
        "If-None-Match": '"1"',
        "X-Mine": "1",
    }
    with gateway.clinic.http(**hostile) as http:
        assert http.get("/v1/cases").status_code == 200
    names = {name for name, _ in gateway.upstream.last.headers}
    assert names <= {
        b"host", b"accept", b"accept-encoding", b"user-agent", b"authorization", b"traceparent"
    }  # fmt: skip


def test_connection_cannot_take_the_identity_away(gateway: Gateway) -> None:
    with gateway.clinic.http(Connection="close, Authorization, Content-Length") as http:
        http.post("/v1/cases", content=b"{}")
    assert gateway.upstream.last.header(b"authorization")
    assert gateway.upstream.last.body == b"{}"


def test_a_trace_is_continued_and_otherwise_begun(gateway: Gateway) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    with gateway.clinic.http() as http:
        http.get("/v1/cases", headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
        onward = gateway.upstream.last.header(b"traceparent") or b""
        assert onward.split(b"-")[1].decode() == trace
        assert b"b7ad6b7169203331" not in onward
        http.get("/v1/cases", headers={"traceparent": "garbage"})
        fresh = gateway.upstream.last.header(b"traceparent") or b""
        assert len(fresh.split(b"-")[1]) == 32


def test_the_answer_comes_back_without_what_is_ours_alone(gateway: Gateway) -> None:
    answer = gateway.clinic.get("/v1/cases/leaks")
    assert answer.text == "ok"
    assert answer.headers["etag"] == '"7"'
    assert answer.headers["link"] == '</v1/cases?cursor=x>; rel="next"'
    ours = {"server", "set-cookie", "keep-alive", "careloop-disclosed"}
    assert not ours & set(answer.headers)


def test_every_answer_tells_what_is_left_of_the_quota(gateway: Gateway) -> None:
    answer = gateway.clinic.get("/v1/cases")
    assert answer.headers["ratelimit-policy"].startswith('"organisation";q=')
    assert answer.headers["ratelimit"].startswith('"organisation";r=')


def test_a_redirect_is_passed_on_not_followed(gateway: Gateway) -> None:
    answer = gateway.clinic.get("/v1/cases/moved")
    assert answer.status_code == 302
    assert answer.headers["location"] == "http://evil.test/"


def test_a_coded_body_comes_back_as_it_was(gateway: Gateway) -> None:
    with gateway.clinic.http() as http, http.stream("GET", "/v1/cases/zipped") as answer:
        assert answer.headers["content-encoding"] == "gzip"
        assert b"".join(answer.iter_raw()) == b"ZZZZ"


def test_a_large_answer_is_streamed(gateway: Gateway) -> None:
    with gateway.clinic.http() as http, http.stream("GET", "/v1/documents/stream") as answer:
        assert sum(len(chunk) for chunk in answer.iter_raw()) == 64 * 65_536


def test_head_has_no_body(gateway: Gateway) -> None:
    with gateway.clinic.http() as http:
        answer = http.head("/v1/cases")
    assert (answer.status_code, answer.content) == (200, b"")
    assert gateway.upstream.last.line.startswith(b"HEAD ")


def test_a_read_whose_connection_broke_is_tried_again(gateway: Gateway) -> None:
    gateway.upstream.breaks = 1
    assert gateway.clinic.get("/v1/cases/breaks").status_code == 200


def test_a_write_whose_connection_broke_is_not(gateway: Gateway) -> None:
    gateway.upstream.breaks = 10
    before, started = len(gateway.upstream.seen), time.monotonic()
    answer = gateway.clinic.post("/v1/cases/breaks", {})
    gateway.upstream.breaks = 0
    assert time.monotonic() - started < 3
    assert (answer.status_code, answer.json()["code"]) == (503, "upstream-unavailable")
    assert answer.headers["retry-after"] == "1"
    assert len(gateway.upstream.seen) == before + 1


def test_a_service_that_is_away_is_503_with_retry_after(gateway: Gateway) -> None:
    answer = gateway.clinic.get("/v1/events")
    assert (answer.status_code, answer.json()["code"]) == (503, "upstream-unavailable")
    assert answer.headers["retry-after"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["trace_id"]


def test_an_answer_that_breaks_off_does_not_look_complete(gateway: Gateway) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        gateway.clinic.get("/v1/cases/halfway")


def claims_of(token: str) -> dict[str, object]:
    part = token.split(".")[1]
    found: dict[str, object] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def test_a_token_is_good_to_its_last_second(gateway: Gateway) -> None:
    claims = claims_of(gateway.clinic.token())
    assert isinstance(claims["exp"], int)
    assert claims["exp"] <= time.time() + 300


def test_reads_that_were_answered_are_no_longer_counted_as_concurrent(gateway: Gateway) -> None:
    with gateway.clinic.http() as http:
        # more than an organisation may have at a time
        assert {http.get("/v1/cases").status_code for _ in range(300)} == {200}
