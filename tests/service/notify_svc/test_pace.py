"""How much an endpoint gets, and when it gets none: its rate, its breaker, its lane."""

import asyncio

import pytest
from notify_svc.actions import attempts, results
from notify_svc.domain.attempts import WINDOW, Answer
from notify_svc.queries import claims
from sqlalchemy import text

from tests.service.notify_svc.conftest import key, match


@pytest.fixture
async def clinic(world):
    return await world.organisation()


@pytest.fixture
async def endpoint(world, clinic, receiver):
    return await world.endpoint(clinic, receiver.url)


async def claimed(world, healthy=10, slow=10):
    async with world.db.begin() as tx:
        found = await attempts.claim(tx, world.settings, healthy=healthy, slow=slow)
    return found.claims if found else []


async def settle(world, claims, answer):
    async with world.db.begin() as tx:
        met = [results.Result(claim, answer, 0.01, 0.5) for claim in claims]
        return await results.settle(tx, met, world.settings)


async def shown(world, clinic, endpoint):
    return (await world.client(clinic).get(f"/v1/webhook-endpoints/{endpoint['id']}")).json()


async def happen(world, clinic, times):
    for _ in range(times):
        await world.happened("case.changed", clinic)


async def test_an_endpoint_gets_no_more_than_its_rate_whoever_sends(world, clinic, receiver):
    endpoint = await world.endpoint(clinic, receiver.url, rate_per_s=0.01)
    assert endpoint["rate_per_s"] == 0.01
    await happen(world, clinic, 3)
    found = await asyncio.gather(*(claimed(world) for _ in range(4)))
    assert sum(len(claims) for claims in found) == 1
    await world.sql("UPDATE webhook_endpoint SET paced_at = paced_at - interval '50 s'")
    assert await claimed(world) == []
    await world.sql("UPDATE webhook_endpoint SET paced_at = paced_at - interval '51 s'")
    assert len(await claimed(world)) == 1


async def test_a_rate_lets_a_seconds_worth_through_at_once(world, clinic, receiver):
    await world.endpoint(clinic, receiver.url, rate_per_s=2)
    await happen(world, clinic, 4)
    await world.sql("UPDATE webhook_endpoint SET paced_at = now() - interval '1 day'")
    assert len(await claimed(world)) == 2


async def test_a_rate_is_changed_and_taken_away(world, clinic, receiver):
    endpoint = await world.endpoint(clinic, receiver.url, rate_per_s=0.01)
    await happen(world, clinic, 4)
    assert len(await claimed(world)) == 1
    path = f"/v1/webhook-endpoints/{endpoint['id']}"
    client = world.client(clinic)
    changed = await client.patch(path, json={"rate_per_s": None}, headers=match(1))
    assert changed.json()["rate_per_s"] is None
    assert len(await claimed(world)) == 3
    refused = await client.patch(path, json={"rate_per_s": 0}, headers=match(2))
    assert [e["pointer"] for e in refused.json()["errors"]] == ["#/rate_per_s"]


async def opened(world, clinic):
    """Let five attempts fail, and two more that were under way."""
    await happen(world, clinic, 7)
    await world.sql('UPDATE webhook_endpoint SET "window" = 8')
    claims = await claimed(world)
    assert len(claims) == 7
    async with world.db.begin() as tx:
        met = [results.Result(claim, Answer(503), 0.01, 0.5) for claim in claims]
        settings = world.settings.model_copy(update={"schedule_s": (0.0, 60.0, 120.0)})
        await results.settle(tx, met, settings)
    await world.sql("UPDATE delivery SET next_at = now()")


async def test_five_failures_in_a_row_pause_the_endpoint_and_say_so(world, clinic, endpoint):
    await opened(world, clinic)
    assert await claimed(world) == []
    found = await shown(world, clinic, endpoint)
    assert found["breaker"] == "open"
    assert found["breaker_until"] > found["updated_at"]
    assert {d["attempt_count"] for d in await world.deliveries(clinic)} == {1}


async def test_after_the_pause_one_probe_decides_for_all(world, clinic, endpoint):
    await opened(world, clinic)
    await world.sql("UPDATE webhook_endpoint SET breaker_until = now()")
    probes = await asyncio.gather(*(claimed(world) for _ in range(3)))
    [probe] = [claim for claims in probes for claim in claims]
    assert (await shown(world, clinic, endpoint))["breaker"] == "half-open"
    assert await claimed(world) == []
    await settle(world, [probe], Answer(204))
    found = await shown(world, clinic, endpoint)
    assert (found["breaker"], found["breaker_until"]) == ("closed", None)
    assert len(await claimed(world)) == 6


async def test_a_probe_that_fails_pauses_it_again(world, clinic, endpoint):
    await opened(world, clinic)
    await world.sql("UPDATE webhook_endpoint SET breaker_until = now()")
    await settle(world, await claimed(world), Answer(error="timeout"))
    assert (await shown(world, clinic, endpoint))["breaker"] == "open"


async def test_a_probe_whose_sender_died_is_followed_by_another(world, clinic, endpoint):
    await opened(world, clinic)
    await world.sql("UPDATE webhook_endpoint SET breaker_until = now()")
    assert len(await claimed(world)) == 1
    assert await claimed(world) == []
    await world.sql("UPDATE webhook_endpoint SET breaker_until = now()")
    assert len(await claimed(world)) == 1


async def test_enabling_an_endpoint_again_closes_its_breaker(world, clinic, endpoint):
    await opened(world, clinic)
    path, client = f"/v1/webhook-endpoints/{endpoint['id']}", world.client(clinic)
    await client.patch(path, json={"enabled": False}, headers=match(1))
    enabled = await client.patch(path, json={"enabled": True}, headers=match(2))
    assert enabled.json()["breaker"] == "closed"


async def test_an_endpoint_that_answers_slowly_is_sent_in_the_slow_lane(world, clinic, endpoint):
    await world.sql("UPDATE webhook_endpoint SET recent_ms = array_fill(6000, ARRAY[20])")
    await happen(world, clinic, 2)
    [first, _] = await claimed(world)
    await settle(world, [first], Answer(204))
    found = await shown(world, clinic, endpoint)
    assert (found["slow_lane"], found["p95_ms"], found["concurrency"]) == (True, 6000, 4)
    await happen(world, clinic, 1)
    assert await claimed(world, slow=0) == []
    assert len(await claimed(world, healthy=0)) == 1


async def test_results_of_many_are_written_in_as_many_statements_as_of_one(world, clinic, endpoint):
    counts = []
    for more in (1, 4):
        await happen(world, clinic, more)
        claims = await claimed(world)
        assert len(claims) == more
        with world.statements() as sent:
            await settle(world, claims, Answer(204))
        counts.append(len(sent))
    assert counts[0] == counts[1] <= 4


@pytest.mark.parametrize(
    ("statuses", "failures"), [((500,) * 5 + (204,), 0), ((204,) + (500,) * 5, 5)]
)
async def test_results_written_together_say_what_they_say_one_by_one(
    world, clinic, endpoint, statuses, failures
):
    await world.sql('UPDATE webhook_endpoint SET "window" = 10')
    await happen(world, clinic, len(statuses))
    claims = await claimed(world)
    async with world.db.begin() as tx:
        met = [
            results.Result(claim, Answer(status), number, 0.5)
            for number, (claim, status) in enumerate(zip(claims, statuses, strict=True))
        ]
        await results.settle(tx, met, world.settings)
    found = (await world.sql("SELECT * FROM webhook_endpoint")).one()
    assert found.breaker == ("open" if failures else "closed")
    assert (found.breaker_until is not None) == (found.breaker == "open")
    assert found.breaker_failures == failures
    assert found.recent_ms == [number * 1000 for number in range(len(statuses))]
    assert found.failed_messages == failures
    assert found.last_success_at is not None


async def test_one_commit_writes_what_was_answered_and_claims_the_next(
    world, clinic, endpoint, receiver
):
    await happen(world, clinic, 8)
    async with world.sender() as loop:
        await loop.step()
        await asyncio.wait(set(loop._tasks))
        with world.statements() as sent:
            assert await loop.step()
        assert len(sent) <= 10
        await loop.idle()
    assert len(receiver.got) == 8


async def test_a_result_that_cannot_be_written_does_not_keep_others_from_it(
    world, clinic, endpoint, receiver
):
    await happen(world, clinic, 3)
    async with world.sender() as loop:
        await loop.step()
        await asyncio.wait(set(loop._tasks))
        loop._answered[1].result.__dict__["took_s"] = "not a number"
        for _ in range(12):
            try:
                await loop.step()
            except TypeError:
                continue
    statuses = sorted(d["status"] for d in await world.deliveries(clinic))
    assert statuses == ["delivered", "delivered", "sending"]


async def test_what_became_too_old_while_it_waited_ends_visibly_and_is_not_sent(
    world, clinic, endpoint, receiver
):
    await happen(world, clinic, 1)
    await world.sql("UPDATE message SET expires_at = now()")
    await world.deliver()
    found = await world.delivery(clinic)
    assert (found["status"], found["reason"], found["attempts"]) == ("expired", "expired", [])
    assert receiver.got == []
    assert found["ended_at"] is not None
    again = await world.client(clinic).post(
        f"/v1/deliveries/{found['id']}/redeliver", headers=key()
    )
    assert again.json()["code"] == "message-expired"


# as many again as these, some under way: PostgreSQL plans by what it has counted
MANY = """
INSERT INTO message SELECT (copy).* FROM (
  SELECT jsonb_populate_record(m, jsonb_build_object('id', m.id || n)) AS copy
  FROM message m, generate_series(1, 1000) n) AS made;
INSERT INTO delivery SELECT (copy).* FROM (
  SELECT jsonb_populate_record(d, jsonb_build_object('id', d.id || n, 'seq', n,
    'message_id', d.message_id || n, 'status', CASE WHEN n < 30 THEN 'sending' ELSE 'pending' END,
    'next_at', now() + CASE WHEN n < 30 THEN interval '1 minute' ELSE interval '0' END)) AS copy
  FROM delivery d, generate_series(1, 1000) n) AS made;
ANALYZE delivery;
UPDATE delivery SET status = 'delivered' WHERE status = 'sending'
"""
SENT_BEFORE = """
DO $$ BEGIN FOR n IN 1..300 LOOP
  UPDATE delivery SET status = 'sending', next_at = now() + interval '30 s' WHERE seq = 500;
  UPDATE delivery SET status = 'delivered' WHERE seq = 500;
END LOOP; END $$
"""


async def pages_of_a_claim(world):
    """How many pages PostgreSQL looks into to find which endpoints may be sent something."""
    async with world.db.begin() as tx:
        statement = text(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {claims._READY.text}")
        plan = await tx.scalar(statement, {"healthy": 10, "slow": 10, "full": WINDOW})
    return plan[0]["Plan"]["Shared Hit Blocks"]


async def test_a_claim_looks_neither_through_the_queue_nor_at_what_was_sent_before(
    world, clinic, endpoint
):
    await happen(world, clinic, 1)
    for statement in MANY.split(";"):
        await world.sql(statement)
    before = await pages_of_a_claim(world)
    # the queue itself lies on some thirty
    assert before < 40
    await world.sql(SENT_BEFORE)
    await pages_of_a_claim(world)
    assert await pages_of_a_claim(world) <= before + 12
