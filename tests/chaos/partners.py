"""Faults that partners make: poisoned records, endpoints changed while requests are in flight."""

import asyncio
import time

import httpx
import orjson
from sqlalchemy import text
from svckit import cloudevents, repair
from svckit.clock import now
from svckit.db import Database
from svckit.eventlog import LogError, Record, connect
from svckit.ids import new_id
from svckit.inbox import Reader

from tests.chaos import monitor, plan
from tests.chaos.faults import Failed, send

ACTOR = "chaos"
PATIENCE_S = 90


def record(subject, version, kind=plan.THING, *, event_id):
    head = cloudevents.headers(
        event_id=event_id,
        kind=kind,
        subject=subject,
        version=version,
        key=subject,
        time=now(),
        dataschema="urn:careloop:event:thing.changed.v1",
        traceparent="",
    )
    value = orjson.dumps({"n": version, "amount": version})
    return Record(plan.TOPIC, subject, head | {"ce_source": "careloop/chaos"}, value)


async def _sent(world, records):
    """Send until the log took it: what is in the journal must be on its way."""
    log = await connect(world.log_url)
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            await send(log, records)
        except (LogError, OSError, TimeoutError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.5)
        else:
            break
    await log.close()


async def poison(stage):
    """What no consumer can read, in the key of somebody who is busy; an operator gives it up."""
    key = f"hot-{stage.dice.randrange(stage.world.made_of.hot)}"
    await _sent(stage.world, [Record(plan.TOPIC, key, {"x": "y"}, b"\xff\x00")])
    from tests.chaos.part import apply

    handlers = {plan.THING: apply, plan.CASE: apply}
    for group, url, known in (
        (plan.LEDGER, stage.world.ledger_url, handlers),
        # of a thing this service is not told: there is nothing to do
        (plan.NOTIFY, stage.world.notify_url, {}),
    ):
        db = Database(url, 2)
        try:
            await _given_up(stage, db, Reader(group, known), key)
        finally:
            await db.dispose()
    return key


async def _given_up(stage, db, reader, key):
    blocked = await _wait_for(db, reader.consumer, key)
    if reader.consumer == plan.LEDGER:
        await _others_flow(stage, key)
    async with db.begin() as tx:
        await repair.skip(tx, reader, blocked.first_id, actor=ACTOR)
    deadline = time.monotonic() + PATIENCE_S
    while (await repair.replay(db, reader, plan.TOPIC, key)).stopped_by:
        if time.monotonic() > deadline:
            raise Failed(f"I12: {key} is not free again after its poison was given up")
        await asyncio.sleep(0.5)


async def _wait_for(db, consumer, key):
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        async with db.begin() as tx:
            found = await repair.blocked_keys(tx, consumer)
        for blocked in found:
            if blocked.key == key and blocked.reason == "poison" and blocked.first_id:
                return blocked
        await asyncio.sleep(0.2)
    raise Failed(f"I12: {consumer} did not park what it cannot read")


async def _others_flow(stage, key):
    query = "SELECT coalesce(max(n), 0) FROM ledger WHERE subject <> $1"
    before = await monitor.ask(stage.world.ledger_url, query, key)
    deadline = time.monotonic() + PATIENCE_S
    while await monitor.ask(stage.world.ledger_url, query, key) <= before:
        if time.monotonic() > deadline:
            raise Failed(f"I12: while {key} is blocked nothing else is applied")
        await asyncio.sleep(0.2)


async def unknown_type(stage):
    """A type that this release does not know is ignored."""
    subject = f"odd-{new_id('odd')}"
    kind = "org.careloop.thing.imagined.v1"
    await _sent(stage.world, [record(subject, 1, kind, event_id=new_id("evt"))])


async def gap(stage):
    """A version comes late: its successors wait, and go on by themselves when it is there."""
    subject = f"gap-{new_id('gap')}"
    ids = [new_id("evt") for _ in range(3)]
    one, two, three = (record(subject, n + 1, event_id=ids[n]) for n in range(3))
    await _journal(stage, subject, ids)
    await _sent(stage.world, [one, three])
    await asyncio.sleep(1 + stage.dice.random())
    await _sent(stage.world, [two])


async def _journal(stage, subject, ids):
    db = Database(stage.world.source_url, 1)
    try:
        async with db.begin() as tx:
            await tx.execute(
                text(
                    "INSERT INTO journal (subject, version, event_id, amount, kind)"
                    " SELECT :s, n, e, n, :k"
                    " FROM unnest(CAST(:ids AS text[])) WITH ORDINALITY AS u(e, n)"
                ),
                {"s": subject, "k": plan.THING, "ids": ids},
            )
    finally:
        await db.dispose()


async def endpoint(stage):
    """One of: a new secret, disabled and enabled again, another address, removed and replaced."""
    partners = stage.partners
    living = [key for key, found in partners.endpoints.items() if not found.get("removed")]
    chosen = stage.dice.choice(living)
    change = stage.dice.choice((_rotate, _disable, _move, _remove, _enable))
    try:
        await change(stage, chosen)
    except httpx.HTTPStatusError as error:
        if error.response.status_code not in {409, 412, 429, 503}:
            raise Failed(f"{change.__name__}: {error}") from None
    except httpx.TransportError:
        pass
    return f"{change.__name__[1:]} {partners.endpoints[chosen]['behaviour']}"


async def _rotate(stage, chosen):
    answer = await stage.partners.changing(chosen, "POST", "/rotate-secret")
    stage.partners.note("rotated", chosen, secret=answer.json()["secret"])


async def _disable(stage, chosen):
    await stage.partners.changing(chosen, "PATCH", json={"enabled": False})
    stage.partners.note("disabled", chosen)
    await asyncio.sleep(plan.DELIVER_LEASE_S + 2)
    await _enable(stage, chosen)


async def _enable(stage, chosen):
    stage.partners.note("enabled", chosen)
    await stage.partners.changing(chosen, "PATCH", json={"enabled": True})


async def _move(stage, chosen):
    found = stage.partners.endpoints[chosen]
    if found["behaviour"] in {"tls", "dns"}:
        return
    url = stage.partners.url(found["name"], found["behaviour"]) + f"?v={stage.dice.random()}"
    await stage.partners.changing(chosen, "PATCH", json={"url": url})


async def _remove(stage, chosen):
    found = stage.partners.endpoints[chosen]
    await stage.partners.changing(chosen, "DELETE")
    stage.partners.note("removed", chosen)
    found["removed"] = True
    signature = "v1a" if stage.dice.random() < 0.5 else "v1"
    await stage.partners.register(found["organisation"], found["behaviour"], signature)


ALL = {poison: 2, unknown_type: 1, gap: 3, endpoint: 6}
