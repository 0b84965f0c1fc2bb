"""How fast events go from the outbox through the log into another service's database."""

import asyncio
import statistics
import time

import orjson
import pytest
from sqlalchemy import text
from svckit import contracts, tables
from svckit.consume import Consumer
from svckit.db import Database
from svckit.eventlog import connect
from svckit.outbox import Event, record
from svckit.relay import Relay

EVENTS, KEYS = 6000, 300
NOTE = "org.careloop.note.added.v1"


@pytest.fixture
async def ends(empty_database):
    """A sending and a receiving database."""
    found = [Database(empty_database(), 4) for _ in range(2)]
    for db in found:
        async with db.engine.begin() as connection:
            await connection.run_sync(tables.metadata.create_all)
    yield found
    for db in found:
        await db.dispose()


def example():
    folder = contracts.events_dir()
    return orjson.loads((folder / "note.added.v1.example.json").read_bytes())


async def fill(db, data):
    for start in range(0, EVENTS, 500):
        async with db.begin() as tx:
            for number in range(start, start + 500):
                version, key = divmod(number, KEYS)
                subject = f"subject{key}"
                await record(tx, Event(NOTE, subject, version + 1, subject, data))


async def applied(db):
    async with db.read() as session:
        return await session.scalar(
            text("SELECT coalesce(sum(last_version), 0) FROM aggregate_version")
        )


async def drain(db, count):
    deadline = time.monotonic() + 120
    while await applied(db) < count:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


class Lap:
    """Wall clock and CPU of this process; the CPU holds on a busy machine too."""

    def __init__(self):
        self._wall, self._cpu = time.monotonic(), time.process_time()

    def stop(self):
        self.rate = EVENTS / (time.monotonic() - self._wall)
        self.cpu_us = (time.process_time() - self._cpu) / EVENTS * 1e6

    def __str__(self):
        return f"{self.rate:,.0f}/s ({self.cpu_us:.0f} µs of CPU each)"


async def ignore_nothing(tx, event):
    """Have no effect but those of the inbox: what is measured is the path."""


async def test_an_event_costs_little_from_outbox_to_effect(ends, empty_database, capsys):
    sender, receiver = ends
    log = await connect(empty_database())
    stop = asyncio.Event()
    recorded = Lap()
    await fill(sender, example())
    recorded.stop()
    relayed = Lap()
    relay = asyncio.create_task(Relay(sender.url, log, "case.v1").run(stop))
    while await _waiting(sender):
        await asyncio.sleep(0.02)
    relayed.stop()
    consumed = Lap()
    reader = Consumer(receiver, log, "bench", ["case.v1"], {NOTE: ignore_nothing})
    consumer = asyncio.create_task(reader.run(stop))
    await drain(receiver, EVENTS)
    consumed.stop()
    delays = [await _delay(sender, receiver, number) for number in range(50)]
    stop.set()
    await asyncio.gather(relay, consumer)
    with capsys.disabled():
        print(f"\nrecorded {recorded}, relayed {relayed}, consumed {consumed}")
        print(
            f"one event, commit to effect: p50 {statistics.median(delays) * 1000:.0f} ms,"
            f" max {max(delays) * 1000:.0f} ms"
        )
    assert relayed.cpu_us < 300
    assert consumed.cpu_us < 800
    assert statistics.median(delays) < 1.0


async def _waiting(db):
    async with db.read() as session:
        return await session.scalar(text("SELECT count(*) FROM outbox"))


async def _delay(sender, receiver, number):
    before = await applied(receiver)
    subject = f"late{number}"
    async with sender.begin() as tx:
        await record(tx, Event(NOTE, subject, 1, subject, example()))
    committed = time.monotonic()
    while await applied(receiver) == before:
        await asyncio.sleep(0.002)
    return time.monotonic() - committed
