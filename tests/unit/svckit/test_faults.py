"""What is said of a failure: whether waiting may help."""

import asyncio

import asyncpg
import pytest
from svckit.faults import AWAY, is_transient

# a greeting that breaks off, or goes on with what was meant for another session
RESULT = b"C\x00\x00\x00\x0dSELECT 1\x00"
GREETINGS = {
    "says nothing": b"",
    "breaks off": b"R\x00\x00\x00\x08",
    "answers what was not asked": RESULT,
}


@pytest.mark.parametrize("greeting", GREETINGS.values(), ids=GREETINGS)
async def test_a_server_that_dies_while_it_greets_is_away(greeting):
    async def greet(reader, writer):
        await reader.read(1024)
        writer.write(greeting)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(AWAY) as raised:
            await asyncpg.connect(f"postgresql://a:b@127.0.0.1:{port}/c?sslmode=disable", timeout=5)
    assert is_transient(raised.value)


def test_an_error_of_the_driver_itself_may_pass():
    assert is_transient(asyncpg.InternalClientError("got result for unknown protocol state 0"))


def test_a_refused_value_does_not_pass():
    assert not is_transient(asyncpg.DataError("out of range"))
    assert not is_transient(ValueError("ours"))
