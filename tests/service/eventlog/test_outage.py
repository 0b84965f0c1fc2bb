"""The log goes away, comes back, or comes back empty; relay and consumer go on by themselves."""

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest
from svckit.errors import Unavailable
from svckit.eventlog import PARTITIONS, connect
from svckit.outbox import Event, record
from svckit.relay import Relay

from tests.service.eventlog.world import (
    THING,
    consuming,
    ledger,
    note,
    place_all,
    running,
    scalar,
    send,
    thing,
    until,
    versions,
)

HANDLERS = {THING: note}
MEMBER = Path(__file__).with_name("member.py")
SESSION_S = 10


async def change(db, subject, version):
    async with db.begin() as tx:
        await record(tx, Event(THING, subject, version, subject, {"n": version}))


async def applied(db, count):
    return len(await ledger(db)) == count


async def make_anew(log, topic):
    """Lose the topic with all it holds, as a restored or replaced database does."""
    async with log._connection() as connection:
        await connection.execute("DELETE FROM log_topic WHERE name = $1", topic)
    await log.ensure([topic])


async def test_a_log_made_anew_is_noticed_and_read_from_its_beginning(postgres_log, group, db):
    await postgres_log.ensure(["t.v1"])
    first = [thing("t.v1", "s", version) for version in range(1, 6)]
    await send(postgres_log, first)
    async with consuming(db, postgres_log, group, ["t.v1"], HANDLERS):
        await until(lambda: applied(db, 5))
    await make_anew(postgres_log, "t.v1")
    await send(postgres_log, [*first[3:], thing("t.v1", "s", 6)])
    async with consuming(db, postgres_log, group, ["t.v1"], HANDLERS):
        await until(lambda: applied(db, 6))
    assert await versions(db, "s") == [1, 2, 3, 4, 5, 6]
    log_id = await postgres_log.identity("t.v1")
    assert await scalar(db, "SELECT DISTINCT log_id FROM consumer_offset") == log_id


async def test_a_log_made_anew_while_a_partition_waits_is_read_by_a_new_member(
    postgres_log, group, db
):
    await postgres_log.ensure(["t.v1"])
    records = [thing("t.v1", "s", version) for version in range(1, 4)]
    met, remade = asyncio.Event(), asyncio.Event()

    async def away_until_remade(tx, event):
        if not remade.is_set():
            met.set()
            await remade.wait()
            raise Unavailable("away while the log was made anew")
        await note(tx, event)

    async with consuming(db, postgres_log, group, ["t.v1"], {THING: away_until_remade}):
        await send(postgres_log, records)
        await asyncio.wait_for(met.wait(), 20)
        await make_anew(postgres_log, "t.v1")
        await send(postgres_log, records)
        remade.set()
        await until(lambda: applied(db, 3))
    log_id = await postgres_log.identity("t.v1")
    read = "SELECT DISTINCT log_id FROM consumer_offset WHERE next_offset > 0"
    assert await scalar(db, read) == log_id


async def test_an_offset_beyond_the_end_of_the_log_starts_over_and_repeats_no_effect(
    postgres_log, group, db
):
    """A log restored from an older backup keeps its identity, but not its last records."""
    await postgres_log.ensure(["t.v1"])
    await send(postgres_log, [thing("t.v1", "s", version) for version in range(1, 6)])
    async with consuming(db, postgres_log, group, ["t.v1"], HANDLERS):
        await until(lambda: applied(db, 5))
    async with postgres_log._connection() as connection:
        await connection.execute("DELETE FROM log_record WHERE position >= 3")
        await connection.execute("UPDATE log_partition SET next_offset = least(next_offset, 3)")
    await send(postgres_log, [thing("t.v1", "s", 6)])
    async with consuming(db, postgres_log, group, ["t.v1"], HANDLERS):
        await until(lambda: applied(db, 6))
    assert await versions(db, "s") == [1, 2, 3, 4, 5, 6]


@pytest.mark.kafka
async def test_a_killed_broker_costs_nothing(kafka_broker, group, db, thing_contract):
    log = await connect(kafka_broker.url)
    topic = f"outage-{group}.v1"
    relaying = running(Relay(db.url, log, topic, deadline_s=5).run)
    async with relaying, consuming(db, log, group, [topic], HANDLERS):
        await change(db, "s", 1)
        await until(lambda: applied(db, 1))
        kafka_broker.kill()
        for version in range(2, 30):
            await change(db, "s", version)
        kafka_broker.launch()
        await asyncio.to_thread(kafka_broker.await_ready)
        await change(db, "s", 30)
        await until(lambda: applied(db, 30), 90)
    assert await versions(db, "s") == list(range(1, 31))


@pytest.mark.kafka
async def test_a_broker_with_a_wiped_disk_is_noticed_while_running(
    kafka_broker, group, db, thing_contract
):
    log = await connect(kafka_broker.url)
    topic = f"wiped-{group}.v1"
    relaying = running(Relay(db.url, log, topic, deadline_s=5).run)
    async with relaying, consuming(db, log, group, [topic], HANDLERS):
        for version in range(1, 11):
            await change(db, "s", version)
        await until(lambda: applied(db, 10))
        before = await log.identity(topic)
        kafka_broker.wipe()
        kafka_broker.launch()
        await asyncio.to_thread(kafka_broker.await_ready)
        await change(db, "s", 11)
        await until(lambda: applied(db, 11), 120)
    assert await versions(db, "s") == list(range(1, 12))
    assert await log.identity(topic) != before
    # the partition that was read; the empty ones are looked at within half a minute
    read = "SELECT DISTINCT log_id FROM consumer_offset WHERE next_offset > 0"
    assert await scalar(db, read) != before


@pytest.mark.kafka
async def test_a_named_instance_has_its_partitions_back_before_its_session_ends(
    kafka_broker, group
):
    """A killed process that is started again does not wait until the broker gives up the old one."""
    url = f"{kafka_broker.url}?instance=0"
    log = await connect(url)
    topic = f"named-{group}.v1"
    await log.ensure([topic])
    command = [sys.executable, str(MEMBER), url, group, topic]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        while not process.stdout.readline().startswith(f"{PARTITIONS} "):
            pass
    finally:
        process.kill()
        process.communicate()
    started = time.monotonic()
    member = await log.consumer(group, [topic])
    await place_all(member)
    assert len(await member.ends()) == PARTITIONS
    assert time.monotonic() - started < SESSION_S / 2
    await member.close()
