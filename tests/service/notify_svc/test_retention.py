"""What is old is removed in batches; what was not delivered has ended as expired before, and a
reader of the feed is told that something is missing."""

from datetime import timedelta

import pytest
from notify_svc.domain.schedule import KEEP_DAYS
from svckit.clock import now

from tests.service.notify_svc.conftest import key

TABLES = ("message", "feed_item", "delivery", "delivery_attempt")


@pytest.fixture
async def clinic(world):
    return await world.organisation()


@pytest.fixture
async def endpoint(world, clinic, receiver):
    return await world.endpoint(clinic, receiver.url)


async def ages(world, days):
    """Let everything there is be so many days older."""
    for table, columns in (
        ("feed_item", ("told_at",)),
        ("message", ("occurred_at", "expires_at")),
        ("delivery", ("created_at", "next_at")),
    ):
        moved = ", ".join(f"{name} = {name} - make_interval(days => :days)" for name in columns)
        await world.sql(f"UPDATE {table} SET {moved}", days=days)


async def counts(world):
    return [(await world.sql(f"SELECT count(*) FROM {table}")).scalar_one() for table in TABLES]


async def test_after_its_time_everything_of_a_message_is_removed(world, clinic, endpoint, receiver):
    for _ in range(5):
        await world.happened("case.changed", clinic)
    await world.deliver()
    await ages(world, KEEP_DAYS - 1)
    await world.keep()
    assert await counts(world) == [5, 5, 5, 5]
    await ages(world, 1)
    kept = await world.happened("case.closed", clinic)
    await world.deliver()
    await world.keep(forget_batch=2)
    assert await counts(world) == [4, 4, 4, 4]
    async with world.keeper(forget_batch=2) as keeper:
        for _ in range(3):
            await keeper.turn()
    assert await counts(world) == [1, 1, 1, 1]
    assert [event["id"] for event in (await world.feed(clinic))["items"]] == [kept.id]


async def test_a_shorter_time_is_a_setting(world, clinic, endpoint, receiver):
    await world.happened("case.changed", clinic)
    await world.deliver()
    await ages(world, 7)
    await world.keep(keep_days=8)
    assert await counts(world) == [1, 1, 1, 1]
    await world.keep(keep_days=7)
    assert await counts(world) == [0, 0, 0, 0]


async def test_what_was_never_delivered_ends_as_expired_before_it_is_removed(
    world, clinic, endpoint, receiver
):
    await world.happened("case.changed", clinic)
    await ages(world, KEEP_DAYS - 1)
    await world.sql("UPDATE message SET expires_at = now()")
    await world.keep()
    shown = await world.delivery(clinic)
    assert (shown["status"], shown["attempt_count"]) == ("expired", 0)
    assert shown["ended_at"]
    await world.deliver()
    assert receiver.got == []
    again = await world.client(clinic).post(
        f"/v1/deliveries/{shown['id']}/redeliver", headers=key()
    )
    assert again.json()["code"] == "message-expired"


async def test_what_is_held_expires_too_and_what_is_being_sent_is_waited_for(
    world, clinic, endpoint, receiver
):
    await world.happened("case.changed", clinic)
    await world.happened("case.closed", clinic)
    await world.sql(
        "UPDATE delivery SET status = CASE WHEN message_id = (SELECT min(id) FROM message)"
        " THEN 'held' ELSE 'sending' END, next_at = now() + interval '1 hour'"
    )
    await ages(world, KEEP_DAYS)
    await world.sql("UPDATE delivery SET next_at = now() + interval '1 hour'")
    await world.keep()
    assert await counts(world) == [1, 1, 1, 0]
    [left] = await world.deliveries(clinic)
    assert left["status"] == "sending"


async def test_a_reader_whose_place_was_removed_is_told_so_and_a_new_one_begins_with_what_is_kept(
    world, clinic
):
    for _ in range(4):
        await world.happened("case.changed", clinic)
    await ages(world, KEEP_DAYS)
    kept = await world.happened("case.closed", clinic)
    await world.keep()
    client = world.client(clinic)
    for after in (1, 3):
        gone = await client.get("/v1/events", params={"after": after})
        assert (gone.status_code, gone.json()["code"]) == (410, "feed-position-expired")
        assert gone.json()["kept_after"] == 4
    for after in (0, 4):
        page = await world.feed(clinic, after=after)
        assert [(event["seq"], event["id"]) for event in page["items"]] == [(5, kept.id)]


async def test_another_organisations_feed_is_untouched(world, clinic):
    other = await world.organisation()
    await world.happened("case.changed", clinic)
    await ages(world, KEEP_DAYS)
    for _ in range(2):
        await world.happened("case.changed", other)
    await world.keep()
    assert len((await world.feed(other, after=1))["items"]) == 1


async def test_what_was_told_late_is_kept_its_time_from_then_on(world, clinic):
    """A grant that comes late tells of an old event: its recipient has as long as anyone."""
    partner = await world.organisation("social-service")
    event = await world.happened("case.changed", clinic)
    await ages(world, KEEP_DAYS - 2)
    await world.grant(clinic, partner, ["coordination"])
    await world.sql("UPDATE sharing_grant SET valid_from = valid_from - interval '60 days'")
    await world.sql("UPDATE sharing_agreement SET valid_from = valid_from - interval '60 days'")
    await world.sql("INSERT INTO feed_head (organisation_id, seq) VALUES (:org, 1)", org=partner)
    await world.sql(
        "INSERT INTO feed_item (organisation_id, seq, message_id, kind)"
        " VALUES (:org, 1, :id, 'case.changed')",
        org=partner,
        id=event.id,
    )
    await world.sql("UPDATE message SET expires_at = now()")
    await world.keep()
    assert [one["id"] for one in (await world.feed(partner))["items"]] == [event.id]


async def test_a_recovery_of_what_was_removed_is_refused(world, clinic, endpoint, receiver):
    await world.happened("case.changed", clinic)
    await world.deliver()
    await ages(world, KEEP_DAYS)
    await world.happened("case.closed", clinic)
    await world.keep()
    path = f"/v1/webhook-endpoints/{endpoint['id']}/recover"
    for days, status in ((KEEP_DAYS + 1, 410), (KEEP_DAYS - 1, 202)):
        body = {"since": (now() - timedelta(days=days)).isoformat(), "dry_run": True}
        answer = await world.client(clinic).post(path, json=body, headers=key())
        assert answer.status_code == status
        if status == 410:
            assert answer.json()["code"] == "feed-position-expired"
            assert answer.json()["kept_since"]


async def test_two_processes_forget_once(world, clinic, endpoint, receiver):
    for _ in range(3):
        await world.happened("case.changed", clinic)
    await world.deliver()
    await ages(world, KEEP_DAYS)
    async with world.keeper() as one, world.keeper() as other:
        await one.turn()
        await other.turn()
    assert await counts(world) == [0, 0, 0, 0]
