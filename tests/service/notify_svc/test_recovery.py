"""A partner that was away: the same events, in the same order, without a gap, and nothing more."""

from datetime import timedelta

import pytest
from notify_svc.actions import recovery
from svckit.clock import now
from svckit.db import taken_back
from svckit.ids import new_id

from tests.service.notify_svc.conftest import QUICK, key

DAY = timedelta(days=1)
CLOSE = timedelta(minutes=5)


@pytest.fixture
async def clinic(world):
    return await world.organisation()


@pytest.fixture
async def partner(world):
    return await world.organisation("social-service")


async def ages(world, **by):
    """Let everything that was told have been told that much earlier."""
    age = timedelta(**by)
    await world.sql("UPDATE feed_item SET told_at = told_at - CAST(:age AS interval)", age=age)
    await world.sql(
        "UPDATE message SET occurred_at = occurred_at - CAST(:age AS interval),"
        " expires_at = expires_at - CAST(:age AS interval)",
        age=age,
    )


async def recover(world, organisation, endpoint, since, *, status=202, **more):
    answer = await world.client(organisation).post(
        f"/v1/webhook-endpoints/{endpoint['id']}/recover",
        json={"since": since.isoformat(), **more},
        headers=key(),
    )
    assert answer.status_code == status, answer.text
    return answer.json()


async def shown(world, organisation, found):
    path = f"/v1/webhook-endpoints/{found['endpoint_id']}/recoveries/{found['id']}"
    answer = await world.client(organisation).get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def replay(world, organisation, found, **settings):
    """Turn keeper and sender until the recovery has ended; return it as it is then."""
    async with world.keeper(**settings) as keeper, world.sender() as sender:
        for _ in range(400):
            await keeper.turn()
            await sender.step()
            await sender.idle()
            at = await shown(world, organisation, found)
            if at["state"] != "running":
                return at
    raise AssertionError("the recovery does not end")


def ids(receiver):
    return [got.headers["webhook-id"] for got in receiver.got]


async def read(world, organisation, after=0):
    """The whole feed after a number, page by page."""
    found, more = [], True
    while more:
        page = await world.feed(organisation, after=after, limit=7)
        found += page["items"]
        after, more = page["next_after"], page["more"]
    return found


async def test_a_partner_that_was_away_for_a_day_replays_by_feed_and_by_recover(
    world, clinic, partner, receiver
):
    """It heard of some events, went away for a day, and comes back to a receiver that was rebuilt."""
    grant = await world.grant(clinic, partner, ["coordination"])
    endpoint = await world.endpoint(partner, receiver.url)
    before = [await world.happened("case.changed", clinic) for _ in range(5)]
    await world.deliver()
    last = (await read(world, partner))[-1]["seq"]
    left = now()
    receiver.will_answer(*[(500, {})] * 9 * len(QUICK))
    patient = {"breaker_opens_after": 1000}
    away = [await world.happened("case.changed", clinic) for _ in range(6)]
    await world.deliver(**patient)
    hidden = new_id("per"), new_id("cas")
    world_person, world_case = world.person, world.case
    world.person, world.case = hidden
    other = await world.grant(clinic, partner, ["coordination"])
    secret = [await world.happened("case.changed", clinic) for _ in range(3)]
    await world.deliver(**patient)
    await world.end(other)
    world.person, world.case = world_person, world_case
    # of the last it knows nothing yet: they have failed once and wait to be tried again
    receiver.will_answer(*[(500, {})] * 6)
    later = [await world.happened("need.identified", clinic) for _ in range(6)]
    async with world.sender(schedule_s=(0.0, 60.0), **patient) as loop:
        for _ in later:
            await loop.step()
            await loop.idle()
    assert grant
    await ages(world, days=1)
    assert len(await world.deliveries(partner, status="pending")) == 6
    await world.sql("UPDATE delivery SET step = 7, next_at = now() WHERE status = 'pending'")
    assert not receiver.answers
    receiver.got.clear()

    missed = await read(world, partner, after=last)
    expected = [event.id for event in away + later]
    assert [event["id"] for event in missed] == expected
    numbers = [event["seq"] for event in missed]
    assert numbers == sorted(numbers)
    assert not {event.id for event in secret} & set(expected)

    counted = await recover(world, partner, endpoint, left - DAY, dry_run=True)
    assert (counted["state"], counted["counted"], counted["queued"], counted["skipped"]) == (
        *("done", 15, 12, 3),
    )
    assert receiver.got == []
    begun = await recover(world, partner, endpoint, left - DAY)
    ended = await replay(world, partner, begun)
    assert ids(receiver) == expected
    assert {name: ended[name] for name in ("state", "counted", "queued", "skipped")} == {
        name: counted[name] for name in ("state", "counted", "queued", "skipped")
    }
    statuses = {d["event_id"]: d["status"] for d in await world.deliveries(partner, limit=200)}
    assert {statuses[event.id] for event in before + away + later} == {"delivered"}
    assert all(statuses[event.id] in {"exhausted", "cancelled"} for event in secret)


async def test_repeated_it_sends_nothing_that_has_arrived_unless_asked_to(world, clinic, receiver):
    endpoint = await world.endpoint(clinic, receiver.url)
    events = [await world.happened("case.changed", clinic) for _ in range(4)]
    await world.deliver()
    receiver.got.clear()
    begun = await recover(world, clinic, endpoint, now() - CLOSE)
    ended = await replay(world, clinic, begun)
    assert (ended["counted"], ended["queued"], ended["skipped"]) == (4, 0, 4)
    assert receiver.got == []
    begun = await recover(world, clinic, endpoint, now() - CLOSE, again=True)
    ended = await replay(world, clinic, begun)
    assert (ended["counted"], ended["queued"], ended["skipped"]) == (4, 4, 0)
    assert ids(receiver) == [event.id for event in events]


async def test_what_never_had_a_delivery_is_sent_in_its_place(world, clinic, receiver):
    """Registered later, or with a filter that left it out."""
    early = [await world.happened("case.changed", clinic) for _ in range(2)]
    endpoint = await world.endpoint(clinic, receiver.url, event_types=["case.*"])
    await world.happened("note.added", clinic)
    late = await world.happened("case.closed", clinic)
    await world.deliver()
    receiver.got.clear()
    ended = await replay(world, clinic, await recover(world, clinic, endpoint, now() - CLOSE))
    assert (ended["counted"], ended["queued"], ended["skipped"]) == (3, 2, 1)
    assert ids(receiver) == [event.id for event in early]
    assert (await world.deliveries(clinic, event_id=late.id))[0]["attempt_count"] == 1


async def test_only_the_period_that_was_asked_for_is_sent(world, clinic, receiver):
    told = []
    for _ in range(3):
        told.append(await world.happened("case.changed", clinic))
        await ages(world, hours=1)
    endpoint = await world.endpoint(clinic, receiver.url)
    since, until = (now() - timedelta(minutes=minutes) for minutes in (150, 90))
    begun = await recover(world, clinic, endpoint, since, until=until.isoformat())
    assert (await replay(world, clinic, begun))["counted"] == 1
    assert ids(receiver) == [told[1].id]


async def test_killed_at_any_step_it_goes_on_where_it_was(world, clinic, receiver):
    events = [await world.happened("case.changed", clinic) for _ in range(6)]
    endpoint = await world.endpoint(clinic, receiver.url)
    begun = await recover(world, clinic, endpoint, now() - CLOSE)
    for _ in range(len(events) + 1):
        async with world.db.begin() as tx, taken_back(tx):  # dies before it commits
            await recovery.advance(tx)
        async with world.db.begin() as tx:
            await recovery.advance(tx)
        await world.deliver()
    assert (await shown(world, clinic, begun))["state"] == "done"
    assert ids(receiver) == [event.id for event in events]


async def test_an_event_waits_for_the_one_before_while_that_is_tried(world, clinic, receiver):
    events = [await world.happened("case.changed", clinic) for _ in range(3)]
    endpoint = await world.endpoint(clinic, receiver.url)
    receiver.will_answer((500, {}), (500, {}))
    begun = await recover(world, clinic, endpoint, now() - CLOSE)
    await replay(world, clinic, begun)
    assert ids(receiver) == [events[0].id] * 3 + [event.id for event in events[1:]]


async def test_one_that_keeps_failing_holds_up_the_others_for_some_attempts_only(
    world, clinic, receiver
):
    events = [await world.happened("case.changed", clinic) for _ in range(2)]
    endpoint = await world.endpoint(clinic, receiver.url)
    begun = await recover(world, clinic, endpoint, now() - CLOSE)
    await world.keep()
    [first] = await world.deliveries(clinic, status="pending")
    await world.sql("UPDATE delivery SET step = :step, next_at = now() + interval '1 hour'", step=3)
    await world.keep()
    assert len(await world.deliveries(clinic, status="pending")) == 1
    await world.sql("UPDATE delivery SET step = 4")
    ended = await replay(world, clinic, begun)
    assert ended["state"] == "done"
    assert ids(receiver) == [events[1].id]
    assert (await world.delivery(clinic, first["id"]))["status"] == "pending"


async def test_while_the_endpoint_is_disabled_it_waits_and_then_goes_on_in_order(
    world, clinic, receiver
):
    endpoint = await world.endpoint(clinic, receiver.url)
    receiver.will_answer(*[(500, {})] * 4)
    events = [await world.happened("case.changed", clinic) for _ in range(4)]
    async with world.sender(schedule_s=(0.0, 60.0)) as loop:
        while receiver.answers:
            await loop.step()
            await loop.idle()
    receiver.got.clear()
    begun = await recover(world, clinic, endpoint, now() - CLOSE)
    waiting = await world.deliveries(clinic, status="pending")
    assert {one["reason"] for one in waiting} == {"waits-for-recovery"}
    await world.keep()
    client, path = world.client(clinic), f"/v1/webhook-endpoints/{endpoint['id']}"
    await client.patch(path, json={"enabled": False}, headers={"If-Match": '"1"'})
    await world.keep()
    at = await shown(world, clinic, begun)
    assert (at["state"], at["queued"]) == ("running", 1)
    refused = await recover(world, clinic, endpoint, now() - CLOSE, status=409)
    assert refused["code"] == "endpoint-disabled"
    await client.patch(path, json={"enabled": True}, headers={"If-Match": '"2"'})
    assert (await replay(world, clinic, begun))["queued"] == 4
    assert ids(receiver) == [event.id for event in events]


async def test_asked_again_while_it_runs_it_is_the_same_and_another_period_is_refused(
    world, clinic, receiver
):
    await world.happened("case.changed", clinic)
    endpoint = await world.endpoint(clinic, receiver.url)
    since = now() - CLOSE
    begun = await recover(world, clinic, endpoint, since)
    assert (await recover(world, clinic, endpoint, since))["id"] == begun["id"]
    refused = await recover(world, clinic, endpoint, since - CLOSE, status=409)
    assert (refused["code"], refused["recovery_id"]) == ("recovery-running", begun["id"])
    await recover(world, clinic, endpoint, since - CLOSE, dry_run=True)
    listed = await world.client(clinic).get(
        f"/v1/webhook-endpoints/{endpoint['id']}/recoveries", params={"limit": 1}
    )
    assert [one["dry_run"] for one in listed.json()["items"]] == [True]
    assert listed.json()["next"]


async def test_cancelled_it_queues_nothing_more(world, clinic, receiver):
    for _ in range(3):
        await world.happened("case.changed", clinic)
    endpoint = await world.endpoint(clinic, receiver.url)
    begun = await recover(world, clinic, endpoint, now() - CLOSE)
    await world.keep()
    path = f"/v1/webhook-endpoints/{endpoint['id']}/recoveries/{begun['id']}/cancel"
    for _ in range(2):
        ended = await world.client(clinic).post(path, headers=key())
        assert (ended.status_code, ended.json()["state"]) == (200, "cancelled")
    await world.deliver()
    await world.keep()
    await world.deliver()
    assert len(receiver.got) == 1


async def test_it_ends_with_its_endpoint(world, clinic, receiver):
    await world.happened("case.changed", clinic)
    endpoint = await world.endpoint(clinic, receiver.url)
    await recover(world, clinic, endpoint, now() - CLOSE)
    path = f"/v1/webhook-endpoints/{endpoint['id']}"
    await world.client(clinic).delete(path, headers={"If-Match": '"1"'})
    await world.keep()
    found = await world.sql("SELECT progress FROM recovery")
    assert found.scalars().all() == ["cancelled"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#/since"),
        ({"since": "yesterday"}, "#/since"),
        ({"since": "2026-01-01T00:00:00"}, "#/since"),
        ({"since": "2999-01-01T00:00:00Z"}, "#/since"),
        ({"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "#/since"),
        ({"since": "2026-01-02T00:00:00Z", "dry_run": "perhaps"}, "#/dry_run"),
        ({"since": "2026-01-02T00:00:00Z", "endpoint": "x"}, "#/endpoint"),
    ],
)
async def test_a_period_that_is_none_is_refused_and_nothing_begun(
    world, clinic, receiver, body, pointer
):
    endpoint = await world.endpoint(clinic, receiver.url)
    path = f"/v1/webhook-endpoints/{endpoint['id']}/recover"
    answer = await world.client(clinic).post(path, json=body, headers=key())
    assert answer.status_code == 422
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert (await world.sql("SELECT count(*) FROM recovery")).scalar_one() == 0


async def test_another_organisations_endpoint_and_recovery_are_not_there(
    world, clinic, partner, receiver
):
    endpoint = await world.endpoint(clinic, receiver.url)
    begun = await recover(world, clinic, endpoint, now() - CLOSE)
    path = f"/v1/webhook-endpoints/{endpoint['id']}"
    for method, route in (
        ("POST", f"{path}/recover"),
        ("GET", f"{path}/recoveries"),
        ("GET", f"{path}/recoveries/{begun['id']}"),
        ("POST", f"{path}/recoveries/{begun['id']}/cancel"),
        ("POST", f"{path}/verify"),
    ):
        body = {"since": "2026-01-02T00:00:00Z"} if route.endswith("recover") else None
        for client, status in (
            (world.client(partner), 404),
            (world.client(clinic, scopes="events.read"), 403),
            (world.stranger(), 401),
        ):
            answer = await client.request(method, route, json=body, headers=key())
            assert answer.status_code == status, route
    assert (await shown(world, clinic, begun))["state"] == "running"
