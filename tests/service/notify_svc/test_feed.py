"""Who is told of what: the feed of each organisation."""

import asyncio

import pytest
from sharing.classes import PART2_NOTICE
from svckit.ids import new_id


async def test_the_custodian_and_the_parties_are_told(world):
    clinic, agency = await world.organisation(), await world.organisation("social-service")
    event = await world.happened("referral.requested", clinic, parties=[agency])
    for organisation in (clinic, agency):
        page = await world.feed(organisation)
        assert [item["id"] for item in page["items"]] == [event.id]


async def test_an_item_is_thin(world):
    clinic = await world.organisation()
    event = await world.happened("case.opened", clinic)
    [item] = (await world.feed(clinic))["items"]
    assert item == {
        "seq": 1,
        "id": event.id,
        "type": "org.careloop.case.opened.v1",
        "timestamp": item["timestamp"],
        "data": {
            "id": event.subject,
            "version": 1,
            "href": f"/v1/things/{event.subject}",
            "case_id": world.case,
        },
    }


async def test_what_is_told_of_a_part_2_record_says_so(world):
    clinic = await world.organisation()
    await world.happened("note.added", clinic, classes=["notes", "substance-use"])
    await world.happened("note.added", clinic, classes=["notes", "behavioral"])
    secret, plain = (item["data"] for item in (await world.feed(clinic))["items"])
    assert secret["redisclosure_notice"] == PART2_NOTICE
    assert "redisclosure_notice" not in plain


async def test_an_outsider_is_told_nothing(world):
    clinic, outsider = await world.organisation(), await world.organisation()
    await world.happened("case.opened", clinic)
    assert await world.feed(outsider) == {"items": [], "next_after": 0, "more": False}


async def test_a_payer_with_a_grant_for_outcomes_hears_of_outcomes_and_of_no_note(world):
    clinic, payer = await world.organisation(), await world.organisation("payer")
    await world.grant(clinic, payer, ["outcome"])
    await world.happened("case.opened", clinic, classes=["coordination"])
    await world.happened("note.added", clinic, classes=["notes"])
    await world.happened("referral.completed", clinic, classes=["outcome"])
    await world.happened("case.closed", clinic, classes=["outcome"])
    assert await world.told(payer) == ["referral.completed", "case.closed"]
    assert len(await world.told(clinic)) == 4


async def test_every_class_of_an_event_is_needed_to_hear_of_it(world):
    clinic, agency = await world.organisation(), await world.organisation("social-service")
    await world.grant(clinic, agency, ["notes", "coordination"])
    await world.happened("note.added", clinic, classes=["notes", "behavioral"])
    await world.happened("note.added", clinic, classes=["notes"])
    assert await world.told(agency) == ["note.added"]


async def test_a_class_that_this_build_does_not_know_is_told_to_the_custodian_alone(world):
    clinic, agency = await world.organisation(), await world.organisation("social-service")
    await world.grant(clinic, agency, ["notes", "coordination"])
    await world.happened("note.added", clinic, classes=["notes", "genomic"])
    assert await world.told(agency) == []
    assert await world.told(clinic) == ["note.added"]


async def test_a_grant_for_one_case_tells_nothing_of_another(world):
    clinic, agency = await world.organisation(), await world.organisation("social-service")
    await world.grant(clinic, agency, ["coordination"], case=world.case)
    await world.happened("case.changed", clinic)
    await world.happened("case.changed", clinic, case_id=new_id("cas"))
    assert await world.told(agency) == ["case.changed"]


async def test_a_grant_for_one_case_tells_of_the_person_of_that_case(world):
    clinic, agency = await world.organisation(), await world.organisation("social-service")
    await world.grant(clinic, agency, ["identity", "coordination"], case=world.case)
    about = {"subject": world.person, "case_id": None, "classes": ["identity"]}
    await world.happened("person.changed", clinic, **about)
    assert await world.told(agency) == ["person.changed"]


async def test_what_may_no_longer_be_seen_is_no_longer_shown(world):
    clinic, agency = await world.organisation(), await world.organisation("social-service")
    grant = await world.grant(clinic, agency, ["coordination"])
    await world.happened("case.changed", clinic)
    assert await world.told(agency) == ["case.changed"]
    await world.end(grant)
    page = await world.feed(agency)
    assert page == {"items": [], "next_after": 1, "more": False}


async def test_the_purpose_of_the_caller_decides_at_reading(world):
    clinic, payer = await world.organisation(), await world.organisation("payer")
    await world.grant(clinic, payer, ["outcome"])
    await world.happened("case.closed", clinic, classes=["outcome"])
    client = world.client(payer, purpose="HMARKT")
    assert (await client.get("/v1/events")).json()["items"] == []
    assert await world.told(payer) == ["case.closed"]


async def test_numbers_have_no_gaps_and_go_on_for_each_organisation_alone(world):
    clinic, other = await world.organisation(), await world.organisation()
    for _ in range(5):
        await world.happened("case.changed", clinic)
    await world.happened("case.changed", other)
    first = await world.feed(clinic, limit=3)
    rest = await world.feed(clinic, after=first["next_after"], limit=3)
    assert [item["seq"] for item in first["items"] + rest["items"]] == [1, 2, 3, 4, 5]
    assert (first["more"], rest["more"]) == (True, False)
    assert [item["seq"] for item in (await world.feed(other))["items"]] == [1]


async def test_numbers_have_no_gaps_when_fan_outs_run_at_the_same_time(world):
    clinic, agency = await world.organisation(), await world.organisation("social-service")
    await asyncio.gather(
        *(world.happened("case.changed", clinic, parties=[agency]) for _ in range(8)),
        *(world.happened("case.changed", agency, parties=[clinic]) for _ in range(8)),
    )
    for organisation in (clinic, agency):
        page = await world.feed(organisation, limit=50)
        assert [item["seq"] for item in page["items"]] == list(range(1, 17))


async def test_a_repeated_event_is_told_once(world):
    clinic = await world.organisation()
    event = world.event("case.opened", new_id("cas"), custodian_id=clinic)
    from notify_svc.consumer import tell

    for _ in range(2):
        async with world.db.begin() as tx:
            await tell(tx, event)
    assert await world.told(clinic) == ["case.opened"]


@pytest.mark.parametrize("wanted", ["case.*", "case.closed", "org.careloop.case.closed.v1"])
async def test_a_filter_narrows_and_the_position_still_moves_on(world, wanted):
    clinic = await world.organisation()
    for kind in ("note.added", "case.closed", "note.added"):
        await world.happened(kind, clinic)
    page = await world.feed(clinic, type=wanted)
    assert [item["seq"] for item in page["items"]] == [2]
    assert page["next_after"] == 3


async def test_a_wait_ends_with_the_event(world):
    clinic = await world.organisation()
    waiting = asyncio.create_task(world.feed(clinic, wait=10))
    await asyncio.wait({waiting}, timeout=0.3)
    assert not waiting.done()
    event = await world.happened("case.opened", clinic)
    page = await asyncio.wait_for(waiting, 5)
    assert [item["id"] for item in page["items"]] == [event.id]


async def test_a_wait_is_not_ended_by_what_others_are_told(world):
    clinic, other = await world.organisation(), await world.organisation()
    waiting = asyncio.create_task(world.feed(clinic, wait=0.6))
    await world.happened("case.opened", other)
    assert (await waiting)["items"] == []


async def test_a_wait_holds_no_connection(world):
    clinic = await world.organisation()
    waiting = [asyncio.create_task(world.feed(clinic, wait=3)) for _ in range(30)]
    await asyncio.wait(waiting, timeout=0.3)
    await world.happened("case.opened", clinic)
    pages = await asyncio.wait_for(asyncio.gather(*waiting), 10)
    assert all(len(page["items"]) == 1 for page in pages)


@pytest.mark.parametrize(
    "params",
    [{"after": -1}, {"after": "x"}, {"limit": 0}, {"limit": 201}, {"wait": 60}, {"type": "case.eaten"},
     {"after": 2**70}],
)  # fmt: skip
async def test_an_unacceptable_parameter_is_named(world, params):
    answer = await world.client(await world.organisation()).get("/v1/events", params=params)
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert next(iter(params)) in error["pointer"]


async def test_the_feed_needs_its_scope_and_a_token(world):
    clinic = await world.organisation()
    assert (await world.client(clinic, scopes="cases.read").get("/v1/events")).status_code == 403
    assert (await world.stranger().get("/v1/events")).status_code == 401


async def test_statements_do_not_grow_with_the_audience_or_the_page(world):
    clinic = await world.organisation()
    await world.happened("case.changed", clinic)
    counts = []
    for _ in range(2):
        for _ in range(4):
            partner = await world.organisation("social-service")
            await world.grant(clinic, partner, ["coordination"])
            await world.endpoint(partner, "http://127.0.0.1:9/")
        with world.statements() as sent:
            await world.happened("case.changed", clinic)
        counts.append(len(sent))
    assert counts[0] == counts[1] <= 10
    with world.statements() as short:
        await world.feed(clinic, limit=1)
    with world.statements() as long:
        await world.feed(clinic, limit=200)
    assert len(short) == len(long) <= 3


async def test_what_is_told_is_let_out_up_to_what_the_agreement_says(world):
    clinic, agency = await world.organisation(), await world.organisation("social-service")
    await world.grant(clinic, agency, ["notes"])
    await world.happened("note.added", clinic, classes=["notes"], confidentiality="R")
    await world.happened("note.added", clinic, classes=["notes"], confidentiality="L")
    assert len(await world.told(agency)) == 1
    assert len(await world.told(clinic)) == 2


async def test_a_new_label_closes_what_was_told_before(world):
    clinic, agency = await world.organisation(), await world.organisation("social-service")
    await world.grant(clinic, agency, ["notes"])
    note = await world.happened("note.added", clinic, classes=["notes"])
    assert await world.told(agency) == ["note.added"]
    await world.happened(
        "note.labelled", clinic, classes=["notes", "behavioral"], subject=note.subject
    )
    assert await world.told(agency) == []
    assert await world.told(clinic) == ["note.added", "note.labelled"]


async def test_a_case_that_is_restricted_takes_what_was_told_of_it_along(world):
    clinic, agency = await world.organisation(), await world.organisation("social-service")
    await world.grant(clinic, agency, ["notes"])
    await world.happened("note.added", clinic, classes=["notes"])
    restricting = {"change": {"fields": ["confidentiality"]}}
    await world.happened(
        "case.changed", clinic, subject=world.case, confidentiality="R", **restricting
    )
    assert await world.told(agency) == []
    assert await world.told(clinic) == ["note.added", "case.changed"]
    await world.happened(
        "case.changed", clinic, subject=world.case, confidentiality="N", **restricting
    )
    assert await world.told(agency) == ["note.added"]
