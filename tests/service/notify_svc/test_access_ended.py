"""Who may see nothing any more of what it was told of is told so once; then there is silence."""

import asyncio
from datetime import timedelta

import jsonschema_rs
import pytest
from notify_svc.actions import ending
from notify_svc.catalogue import catalogue
from notify_svc.consumer import HANDLERS
from svckit.clock import now
from svckit.ids import new_id

NOTICE = "org.careloop.access.ended.v1"


async def notices(world, organisation):
    items = (await world.feed(organisation, limit=200))["items"]
    return [item["data"] for item in items if item["type"] == NOTICE]


@pytest.fixture
async def told(world):
    """A food bank that was told of a clinic's case by a grant."""
    clinic, pantry = await world.organisation(), await world.organisation("social-service")
    grant = await world.grant(clinic, pantry, ["coordination"])
    await world.happened("case.changed", clinic, subject=world.case)
    return clinic, pantry, grant


async def test_the_end_of_a_grant_is_told_once_with_ids_that_were_known(world, told):
    clinic, pantry, grant = told
    await world.look_who_sees()
    assert await notices(world, pantry) == []
    await world.end(grant)
    await world.look_who_sees()
    [item] = (await world.feed(pantry))["items"]
    assert item["data"] == {
        "id": world.case,
        "version": 1,
        "href": f"/v1/cases/{world.case}",
        "case_id": world.case,
    }
    assert item["seq"] == 2
    assert await notices(world, clinic) == []
    for _ in range(2):
        await world.look_who_sees()
    await world.happened("case.changed", clinic, subject=world.case)
    assert len((await world.feed(pantry))["items"]) == 1


async def test_the_notice_is_as_its_contract_says(world, told):
    await world.end(told[2])
    await world.look_who_sees()
    [item] = (await world.feed(told[1]))["items"]
    del item["seq"], item["id"]
    [entry] = [entry for entry in catalogue() if entry["type"] == NOTICE]
    jsonschema_rs.validator_for(entry["schema"], validate_formats=True).validate(item)


async def test_of_two_grants_the_last_to_end_is_told(world, told):
    clinic, pantry, first = told
    second = await world.grant(clinic, pantry, ["outcome"])
    await world.end(first)
    await world.look_who_sees()
    assert await notices(world, pantry) == []
    await world.end(second)
    await world.look_who_sees()
    assert len(await notices(world, pantry)) == 1


async def test_grants_that_end_together_and_again_are_one_notice(world, told):
    clinic, pantry, first = told
    second = await world.grant(clinic, pantry, ["outcome"])
    for grant in (first, second, first):
        await world.end(grant)
    await asyncio.gather(*(world.look_who_sees() for _ in range(4)))
    assert len(await notices(world, pantry)) == 1


async def test_a_repeated_event_tells_nothing_again(world, told):
    _, pantry, grant = told
    ended = world.event("grant.ended", grant, **world._grants[grant])
    for _ in range(2):
        async with world.db.begin() as tx:
            await HANDLERS[ended.type](tx, ended)
        await world.look_who_sees()
    assert len(await notices(world, pantry)) == 1


async def test_a_process_that_dies_in_the_middle_loses_and_doubles_nothing(world, told):
    await world.end(told[2])

    async def dies():
        async with world.db.begin() as tx:
            await ending.step(tx, 0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await dies()
    assert await notices(world, told[1]) == []
    await world.look_who_sees()
    assert len(await notices(world, told[1])) == 1


async def test_access_that_came_back_may_end_again(world, told):
    clinic, pantry, grant = told
    for times in (1, 2):
        await world.end(grant)
        await world.look_who_sees()
        assert [each["version"] for each in await notices(world, pantry)] == list(
            range(1, times + 1)
        )
        grant = await world.grant(clinic, pantry, ["coordination"])
        # nothing need have happened in between
        await world.look_who_sees()
    assert len(await notices(world, pantry)) == 2


async def test_a_right_that_is_replaced_at_once_has_not_ended(world, told):
    clinic, pantry, grant = told
    await world.end(grant)
    await world.grant(clinic, pantry, ["coordination"])
    await world.look_who_sees()
    assert await notices(world, pantry) == []


async def test_a_narrower_grant_is_no_end(world, told):
    clinic, pantry, grant = told
    await world.grant(clinic, pantry, ["notes"])
    await world.end(grant)
    await world.look_who_sees()
    assert await notices(world, pantry) == []


async def test_who_was_told_nothing_is_told_no_end(world):
    clinic, pantry = await world.organisation(), await world.organisation("social-service")
    grant = await world.grant(clinic, pantry, ["coordination"])
    await world.happened("note.added", clinic, classes=["notes"])
    await world.end(grant)
    await world.look_who_sees()
    assert (await world.feed(pantry))["items"] == []


async def test_the_end_of_an_agreement_is_told(world, told):
    clinic, pantry, _ = told
    rows = await world.sql("SELECT id FROM sharing_agreement WHERE custodian_id = :c", c=clinic)
    await world.hear("agreement.ended", rows.scalar_one(), {}, custodian_id=clinic)
    await world.look_who_sees()
    assert len(await notices(world, pantry)) == 1


async def test_a_persons_deny_and_its_withdrawal_are_followed(world, told):
    clinic, pantry, _ = told
    consent, about = new_id("con"), {"custodian_id": clinic, "person_id": world.person}
    deny = {
        "recipient_id": None,
        "decision": "deny",
        "classes": [],
        "purposes": [],
        "valid_from": now().isoformat(),
        "valid_to": None,
        "decided_at": now().isoformat(),
        "active": True,
    }
    for times in (1, 2):
        await world.hear("consent.recorded", consent, deny, **about)
        await world.look_who_sees()
        assert len(await notices(world, pantry)) == times
        await world.hear("consent.withdrawn", consent, {}, **about)
        await world.look_who_sees()
        assert len(await notices(world, pantry)) == times


async def test_a_seal_ends_what_a_grant_and_a_referral_showed(world, told):
    clinic, pantry, _ = told
    referral = new_id("ref")
    await world.happened("referral.requested", clinic, subject=referral, parties=[clinic, pantry])
    await world.hear("case.sealed", world.case, custodian_id=clinic, case_id=world.case)
    await world.look_who_sees()
    assert {each["id"] for each in await notices(world, pantry)} == {world.case, referral}
    assert len(await notices(world, pantry)) == 2


async def test_a_party_keeps_its_referral_when_its_grant_ends(world, told):
    clinic, pantry, grant = told
    await world.happened("referral.requested", clinic, parties=[clinic, pantry])
    await world.end(grant)
    await world.look_who_sees()
    assert [each["id"] for each in await notices(world, pantry)] == [world.case]


async def test_a_case_that_is_restricted_ends(world, told):
    clinic, pantry, _ = told
    restricting = {"change": {"fields": ["confidentiality"]}, "confidentiality": "R"}
    await world.happened("case.changed", clinic, subject=world.case, **restricting)
    await world.look_who_sees()
    assert [each["id"] for each in await notices(world, pantry)] == [world.case]


async def test_a_grant_that_runs_out_is_told_without_any_event(world, told):
    clinic, pantry, grant = told
    change = {
        "recipient_id": pantry,
        "agreement_id": (
            await world.sql("SELECT agreement_id FROM sharing_grant WHERE id = :g", g=grant)
        ).scalar_one(),
        "purposes": ["COC"],
        "classes": ["coordination"],
        "basis": "consent",
        "basis_id": new_id("con"),
        "valid_from": (now() - timedelta(minutes=1)).isoformat(),
        "valid_to": (now() + timedelta(seconds=1)).isoformat(),
    }
    about = {"custodian_id": clinic, "person_id": world.person, "case_id": None}
    await world.hear("grant.changed", grant, change, **about)
    await world.look_who_sees()
    assert await notices(world, pantry) == []
    async with asyncio.timeout(20):
        while not await notices(world, pantry):
            await asyncio.sleep(0.1)
            await world.look_who_sees()
    assert len(await notices(world, pantry)) == 1


async def test_a_person_is_a_thing_of_its_own(world):
    clinic, pantry = await world.organisation(), await world.organisation("social-service")
    every = await world.grant(clinic, pantry, ["identity"])
    about = {"subject": world.person, "case_id": None, "classes": ["identity"]}
    await world.happened("person.changed", clinic, **about)
    await world.end(every)
    await world.look_who_sees()
    assert await notices(world, pantry) == [
        {
            "id": world.person,
            "version": 1,
            "href": f"/v1/persons/{world.person}",
            "case_id": None,
        }
    ]


async def test_a_webhook_in_wait_is_cancelled_and_the_notice_is_sent(world, told, receiver):
    clinic, pantry, grant = told
    await world.endpoint(pantry, receiver.url)
    only = {"filters": {"case_ids": [world.case]}, "event_types": ["access.ended"]}
    await world.endpoint(pantry, receiver.url, **only)
    await world.happened("case.changed", clinic, subject=world.case)
    await world.end(grant)
    await world.look_who_sees()
    await world.deliver()
    found = await world.deliveries(pantry)
    assert sorted((each["status"], each["event_type"]) for each in found) == [
        ("cancelled", "org.careloop.case.changed.v1"),
        ("delivered", NOTICE),
        ("delivered", NOTICE),
    ]
    assert [NOTICE.encode() in got.body for got in receiver.got] == [True, True]


async def test_the_worker_waits_until_the_change_has_settled_and_rights_are_fresh(world, told):
    _, pantry, grant = told
    running, stop = world.app.state.running, asyncio.Event()
    running.settings = world.settings.model_copy(update={"access_settle_s": 0.3})
    await world.end(grant)
    watching = asyncio.create_task(ending.watch(running, stop))
    try:
        async with asyncio.timeout(20):
            while not await notices(world, pantry):
                await asyncio.sleep(0.05)
    finally:
        stop.set()
        await asyncio.wait_for(watching, 10)
    assert len(await notices(world, pantry)) == 1
