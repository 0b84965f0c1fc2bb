"""The parts of the hop's measurement, each a process of its own: service, httpx proxy, load.

    python tests/bench/gateway_hop.py service PORT
    python tests/bench/gateway_hop.py proxy PORT SERVICE_PORT
    python tests/bench/gateway_hop.py rate PORT REQUEST_FILE CONNECTIONS PER_SECOND SECONDS
    python tests/bench/gateway_hop.py most PORT REQUEST_FILE CONNECTIONS SECONDS
    python tests/bench/gateway_hop.py each PORT REQUESTS_FILE CONNECTIONS

The load is Python as well: it paces requests by a timerfd, since event loops round to milliseconds,
and measures from the write of a request to the last byte of its answer.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import re
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

import uvloop

BODY = b"x" * 2000
_ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(BODY)
) + BODY
_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"(?i)content-length: (\d+)")


class Service(asyncio.Protocol):
    """Answers every request alike, at the least cost Python has."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        if found := data.count(_END):
            self._transport.write(_ANSWER * found)
        self._rest = data.rpartition(_END)[2]


class Connection(asyncio.Protocol):
    """Sends one request at a time and notes how long each answer took."""

    def __init__(self, request: bytes, done: Any) -> None:
        self._request = request
        self._done = done
        self._got = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def send(self) -> None:
        self._started = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._got += data
        end = self._got.find(_END)
        if end < 0 or len(self._got) < end + len(_END) + len(BODY):
            return
        assert self._got.startswith(b"HTTP/1.1 200"), self._got[:400]
        self._got = b""
        self._done(self, time.perf_counter() - self._started)

    def connection_lost(self, _: Exception | None) -> None:
        self._done(self, None)


class Once(Connection):
    """Sends requests that are good for one time; answers have any length."""

    def ask(self, request: bytes) -> None:
        self._request = request
        self.send()

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, end, body = self._got.partition(_END)
        if not end or len(body) < int(_LENGTH.findall(head)[0]):
            return
        assert head.startswith(b"HTTP/1.1 200"), self._got[:400]
        self._got = b""
        self._done(self, time.perf_counter() - self._started)


async def each(port: int, requests: bytes, connections: int) -> list[float]:
    """Send each of the requests, which the file holds as a JSON list, once."""
    took: list[float] = []
    asked = [request.encode() for request in json.loads(requests)]
    rest = iter(asked)
    finished = asyncio.Event()

    def done(connection: Once, seconds: float | None) -> None:
        if seconds is None:
            return
        took.append(seconds)
        if request := next(rest, None):
            connection.ask(request)
        elif len(took) == len(asked):
            finished.set()

    loop = asyncio.get_running_loop()
    for _ in range(connections):
        _, connection = await loop.create_connection(lambda: Once(b"", done), "127.0.0.1", port)
        connection.ask(next(rest))
    await asyncio.wait_for(finished.wait(), 120)
    return took


async def _connected(port: int, request: bytes, count: int, done: Any) -> list[Connection]:
    loop = asyncio.get_running_loop()
    return [
        (await loop.create_connection(lambda: Connection(request, done), "127.0.0.1", port))[1]
        for _ in range(count)
    ]


async def most(port: int, request: bytes, connections: int, seconds: float) -> list[float]:
    """Keep every connection busy for that long."""
    took: list[float] = []
    until = time.perf_counter() + seconds

    def done(connection: Connection, seconds: float | None) -> None:
        if seconds is not None:
            took.append(seconds)
            if time.perf_counter() < until:
                connection.send()

    for connection in await _connected(port, request, connections, done):
        connection.send()
    await asyncio.sleep(seconds + 0.5)
    return took


def _timer(interval_s: float) -> int:
    """Return a file that is readable every interval (Linux; Python has it from 3.13)."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK)
    pair = (0, round(interval_s * 1e9))
    libc.timerfd_settime(fd, 0, (ctypes.c_long * 4)(*pair, *pair), None)
    return int(fd)


async def rate(
    port: int, request: bytes, connections: int, per_second: float, seconds: float
) -> list[float]:
    """Send at a fixed rate, whatever the answers do; a request that finds none free waits."""
    took: list[float] = []
    free: deque[Connection] = deque()
    waiting = 0

    def done(connection: Connection, seconds: float | None) -> None:
        nonlocal waiting
        if seconds is None:
            return
        took.append(seconds)
        if waiting:
            waiting -= 1
            connection.send()
        else:
            free.append(connection)

    def tick() -> None:
        nonlocal waiting
        for _ in range(int.from_bytes(os.read(timer, 8), sys.byteorder)):
            if free:
                free.popleft().send()
            else:
                waiting += 1

    free.extend(await _connected(port, request, connections, done))
    timer = _timer(1 / per_second)
    loop = asyncio.get_running_loop()
    loop.add_reader(timer, tick)
    await asyncio.sleep(seconds)
    loop.remove_reader(timer)
    await asyncio.sleep(0.5)
    return took


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Service, "127.0.0.1", port)
    await server.serve_forever()


def _proxy(port: int, service: int) -> None:
    """The same hop as most write it: an ASGI app that asks httpx."""
    import httpx
    import uvicorn

    client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{service}", trust_env=False)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        path = scope["raw_path"].decode()
        headers = [h for h in scope["headers"] if h[0] not in (b"host", b"authorization")]
        async with client.stream(scope["method"], path, headers=headers) as answer:
            head = [(k.lower(), v) for k, v in answer.headers.raw]
            await send(
                {"type": "http.response.start", "status": answer.status_code, "headers": head}
            )
            async for chunk in answer.aiter_raw():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    uvicorn.run(
        app,
        port=port,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="critical",
    )


def main(role: str, port: int, *more: str) -> None:
    if role == "service":
        with contextlib.suppress(KeyboardInterrupt):
            uvloop.run(_serve(port))
    elif role == "proxy":
        _proxy(port, int(more[0]))
    else:
        request, (connections, *numbers) = Path(more[0]).read_bytes(), more[1:]
        send: Any = {"rate": rate, "most": most, "each": each}[role]
        took = uvloop.run(send(port, request, int(connections), *map(float, numbers)))
        json.dump(sorted(took), sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
