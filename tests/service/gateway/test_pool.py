"""The pool to one service: bounded, handed over, swept, and quick to say that nobody is there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from gateway.pool import Pool
from gateway.upstream import Broken, Connection

from tests.gateway import free_port

ASK = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@asynccontextmanager
async def service(
    answer: bytes = OK, *, closes: bool = False
) -> AsyncIterator[tuple[str, list[int]]]:
    """Run a service that answers every request alike; yield its address and who is connected."""
    connected: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.append(1)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(answer)
                await writer.drain()
                if closes:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            connected.pop()
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", connected
    finally:
        server.close()


@asynccontextmanager
async def pool_to(url: str, *, limit: int = 2, patience_s: float = 1.0) -> AsyncIterator[Pool]:
    found = Pool("case-svc", url, limit=limit, connect_s=1.0, patience_s=patience_s)
    try:
        yield found
    finally:
        found.close()


async def answered(pool: Pool, connection: Connection) -> bytes:
    connection.ask(ASK, bodiless=False)
    await connection.head()
    parts, more = [], True
    while more:
        part, more = await connection.chunk()
        parts.append(part)
    pool.give_back(connection)
    return b"".join(parts)


async def test_a_connection_is_used_again() -> None:
    async with service() as (url, connected), pool_to(url) as pool:
        first = await pool.borrow()
        assert await answered(pool, first) == b"ok"
        assert await pool.borrow() is first
        assert len(connected) == 1


async def test_more_requests_than_connections_wait_and_are_served_in_turn() -> None:
    async with service() as (url, connected), pool_to(url, limit=2) as pool:

        async def one() -> bytes:
            return await answered(pool, await pool.borrow())

        assert await asyncio.gather(*(one() for _ in range(16))) == [b"ok"] * 16
        assert len(connected) == 2


async def test_a_wait_without_end_is_refused_in_time_and_takes_nothing_away() -> None:
    async with service() as (url, _), pool_to(url, limit=1, patience_s=0.2) as pool:
        held = await pool.borrow()
        with pytest.raises(Broken, match="queue"):
            await pool.borrow()
        assert await answered(pool, held) == b"ok"
        assert await pool.borrow() is held


async def test_a_wait_that_is_given_up_leaves_the_connection_to_the_next() -> None:
    async with service() as (url, _), pool_to(url, limit=1) as pool:
        held = await pool.borrow()
        waits = [asyncio.create_task(pool.borrow()) for _ in range(2)]
        await asyncio.sleep(0)
        waits[0].cancel()
        await answered(pool, held)
        assert await waits[1] is held


async def test_the_queue_is_bounded() -> None:
    async with service() as (url, _), pool_to(url, limit=1) as pool:
        await pool.borrow()
        waits = [asyncio.create_task(pool.borrow()) for _ in range(20)]
        await asyncio.sleep(0)
        refused = [wait for wait in waits if wait.done()]
        assert len(refused) == 12
        assert {str(wait.exception()) for wait in refused} == {"queue"}
        for wait in waits:
            wait.cancel()


async def test_an_idle_connection_that_ended_is_stale_only_when_it_was_used() -> None:
    async with service(closes=True) as (url, connected), pool_to(url) as pool:
        connection = await pool.borrow()
        await answered(pool, connection)
        while connected:
            await asyncio.sleep(0.01)
        with pytest.raises(Broken) as fault:
            await answered(pool, connection)
        assert fault.value.stale
        fresh = await pool.borrow()
        assert fresh is not connection
        assert await answered(pool, fresh) == b"ok"


async def test_a_service_that_is_away_is_not_asked_again_at_once() -> None:
    async with pool_to(f"http://127.0.0.1:{free_port()}") as pool:
        with pytest.raises(Broken, match="connect"):
            await pool.borrow()
        with pytest.raises(Broken, match="away"):
            await pool.borrow()


async def test_a_silent_service_is_given_up() -> None:
    async with service(b"") as (url, _), pool_to(url, patience_s=0.2) as pool:
        connection = await pool.borrow()
        with pytest.raises(Broken, match="silent"):
            await answered(pool, connection)


async def test_bytes_that_nobody_asked_for_end_the_connection() -> None:
    async with service(OK + OK) as (url, _), pool_to(url) as pool:
        connection = await pool.borrow()
        assert await answered(pool, connection) == b"ok"
        assert await pool.borrow() is not connection
