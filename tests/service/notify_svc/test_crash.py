"""Nothing is lost and nothing is forgotten: what a killed process leaves behind, and who takes over."""

import asyncio

import pytest
from notify_svc.actions import attempts, results
from notify_svc.domain.attempts import Answer


@pytest.fixture
async def clinic(world):
    return await world.organisation()


@pytest.fixture
async def endpoint(world, clinic, receiver):
    return await world.endpoint(clinic, receiver.url)


async def claimed(world):
    async with world.db.begin() as tx:
        return await attempts.claim(tx, world.settings, healthy=10, slow=10)


async def settle(world, claim, answer):
    async with world.db.begin() as tx:
        [found] = await results.settle(
            tx, [results.Result(claim, answer, 0.01, 0.5)], world.settings
        )
        return found


async def lease_ends(world):
    await world.sql("UPDATE delivery SET next_at = now() WHERE status = 'sending'")


async def test_a_claim_is_written_before_anything_is_sent(world, clinic, endpoint, receiver):
    await world.happened("case.opened", clinic)
    await claimed(world)
    shown = await world.delivery(clinic)
    assert (shown["status"], shown["attempts"][0]["outcome"]) == ("sending", "unknown")
    assert receiver.got == []


async def test_a_claimed_delivery_belongs_to_nobody_else_until_its_lease_ends(
    world, clinic, endpoint
):
    await world.happened("case.opened", clinic)
    await claimed(world)
    assert await claimed(world) is None
    await lease_ends(world)
    assert len((await claimed(world)).claims) == 1


async def test_after_a_crash_the_attempt_reads_unknown_and_another_delivers(
    world, clinic, endpoint, receiver
):
    await world.happened("case.opened", clinic)
    await claimed(world)
    await lease_ends(world)
    await world.deliver()
    shown = await world.delivery(clinic)
    assert shown["status"] == "delivered"
    assert [a["outcome"] for a in shown["attempts"]] == ["unknown", "delivered"]
    assert len(receiver.got) == 1


async def test_a_late_result_is_told_to_its_attempt_and_to_nothing_else(world, clinic, endpoint):
    await world.happened("case.opened", clinic)
    [late] = (await claimed(world)).claims
    await lease_ends(world)
    [current] = (await claimed(world)).claims
    assert await settle(world, late, Answer(500)) is None
    shown = await world.delivery(clinic)
    assert shown["status"] == "sending"
    assert [a["outcome"] for a in shown["attempts"]] == ["failed", "unknown"]
    assert (await settle(world, current, Answer(200))).status == "delivered"


async def test_a_result_that_comes_twice_counts_once(world, clinic, endpoint):
    await world.happened("case.opened", clinic)
    [claim] = (await claimed(world)).claims
    await settle(world, claim, Answer(200))
    assert await settle(world, claim, Answer(500)) is None
    assert (await world.delivery(clinic))["status"] == "delivered"


async def test_one_that_lost_its_lease_takes_nothing_from_those_it_is_written_with(
    world, clinic, endpoint
):
    for _ in range(3):
        await world.happened("case.changed", clinic)
    claims = (await claimed(world)).claims
    late = claims[1]
    await world.sql("UPDATE delivery SET next_at = now() WHERE id = :id", id=late.delivery_id)
    [current] = (await claimed(world)).claims
    async with world.db.begin() as tx:
        met = [results.Result(claim, Answer(204), 0.01, 0.5) for claim in claims]
        verdicts = await results.settle(tx, met, world.settings)
    assert [verdict is None for verdict in verdicts] == [False, True, False]
    rows = await world.sql("SELECT id, status, token FROM delivery")
    found = {row.id: (row.status, row.token) for row in rows}
    assert found.pop(late.delivery_id) == ("sending", current.token)
    assert set(found.values()) == {("delivered", None)}


async def test_two_senders_at_once_send_everything_once(world, clinic, endpoint, receiver):
    for _ in range(30):
        await world.happened("case.changed", clinic)
    await asyncio.gather(world.deliver(), world.deliver(), world.deliver())
    ids = [got.headers["webhook-id"] for got in receiver.got]
    assert len(ids) == len(set(ids)) == 30


async def test_an_endpoint_never_has_more_in_flight_than_its_window(
    world, clinic, endpoint, receiver
):
    for _ in range(12):
        await world.happened("case.changed", clinic)
    found = await asyncio.gather(*(claimed(world) for _ in range(4)))
    assert sum(len(batch.claims) for batch in found if batch) == 4


async def test_a_slow_endpoint_leaves_room_for_the_others(world, clinic, endpoint, receiver):
    other = await world.organisation()
    await world.endpoint(other, receiver.url)
    await world.sql('UPDATE webhook_endpoint SET "window" = 1 WHERE id = :id', id=endpoint["id"])
    for _ in range(5):
        await world.happened("case.changed", clinic)
        await world.happened("case.changed", other)
    async with world.db.begin() as tx:
        found = await attempts.claim(tx, world.settings, healthy=2, slow=2)
    by_endpoint = [claim.endpoint_id for claim in found.claims]
    assert by_endpoint.count(endpoint["id"]) == 1
    assert len(by_endpoint) == 3
    assert len(found.slow) == 1


async def test_endpoints_take_turns(world, receiver):
    partners = [await world.organisation() for _ in range(4)]
    for partner in partners:
        await world.endpoint(partner, receiver.url)
        for _ in range(4):
            await world.happened("case.changed", partner)
    async with world.db.begin() as tx:
        found = await attempts.claim(tx, world.settings, healthy=4, slow=0)
    assert len({claim.endpoint_id for claim in found.claims}) == 4


async def test_what_a_gone_sender_left_of_a_disabled_or_removed_endpoint_comes_to_rest(
    world, clinic, receiver
):
    endpoints = [await world.endpoint(clinic, receiver.url) for _ in range(2)]
    await world.happened("case.opened", clinic)
    await claimed(world)
    await lease_ends(world)
    disabled, removed = (endpoint["id"] for endpoint in endpoints)
    await world.sql("UPDATE webhook_endpoint SET enabled = false WHERE id = :id", id=disabled)
    await world.sql(
        "UPDATE webhook_endpoint SET enabled = false, deleted_at = now() WHERE id = :id",
        id=removed,
    )
    async with world.db.begin() as tx:
        await attempts.sweep(tx)
    found = {d["endpoint_id"]: d["status"] for d in await world.deliveries(clinic)}
    assert found == {disabled: "held", removed: "cancelled"}


async def test_a_held_delivery_that_crossed_an_enabling_still_goes_out(
    world, clinic, endpoint, receiver
):
    await world.happened("case.opened", clinic)
    await world.sql("UPDATE delivery SET status = 'held'")
    await world.deliver()
    assert (await world.delivery(clinic))["status"] == "delivered"


async def test_a_claim_takes_as_many_statements_for_many_as_for_one(world, clinic, endpoint):
    counts = []
    for more in (1, 3):
        for _ in range(more):
            await world.happened("case.changed", clinic)
        with world.statements() as sent:
            assert len((await claimed(world)).claims) == more
        counts.append(len(sent))
    assert counts[0] == counts[1] <= 8


async def test_in_one_claim_each_organisation_is_decided_for_by_itself(world, clinic, receiver):
    partners, grants, counts = [], [], []
    for _ in range(3):
        partner = await world.organisation("social-service")
        partners.append(partner)
        await world.endpoint(partner, receiver.url)
        grants.append(await world.grant(clinic, partner, ["coordination"]))
    await world.happened("case.changed", clinic)
    await world.sql("UPDATE delivery SET next_at = 'infinity'")
    for some in (partners[:1], partners[1:]):
        await world.sql(
            "UPDATE delivery SET next_at = now() WHERE organisation_id = ANY(:some)", some=some
        )
        if partners[1] in some:
            await world.end(grants[1])
        with world.statements() as sent:
            assert len((await claimed(world)).claims) == 1
        counts.append([each for each in sent if "sharing_grant" in each])
    assert [len(each) for each in counts] == [1, 1]
    rows = await world.sql("SELECT organisation_id, status FROM delivery")
    assert {row.organisation_id: row.status for row in rows} == {
        partners[0]: "sending",
        partners[1]: "cancelled",
        partners[2]: "sending",
    }


async def test_a_partner_that_never_answers_delays_nobody_else(
    world, clinic, endpoint, receiver, receivers
):
    receiver.release.clear()
    healthy = await world.organisation()
    async with receivers().serve() as other:
        await world.endpoint(healthy, other.url)
        for _ in range(15):
            await world.happened("case.changed", clinic)
            await world.happened("case.changed", healthy)
        async with world.sender(deliver_concurrency=8, total_timeout_s=10) as loop:
            async with asyncio.timeout(8):
                while len(other.got) < 15:
                    await loop.step()
                    await asyncio.sleep(0.01)
            assert len(receiver.got) == 4
            receiver.release.set()


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr("notify_svc.deliver.loop._HANGS_S", 0.1)


@pytest.mark.usefixtures("impatient")
async def test_what_hangs_leaves_its_room_to_others_and_as_much_again_may_hang(
    world, clinic, endpoint, receiver, receivers
):
    receiver.release.clear()
    healthy = await world.organisation()
    async with receivers().serve() as other:
        await world.endpoint(healthy, other.url)
        await world.sql(
            'UPDATE webhook_endpoint SET "window" = 30 WHERE id = :id', id=endpoint["id"]
        )
        for _ in range(30):
            await world.happened("case.changed", clinic)
        async with world.sender(deliver_concurrency=8, total_timeout_s=60) as loop:
            async with asyncio.timeout(20):
                while len(receiver.got) < 6:
                    await loop.step()
                    await asyncio.sleep(0.01)
                await world.happened("case.changed", healthy)
                while not other.got or len(receiver.got) < 16:
                    await loop.step()
                    await asyncio.sleep(0.01)
            for _ in range(4):
                await asyncio.sleep(0.1)
                await loop.step()
            assert len(loop._tasks) == len(receiver.got) == 16
            receiver.release.set()


async def test_what_was_held_for_too_long_does_not_go_out_any_more(
    world, clinic, endpoint, receiver
):
    await world.sql("UPDATE webhook_endpoint SET enabled = false")
    await world.happened("case.opened", clinic)
    await world.sql("UPDATE message SET expires_at = now()")
    await world.sql("UPDATE webhook_endpoint SET enabled = true")
    await world.deliver()
    [ended] = await world.deliveries(clinic)
    assert (ended["status"], ended["reason"]) == ("expired", "expired")
    assert receiver.got == []


async def test_a_sweep_with_nothing_to_do_is_one_statement(world, clinic, endpoint):
    await world.happened("case.opened", clinic)
    with world.statements() as sent:
        async with world.db.begin() as tx:
            await attempts.sweep(tx)
    assert len(sent) == 1
