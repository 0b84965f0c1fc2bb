"""kill -9 of the real process in the middle of uploads: what was accepted is there, whole."""

import asyncio
import os
import signal
import sys
import time

import httpx
from document_svc import actions
from svckit.ids import new_id
from svckit.testing import environment

from careloop.ports import free_port

from .conftest import content_digest

KILLS = 2
STARTS_WITHIN_S = 60


async def start(settings, port):
    env = environment(
        "document_svc",
        settings.database_url,
        store_url=settings.store_url,
        internal_jwks_url=settings.internal_jwks_url,
        issuer=settings.issuer,
        port=str(port),
        pool_size="4",
        log_level="error",
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "document_svc", "api", env={**os.environ, **env}
    )
    deadline = time.monotonic() + STARTS_WITHIN_S
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        while time.monotonic() < deadline:
            try:
                if (await client.get("/readyz")).status_code == 200:
                    return process
            except httpx.HTTPError:
                await asyncio.sleep(0.1)
    raise AssertionError("document-svc did not start")


async def upload_until_killed(world, url, accepted):
    """Upload one document after another; remember what was answered with 200."""
    token = {"Authorization": f"Bearer {world.token(world.clinic)}"}
    async with httpx.AsyncClient(base_url=url, headers=token, trust_env=False) as client:
        while True:
            content = os.urandom(300_000)
            try:
                declared = await world.add(client)
                document = declared.json()["id"]
                stored = await world.put(client, document, content)
            except httpx.HTTPError:
                return
            assert stored.status_code == 200, stored.text
            accepted[document] = content


async def test_no_accepted_content_is_lost_when_the_process_is_killed(world, settings):
    port, accepted = free_port(), {}
    for kill in range(KILLS):
        process = await start(settings, port)
        uploads = [
            asyncio.create_task(upload_until_killed(world, f"http://127.0.0.1:{port}", accepted))
            for _ in range(3)
        ]
        before = len(accepted)
        deadline = time.monotonic() + STARTS_WITHIN_S
        while len(accepted) < before + 2 + kill and time.monotonic() < deadline:
            await asyncio.sleep(0.003)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        await asyncio.gather(*uploads)

    assert len(accepted) >= 2 * KILLS
    await actions.sweep(world.db, world.app.state.storage, -3600)
    clinic = world.client(world.clinic)
    for document, content in accepted.items():
        answer = await clinic.get(f"/v1/documents/{document}/content")
        assert answer.content == content
    rows = await world.scalar("SELECT count(*) FROM document_content")
    objects = [each async for page in world.app.state.storage.pages() for each in page]
    assert rows == len(objects) >= len(accepted)
    told = await world.scalar("SELECT count(DISTINCT subject) FROM outbox")
    assert told == rows


async def test_a_refusal_reaches_a_sender_that_is_still_sending(world, settings):
    """A large body for a document that is not there: the answer is 404, not a broken pipe."""
    port = free_port()
    process = await start(settings, port)
    try:
        body = os.urandom(1024) * 1024 * 16
        token = {"Authorization": f"Bearer {world.token(world.clinic)}"}
        url = f"http://127.0.0.1:{port}/v1/documents/{new_id('doc')}/content"
        async with httpx.AsyncClient(headers=token, trust_env=False) as client:
            headers = {"If-Match": '"0"', **content_digest(body)}
            answer = await client.put(url, content=body, headers=headers)
        assert answer.status_code == 404
    finally:
        process.terminate()
        assert await process.wait() == 0
