"""Attacks on what a connection remembers: the fields of its last read, byte for byte.

A read whose fields are those needs no parsing. Every attack on framing is made here once more, on a
connection that remembers: nothing else than the same read, or another path of it, passes by that.
"""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.gateway import HTTP, Gateway
from tests.security.attacks.test_http_framing import REQUESTS
from tests.wire import head, is_untouched, problem_of, status_of

LINE = b"GET /v1/cases HTTP/1.1"


class Wire:
    """A connection that has been answered and is kept."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._got = b""

    def send(self, data: bytes) -> None:
        self._connection.sendall(data)

    def ask(self, data: bytes) -> bytes:
        self.send(data)
        return self.answer()

    def answer(self) -> bytes:
        """Return the next answer, which has a length, or what came before the end."""
        while b"\r\n\r\n" not in self._got and self._more():
            pass
        found, _, rest = self._got.partition(b"\r\n\r\n")
        lines = [line.lower() for line in found.split(b"\r\n")]
        length = sum(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        while len(rest) < length and self._more():
            rest = self._got.partition(b"\r\n\r\n")[2]
        self._got = rest[length:]
        return found + b"\r\n\r\n" + rest[:length]

    def is_over(self) -> bool:
        return not self._got and not self._more()

    def _more(self) -> bool:
        try:
            chunk = self._connection.recv(65536)
        except ConnectionError:
            return False
        self._got += chunk
        return bool(chunk)


@contextmanager
def wired(gateway: Gateway) -> Iterator[Wire]:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as connection:
        yield Wire(connection)


@contextmanager
def remembering(gateway: Gateway, *lines: bytes) -> Iterator[Wire]:
    """Yield a connection on which the same read was answered twice: it is remembered by now."""
    with wired(gateway) as wire:
        for _ in range(2):
            assert status_of(wire.ask(head(gateway, *lines))) == 200
        yield wire


def again(gateway: Gateway, line: bytes) -> bytes:
    """Return the remembered fields behind another request line."""
    return line + head(gateway).removeprefix(LINE)


@pytest.mark.parametrize("name", REQUESTS)
def test_an_ambiguous_request_is_refused_behind_a_good_one(gateway: Gateway, name: str) -> None:
    with remembering(gateway) as wire:
        before = len(gateway.upstream.seen)
        assert status_of(wire.ask(REQUESTS[name])) in (400, 405)
        assert wire.is_over()
        assert is_untouched(gateway, before)


@pytest.mark.parametrize(
    "line",
    [
        b"GET /v1/cases HTTP/1.0",
        b"GET  /v1/cases HTTP/1.1",
        b"GET /v1/cases  HTTP/1.1",
        b"GET /v1/cases HTTP/1.1 ",
        b"GET\t/v1/cases HTTP/1.1",
        b"get /v1/cases HTTP/1.1",
        b"GET http://evil.test/v1/cases HTTP/1.1",
        b"GET /v1/cases#/v1/tasks HTTP/1.1",
        b"GET /v1/cases?a=\x00 HTTP/1.1",
        b"GET /v1/cases?a=\x80 HTTP/1.1",
        b"GET /v1/cases HTTP/1.1\nX: y",
        b"GET /v1/cases HTTP/1.1\rX: y",
        b" GET /v1/cases HTTP/1.1",
        b"GET /v1/cases",
        b"TRACE /v1/cases HTTP/1.1",
    ],
)
def test_an_odd_request_line_before_the_same_fields_is_read_like_any(
    gateway: Gateway, line: bytes
) -> None:
    with wired(gateway) as wire:
        fresh = wire.ask(again(gateway, line))
    with remembering(gateway) as wire:
        found = wire.ask(again(gateway, line))
    assert status_of(found) == status_of(fresh)


@pytest.mark.parametrize(
    "path", [b"/v1/cases/../tasks", b"/v1//cases", b"/v1/%63ases", b"/v1/cases/.", b"/v1/cases/"]
)
def test_a_path_is_no_less_canonical_before_the_same_fields(gateway: Gateway, path: bytes) -> None:
    with remembering(gateway) as wire:
        before = len(gateway.upstream.seen)
        answer = wire.ask(again(gateway, b"GET " + path + b" HTTP/1.1"))
        assert (status_of(answer), problem_of(answer)["code"]) == (400, "path-not-canonical")
        assert is_untouched(gateway, before)


def test_another_path_and_query_are_what_the_service_gets(gateway: Gateway) -> None:
    with remembering(gateway, b"Accept: application/json", b"X-Careloop-Actor: eve") as wire:
        for target in (b"/v1/tasks/tsk_1?a=b&c=%2F", b"/v1/cases", b"/v1/directory/services?q=x"):
            line = b"GET " + target + b" HTTP/1.1"
            more = (b"Accept: application/json", b"X-Careloop-Actor: eve")
            assert status_of(wire.ask(line + head(gateway, *more).removeprefix(LINE))) == 200
            seen = gateway.upstream.last
            assert seen.line == line
            assert seen.header(b"accept") == b"application/json"
            assert seen.header(b"x-careloop-actor") is None
            assert gateway.clinic.token().encode() not in (seen.header(b"authorization") or b"")


def test_head_is_answered_without_a_body_before_the_same_fields(gateway: Gateway) -> None:
    with remembering(gateway) as wire:
        answer = wire.ask(again(gateway, b"HEAD /v1/cases HTTP/1.1").replace(b"GET", b"HEAD", 1))
        assert status_of(answer) == 200
        assert gateway.upstream.last.line.startswith(b"HEAD ")


def test_a_scope_is_asked_for_at_every_path(gateway: Gateway) -> None:
    token = gateway.clinic.token(scope="cases.read").encode()
    fields = b"\r\nHost: g\r\nAuthorization: Bearer " + token + b"\r\n\r\n"
    with wired(gateway) as wire:
        for _ in range(2):
            assert status_of(wire.ask(LINE + fields)) == 200
        before = len(gateway.upstream.seen)
        assert status_of(wire.ask(b"GET /v1/persons HTTP/1.1" + fields)) == 403
        assert status_of(wire.ask(b"GET /v1/clients HTTP/1.1" + fields)) == 403
        assert status_of(wire.ask(b"GET /v1/nothing HTTP/1.1" + fields)) == 404
        assert is_untouched(gateway, before)


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"Host: g", b"Host: evil.test"), (b"Bearer ey", b"Bearer ez"), (b"Bearer ", b"DPoP ")],
)
def test_one_byte_that_differs_is_looked_at(gateway: Gateway, old: bytes, new: bytes) -> None:
    with remembering(gateway) as wire:
        before = len(gateway.upstream.seen)
        assert status_of(wire.ask(head(gateway).replace(old, new))) in (401, 421)
        assert is_untouched(gateway, before)


def test_a_token_that_was_revoked_is_not_remembered(gateway: Gateway) -> None:
    partner = gateway.client(gateway.clinic.organisation_id, "TREAT")
    token = partner.token().encode()
    data = LINE + b"\r\nHost: g\r\nAuthorization: Bearer " + token + b"\r\n\r\n"
    with wired(gateway) as wire:
        for _ in range(2):
            assert status_of(wire.ask(data)) == 200
        form = partner.form(token=partner.token())
        assert HTTP.post(f"{gateway.url}/oauth/revoke", data=form).status_code == 200
        deadline = time.monotonic() + 10
        while (status := status_of(wire.ask(data))) == 200 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert status == 401


def test_a_request_in_parts_or_in_a_row_is_answered_like_any(gateway: Gateway) -> None:
    data = head(gateway)
    with remembering(gateway) as wire:
        for cut in (1, 10, len(LINE), len(LINE) + 2, len(data) - 3, len(data) - 1):
            wire.send(data[:cut])
            assert status_of(wire.ask(data[cut:])) == 200
        assert status_of(wire.ask(data * 3)) == 200
        assert [status_of(wire.answer()) for _ in range(2)] == [200, 200]
        assert status_of(wire.ask(b"\r\n" + data)) == 200
        last = again(gateway, b"GET /v1/cases/last HTTP/1.1")
        assert status_of(wire.ask(data + last)) == 200
        assert status_of(wire.answer()) == 200
        assert gateway.upstream.last.line.startswith(b"GET /v1/cases/last ")


def test_garbage_behind_a_read_closes_after_its_answer(gateway: Gateway) -> None:
    with remembering(gateway) as wire:
        assert status_of(wire.ask(head(gateway) + b"\x16\x03\x01")) == 200
        assert wire.is_over()


def test_a_body_before_the_same_fields_is_no_request(gateway: Gateway) -> None:
    with remembering(gateway) as wire:
        before = len(gateway.upstream.seen)
        inner = head(gateway)
        post = head(gateway, b"Content-Length: %d" % len(inner), method=b"POST")
        wire.send(post)
        assert status_of(wire.ask(inner)) == 200
        assert [one.body for one in gateway.upstream.seen[before:]] == [inner]
        assert status_of(wire.ask(head(gateway))) == 200


def test_an_answer_in_chunks_comes_whole_on_a_connection_that_goes_on(gateway: Gateway) -> None:
    gateway.upstream.scripted[b"chunked"] = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    )
    with remembering(gateway) as wire:
        for _ in range(3):
            answer = wire.ask(again(gateway, b"GET /v1/cases/chunked HTTP/1.1"))
            assert b"transfer-encoding" not in answer.lower()
            assert answer.endswith(b"\r\n\r\nok")
