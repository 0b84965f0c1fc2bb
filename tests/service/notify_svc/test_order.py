"""In order where a partner asks for it, and no more than the newest where that is enough."""

import asyncio

import pytest
from notify_svc.actions import attempts
from sharing.classes import mask_of
from svckit.ids import new_id

from tests.service.notify_svc.conftest import match


@pytest.fixture
async def clinic(world):
    return await world.organisation()


@pytest.fixture
async def ordered(world, clinic, receiver):
    return await world.endpoint(clinic, receiver.url, ordering="fifo")


@pytest.fixture
async def coalescing(world, clinic, receiver):
    return await world.endpoint(clinic, receiver.url, coalesce=True)


def arrived(receiver):
    return [got.headers["webhook-id"] for got in receiver.got]


async def by_event(world, organisation):
    return {d["event_id"]: d for d in await world.deliveries(organisation, limit=200)}


async def once(world):
    async with world.sender() as loop:
        await loop.step()
        await loop.idle()


async def test_the_next_of_a_case_waits_for_the_2xx_of_the_one_before(
    world, clinic, ordered, receiver
):
    receiver.will_answer((500, {}))
    first = await world.happened("case.opened", clinic)
    second = await world.happened("case.changed", clinic)
    await once(world)
    assert arrived(receiver) == [first.id]
    waiting = (await by_event(world, clinic))[second.id]
    assert (waiting["status"], waiting["reason"]) == ("pending", "waits-for-predecessor")
    assert waiting["next_attempt_at"] is None
    await world.deliver()
    assert arrived(receiver) == [first.id, first.id, second.id]


async def test_a_case_that_waits_holds_up_no_other(world, clinic, ordered, receiver):
    receiver.will_answer((500, {}))
    first = await world.happened("case.opened", clinic)
    await world.happened("case.changed", clinic)
    other = await world.happened("case.changed", clinic, case_id=new_id("cas"))
    await once(world)
    assert set(arrived(receiver)) == {first.id, other.id}


@pytest.mark.parametrize("status", ["exhausted", "expired", "cancelled"])
async def test_one_that_has_ended_visibly_lets_the_next_go(
    world, clinic, ordered, receiver, status
):
    first = await world.happened("case.opened", clinic)
    second = await world.happened("case.changed", clinic)
    if status == "exhausted":
        receiver.will_answer(*[(500, {})] * 3)
    elif status == "expired":
        await world.sql("UPDATE message SET expires_at = now() WHERE id = :id", id=first.id)
    else:
        other = await world.organisation()
        await world.sql(
            "UPDATE message SET custodian_id = :other, parties = '{}', classes = :classes"
            " WHERE id = :id",
            other=other,
            classes=int(mask_of(["notes"])),
            id=first.id,
        )
    await world.deliver()
    found = await by_event(world, clinic)
    assert (found[first.id]["status"], found[second.id]["status"]) == (status, "delivered")
    assert arrived(receiver)[-1] == second.id


async def test_several_senders_keep_the_order_of_every_case(world, clinic, ordered, receiver):
    cases = [new_id("cas") for _ in range(3)]
    expected = {case: [] for case in cases}
    for _ in range(6):
        for case in cases:
            event = await world.happened("case.changed", clinic, case_id=case)
            expected[case].append(event.id)
    receiver.will_answer((500, {}), (204, {}), (500, {}))
    await asyncio.gather(world.deliver(), world.deliver(), world.deliver())
    seen = list(dict.fromkeys(arrived(receiver)))
    for ids in expected.values():
        assert [each for each in seen if each in ids] == ids
    assert {d["status"] for d in await world.deliveries(clinic)} == {"delivered"}


async def test_after_a_crash_the_next_still_waits(world, clinic, ordered, receiver):
    first = await world.happened("case.opened", clinic)
    second = await world.happened("case.changed", clinic)
    async with world.db.begin() as tx:
        [lost] = (await attempts.claim(tx, world.settings, healthy=9, slow=9)).claims
    assert lost.message_id == first.id
    await once(world)
    assert receiver.got == []
    await world.sql("UPDATE delivery SET next_at = now() WHERE status = 'sending'")
    await world.deliver()
    assert arrived(receiver) == [first.id, second.id]


async def test_a_backlog_behind_one_message_is_not_looked_through_again(
    world, clinic, ordered, receiver
):
    receiver.will_answer((503, {"Retry-After": "600"}))
    for _ in range(30):
        await world.happened("case.changed", clinic)
    await once(world)
    found = await world.sql("SELECT count(*) FROM delivery WHERE next_at <= now()")
    assert found.scalar_one() == 0
    async with world.sender() as loop:
        assert not await loop.step()


async def test_whoever_wants_no_order_any_more_gets_everything_at_once(
    world, clinic, ordered, receiver
):
    receiver.will_answer((503, {"Retry-After": "600"}))
    first = await world.happened("case.opened", clinic)
    second = await world.happened("case.changed", clinic)
    await once(world)
    path = f"/v1/webhook-endpoints/{ordered['id']}"
    changed = await world.client(clinic).patch(path, json={"ordering": "none"}, headers=match(1))
    assert changed.json()["ordering"] == "none"
    await world.deliver()
    assert arrived(receiver) == [first.id, second.id]


async def test_disabling_and_enabling_keeps_the_order(world, clinic, ordered, receiver):
    receiver.will_answer((410, {}))
    events = [await world.happened("case.changed", clinic) for _ in range(4)]
    await world.deliver()
    assert {d["status"] for d in await world.deliveries(clinic)} == {"held"}
    path = f"/v1/webhook-endpoints/{ordered['id']}"
    await world.client(clinic).patch(path, json={"enabled": True}, headers=match(2))
    await world.deliver()
    assert arrived(receiver) == [events[0].id, *(event.id for event in events)]


async def test_of_what_waits_about_one_subject_only_the_newest_is_sent(
    world, clinic, coalescing, receiver
):
    subject = new_id("ref")
    old = [await world.happened("case.changed", clinic, subject=subject) for _ in range(2)]
    newest = await world.happened("case.changed", clinic, subject=subject)
    other = await world.happened("case.changed", clinic)
    await world.deliver()
    assert set(arrived(receiver)) == {newest.id, other.id}
    found = await by_event(world, clinic)
    for event in old:
        assert (found[event.id]["status"], found[event.id]["reason"]) == ("cancelled", "superseded")
        assert found[event.id]["ended_at"] is not None


async def test_a_retry_is_superseded_by_what_came_meanwhile(world, clinic, coalescing, receiver):
    subject = new_id("ref")
    receiver.will_answer((503, {"Retry-After": "600"}))
    old = await world.happened("case.changed", clinic, subject=subject)
    await once(world)
    newest = await world.happened("case.changed", clinic, subject=subject)
    await world.deliver()
    assert arrived(receiver) == [old.id, newest.id]
    found = (await by_event(world, clinic))[old.id]
    assert (found["status"], found["reason"], found["attempt_count"]) == (
        "cancelled",
        "superseded",
        1,
    )


async def test_a_newer_one_that_may_not_be_told_supersedes_nothing(world, clinic, receiver):
    agency = await world.organisation("social-service")
    await world.endpoint(agency, receiver.url, coalesce=True)
    await world.grant(clinic, agency, ["coordination"])
    subject = new_id("ref")
    old = await world.happened("case.changed", clinic, subject=subject)
    hidden = await world.happened("case.changed", clinic, subject=subject)
    notes = int(mask_of(["notes"]))
    await world.sql("UPDATE message SET classes = :notes WHERE id = :id", notes=notes, id=hidden.id)
    await world.deliver()
    assert arrived(receiver) == [old.id]
    found = await by_event(world, agency)
    assert found[hidden.id]["reason"] == "no-longer-visible"


async def test_without_the_wish_every_version_is_sent(world, clinic, receiver):
    await world.endpoint(clinic, receiver.url)
    subject = new_id("ref")
    for _ in range(3):
        await world.happened("case.changed", clinic, subject=subject)
    await world.deliver()
    assert len(receiver.got) == 3


async def test_in_order_and_only_the_newest_go_together(world, clinic, receiver):
    await world.endpoint(clinic, receiver.url, ordering="fifo", coalesce=True)
    subject = new_id("ref")
    before = await world.happened("case.opened", clinic)
    for _ in range(3):
        newest = await world.happened("case.changed", clinic, subject=subject)
    await world.deliver()
    assert arrived(receiver) == [before.id, newest.id]
