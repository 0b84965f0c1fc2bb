"""A key that waited is free with the last of its events: no death leaves it blocked for nothing."""

import contextlib

from sqlalchemy import text
from svckit import parking, repair
from svckit.inbox import Reader

from tests.service.eventlog.world import (
    THING,
    consuming,
    note,
    scalar,
    send,
    thing,
    until,
    versions,
)

HANDLERS = {THING: note}
_FUNCTION = """
CREATE FUNCTION blocked_for_something() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF EXISTS (SELECT FROM blocked_key b WHERE NOT EXISTS (
      SELECT FROM parked_message p WHERE (p.topic, p.key) = (b.topic, b.key)))
  THEN RAISE EXCEPTION 'a key is blocked and nothing waits behind it'; END IF;
  RETURN NULL; END $$
"""
_TRIGGER = """
CREATE CONSTRAINT TRIGGER blocked_for_something AFTER DELETE ON parked_message
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION blocked_for_something()
"""
_PARKED = "SELECT count(*) = :count FROM parked_message"
_FREE = "SELECT count(*) = 0 FROM blocked_key"


@contextlib.asynccontextmanager
async def three_waits(log, topic, group, db):
    """A consumer that has applied the first version of `s` and holds the third."""
    await send(log, [thing(topic, "s", 1), thing(topic, "s", 3)])
    async with consuming(db, log, group, [topic], HANDLERS):
        await until(lambda: scalar(db, _PARKED, count=1))
        yield


async def test_a_key_is_free_in_the_commit_of_the_last_event_that_waited(log, topic, group, db):
    """Who is killed right after that commit leaves nothing blocked, and no mark waits for it."""
    async with db.begin() as tx:
        await tx.execute(text(_FUNCTION))
        await tx.execute(text(_TRIGGER))
    await send(log, [thing(topic, "s", 1), thing(topic, "s", 3), thing(topic, "s", 4)])
    async with consuming(db, log, group, [topic], HANDLERS):
        await until(lambda: scalar(db, _PARKED, count=2))
        await send(log, [thing(topic, "s", 2)])
        await until(lambda: scalar(db, _FREE))
    assert await versions(db, "s") == [1, 2, 3, 4]


async def test_a_key_that_is_blocked_for_nothing_is_free_after_a_start(log, topic, group, db):
    async with three_waits(log, topic, group, db):
        pass
    async with db.begin() as tx:
        await parking.save_versions(tx, group, {"s": 3})
        await tx.execute(text("DELETE FROM parked_message"))
    async with consuming(db, log, group, [topic], HANDLERS):
        await until(lambda: scalar(db, _FREE))


async def test_a_key_whose_missing_version_was_applied_by_one_that_died_goes_on(
    log, topic, group, db
):
    """Who applies the missing version replays what waited behind it, unless it is killed first."""
    async with three_waits(log, topic, group, db):
        pass
    async with db.begin() as tx:
        await parking.save_versions(tx, group, {"s": 2})
    async with consuming(db, log, group, [topic], HANDLERS):
        await until(lambda: scalar(db, _FREE))
    assert await versions(db, "s") == [1, 3]


async def test_a_version_that_comes_in_the_batch_of_those_it_was_missing_to_lets_them_go_on(
    log, topic, group, db
):
    """What a consumer meets that was away: the gap opens and closes before it has read either."""
    await send(log, [thing(topic, "s", version) for version in (1, 3, 2, 4)])
    async with consuming(db, log, group, [topic], HANDLERS):
        await until(lambda: scalar(db, "SELECT count(*) = 4 FROM ledger"))
        assert await scalar(db, _FREE)
    assert await versions(db, "s") == [1, 2, 3, 4]


async def test_a_key_goes_on_whose_missing_version_a_former_owner_applied_and_died(
    log, topic, group, db
):
    """It had read the version before it lost the partition, and applied it after we began."""
    async with three_waits(log, topic, group, db):
        async with db.begin() as tx:
            await parking.save_versions(tx, group, {"s": 2})
            passing = "UPDATE consumer_offset SET next_offset = next_offset + 1"
            await tx.execute(text(f"{passing} WHERE next_offset > 0"))
        await send(log, [thing(topic, "s", 2)])
        await until(lambda: scalar(db, _FREE))
    assert await versions(db, "s") == [1, 3]


async def test_a_key_is_free_when_the_last_event_that_waited_is_given_up(log, topic, group, db):
    async with three_waits(log, topic, group, db):
        async with db.begin() as tx:
            [blocked] = await repair.blocked_keys(tx, group)
            reader = Reader(group, HANDLERS)
            assert await repair.skip(tx, reader, blocked.first_id, actor="operator")
        assert await scalar(db, _FREE)
        await send(log, [thing(topic, "s", 4)])
        await until(lambda: scalar(db, "SELECT count(*) = 2 FROM ledger"))
    assert await versions(db, "s") == [1, 4]
