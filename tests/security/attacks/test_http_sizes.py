"""HTTP attacks on patience and memory: sizes, numbers, silence, drips, floods, bombs."""

import contextlib
import gzip
import socket
import time

import pytest

from tests.gateway import Gateway
from tests.wire import head, is_untouched, problem_of, status_of


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


@pytest.mark.parametrize("path", [b"/v1/organisations", b"/oauth/token"])
def test_a_multipart_body_of_15_000_parts_is_refused_unparsed(
    gateway: Gateway, path: bytes
) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n'
    body = part * 15_000
    lines = (
        b"Content-Type: multipart/form-data; boundary=b",
        b"Content-Length: %d" % len(body),
        b"Connection: close",
        b"Idempotency-Key: parts",
    )
    started = time.monotonic()
    answer = gateway.raw(head(gateway, *lines, target=path, method=b"POST") + body)
    assert status_of(answer) in (400, 403, 413, 415, 422)
    assert time.monotonic() - started < 5


def test_a_bomb_in_an_answer_is_passed_on_as_it_came(gateway: Gateway) -> None:
    bomb = gzip.compress(b"0" * 50_000_000)
    gateway.upstream.scripted[b"bomb"] = (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    ) + bomb
    answer = gateway.raw(head(gateway, b"Connection: close", target=b"/v1/cases/bomb"))
    assert answer.endswith(bomb)
    assert len(answer) < len(bomb) + 2_000


def test_line_ends_alone_do_not_keep_a_connection_open(gateway: Gateway) -> None:
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=1) as wire:
        wire.sendall(head(gateway))
        assert wire.recv(65_536).startswith(b"HTTP/1.1 200")
        while time.monotonic() - started < 20:
            try:
                wire.sendall(b"\r\n")
                wire.recv(1000)
                break
            except TimeoutError:
                continue
            except OSError:
                break
    assert 3 < time.monotonic() - started < 12


def test_a_partner_that_hangs_up_in_the_middle_ends_the_answer(gateway: Gateway) -> None:
    gateway.upstream.poured_out.clear()
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as wire:
        wire.sendall(head(gateway, target=b"/v1/cases/endless"))
        assert wire.recv(65_536).startswith(b"HTTP/1.1 200")
    assert gateway.upstream.poured_out.wait(10)


def test_a_partner_that_asks_on_and_takes_nothing_is_not_served_on(gateway: Gateway) -> None:
    gateway.upstream.scripted[b"some"] = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 30000\r\n\r\n" + b"x" * 30_000
    )
    before = len(gateway.upstream.seen)
    with socket.socket() as wire:
        # answers that nobody takes wait in the kernel's buffers first
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wire.settimeout(2)
        wire.connect(("127.0.0.1", gateway.port))
        request = head(gateway, target=b"/v1/cases/some")
        with contextlib.suppress(TimeoutError, ConnectionError):
            for _ in range(3000):
                wire.sendall(request)
        assert len(gateway.upstream.seen) - before < 1000
