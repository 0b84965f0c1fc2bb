"""What is done to the path while a guard is missing; each scene ends when it has come to its point."""

import asyncio
import random
import signal
import time

from svckit import contracts
from svckit.db import Database

from tests.chaos import faults, histories, monitor, partners, plan
from tests.chaos.check_webhooks import GRACE_S
from tests.chaos.generator import Changes, case_id
from tests.chaos.supervisor import Part

WITHIN_S = 240
MEETS_S = 60
SENDER = "notify-deliver-1"  # the one that is struck


async def repeated(stage):
    await asyncio.sleep(3)
    await faults.repeat(stage)


async def late_version(stage):
    await asyncio.sleep(1)
    await partners.gap(stage)


async def struck(stage):
    """Wait until the armed place strikes, and until whoever was stopped goes on."""
    async with asyncio.timeout(WITHIN_S):
        while not stage.faults:
            await asyncio.sleep(0.1)
        await asyncio.sleep(2 * plan.LEASE_S + 3)


async def some_seconds(_):
    await asyncio.sleep(4)


async def sent_twice(stage):
    """Relays that hold the same slots meet at an event when both are awake; wait until they did."""
    deadline = time.monotonic() + MEETS_S
    records = distinct = 0
    while records == distinct and time.monotonic() < deadline:
        await asyncio.sleep(0.5)
        records, distinct = await histories.in_the_log(stage.world)


async def all_of_the_path(stage):
    await repeated(stage)
    await late_version(stage)
    await struck(stage)


async def late_answer(stage):
    """A sender stops with a refusal in its hands; another one delivers; then the first goes on."""
    async with asyncio.timeout(WITHIN_S):
        sender, delivery_id = await _one_is_stopped(stage)
        attempt_id = await _ask(
            stage, "SELECT id FROM delivery_attempt WHERE delivery_id = $1", delivery_id
        )
        await stage.supervisor.add(Part(stage.world, "notify-deliver", 2, stage.mutant))
        await _until(stage, "SELECT status = 'delivered' FROM delivery WHERE id = $1", delivery_id)
        sender.signal(signal.SIGCONT)
        written = "SELECT outcome = 'failed' FROM delivery_attempt WHERE id = $1"
        await _until(stage, written, attempt_id)


async def late_request(stage):
    """A sender stops before it sends; its endpoint is disabled; a lease later it goes on."""
    async with asyncio.timeout(WITHIN_S):
        sender, delivery_id = await _one_is_stopped(stage)
        shut = await _ask(stage, "SELECT endpoint_id FROM delivery WHERE id = $1", delivery_id)
        await stage.partners.changing(shut, "PATCH", json={"enabled": False})
        stage.partners.note("disabled", shut)
        late = time.time() + plan.DELIVER_LEASE_S + GRACE_S + 0.5
        while time.time() < late:
            await asyncio.sleep(0.1)
        sender.signal(signal.SIGCONT)
        # what it would send is sent before it ends
        await stage.supervisor.take_away(sender)


async def _one_is_stopped(stage):
    """One case changes, that one partner is told of; return the sender that stopped, and what it sends."""
    world, supervisor = stage.world, stage.supervisor
    supervisor.holds = True
    sending = "SELECT count(*) = 0 FROM delivery WHERE status IN ('pending', 'sending')"
    await _until(stage, sending)
    for part in supervisor.of("notify-deliver"):
        await supervisor.take_away(part)
    sender = Part(world, *_role_and_number(SENDER), stage.mutant)
    await supervisor.add(sender)
    db = Database(world.source_url, 1)
    try:
        async with db.begin() as tx:
            [event_id] = await Changes(world).change(tx, [case_id(1)], random.Random(world.seed))
    finally:
        contracts.use(None)
        await db.dispose()
    while sender.stopped_until is None:
        await asyncio.sleep(0.05)
    delivery_id = await _ask(stage, "SELECT id FROM delivery WHERE message_id = $1", event_id)
    assert delivery_id, "what stopped it was another delivery"
    return sender, delivery_id


def _role_and_number(name):
    role, _, number = name.rpartition("-")
    return role, int(number)


async def _ask(stage, query, *args):
    return await monitor.ask(stage.world.notify_url, query, *args)


async def _until(stage, query, *args):
    while not await _ask(stage, query, *args):
        await asyncio.sleep(0.1)
