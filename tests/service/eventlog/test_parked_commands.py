"""The operator's commands on parked events, as a process beside the service."""

import asyncio
import re
import subprocess
import sys

import pytest
from svckit.consume import Consumer
from svckit.db import Database
from svckit.testing import environment

from tests.service.eventlog.world import running, scalar, send, thing, until

UNKNOWN = "org.careloop.case.opened.v1"


@pytest.fixture
async def service(database_for):
    """The database of a service, with two events of one key parked by its consumer."""
    db = Database(database_for("referral_svc"), 4)
    yield db
    await db.dispose()


async def fail(tx, event):
    raise ValueError("cannot be applied")


async def parked(db):
    return await scalar(db, "SELECT count(*) FROM parked_message") == 2


def parked_command(db, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "referral_svc", "parked", *arguments],
        env=environment("referral_svc", db.url),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


async def test_an_operator_lists_skips_and_replays(postgres_log, service):
    await postgres_log.ensure(["case.v1"])
    await send(postgres_log, [thing("case.v1", "s", version, kind=UNKNOWN) for version in (1, 2)])
    consumer = Consumer(service, postgres_log, "referral-svc", ["case.v1"], {UNKNOWN: fail})
    async with running(consumer.run):
        await until(lambda: parked(service))
    listed = await asyncio.to_thread(parked_command, service, "list")
    assert "case.v1 s: 2 events" in listed.stdout, listed.stderr
    assert "ValueError" in listed.stdout
    refused = await asyncio.to_thread(parked_command, service, "replay", "case.v1", "s")
    assert refused.returncode == 1  # {"n": 1} is no case.opened
    first = re.search(r"message (\d+)", listed.stdout)[1]
    skipped = await asyncio.to_thread(parked_command, service, "skip", first, "--actor", "op")
    assert skipped.stdout == "skipped\n", skipped.stderr
    freed = await asyncio.to_thread(parked_command, service, "skip-key", "case.v1", "s")
    assert freed.stdout == "1 skipped; the key is free\n", freed.stderr
    again = await asyncio.to_thread(parked_command, service, "list")
    assert again.stdout == "nothing is parked\n"
    actors = "SELECT string_agg(actor, ',' ORDER BY id) FROM audit WHERE action = 'event.skip'"
    assert (await scalar(service, actors)).startswith("op,")
