"""One part of the path as a process of its own: python -m tests.chaos.part FOLDER ROLE NUMBER

It is the code that runs in earnest, with short leases. CHAOS_SKEW_S sets its clock wrong,
CHAOS_MUTANT takes one guard away; CARELOOP_FAILPOINTS ends it at a named place.
"""

import asyncio
import os
import signal
import sys
from datetime import timedelta

import uvloop
from sqlalchemy import text
from svckit import clock, leases, rights

from tests.chaos import plan

leases.LEASE_S = plan.LEASE_S
# a restart on a busy machine takes longer than rights stay fresh: then nothing would be sent at all
rights.STALE_AFTER_S = plan.STALE_S
if skew_s := float(os.environ.get("CHAOS_SKEW_S", "0")):
    # before anybody imports it by name; nothing else reads the clock
    _now = clock.now
    clock.now = lambda: _now() + timedelta(seconds=skew_s)


_EFFECTS = text(
    "INSERT INTO ledger (subject, version, event_id, amount) SELECT * FROM unnest("
    "CAST(:s AS text[]), CAST(:v AS int[]), CAST(:e AS text[]), CAST(:a AS bigint[]))"
)


async def apply_all(tx, events):
    """The effect: rows that show when they come twice, late, out of order or not at all."""
    effects = {
        "s": [event.subject for event in events],
        "v": [event.version for event in events],
        "e": [event.id for event in events],
        "a": [event.data.get("amount", event.version) for event in events],
    }
    await tx.execute(_EFFECTS, effects)


async def apply(tx, event):
    await apply_all(tx, [event])


def stopping():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    return stop


async def relay(world):
    from svckit.eventlog import connect
    from svckit.relay import Relay

    stop = stopping()
    log = await connect(world.log_url)
    await Relay(world.source_url, log, plan.TOPIC, deadline_s=5, marks=True).run(stop)
    await log.close()


async def consume(world, number):
    from svckit.consume import Consumer
    from svckit.db import Database
    from svckit.eventlog import connect
    from svckit.inbox import Together

    stop = stopping()
    log = await connect(instanced(world, number))
    db = Database(world.ledger_url, 4)
    # one by one or many at once: a storm is about many
    handler = Together(apply_all) if world.profile == "storm" else apply
    handlers = {plan.THING: handler, plan.CASE: handler}
    await Consumer(
        db, log, plan.LEDGER, [plan.TOPIC], handlers, rights_from=[plan.TOPIC], stuck_after_s=30
    ).run(stop)
    await db.dispose()
    await log.close()


def instanced(world, number):
    """Kafka gives a named member its partitions back at once; those that come and go have no name."""
    if world.log == "kafka" and number < 10:
        return f"{world.log_url}?instance={number}"
    return world.log_url


def notify(world, role, number):
    from svckit import testing

    url = instanced(world, number) if role == "consume" else world.log_url
    settings = testing.environment(
        "notify_svc",
        world.notify_url,
        event_log_url=url,
        issuer=world.issuer_url,
        internal_jwks_url=world.jwks_url,
        cursor_key="0" * 64,
        port=str(world.api_port),
        pool_size="8",
        allow_private_targets="true",
        schedule_s=str(list(plan.SCHEDULE_S)),
        verify_schedule_s=str(list(plan.VERIFY_S)),
        total_timeout_s=str(plan.TOTAL_S),
        connect_timeout_s=str(plan.CONNECT_S),
        lease_margin_s=str(plan.MARGIN_S),
        sweep_every_s="1",
        deliver_concurrency=str(plan.IN_FLIGHT),
        endpoints_per_organisation="50",
        log_level="warning",
    )
    os.environ.update(settings)
    from notify_svc.__main__ import app

    app([role])


def main(folder, role, number):
    world = plan.World.load(folder)
    if mutant := os.environ.get("CHAOS_MUTANT"):
        from tests.chaos.mutants import MUTANTS

        MUTANTS[mutant].apply(role)
    name, _, rest = role.partition("-")
    if name == "notify":
        notify(world, rest, number)
    elif role == "receive":
        from tests.chaos.receivers import serve

        asyncio.run(serve(world, stopping))
    elif role == "write":
        from tests.chaos.generator import write

        uvloop.run(write(world, number, stopping))
    elif role == "relay":
        uvloop.run(relay(world))
    else:
        uvloop.run(consume(world, number))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
