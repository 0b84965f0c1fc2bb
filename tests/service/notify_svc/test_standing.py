"""An endpoint that fails is warned of at half and three quarters of the way, and then disabled."""

import json

import pytest

from tests.service.notify_svc.conftest import key

HOURS = 72 * 3600


@pytest.fixture
async def clinic(world):
    return await world.organisation()


@pytest.fixture
async def endpoint(world, clinic, receiver):
    return await world.endpoint(clinic, receiver.url)


async def fails(world, receiver, clinic, *, messages, hours):
    """Let further messages fail, the last success having been so many hours ago."""
    receiver.will_answer(*[(500, {})] * 3 * messages)
    for _ in range(messages):
        await world.happened("case.changed", clinic)
    await world.deliver()
    await world.sql(
        "UPDATE webhook_endpoint SET last_success_at = now() - make_interval(hours => :hours)",
        hours=hours,
    )
    await world.keep()


def notices(told):
    return [kind for kind in told if kind.startswith("webhook.")]


async def test_the_owner_is_told_once_at_each_level_and_then_it_is_disabled(
    world, clinic, endpoint, receiver
):
    for messages, hours, percent, told in (
        (4, 71, 0, []),
        (1, 35, 0, []),
        (0, 37, 50, ["warned"]),
        (0, 50, 50, ["warned"]),
        (3, 55, 75, ["warned", "warned"]),
        (2, 71, 75, ["warned", "warned"]),
        (0, 73, 100, ["warned", "warned", "disabled"]),
        (0, 99, 100, ["warned", "warned", "disabled"]),
    ):
        await fails(world, receiver, clinic, messages=messages, hours=hours)
        shown = await world.shown(clinic, endpoint["id"])
        assert shown["warned_percent"] == percent, (messages, hours)
        assert notices(await world.told(clinic)) == [f"webhook.endpoint.{each}" for each in told]
    assert (shown["state"], shown["disabled_reason"]) == ("disabled", "failing")
    assert shown["failed_messages"] == 10


async def test_another_endpoint_of_the_organisation_is_told_and_no_other_organisation(
    world, clinic, endpoint, receiver, receivers
):
    other = await world.organisation()
    await world.endpoint(other, receiver.url)
    async with receivers().serve() as second:
        await world.endpoint(clinic, second.url, event_types=["webhook.*"])
        receiver.will_answer((410, {}))
        await world.happened("case.opened", clinic)
        await world.deliver()
        await world.deliver()
        [got] = second.got
    told = json.loads(got.body)
    assert told["type"] == "org.careloop.webhook.endpoint.disabled.v1"
    assert told["data"]["href"] == f"/v1/webhook-endpoints/{endpoint['id']}"
    assert await world.told(other) == []


async def test_a_success_begins_the_count_anew(world, clinic, endpoint, receiver):
    await fails(world, receiver, clinic, messages=8, hours=60)
    assert (await world.shown(clinic, endpoint["id"]))["warned_percent"] == 75
    await world.happened("case.changed", clinic)
    await world.deliver()
    shown = await world.shown(clinic, endpoint["id"])
    assert (shown["failed_messages"], shown["warned_percent"]) == (0, 0)
    await fails(world, receiver, clinic, messages=5, hours=40)
    assert notices(await world.told(clinic)) == ["webhook.endpoint.warned"] * 2


async def test_enabled_again_it_has_its_time_again_and_what_was_held_goes_out(
    world, clinic, endpoint, receiver
):
    await fails(world, receiver, clinic, messages=10, hours=73)
    await world.happened("case.closed", clinic)
    held = await world.deliveries(clinic, status="held")
    assert {d["event_type"] for d in held} >= {"org.careloop.case.closed.v1"}
    client, path = world.client(clinic), f"/v1/webhook-endpoints/{endpoint['id']}"
    found = await client.get(path)
    again = await client.patch(
        path, json={"enabled": True}, headers={**key(), "If-Match": found.headers["ETag"]}
    )
    assert (again.json()["state"], again.json()["warned_percent"]) == ("enabled", 0)
    await world.keep()
    await world.deliver()
    assert await world.deliveries(clinic, status="held") == []
    assert (await world.shown(clinic, endpoint["id"]))["state"] == "enabled"
