"""Nothing known of the rights: no webhook goes out, no feed is read, and nothing is lost by it."""

import asyncio
import time

import pytest

TOLD = "referral.requested"


@pytest.fixture
async def partners(world, receiver):
    clinic, pantry = await world.organisation(), await world.organisation("social-service")
    await world.sql("UPDATE watermark SET at = now()")
    await world.endpoint(pantry, receiver.url)
    grant = await world.grant(clinic, pantry, ["coordination"])
    return clinic, pantry, grant


async def age(world, seconds):
    await world.sql("UPDATE watermark SET at = now() - make_interval(secs => :s)", s=seconds)
    # a task of its own: what it learns is not for the handlers that a test calls
    await asyncio.create_task(_known(world, fresh=seconds < 5))


async def _known(world, *, fresh):
    deadline = time.monotonic() + 6
    while await world.app.state.rights.look() is not fresh:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def test_what_is_queued_waits_while_rights_are_stale_and_is_decided_when_they_are_fresh(
    world, partners, receiver
):
    clinic, pantry, grant = partners
    await world.happened(TOLD, clinic)
    await age(world, 60)
    async with world.sender() as loop:
        assert await loop.step() is False
        await loop.idle()
        assert receiver.got == []
        await world.end(grant)  # heard of as soon as anything is heard again
        await age(world, 0)
        await loop.step()
        await loop.idle()
    assert receiver.got == []
    [delivery] = await world.deliveries(pantry)
    assert (delivery["status"], delivery["reason"]) == ("cancelled", "no-longer-visible")


async def test_webhooks_go_out_again_by_themselves(world, partners, receiver):
    clinic, _, _ = partners
    await world.happened(TOLD, clinic)
    await age(world, 60)
    await asyncio.wait_for(_nothing_goes_out(world, receiver), 5)
    await age(world, 0)
    await world.deliver()
    assert len(receiver.got) == 1


async def _nothing_goes_out(world, receiver):
    async with world.sender() as loop:
        for _ in range(5):
            assert await loop.step() is False
    assert receiver.got == []


async def test_the_feed_is_refused_while_rights_are_stale(world, partners):
    clinic, pantry, _ = partners
    await world.happened(TOLD, clinic)
    assert await world.told(pantry) == [TOLD]
    await age(world, 60)
    refused = await world.client(pantry).get("/v1/events")
    assert (refused.status_code, refused.json()["code"]) == (503, "rights-stale")
    assert TOLD in await world.told(clinic)
    await age(world, 0)
    assert await world.told(pantry) == [TOLD]


async def test_a_reader_that_waits_is_refused_what_comes_after_rights_got_stale(world, partners):
    clinic, pantry, _ = partners
    reading = asyncio.create_task(
        world.client(pantry).get("/v1/events", params={"wait": 20}, timeout=30)
    )
    while not world.app.state.feed._waiting:
        await asyncio.sleep(0.02)
    await age(world, 60)
    await world.happened(TOLD, clinic)
    refused = await asyncio.wait_for(reading, 25)
    assert (refused.status_code, refused.json()["code"]) == (503, "rights-stale")
