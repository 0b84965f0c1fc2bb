"""Small builders for the tests of the event log."""

import asyncio
import contextlib
import time

import orjson
from sqlalchemy import text
from svckit import cloudevents
from svckit.clock import now
from svckit.consume import Consumer
from svckit.eventlog import Record
from svckit.ids import new_id

THING = "org.careloop.thing.changed.v1"


def plain(topic, key, number):
    return Record(topic, key, {"n": str(number)}, str(number).encode())


def thing(topic, subject, version, *, key=None, kind=THING, event_id=None, data=None):
    """A CloudEvent as a relay sends it."""
    head = cloudevents.headers(
        event_id=event_id or new_id("evt"),
        kind=kind,
        subject=subject,
        version=version,
        key=key or subject,
        time=now(),
        dataschema="urn:careloop:event:thing.changed.v1",
        traceparent="",
    )
    value = orjson.dumps(data if data is not None else {"n": version})
    return Record(topic, key or subject, head | {"ce_source": "careloop/thing-svc"}, value)


async def send(log, records):
    producer = await log.producer()
    try:
        acks = await producer.send(records)
        assert all(acks)
    finally:
        await producer.close()


async def until(condition, within_s=20.0):
    """Poll until the (possibly async) condition holds and return its value."""
    deadline = time.monotonic() + within_s
    while True:
        found = condition()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {within_s} s"
        await asyncio.sleep(0.02)


async def place_all(member, offset=0):
    """Begin with every partition the member holds, waiting until it holds some."""
    deadline = time.monotonic() + 20
    while not member.unplaced():
        assert time.monotonic() < deadline, "no partition within 20 s"
        async with member.batches(limit=1, wait_s=0.1):
            pass
    for at in member.unplaced():
        await member.place(at, offset)


async def read(member, count, within_s=20.0):
    """Return `count` records of whatever partitions the member holds, placing new ones at 0."""
    found = []
    deadline = time.monotonic() + within_s
    while len(found) < count:
        assert time.monotonic() < deadline, f"{len(found)} of {count} records"
        for at in member.unplaced():
            await member.place(at, 0)
        async with member.batches(limit=200, wait_s=0.2) as batches:
            for records in batches.values():
                found.extend(records)
    return found


async def note(tx, event):
    """A handler with an effect that shows: one ledger row per event."""
    await tx.execute(
        text("INSERT INTO ledger (subject, version) VALUES (:s, :v)"),
        {"s": event.subject, "v": event.version},
    )


async def ledger(db):
    """Return what was applied, in order, as (subject, version)."""
    async with db.read() as session:
        rows = await session.execute(text("SELECT subject, version FROM ledger ORDER BY n"))
        return [tuple(row) for row in rows]


async def versions(db, subject):
    return [version for of, version in await ledger(db) if of == subject]


async def scalar(db, statement, **values):
    async with db.read() as session:
        return await session.scalar(text(statement), values)


@contextlib.asynccontextmanager
async def running(job):
    """Run `job(stop)` beside the test and require it to end within 10 s of stop."""
    stop = asyncio.Event()
    task = asyncio.create_task(job(stop))
    try:
        yield task
    finally:
        stop.set()
        await asyncio.wait_for(task, 10)


def consuming(db, log, group, topics, handlers, **options):
    return running(Consumer(db, log, group, topics, handlers, **options).run)
