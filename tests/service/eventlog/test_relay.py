"""From a commit to the log: every row, each key in order, whatever dies in between."""

import asyncio
import contextlib
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from svckit import outbox
from svckit.db import Database
from svckit.eventlog import LogError
from svckit.leases import Leases
from svckit.outbox import Event, InvalidEvent, record
from svckit.relay import Relay, in_order

from tests.service.eventlog.world import THING, read, running, scalar, until

RELAY = Path(__file__).with_name("relaying.py")


@pytest.fixture
async def things(db, thing_contract):
    """Aggregates whose writers serialise on their row, as a service's do."""
    async with db.engine.begin() as connection:
        await connection.exec_driver_sql("CREATE TABLE thing (id text PRIMARY KEY, version int)")
        await connection.exec_driver_sql(
            "INSERT INTO thing SELECT 'thing' || n, 0 FROM generate_series(0, 9) n"
        )
    return db


async def change(db, thing):
    async with db.begin() as tx:
        version = await tx.scalar(
            text("UPDATE thing SET version = version + 1 WHERE id = :id RETURNING version"),
            {"id": thing},
        )
        await record(tx, Event(THING, thing, version, thing, {"n": version}))


async def write(db, writers, each):
    """Change random things at once, half of them hot."""

    async def writer(seed):
        dice = random.Random(seed)
        for _ in range(each):
            await change(db, f"thing{min(dice.randrange(10), dice.randrange(10))}")

    await asyncio.gather(*(writer(seed) for seed in range(writers)))


def first_occurrences(records):
    """Return per key the versions in the order of their first occurrence."""
    seen = {}
    for found in records:
        version = int(found.headers["ce_aggregateversion"])
        versions = seen.setdefault(found.key.decode(), [])
        if version not in versions:
            versions.append(version)
    return seen


async def everything(log, topic, group):
    member = await log.consumer(group, [topic])
    found = []
    while True:
        for at in member.unplaced():
            await member.place(at, 0)
        async with member.batches(limit=500, wait_s=0.3) as batches:
            for records in batches.values():
                found.extend(records)
        done = {}
        for each in found:
            done[each.topic, each.partition] = each.offset + 1
        if done and {at: end for at, end in (await member.ends()).items() if end} == done:
            await member.close()
            return found


async def emptied(db):
    return await scalar(db, "SELECT count(*) FROM outbox") == 0


def assert_complete(found, expected):
    versions = first_occurrences(found)
    inversions = [key for key, order in versions.items() if order != sorted(order)]
    assert inversions == []
    assert {key: len(order) for key, order in versions.items()} == expected
    assert all(order == list(range(1, len(order) + 1)) for order in versions.values())


async def expected_of(db):
    async with db.read() as session:
        rows = await session.execute(text("SELECT id, version FROM thing WHERE version > 0"))
        return {row.id: row.version for row in rows}


async def test_three_relays_lose_nothing_and_invert_nothing_under_twelve_writers(
    log, topic, group, things
):
    async with contextlib.AsyncExitStack() as relays:
        for _ in range(3):
            await relays.enter_async_context(running(Relay(things.url, log, topic).run))
        await write(things, 12, 40)
        await until(lambda: emptied(things), 40)
    found = await everything(log, topic, group)
    assert len(found) == 480
    assert_complete(found, await expected_of(things))


async def test_killed_relays_lose_nothing_and_invert_nothing(
    postgres_log, group, things, thing_contract, tmp_path
):
    await postgres_log.ensure(["t.v1"])

    def start():
        return subprocess.Popen(
            [sys.executable, str(RELAY), things.url, postgres_log._url, str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
        )

    relays = [start() for _ in range(3)]
    try:
        for relay in relays:
            _awake(relay)
        writing = asyncio.create_task(write(things, 6, 60))
        for number in range(3):
            await asyncio.sleep(0.4)
            relays[number].kill()
            relays[number].communicate()
            relays[number] = start()
        await writing
        for relay in relays:  # each was started anew
            await asyncio.to_thread(_awake, relay)
        await until(lambda: emptied(things), 60)
    finally:
        for relay in relays:
            relay.terminate()
    for relay in relays:
        relay.communicate(timeout=10)
        assert relay.returncode == 0
    assert_complete(await everything(postgres_log, "t.v1", group), await expected_of(things))


def _awake(relay):
    assert relay.stdout.readline() == "relaying\n"


async def test_an_event_reaches_the_log_with_its_bytes_and_its_source(postgres_log, group, things):
    await change(things, "thing3")
    async with running(Relay(things.url, postgres_log, "t.v1", source="careloop/x-svc").run):
        await until(lambda: emptied(things))
    member = await postgres_log.consumer(group, ["t.v1"])
    (found,) = await read(member, 1)
    await member.close()
    assert found.value == b'{"n":1}'
    assert found.headers["ce_source"] == b"careloop/x-svc"
    assert found.headers["ce_type"] == THING.encode()
    assert found.headers["ce_partitionkey"] == found.key == b"thing3"


async def test_a_commit_in_the_same_process_wakes_the_relay_at_once(postgres_log, things):
    async with running(Relay(things.url, postgres_log, "t.v1").run):
        await change(things, "thing1")
        await until(lambda: emptied(things))
        await asyncio.sleep(1)  # long enough for the relay to have slowed down to its idle pace
        hint = outbox.woken()
        await change(things, "thing1")
        assert hint.is_set()
        await until(lambda: emptied(things), 2)


async def fail_after_recording(db):
    async with db.begin() as tx:
        await record(tx, Event(THING, "ghost", 1, "ghost", {"n": 1}))
        raise RuntimeError("the command fails")


async def test_what_a_rolled_back_command_recorded_is_never_sent(postgres_log, group, things):
    with pytest.raises(RuntimeError):
        await fail_after_recording(things)
    await change(things, "thing1")
    async with running(Relay(things.url, postgres_log, "t.v1").run):
        await until(lambda: emptied(things))
    found = await everything(postgres_log, "t.v1", group)
    assert [each.key for each in found] == [b"thing1"]


@pytest.mark.parametrize(
    ("event", "fault"),
    [
        (Event(THING, "s", 1, "s", {}), "breaks required"),
        (Event(THING, "s", 1, "s", {"n": "seven"}), "#/n breaks properties/n/type"),
        (Event(THING, "s", 1, "s", {"n": 1, "extra": 1}), "additionalProperties"),
        (Event(THING, "s", 1, "s", {"n": 1, "on": "yesterday"}), "format"),
        (Event(THING, "s", 0, "s", {"n": 1}), "version from 1"),
        (Event(THING, "s", 1, "", {"n": 1}), "key"),
        (Event(THING, "s", 1, "s", {"n": 1, "on": "x" * 70_000}), "bytes"),
    ],
)
async def test_an_event_that_breaks_its_contract_is_refused_with_the_command(things, event, fault):
    with pytest.raises(InvalidEvent, match=fault):
        async with things.begin() as tx:
            await record(tx, event)
    assert await emptied(things)


async def test_a_type_without_a_contract_is_not_published(things):
    with pytest.raises(Exception, match="no contract"):
        async with things.begin() as tx:
            await record(tx, Event("org.careloop.thing.melted.v1", "s", 1, "s", {"n": 1}))


class Moody:
    """A log whose producers fail now and then, each time another part of the batch."""

    def __init__(self, log):
        self._log = log
        self._dice = random.Random(7)
        self.ensure, self.identity, self.consumer = log.ensure, log.identity, log.consumer

    async def producer(self):
        return _MoodyProducer(await self._log.producer(), self._dice)


class _MoodyProducer:
    def __init__(self, producer, dice):
        self._producer = producer
        self._dice = dice
        self.close = producer.close

    async def send(self, records):
        mood = self._dice.random()
        if mood < 0.3:
            raise LogError("not now")
        if mood < 0.6:
            taken = [self._dice.random() < 0.5 for _ in records]
            sent = [each for each, take in zip(records, taken, strict=True) if take]
            await self._producer.send(sent)
            # Acknowledged are fewer than stored: answers get lost too.
            return [take and self._dice.random() < 0.8 for take in taken]
        return await self._producer.send(records)


async def test_a_key_waits_behind_its_first_failure(postgres_log, group, things):
    """Half stored, half acknowledged: nothing is lost, and no key is stored out of turn twice."""
    await write(things, 4, 20)
    async with running(Relay(things.url, Moody(postgres_log), "t.v1").run):
        await until(lambda: emptied(things), 40)
    versions = first_occurrences(await everything(postgres_log, "t.v1", group))
    assert {key: len(order) for key, order in versions.items()} == await expected_of(things)


class Silent:
    """A log that takes records and never answers, as Kafka's producer does without a broker."""

    def __init__(self, log):
        self.sends = 0
        self.ensure = log.ensure

    async def producer(self):
        return self

    async def send(self, _):
        self.sends += 1
        await asyncio.Event().wait()

    async def close(self):
        pass


async def test_a_send_without_an_answer_is_given_up_and_repeated(postgres_log, things):
    await change(things, "thing1")
    silent = Silent(postgres_log)
    async with running(Relay(things.url, silent, "t.v1", deadline_s=0.2).run):
        await until(lambda: silent.sends >= 2)
    assert not await emptied(things)


async def test_a_relay_ends_within_its_time_while_the_log_is_silent(postgres_log, things):
    await change(things, "thing1")
    silent = Silent(postgres_log)
    async with running(Relay(things.url, silent, "t.v1", deadline_s=60).run):
        await until(lambda: silent.sends == 1)


async def test_a_relay_survives_the_loss_of_its_connections(postgres_log, group, things):
    killer = Database(things.url.rpartition("/")[0] + "/postgres", 2)
    async with running(Relay(things.url, postgres_log, "t.v1").run):
        for _ in range(4):
            await write(things, 4, 5)
            async with killer.read() as session:
                await session.execute(
                    text(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE application_name LIKE 'lease outbox%'"
                        " AND datname = :name"
                    ),
                    {"name": things.url.rpartition("/")[2]},
                )
        await until(lambda: emptied(things), 40)
    await killer.dispose()
    assert_complete(await everything(postgres_log, "t.v1", group), await expected_of(things))


async def test_leases_are_shared_fairly_and_given_back(db):
    members = [await Leases.join(db.url, "x", range(64)) for _ in range(3)]
    for _ in range(4):
        for member in members:
            await member.refresh()
    assert sorted(len(member.held) for member in members) == [21, 21, 22]
    assert frozenset.union(*(member.held for member in members)) == frozenset(range(64))
    await members[0].close()
    await until(lambda: _together(members[1:]))
    assert not members[1].held & members[2].held
    for member in members[1:]:
        await member.close()


async def _together(members):
    return sum([len(await member.refresh()) for member in members]) == 64


async def test_a_stopped_holder_loses_its_leases(db, tmp_path):
    """SIGSTOP: the connection stays open, so only the missing beat tells."""
    holder = subprocess.Popen(
        [sys.executable, str(RELAY.with_name("holding.py")), db.url],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout.readline() == "64\n"
        holder.send_signal(signal.SIGSTOP)
        heir = await Leases.join(db.url, "x", range(64), 1.5)
        await until(lambda: _together([heir]), 15)
        holder.send_signal(signal.SIGCONT)
        assert holder.stdout.readline() == "lost\n"
        await heir.close()
    finally:
        holder.kill()
        holder.communicate()


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans())))
def test_only_what_no_failure_of_its_key_precedes_is_deleted(outcomes):
    rows = [{"seq": number, "key": key} for number, (key, _) in enumerate(outcomes)]
    done = in_order(rows, [acknowledged for _, acknowledged in outcomes])
    for number, (key, _) in enumerate(outcomes):
        before = [ok for k, ok in outcomes[: number + 1] if k == key]
        assert (number in done) == all(before)
