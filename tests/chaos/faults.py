"""Faults of processes, PostgreSQL and the log. Each is a coroutine of the stage; see `KINDS`."""

import asyncio
import signal
import time
import uuid

from svckit.db import Database
from svckit.eventlog import Record, connect

from tests.chaos import monitor, plan
from tests.chaos.generator import Changes
from tests.chaos.supervisor import Part
from tests.chaos.world import execute


class Failed(Exception):
    """What a fault showed to be wrong: a violation."""


async def kill(stage):
    part = stage.any_part()
    part.signal(signal.SIGKILL, "killed")
    return part.name


async def stop(stage):
    """Longer than its lease: others take over, then it wakes and acts on what it knew."""
    part = stage.any_part("relay", "consume", "notify-consume", "notify-deliver", "write")
    part.signal(signal.SIGSTOP)
    await asyncio.sleep(2 * plan.lease_s(part.role, stage.world.log))
    part.signal(signal.SIGCONT)
    return part.name


async def terminate(stage):
    """Ended in order: within ten seconds, with nothing abandoned."""
    part = stage.any_part("relay", "consume", "notify-consume", "notify-deliver", "notify-api")
    code, took = await stage.supervisor.take_away(part)
    # the place it was armed for may strike while it ends
    if code != -signal.SIGKILL and (took is None or code != 0):
        raise Failed(f"I15: {part.name} took {took} s to end with {code}")
    stage.supervisor.revive(part)
    return part.name


async def skew(stage):
    """The clock of one process is ten minutes wrong, then right again at its next start."""
    part = stage.any_part("write", "relay", "consume", "notify-consume", "notify-deliver")
    by_s = stage.dice.choice((-600, 600))
    stage.skewed[part.name] = by_s
    part.signal(signal.SIGKILL, "killed")
    return f"{part.name} {by_s:+} s"


async def storm(stage):
    """A consumer more and a consumer less, every three seconds."""
    for turn in range(3):
        extra = Part(stage.world, "consume", 10 + turn, stage.mutant)
        await stage.supervisor.add(extra)
        await asyncio.sleep(3)
        await stage.supervisor.take_away(extra)
        del stage.supervisor.parts[extra.name]


async def immediate(stage):
    """`pg_ctl stop -m immediate`: no checkpoint, every session cut."""
    await _end_postgres(stage, signal.SIGQUIT)


async def postmaster(stage):
    await _end_postgres(stage, signal.SIGKILL)


async def _end_postgres(stage, how):
    process = stage.stores.postgres.process
    process.send_signal(how)
    await asyncio.to_thread(process.wait, 30)
    await asyncio.sleep(stage.dice.random())
    await stage.stores.start_postgres()


async def cut(stage):
    """Ends some of the sessions of one database, whoever has them."""
    world = stage.world
    await monitor.ask(
        stage.dice.choice(world.databases()),
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE random() < 0.6"
        " AND datname = current_database() AND pid <> pg_backend_pid()",
    )


async def idle_writer(stage):
    """Takes a number early and commits late: what a cursor over the outbox would lose."""
    changes = Changes(stage.world)
    db = Database(stage.world.source_url, 1)
    try:
        async with db.begin() as tx:
            hot = f"hot-{stage.dice.randrange(stage.world.made_of.hot)}"
            await changes.change(tx, [hot], stage.dice)
            await asyncio.sleep(4 + 4 * stage.dice.random())
    finally:
        await db.dispose()


async def repeat(stage):
    """Records of the topic's end once more, as by a producer that lost an answer."""
    world = stage.world
    log = await connect(world.log_url)
    member = await log.consumer(f"repeat-{uuid.uuid4().hex[:6]}", [plan.TOPIC])
    found = []
    try:
        await _place_near_the_end(member)
        async with asyncio.timeout(15):
            for _ in range(20):
                async with member.batches(limit=400, wait_s=0.3) as batches:
                    found += [each for records in batches.values() for each in records]
                if len(found) > 300:
                    break
    finally:
        await member.close()
    # what is no event would be poison again
    again = [each for each in found if "ce_id" in each.headers and stage.dice.random() < 0.15]
    await send(log, [as_record(each) for each in again])
    await log.close()
    stage.repeated += len(again)
    return f"{len(again)} records"


async def _place_near_the_end(member):
    async with asyncio.timeout(30):
        while not member.unplaced():
            async with member.batches(limit=1, wait_s=0.1):
                pass
        for at, end in (await member.ends()).items():
            await member.place(at, max(0, end - 60))


def as_record(stored):
    headers = {name: value.decode() for name, value in stored.headers.items()}
    return Record(stored.topic, stored.key.decode(), headers, stored.value)


async def send(log, records):
    producer = await log.producer()
    try:
        acks = await asyncio.wait_for(producer.send(records), 20)
    finally:
        await producer.close()
    if not all(acks):
        raise ConnectionError("the log did not take it")


async def broker_kill(stage):
    stage.stores.broker.kill()
    await stage.stores.start_broker()


async def broker_restart(stage):
    await stage.stores.apart(stage.stores.broker.stop)
    await stage.stores.start_broker()


async def broker_outage(stage):
    await stage.stores.apart(stage.stores.broker.stop)
    await asyncio.sleep(60)
    await stage.stores.start_broker()


async def wipe(stage):
    """The log loses its disk and is made anew.

    What it acknowledged and nobody has read would be gone for good with one copy of it, so the
    writers pause until all has arrived; what is written while it is away must not be lost.
    """
    world, pause = stage.world, stage.world.path / "pause"
    pause.touch()
    try:
        await asyncio.sleep(1)
        if not await stage.arrivals.caught_up(time.time(), within_s=60):
            raise Failed("I1: with the writers at rest not everything arrived within 60 s")
        if stage.stores.broker:
            stage.stores.broker.wipe()
        else:
            await execute(world.log_url, "DELETE FROM log_topic")
    finally:
        pause.unlink(missing_ok=True)
    if stage.stores.broker:
        await asyncio.sleep(2)
        await stage.stores.start_broker()


EVERYWHERE = {
    kill: 12,
    stop: 3,
    terminate: 2,
    skew: 2,
    storm: 1,
    immediate: 1,
    postmaster: 1,
    cut: 10,
    idle_writer: 2,
    repeat: 4,
    wipe: 1,
}
ON_KAFKA = {broker_kill: 2, broker_restart: 1, broker_outage: 0.3}
