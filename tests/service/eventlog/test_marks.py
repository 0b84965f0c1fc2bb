"""Marks: what a reader has met has everything before it, on either log; and what is kept of them."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from svckit import parking, rights
from svckit.clock import now
from svckit.eventlog import PARTITIONS, Mark, Stored, TopicPartition
from svckit.outbox import Event, record
from svckit.relay import Relay

from tests.service.eventlog.world import (
    THING,
    consuming,
    note,
    place_all,
    plain,
    read,
    running,
    scalar,
    send,
    thing,
    until,
)

EARLY, LATE = datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 5, 2, tzinfo=UTC)


async def mark(log, topic, at):
    producer = await log.producer()
    await producer.mark(topic, at)
    await producer.close()


async def met(member, within_s=10):
    """Read until marks come; return them with all records read on the way."""
    records, marks = [], []

    async def found():
        async with member.batches(limit=200, wait_s=0.2) as batches:
            for each in batches.values():
                records.extend(each)
        marks.extend(await member.marks())
        return {(one.topic, one.partition) for one in marks}

    await until(lambda: _all(found), within_s)
    return marks, records


async def _all(found):
    return len(await found()) == PARTITIONS


async def test_every_partition_gives_its_mark_after_the_records_before_it(log, topic, group):
    sent = [plain(topic, f"key{number}", number) for number in range(60)]
    await send(log, sent)
    await mark(log, topic, EARLY)
    member = await log.consumer(group, [topic])
    await place_all(member)
    marks, records = await met(member)
    await member.close()
    assert sorted(int(one.value) for one in records) == list(range(60))
    assert {one.at for one in marks} == {EARLY}
    assert {one.partitions for one in marks} == {PARTITIONS}


async def test_a_partition_that_waits_has_not_reached_its_mark(log, topic, group):
    await send(log, [plain(topic, f"key{number}", number) for number in range(60)])
    member = await log.consumer(group, [topic])
    await place_all(member)
    await read(member, 60)
    waiting = TopicPartition(topic, 3)
    member.unplace(waiting)
    await mark(log, topic, EARLY)
    marks = []

    async def some():
        async with member.batches(limit=10, wait_s=0.1):
            pass
        marks.extend(await member.marks())
        return len(marks) >= PARTITIONS - 1

    await until(some)
    await member.close()
    assert {one.partition for one in marks} == set(range(PARTITIONS)) - {3}


async def test_a_reader_that_lags_meets_the_marks_in_between(postgres_log, group):
    """The log keeps the newest mark alone: under load it would always lie ahead."""
    await postgres_log.ensure(["t.v1"])
    await send(postgres_log, [plain("t.v1", "k", 1)])
    await mark(postgres_log, "t.v1", EARLY)
    member = await postgres_log.consumer(group, ["t.v1"])
    await place_all(member)
    assert len(await member.marks()) == PARTITIONS - 1
    await send(postgres_log, [plain("t.v1", "k", 2)])
    await mark(postgres_log, "t.v1", LATE)
    await asyncio.sleep(0.5)  # it asks for marks no more often
    async with member.batches(limit=1, wait_s=1) as batches:
        (at,) = batches
    found = {one.partition: one.at for one in await member.marks()}
    await member.close()
    assert found.pop(at.partition) == EARLY
    assert set(found.values()) == {LATE}


async def test_a_relay_marks_no_later_than_what_it_has_not_sent(postgres_log, group, db):
    """The outbox row is locked away from the relay's slots: it stays, and the mark with it."""
    await postgres_log.ensure(["t.v1"])
    member = await postgres_log.consumer(group, ["t.v1"])
    await place_all(member)
    async with db.begin() as tx:
        await tx.execute(
            text(
                "INSERT INTO outbox (slot, event_id, type, subject, version, key, headers, value,"
                " created_at) VALUES (99, 'evt_x', 't', 's', 1, 'k', '{}', '{}', :at)"
            ),
            {"at": EARLY},
        )
    async with running(Relay(db.url, postgres_log, "t.v1", marks=True).run):
        marks, _ = await met(member)
        assert {one.at for one in marks} == {EARLY}
        async with db.begin() as tx:
            await tx.execute(text("DELETE FROM outbox"))
        before = now() - timedelta(seconds=5)
        await until(lambda: _later(member, before))
    await member.close()


async def _later(member, instant):
    async with member.batches(limit=1, wait_s=0.1):
        return any(one.at > instant for one in await member.marks())


async def test_the_rights_are_fresh_when_every_partition_has_told(db, group):
    view = rights.Rights(db, group, ["t.v1"])
    assert await view.age() == float("inf")
    some = [Mark("t.v1", number, 0, now(), PARTITIONS) for number in range(PARTITIONS)]
    await rights.save(db, group, some[:-1])
    assert await view.age() == float("inf")
    await rights.save(db, group, some[-1:])
    assert await view.age() < 3
    assert await rights.Rights(db, group, ["t.v1", "u.v1"]).age() == float("inf")
    await rights.save(db, group, [Mark("t.v1", 0, 0, EARLY, PARTITIONS)])
    assert await view.age() < 3  # never backwards


async def test_an_event_of_rights_that_waits_for_an_operator_stops_the_watermark(
    db, postgres_log, group
):
    async def fails(tx, event):
        raise ValueError

    await postgres_log.ensure(["t.v1"])
    view = rights.Rights(db, group, ["t.v1"])
    job = Relay(db.url, postgres_log, "t.v1", marks=True)
    consumer = consuming(db, postgres_log, group, ["t.v1"], {THING: fails}, rights_from=["t.v1"])
    async with running(job.run), consumer:
        await until(lambda: _younger(view, 3))
        await send(postgres_log, [thing("t.v1", "s", 1)])
        await until(lambda: scalar(db, "SELECT count(*) FROM blocked_key"))
        await until(lambda: _older(view, 3))


@pytest.mark.parametrize(
    ("topic", "key", "held_up"),
    [
        ("t.v1", "cas1", False),
        # what it says may concern anything
        ("t.v1", b"\xff", True),
        ("u.v1", "cas1", True),
    ],
)
async def test_a_parked_event_holds_up_its_key_alone_where_that_is_all_it_protects(
    db, group, topic, key, held_up
):
    async def save(at):
        marks = [Mark(topic, number, 0, at, PARTITIONS) for number in range(PARTITIONS)]
        await rights.save(db, group, marks, ["t.v1"])
        return await scalar(db, "SELECT min(at) FROM watermark")

    assert await save(EARLY) == EARLY
    raw = key if isinstance(key, bytes) else key.encode()
    async with db.begin() as tx:
        stored = Stored(topic, 0, 7, raw, {}, b"junk")
        await parking.park(tx, group, "log", stored, parking.Block("poison"), error="x")
    assert await save(LATE) == (EARLY if held_up else LATE)


async def _younger(view, seconds):
    return await view.age() < seconds


async def _older(view, seconds):
    return await view.age() > seconds


async def test_what_was_recorded_before_a_fresh_watermark_has_been_applied(
    db, log, topic, group, thing_contract
):
    view = rights.Rights(db, group, [topic])
    handlers = {THING: note}
    async with (
        running(Relay(db.url, log, topic, marks=True).run),
        consuming(db, log, group, [topic], handlers, rights_from=[topic]),
    ):
        await until(lambda: _younger(view, 5), 40)
        for number in range(1, 4):
            async with db.begin() as tx:
                await record(tx, Event(THING, f"thing{number}", 1, f"thing{number}", {"n": 1}))
            done = await scalar(db, "SELECT clock_timestamp()")

            async def reached(done=done):
                return await scalar(db, "SELECT min(at) > :done FROM watermark", done=done)

            await until(reached)
            assert await scalar(db, "SELECT count(*) FROM ledger") == number


async def test_the_log_forgets_what_is_old_and_goes_on_counting(postgres_log, group):
    topics = [f"t{uuid.uuid4().hex[:6]}.v1" for _ in range(2)]
    await postgres_log.ensure(topics)
    for topic in topics:
        await send(postgres_log, [plain(topic, "k", number) for number in range(5)])
    assert await postgres_log.trim(topics[0], timedelta(hours=1)) == 0
    assert await postgres_log.trim(topics[0], timedelta(0)) == 5
    await send(postgres_log, [plain(topics[0], "k", 5)])
    member = await postgres_log.consumer(group, topics)
    found = await read(member, 6)
    await member.close()
    offsets = [(one.topic == topics[0], one.offset) for one in found]
    assert sorted(offsets) == [*((False, number) for number in range(5)), (True, 5)]


async def test_a_log_from_before_there_were_marks_learns_them(postgres_log, group):
    await postgres_log.ensure(["t.v1"])
    async with postgres_log._connection() as connection:
        await connection.execute(
            "ALTER TABLE log_partition DROP COLUMN mark, DROP COLUMN marked_offset"
        )
    await postgres_log.ensure(["t.v1"])
    await mark(postgres_log, "t.v1", EARLY)
    member = await postgres_log.consumer(group, ["t.v1"])
    await place_all(member)
    marks, _ = await met(member)
    await member.close()
    assert len(marks) == PARTITIONS


@pytest.mark.kafka
async def test_a_restart_does_not_read_marks_passed_long_ago(db, kafka_broker, group, monkeypatch):
    from svckit import consume
    from svckit.eventlog import connect

    monkeypatch.setattr(consume, "_PASS_S", 0.2)
    log = await connect(kafka_broker.url)
    topic = f"marked-{uuid.uuid4().hex[:8]}.v1"
    await log.ensure([topic])
    async with (
        running(Relay(db.url, log, topic, marks=True).run),
        consuming(db, log, group, [topic], {}, rights_from=[topic]),
    ):
        await until(lambda: scalar(db, "SELECT min(next_offset) > 1 FROM consumer_offset"), 40)
    await log.close()
