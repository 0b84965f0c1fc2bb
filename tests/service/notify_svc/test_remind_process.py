"""The reminding process killed at any moment: every notice once, every mail, and no second Message-ID."""

import asyncio
import os
import signal
import sys
from collections import Counter
from datetime import timedelta

import pytest
from svckit import testing

from tests.service.notify_svc.workers import Office, mail_server

TASKS = 12
KILLS = 5
WITHIN_S = 60
HELD_S = 0.05


@pytest.fixture
async def office(world):
    clinic, agency = await world.organisation(), await world.organisation("social-service")
    await world.grant(clinic, agency, ["coordination"])
    return Office(world, clinic, agency)


async def started(world, issuer, server):
    url = world.settings.database_url
    environment = testing.environment(
        "notify_svc",
        url,
        issuer=issuer.url,
        internal_jwks_url=issuer.jwks_url,
        smtp_url=f"smtp://127.0.0.1:{server.port}",
        smtp_plain="true",
        cursor_key=world.settings.cursor_key.get_secret_value(),
        smtp_timeout_s="2",
        lease_margin_s="0.2",
        smtp_schedule_s="[0, 0.05, 0.1, 0.1, 0.1, 0.1]",
        remind_every_s="0.05",
        log_level="error",
    )
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "notify_svc", "deliver", env={**os.environ, **environment}
    )


async def mails(office, server, count):
    async with asyncio.timeout(WITHIN_S):
        while len({mail.message["Message-ID"] for mail in server.got}) < count:
            await asyncio.sleep(0.02)


async def test_killed_again_and_again_it_tells_everything_and_nothing_twice(office, world, issuer):
    with mail_server() as server:
        process = await started(world, issuer, server)
        office.server = server
        client = office.as_worker("ada")
        modes = {"assigned": "off", "overdue": "immediate"}
        body = {"email": "ada@agency.example", "kinds": modes}
        await client.put("/v1/inbox/preferences", json=body, headers={"Idempotency-Key": "one"})
        await mails(office, server, 1)
        given = {"code": server.text().split()[0]}
        path = "/v1/inbox/preferences/verify"
        answer = await client.post(path, json=given, headers={"Idempotency-Key": "two"})
        assert answer.status_code == 200, answer.text
        server.hold_s = HELD_S
        for task in range(TASKS):
            await office.task("ada", due=timedelta(seconds=-1), command="claim")
            if task in range(1, KILLS + 1):
                await mails(office, server, task + 1)
                process.send_signal(signal.SIGKILL)
                await process.wait()
                process = await started(world, issuer, server)
        await mails(office, server, TASKS + 1)
        asked = "SELECT count(*) FROM mail WHERE status <> 'sent'"
        async with asyncio.timeout(WITHIN_S):
            while (await world.sql(asked)).scalar():
                await asyncio.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), WITHIN_S) == 0
    items = await office.inbox(limit=200)
    assert len(items) == len({item["subject"] for item in items}) == TASKS
    sent = Counter(mail.message["Message-ID"] for mail in server.got)
    assert len(sent) == TASKS + 1
    assert sum(sent.values()) - len(sent) <= KILLS
    unknown = await world.sql("SELECT count(*) FROM mail_attempt WHERE outcome = 'unknown'")
    assert unknown.scalar() <= KILLS
