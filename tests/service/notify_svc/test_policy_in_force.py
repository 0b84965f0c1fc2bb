"""Feed and webhooks follow the published policy; what came before it is told once it is there."""

import asyncio
import hashlib
import json
import time
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta

import pytest
from notify_svc.consumer import HANDLERS
from sharing import policy
from svckit.clock import now

NETWORK = f"pol_{'0' * 26}"
OWN = json.loads(policy.carried().text)
# half a second on a machine of its own
WITHIN_S = 5.0


@pytest.fixture(autouse=True)
def _forgotten():
    policy._last.clear()
    yield
    policy._last.clear()


@pytest.fixture
async def shared(world, receiver):
    """A clinic's events that a food bank with an endpoint may learn of."""
    clinic, pantry = await world.organisation(), await world.organisation("social-service")
    await world.grant(clinic, pantry, ["coordination", "clinical"])
    await world.endpoint(pantry, receiver.url)
    yield clinic, pantry
    await publish(world, *OWN["ceilings"]["social-service"]["COC"])


async def publish(world, *classes, at=None):
    """Let the consumer take a policy that shows social services these classes."""
    content = deepcopy(OWN)
    content["ceilings"]["social-service"]["COC"] = list(classes)
    text = policy.read(content).text
    version = hashlib.sha256(text.encode()).hexdigest()
    change = {"version": version, "previous": None, "canonical": text}
    event = world.event("policy.published", NETWORK, change, custodian_id="org_x")
    async with world.db.begin() as tx:
        await HANDLERS[event.type](tx, replace(event, time=at or now()))
    return version


async def until_told(world, organisation, kinds):
    deadline = time.monotonic() + WITHIN_S
    while (found := await world.told(organisation)) != kinds:
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.02)


async def test_the_feed_follows_the_policy_without_a_restart(world, shared):
    clinic, pantry = shared
    await world.happened("case.opened", clinic)
    await until_told(world, pantry, ["case.opened"])
    await publish(world, "identity")
    await until_told(world, pantry, [])
    await publish(world, "identity", "coordination")
    await until_told(world, pantry, ["case.opened"])


async def test_a_webhook_that_waits_is_decided_by_the_policy_of_its_attempt(
    world, shared, receiver
):
    clinic, pantry = shared
    await world.happened("case.opened", clinic)
    await publish(world, "identity")
    await until_told(world, pantry, [])
    await world.deliver()
    assert receiver.got == []
    version = await publish(world, "coordination")
    await until_told(world, pantry, ["case.opened"])
    await world.happened("case.changed", clinic)
    await world.deliver()
    assert [json.loads(got.body)["type"] for got in receiver.got] == [
        "org.careloop.case.changed.v1"
    ]
    rows = await world.sql("SELECT value FROM outbox ORDER BY seq")
    assert json.loads(rows.all()[-1].value)["change"]["policy"] == version


async def test_what_happened_under_a_policy_that_came_late_is_told(world, shared, receiver):
    clinic, pantry = shared
    await world.happened("note.added", clinic, classes=["clinical"])
    since = now()
    await world.happened("need.changed", clinic, classes=["clinical"])
    assert await world.told(pantry) == []
    await publish(world, "coordination", "clinical", at=since)
    await until_told(world, pantry, ["need.changed"])
    await publish(world, "coordination", "clinical", at=since - timedelta(microseconds=1))
    await until_told(world, pantry, ["need.changed"])
    await world.deliver()
    assert len(receiver.got) == 1
