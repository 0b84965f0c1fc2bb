"""HTTP attacks from behind: a service that was taken over, or repeats what a partner wrote.

Whatever is not plainly one answer to one request is 503, and nobody else gets what is left of it.
"""

import pytest

from tests.gateway import Gateway
from tests.wire import head, status_of

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

ANSWERS: dict[str, bytes] = {
    "a bare carriage return in a value": b"HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\nContent-Length: 0\r\n\r\n",
    "a bare line feed in a value": b"HTTP/1.1 200 OK\r\nX: a\nSet-Cookie: b\r\nContent-Length: 0\r\n\r\n",
    "NUL in a value": b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
    "a folded header": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "a name with a space": b"HTTP/1.1 200 OK\r\nX y: a\r\nContent-Length: 0\r\n\r\n",
    "length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n",
    "an unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "two codings": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "no framing": b"HTTP/1.1 200 OK\r\n\r\nas long as it lasts",
    "an upgrade": b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\nPRI",
    "interim answers without end": b"HTTP/1.1 103 Early\r\n\r\n" * 50 + OK,
    "a status of four digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    "a status below 100": b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
    "a status above 599": b"HTTP/1.1 999 OK\r\nContent-Length: 0\r\n\r\n",
    "another version": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "no HTTP": b"SSH-2.0-OpenSSH\r\n",
    "a head of 100 kB": b"HTTP/1.1 200 OK\r\n" + b"X: %b\r\n" % (b"y" * 2000) * 50 + b"Content-Length: 0\r\n\r\n",
    "a thousand fields": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"Content-Length: 0\r\n\r\n",
}  # fmt: skip


def ask(gateway: Gateway, name: bytes, answer: bytes, *lines: bytes) -> bytes:
    gateway.upstream.scripted[name] = answer
    return gateway.raw(head(gateway, *lines, b"Connection: close", target=b"/v1/cases/" + name))


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that_could_be_read_in_two_ways_is_503(gateway: Gateway, name: str) -> None:
    answer = ask(gateway, b"odd", ANSWERS[name])
    assert status_of(answer) == 503
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"upstream-unavailable" in answer
    assert b"Set-Cookie" not in answer


def test_a_second_answer_to_one_request_reaches_nobody(gateway: Gateway) -> None:
    evil = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned"
    for _ in range(5):
        assert ask(gateway, b"two", OK + evil).endswith(b"\r\n\r\nok")
        answer = gateway.raw(head(gateway, b"Connection: close"))
        assert b"poisoned" not in answer
        assert status_of(answer) == 200


@pytest.mark.parametrize("status", [100, 102, 103])
def test_an_interim_answer_is_not_taken_for_the_answer(gateway: Gateway, status: int) -> None:
    interim = b"HTTP/1.1 %d Wait\r\nLink: </evil>\r\n\r\n" % status
    answer = ask(gateway, b"interim", interim + OK)
    assert status_of(answer) == 200
    assert answer.endswith(b"\r\n\r\nok")
    assert b"evil" not in answer


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_has_none_whatever_it_says(gateway: Gateway, status: int) -> None:
    body = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    answer = ask(
        gateway,
        b"empty",
        b"HTTP/1.1 %d None\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body,
    )
    assert status_of(answer) == status
    assert b"evil" not in answer


def test_an_answer_to_head_with_a_body_poisons_nothing(gateway: Gateway) -> None:
    evil = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned"
    gateway.upstream.scripted[b"headed"] = OK[:-2] + evil
    for _ in range(5):
        request = head(gateway, b"Connection: close", target=b"/v1/cases/headed", method=b"HEAD")
        assert b"poisoned" not in gateway.raw(request)
        assert b"poisoned" not in gateway.raw(head(gateway, b"Connection: close"))


def test_hop_by_hop_fields_and_trailers_of_an_answer_stay_behind(gateway: Gateway) -> None:
    answer = ask(
        gateway,
        b"hops",
        b"HTTP/1.1 200 OK\r\nConnection: X-Secret, keep-alive\r\nX-Secret: a\r\nTrailer: X-Late\r\n"
        b"Proxy-Authenticate: Basic\r\nCareloop-Anything: b\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\nok\r\n0\r\nX-Late: c\r\n\r\n",
    ).lower()
    assert status_of(answer.replace(b"http/1.1", b"HTTP/1.1", 1)) == 200
    for name in (b"x-secret", b"x-late", b"trailer", b"proxy-authenticate", b"careloop-anything"):
        assert name not in answer
