"""What webhooks and the feed tell of others' persons is told to the ledger, before it leaves."""

import json

import pytest
from sharing import policy
from sqlalchemy.exc import ProgrammingError
from svckit.disclosure import HEADER, Disclosed, decode


async def words(world):
    """What was recorded for the ledger, in order."""
    rows = await world.sql("SELECT type, value FROM outbox ORDER BY seq")
    found = [row for row in rows if row.type == "org.careloop.disclosure.made.v1"]
    return [json.loads(row.value) for row in found]


@pytest.fixture
async def shared(world, receiver):
    """A clinic's event that a food bank with an endpoint may learn of."""
    clinic, pantry = await world.organisation(), await world.organisation("social-service")
    await world.grant(clinic, pantry, ["coordination"])
    endpoint = await world.endpoint(pantry, receiver.url)
    return clinic, pantry, endpoint


async def test_an_attempt_is_told_with_the_commit_that_lets_it_be_sent(world, shared, receiver):
    clinic, pantry, endpoint = shared
    receiver.will_answer((500, {}))
    await world.happened("case.opened", clinic)
    await world.deliver()
    assert len(receiver.got) == 2
    made = await words(world)
    assert [each["custodian_id"] for each in made] == [clinic, clinic]
    assert {each["change"]["policy"] for each in made} == {policy.carried().digest()}
    (first,), (second,) = (each["change"]["items"] for each in made)
    attempts = {first["attempt_id"], second["attempt_id"]}
    known = {row.id for row in await world.sql("SELECT id FROM delivery_attempt")}
    assert attempts <= known
    assert len(attempts) == 2
    assert first["organisation_id"] == pantry
    assert first["endpoint_id"] == endpoint["id"]
    assert (first["person_id"], first["purpose"]) == (world.person, "COC")
    assert first["classes"] == ["coordination"]


async def test_ones_own_events_are_nothing_disclosed(world, receiver):
    clinic = await world.organisation()
    await world.endpoint(clinic, receiver.url)
    await world.happened("case.opened", clinic)
    await world.deliver()
    assert len(receiver.got) == 1
    assert await words(world) == []


async def test_what_can_not_be_recorded_is_not_sent(world, shared, receiver):
    clinic, _, __ = shared
    await world.happened("case.opened", clinic)
    await world.sql("ALTER TABLE outbox RENAME TO elsewhere")
    async with world.sender() as sender:
        with pytest.raises(ProgrammingError, match="outbox"):
            await sender.step()
    assert receiver.got == []
    await world.sql("ALTER TABLE elsewhere RENAME TO outbox")
    await world.deliver()
    assert len(receiver.got) == len(await words(world)) == 1


async def test_the_feed_tells_whose_events_it_shows(world, shared):
    clinic, pantry, _ = shared
    await world.happened("case.opened", clinic)
    answer = await world.client(pantry).get("/v1/events")
    assert len(answer.json()["items"]) == 1
    told = list(decode([answer.headers[HEADER.decode()].encode()]))
    decided = policy.carried().digest()
    assert told == [Disclosed("event", clinic, world.person, 4, rules=decided)]
    own = await world.client(clinic).get("/v1/events")
    assert len(own.json()["items"]) == 1
    assert HEADER.decode() not in own.headers
