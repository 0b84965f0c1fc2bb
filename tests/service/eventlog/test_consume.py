"""Effects once, in order, nothing skipped: the consumer against both logs."""

import asyncio
import dataclasses

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from svckit import parking, repair
from svckit.errors import Unavailable
from svckit.eventlog import Record, TopicPartition
from svckit.inbox import Reader

from tests.service.eventlog.world import (
    THING,
    consuming,
    ledger,
    note,
    running,
    scalar,
    send,
    thing,
    until,
    versions,
)

HANDLERS = {THING: note}


def of(db, subject, count):
    async def reached():
        return len(await versions(db, subject)) >= count

    return reached


async def test_every_event_has_its_effect_once_and_in_order(log, topic, group, db):
    await send(log, [thing(topic, f"s{n % 5}", n // 5 + 1) for n in range(100)])
    async with consuming(db, log, group, [topic], HANDLERS):
        await until(lambda: _count(db, 100))
        await send(log, [thing(topic, f"s{n}", 21) for n in range(5)])
        await until(lambda: _count(db, 105))
    for n in range(5):
        assert await versions(db, f"s{n}") == list(range(1, 22))


async def _count(db, count):
    return len(await ledger(db)) == count


async def test_a_consumer_goes_on_where_the_one_before_stopped(log, topic, group, db):
    await send(log, [thing(topic, "s", 1), thing(topic, "s", 2)])
    async with consuming(db, log, group, [topic], HANDLERS):
        await until(of(db, "s", 2))
    await send(log, [thing(topic, "s", 3)])
    async with consuming(db, log, group, [topic], HANDLERS):
        await until(of(db, "s", 3))
    assert await versions(db, "s") == [1, 2, 3]


async def test_events_sent_twice_have_one_effect(log, topic, group, db):
    events = [thing(topic, "s", version) for version in range(1, 6)]
    await send(log, [*events, *events, thing(topic, "s", 6), events[2]])
    async with consuming(db, log, group, [topic], HANDLERS):
        await until(of(db, "s", 6))
    assert await versions(db, "s") == [1, 2, 3, 4, 5, 6]


async def test_two_groups_each_apply_every_event(log, topic, group, db):
    await send(log, [thing(topic, "s", version) for version in (1, 2, 3)])
    one = consuming(db, log, group, [topic], HANDLERS)
    other = consuming(db, log, f"{group}-b", [topic], HANDLERS)
    async with one, other:
        await until(of(db, "s", 6), 30)
    assert sorted(await versions(db, "s")) == [1, 1, 2, 2, 3, 3]


async def test_an_event_after_a_missing_version_is_held_until_that_one_comes(log, topic, group, db):
    late = thing(topic, "a", 2, key="k")
    await send(
        log,
        [
            thing(topic, "a", 1, key="k"),
            thing(topic, "a", 3, key="k"),
            thing(topic, "b", 1, key="k"),
            thing(topic, "c", 1, key="other"),
        ],
    )
    async with consuming(db, log, group, [topic], HANDLERS):
        await until(of(db, "c", 1))
        await until(lambda: _parked(db, group, 2))
        assert (await versions(db, "a"), await versions(db, "b")) == ([1], [])
        await send(log, [late])
        await until(of(db, "b", 1))
        await until(lambda: _parked(db, group, 0))
    assert [row for row in await ledger(db) if row[0] != "c"] == [
        ("a", 1),
        ("a", 2),
        ("a", 3),
        ("b", 1),
    ]
    async with db.begin() as tx:
        assert await repair.blocked_keys(tx, group) == []


async def _parked(db, group, count):
    async with db.begin() as tx:
        return (await parking.counts(tx, group))[0] == count


async def refuse_four(tx, event):
    if event.subject == "bad" and event.version == 4:
        raise ValueError("version four")
    await note(tx, event)


async def test_a_poisonous_event_parks_its_own_key_alone(log, topic, group, db):
    await send(
        log,
        [thing(topic, subject, v) for v in range(1, 9) for subject in ("bad", "good", "fine")],
    )
    async with consuming(db, log, group, [topic], {THING: refuse_four}):
        await until(of(db, "good", 8))
        await until(of(db, "fine", 8))
        await until(lambda: _parked(db, group, 5))
        assert await versions(db, "bad") == [1, 2, 3]
        await send(log, [thing(topic, "bad", 9)])
        await until(lambda: _parked(db, group, 6))
    assert await versions(db, "good") == list(range(1, 9))
    async with db.begin() as tx:
        (blocked,) = await repair.blocked_keys(tx, group)
    assert (blocked.key, blocked.reason, blocked.events, blocked.error) == (
        "bad",
        "poison",
        6,
        "ValueError",
    )
    done = await repair.replay(db, Reader(group, HANDLERS), topic, "bad")
    assert (done.applied, done.stopped_by) == (6, "")
    assert await versions(db, "bad") == list(range(1, 10))


async def test_a_record_that_is_no_event_is_parked_and_the_others_flow(log, topic, group, db):
    junk = Record(topic, "junk", {"content-type": "text/plain"}, b"\xff\x00 not json")
    half = thing(topic, "half", 1)
    broken = Record(topic, "half", half.headers, b'{"n": ')
    await send(log, [junk, thing(topic, "s", 1), broken, thing(topic, "s", 2)])
    async with consuming(db, log, group, [topic], HANDLERS):
        await until(of(db, "s", 2))
        await until(lambda: _parked(db, group, 2))
    async with db.begin() as tx:
        assert {row.key for row in await repair.blocked_keys(tx, group)} == {"junk", "half"}
        assert (
            await repair.skip_key(tx, Reader(group, HANDLERS), topic, "junk", actor="operator") == 1
        )
    assert await scalar(db, "SELECT count(*) FROM audit WHERE action = 'event.skip'") == 1


async def test_an_unknown_type_is_ignored_and_its_version_counted(log, topic, group, db):
    await send(
        log,
        [
            thing(topic, "s", 1),
            thing(topic, "s", 2, kind="org.careloop.thing.renamed.v1"),
            thing(topic, "s", 3),
        ],
    )
    async with consuming(db, log, group, [topic], HANDLERS):
        await until(of(db, "s", 2))
    assert await versions(db, "s") == [1, 3]


async def test_an_event_of_an_older_version_is_read_in_the_form_of_the_newest(
    log, topic, group, db
):
    """What is on the log, or parked, when a type gets a new major version."""
    steps = {1: 2, 2: 3}
    name = "org.careloop.thing.counted.v{}".format

    def up(version):
        def upcast(event):
            data = {"counts": [*event.data.get("counts", []), version]}
            return dataclasses.replace(event, type=name(steps[version]), data=data)

        return upcast

    upcasters = {name(version): up(version) for version in steps}
    seen = []

    async def counted(tx, event):
        seen.append((event.version, event.type, event.data))

    events = [thing(topic, "s", version, kind=name(version)) for version in (1, 2, 3)]
    await send(log, events)
    options = {"upcasters": upcasters}
    async with consuming(db, log, group, [topic], {name(3): counted}, **options):
        await until(lambda: len(seen) == 3)
    assert seen == [
        (1, name(3), {"counts": [1, 2]}),
        (2, name(3), {"counts": [2]}),
        (3, name(3), {"n": 3}),
    ]


async def test_a_passing_failure_is_tried_until_it_passes_and_parks_nothing(
    postgres_log, empty_database, group, db
):
    calls = 0

    async def away_at_first(tx, event):
        nonlocal calls
        calls += 1
        if calls <= 5:
            raise Unavailable("the object store is away")
        await note(tx, event)

    await postgres_log.ensure(["t.v1"])
    await send(postgres_log, [thing("t.v1", "s", 1), thing("t.v1", "s", 2)])
    async with consuming(db, postgres_log, group, ["t.v1"], {THING: away_at_first}):
        await until(of(db, "s", 2), 30)
    assert await versions(db, "s") == [1, 2]
    assert await _parked(db, group, 0)


async def test_a_failed_handler_leaves_nothing_of_its_effects(postgres_log, group, db):
    async def note_then_fail(tx, event):
        await note(tx, event)
        if event.version == 2:
            raise ValueError("after the effect")

    await postgres_log.ensure(["t.v1"])
    await send(postgres_log, [thing("t.v1", "s", 1), thing("t.v1", "s", 2)])
    async with consuming(db, postgres_log, group, ["t.v1"], {THING: note_then_fail}):
        await until(lambda: _parked(db, group, 1))
    assert await versions(db, "s") == [1]


async def test_a_second_owner_of_a_partition_applies_nothing_twice(postgres_log, group, db):
    """Two consumers that both believe they hold every partition: the offset row decides."""
    await postgres_log.ensure(["t.v1"])
    await send(postgres_log, [thing("t.v1", f"s{n % 9}", n // 9 + 1) for n in range(270)])
    one, two = (
        consuming(db, _AlwaysOwner(postgres_log, name), group, ["t.v1"], HANDLERS)
        for name in ("one", "two")
    )
    async with one, two:
        await until(lambda: _count(db, 270), 40)
    for n in range(9):
        assert await versions(db, f"s{n}") == list(range(1, 31))


class _AlwaysOwner:
    """The log, but each member has the partitions to itself, as two do in a split."""

    def __init__(self, log, name):
        self._log = log
        self._name = name
        self.ensure, self.identity = log.ensure, log.identity

    async def consumer(self, group, topics):
        return await self._log.consumer(f"{group}-{self._name}", topics)


async def test_too_many_poisonous_events_stop_the_partition_instead(postgres_log, group, db):
    async def refuse(tx, event):
        raise ValueError("this consumer is wrong")

    await postgres_log.ensure(["t.v1"])
    await send(postgres_log, [thing("t.v1", f"s{n}", 1) for n in range(60)])
    async with consuming(db, postgres_log, group, ["t.v1"], {THING: refuse}):
        await until(lambda: _at_least_parked(db, group, 10), 40)
        await asyncio.sleep(1.5)  # time in which more would be parked
        async with db.begin() as tx:
            assert (await parking.counts(tx, group))[0] < 20
        assert REGISTRY.get_sample_value("careloop_consumer_stopped", {"consumer": group}) >= 1
        blocked = {"consumer": group}
        await until(lambda: REGISTRY.get_sample_value("careloop_blocked_keys", blocked), 30)


async def _at_least_parked(db, group, count):
    async with db.begin() as tx:
        return (await parking.counts(tx, group))[0] >= count


async def test_skipping_one_event_lets_its_successors_be_replayed(postgres_log, group, db):
    await postgres_log.ensure(["t.v1"])
    await send(postgres_log, [thing("t.v1", "bad", v) for v in range(1, 7)])
    reader = Reader(group, {THING: refuse_four})
    async with consuming(db, postgres_log, group, ["t.v1"], reader.handlers):
        await until(lambda: _parked(db, group, 3))
    stopped = await repair.replay(db, reader, "t.v1", "bad")
    assert (stopped.applied, stopped.stopped_by) == (0, "ValueError")
    async with db.begin() as tx:
        (blocked,) = await repair.blocked_keys(tx, group)
        assert await repair.skip(tx, reader, blocked.first_id, actor="operator")
    done = await repair.replay(db, reader, "t.v1", "bad")
    assert (done.applied, done.stopped_by) == (2, "")
    assert await versions(db, "bad") == [1, 2, 3, 5, 6]
    assert await scalar(db, "SELECT actor FROM audit WHERE action = 'event.skip'") == "operator"


async def test_a_gap_can_be_accepted_by_an_operator(postgres_log, group, db):
    await postgres_log.ensure(["t.v1"])
    await send(postgres_log, [thing("t.v1", "s", 1), thing("t.v1", "s", 3), thing("t.v1", "s", 4)])
    async with consuming(db, postgres_log, group, ["t.v1"], HANDLERS):
        await until(lambda: _parked(db, group, 2))
    reader = Reader(group, HANDLERS)
    assert (await repair.replay(db, reader, "t.v1", "s")).stopped_by == "gap"
    done = await repair.replay(db, reader, "t.v1", "s", accept_gaps=True)
    assert (done.applied, done.stopped_by) == (2, "")
    assert await versions(db, "s") == [1, 3, 4]


async def test_a_consumer_ends_soon_after_stop_while_the_log_is_away(db, group):
    from svckit.consume import Consumer
    from svckit.eventlog import connect

    for url in ("postgresql://nobody@127.0.0.1:1/none", "kafka://127.0.0.1:1"):
        log = await connect(url)
        async with running(Consumer(db, log, group, ["t.v1"], HANDLERS).run):
            await asyncio.sleep(0.3)  # it is in the middle of trying


async def test_a_member_that_reads_nothing_while_events_wait_ends_its_process(db, postgres_log):
    from svckit.watch import Stuck, Watch

    at = TopicPartition("t.v1", 0)

    class Deaf:
        async def ends(self):
            return {at: 5}

    watch = Watch(db, postgres_log, "g", stuck_after_s=0.1)
    watch.moved(at, 3)

    async def look_on():
        while True:
            await watch.look(Deaf(), {}, set())
            await asyncio.sleep(0.02)

    with pytest.raises(Stuck):
        await asyncio.wait_for(look_on(), 5)


async def _end_connections(db):
    try:
        async with db.read() as session:
            await session.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
    except DBAPIError:
        await _end_connections(db)


async def _count_again(db, count):
    try:
        return await _count(db, count)
    except DBAPIError:  # our own connection was ended as well
        return False


async def test_a_database_connection_lost_in_the_middle_costs_nothing(postgres_log, group, db):
    await postgres_log.ensure(["t.v1"])
    async with consuming(db, postgres_log, group, ["t.v1"], HANDLERS):
        for round_ in range(6):
            await send(
                postgres_log,
                [thing("t.v1", f"s{n}", round_ + 1) for n in range(40)],
            )
            await _end_connections(db)
        await until(lambda: _count_again(db, 240), 40)
    for n in range(40):
        assert await versions(db, f"s{n}") == [1, 2, 3, 4, 5, 6]
    assert await _parked(db, group, 0)
