"""A handler of many events: partitions in one transaction, and apart again where one of them fails."""

import pytest
from svckit import parking
from svckit.errors import Unavailable
from svckit.inbox import Together

from tests.service.eventlog.test_consume import _AlwaysOwner
from tests.service.eventlog.world import (
    THING,
    consuming,
    ledger,
    note,
    send,
    thing,
    until,
    versions,
)

OTHER = "org.careloop.other.changed.v1"


class Many:
    """Notes each event, remembers how many came at once, and fails as it is told."""

    def __init__(self, fails=lambda _: None):
        self.calls, self.fails = [], fails
        self.handler = Together(self.apply)

    async def apply(self, tx, events):
        self.calls.append(len(events))
        for event in events:
            await note(tx, event)
            self.fails(event)


@pytest.fixture
async def topic(postgres_log):
    await postgres_log.ensure(["t.v1"])
    return "t.v1"


async def _count(db, count):
    return len(await ledger(db)) == count


async def _parked(db, group, count):
    async with db.begin() as tx:
        return (await parking.counts(tx, group))[0] == count


async def test_events_of_all_partitions_are_handled_at_once_each_key_in_order(
    postgres_log, topic, group, db
):
    many = Many()
    await send(postgres_log, [thing(topic, f"s{n % 20}", n // 20 + 1) for n in range(80)])
    async with consuming(db, postgres_log, group, [topic], {THING: many.handler}):
        await until(lambda: _count(db, 80))
    assert many.calls == [80]
    for n in range(20):
        assert await versions(db, f"s{n}") == [1, 2, 3, 4]


async def test_what_another_handler_takes_is_handled_in_between(postgres_log, topic, group, db):
    many = Many()
    await send(
        postgres_log,
        [
            thing(topic, "a", 1, key="k"),
            thing(topic, "b", 1, key="k"),
            thing(topic, "c", 1, key="k", kind=OTHER),
            thing(topic, "a", 2, key="k"),
        ],
    )
    handlers = {THING: many.handler, OTHER: note}
    async with consuming(db, postgres_log, group, [topic], handlers):
        await until(lambda: _count(db, 4))
    assert await ledger(db) == [("a", 1), ("b", 1), ("c", 1), ("a", 2)]
    assert many.calls == [2, 1]


async def test_an_event_that_cannot_be_applied_is_parked_alone(postgres_log, topic, group, db):
    def fails(event):
        if (event.subject, event.version) == ("s3", 2):
            raise ValueError("this one")

    many = Many(fails)
    await send(postgres_log, [thing(topic, f"s{n % 20}", n // 20 + 1) for n in range(60)])
    async with consuming(db, postgres_log, group, [topic], {THING: many.handler}):
        await until(lambda: _count(db, 58), 40)
        await until(lambda: _parked(db, group, 2))
    for n in range(20):
        assert await versions(db, f"s{n}") == ([1] if n == 3 else [1, 2, 3])


async def test_a_partition_that_has_to_wait_keeps_no_other_waiting(postgres_log, topic, group, db):
    is_away = True

    def fails(event):
        if event.subject == "s3" and is_away:
            raise Unavailable("what s3 needs is away")

    many = Many(fails)
    await send(postgres_log, [thing(topic, f"s{n}", 1) for n in range(20)])
    async with consuming(db, postgres_log, group, [topic], {THING: many.handler}):
        await until(lambda: _applied(db, 12))
        assert await versions(db, "s3") == []
        is_away = False
        await until(lambda: _count(db, 20), 40)
    assert await _parked(db, group, 0)


async def _applied(db, count):
    return len(await ledger(db)) >= count


async def test_a_version_that_was_missing_mends_its_key(postgres_log, topic, group, db):
    many = Many()
    others = [thing(topic, f"s{n}", 1) for n in range(10)]
    await send(postgres_log, [*others, thing(topic, "a", 1), thing(topic, "a", 3)])
    async with consuming(db, postgres_log, group, [topic], {THING: many.handler}):
        await until(lambda: _parked(db, group, 1))
        later = [thing(topic, f"s{n}", 2) for n in range(10)]
        await send(postgres_log, [*later, thing(topic, "a", 2)])
        await until(lambda: _count(db, 23))
        await until(lambda: _parked(db, group, 0))
    assert await versions(db, "a") == [1, 2, 3]


async def test_two_owners_of_all_partitions_apply_nothing_twice(postgres_log, topic, group, db):
    await send(postgres_log, [thing(topic, f"s{n % 9}", n // 9 + 1) for n in range(270)])
    one, two = (
        consuming(db, _AlwaysOwner(postgres_log, name), group, [topic], {THING: Many().handler})
        for name in ("one", "two")
    )
    async with one, two:
        await until(lambda: _count(db, 270), 40)
    for n in range(9):
        assert await versions(db, f"s{n}") == list(range(1, 31))
