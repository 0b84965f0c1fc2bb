"""Making a referral: whom it may name, what it writes and tells."""

import asyncio
from datetime import timedelta

import pytest
from svckit.clock import now
from svckit.ids import new_id


async def test_a_referral_is_requested_with_deadlines(world):
    made = await world.refer(requester_number="LC-17", priority="urgent")
    assert made["status"] == "requested"
    assert made["request_status"] == "active"
    assert made["requester_id"] == world.clinic
    assert made["owner_id"] == world.pantry
    assert made["accept_by"] > made["requested_at"]
    assert made["start_by"] > made["accept_by"]
    assert made["overdue"] is False


async def test_a_referral_writes_its_row_its_history_and_its_event(world):
    made = await world.refer()
    (event,) = await world.events(made["id"])
    assert event.type == "referral.requested"
    assert (event.version, event.key) == (1, made["id"])
    assert event.data["custodian_id"] == world.clinic
    assert event.data["parties"] == [world.clinic, world.pantry]
    assert event.data["classes"] == ["coordination"]
    assert event.data["change"] == {
        "requester_id": world.clinic,
        "recipient_id": world.pantry,
        "person_id": world.person,
        "case_id": world.case,
        "service_id": None,
        "need_id": None,
        "need_category": "food-insecurity",
        "status": "requested",
        "previous_status": None,
        "accept_by": made["accept_by"],
        "start_by": made["start_by"],
        "contacting_subject_prohibited": False,
    }
    audits = "SELECT count(*) FROM audit WHERE resource = :id AND action = 'referral.requested'"
    assert await world.scalar(audits, id=made["id"]) == 1


async def test_events_hold_no_words_about_the_person(world):
    made = await world.refer(requester_number="LC-17")
    (event,) = await world.events(made["id"])
    assert "No food" not in str(event.data)
    assert "LC-17" not in str(event.data)


async def test_both_parties_read_the_referral_whole(world):
    made = await world.refer(contacting_subject_prohibited=True)
    mine = (await world.at_clinic.get(f"/v1/referrals/{made['id']}")).json()
    theirs = (await world.at_pantry.get(f"/v1/referrals/{made['id']}")).json()
    assert mine == theirs == made
    assert theirs["contacting_subject_prohibited"] is True


async def test_a_referral_to_a_service_goes_to_its_organisation(world):
    service = await world.service()
    made = await world.refer(service_id=service, owner_id=None)
    assert made["owner_id"] == world.pantry
    assert made["service_id"] == service


async def test_a_service_that_is_not_active_takes_no_referral(world):
    service = await world.service(status="temporarily closed")
    answer = await world.post(
        world.at_clinic, "/v1/referrals", world.body(service_id=service, owner_id=None)
    )
    assert answer.status_code == 409
    assert answer.json()["code"] == "service-not-active"


@pytest.mark.parametrize(
    ("field", "make"),
    [
        ("case_id", lambda: new_id("cas")),
        ("person_id", lambda: new_id("per")),
        ("owner_id", lambda: new_id("org")),
        ("service_id", lambda: new_id("svc")),
    ],
)
async def test_an_unknown_id_is_refused_by_pointer(world, field, make):
    answer = await world.post(world.at_clinic, "/v1/referrals", world.body(**{field: make()}))
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == f"#/{field}"
    assert await world.scalar("SELECT count(*) FROM referral") == 0
    assert await world.events() == []


async def test_someone_elses_case_is_refused_like_one_that_is_not_there(world):
    other = await world.organisation("clinic")
    await world.agreement(other, world.pantry)
    known = await world.post(world.client(other), "/v1/referrals", world.body())
    unknown = await world.post(
        world.client(other), "/v1/referrals", world.body(case_id=new_id("cas"))
    )
    told = ("status", "code", "detail", "errors")
    assert [known.json()[name] for name in told] == [unknown.json()[name] for name in told]


async def test_a_coordinator_with_coordination_may_refer_on_the_case(world):
    network = await world.organisation("coordinator")
    await world.agreement(network, world.pantry)
    await world.grant(network, ["coordination", "needs"])
    made = await world.refer(world.client(network))
    assert made["requester_id"] == network
    assert made["custodian_id"] == world.clinic
    seen = await world.at_clinic.get(f"/v1/referrals/{made['id']}")
    assert seen.status_code == 200


async def test_without_an_agreement_there_is_no_referral(world):
    stranger = await world.organisation("social-service")
    answer = await world.post(world.at_clinic, "/v1/referrals", world.body(owner_id=stranger))
    assert answer.status_code == 409
    assert answer.json()["code"] == "no-agreement"


async def test_an_agreement_that_has_ended_lets_nobody_refer(world):
    other = await world.organisation("social-service")
    agreement = await world.agreement(world.clinic, other)
    await world.tell("agreement.ended", agreement, custodian_id=world.clinic)
    answer = await world.post(world.at_clinic, "/v1/referrals", world.body(owner_id=other))
    assert answer.json()["code"] == "no-agreement"


async def test_nobody_refers_to_itself(world):
    answer = await world.post(world.at_clinic, "/v1/referrals", world.body(owner_id=world.clinic))
    assert answer.status_code == 422


async def test_a_case_told_a_moment_later_is_waited_for(world, settings):
    case = new_id("cas")
    asked = asyncio.create_task(
        world.post(world.at_clinic, "/v1/referrals", world.body(case_id=case))
    )
    await world.case_opened(case)
    assert (await asked).status_code == 201


@pytest.mark.parametrize(
    ("more", "pointer"),
    [
        ({"custodian_id": "org_1"}, "#/custodian_id"),
        ({"version": 9}, "#/version"),
        ({"status": "accepted"}, "#/status"),
        ({"need_category": "hunger"}, "#/need_category"),
        ({"case_id": "7"}, "#/case_id"),
        ({"accept_by": "2026-01-01T00:00:00"}, "#/accept_by"),
        ({"document_ids": ["x"]}, "#/document_ids/0"),
    ],
)
async def test_fields_that_are_not_the_callers_to_set_are_refused(world, more, pointer):
    answer = await world.post(world.at_clinic, "/v1/referrals", world.body(**more))
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer


async def test_a_draft_is_known_to_its_requester_alone(world):
    draft = await world.refer(status="draft")
    path = f"/v1/referrals/{draft['id']}"
    assert draft["request_status"] == "draft"
    assert (await world.at_pantry.get(path)).status_code == 404
    assert (await world.at_pantry.get("/v1/referrals")).json()["items"] == []
    (event,) = await world.events(draft["id"])
    assert event.data["parties"] == [world.clinic]
    sent = await world.act(world.at_clinic, draft["id"], "request", 1)
    assert sent.json()["status"] == "requested"
    assert (await world.at_pantry.get(path)).status_code == 200
    assert len((await world.at_pantry.get("/v1/referrals")).json()["items"]) == 1


async def test_the_same_key_makes_one_referral(world):
    key, body = new_id("key"), world.body()
    first = await world.post(world.at_clinic, "/v1/referrals", body, key=key)
    again = await world.post(world.at_clinic, "/v1/referrals", body, key=key)
    assert again.status_code == 201
    # another client of the organisation has its own keys
    assert again.content == first.content
    other = await world.post(
        world.at_clinic, "/v1/referrals", world.body(reason="another"), key=key
    )
    assert other.json()["code"] == "idempotency-key-reused"
    assert await world.scalar("SELECT count(*) FROM referral") == 1


async def test_lists_filter_by_what_is_asked(world):
    made = await world.refer()
    other = await world.refer(need_category="homelessness", requester_number="2")
    await world.act(world.at_pantry, other["id"], "accept", 1)
    late = now() - timedelta(hours=1)
    overdue = await world.refer(accept_by=late.isoformat(), need_category="stress")

    async def ids(client, query):
        listed = (await client.get(f"/v1/referrals?{query}")).json()["items"]
        counted = (await client.get(f"/v1/referrals/count?{query}")).json()["count"]
        assert counted == len(listed)
        return [item["id"] for item in listed]

    everything = [overdue["id"], other["id"], made["id"]]
    assert await ids(world.at_clinic, "") == everything
    assert await ids(world.at_clinic, "role=owner") == []
    assert await ids(world.at_pantry, "role=owner") == everything
    assert await ids(world.at_clinic, "status=accepted") == [other["id"]]
    assert await ids(world.at_clinic, "status=accepted&status=requested") == everything
    assert await ids(world.at_clinic, "need_category=homelessness") == [other["id"]]
    assert await ids(world.at_pantry, "overdue=true") == [overdue["id"]]
    assert await ids(world.at_pantry, "overdue=false") == [other["id"], made["id"]]
    assert await ids(world.at_clinic, f"case_id={world.case}") == everything
    assert await ids(world.at_clinic, f"person_id={new_id('per')}") == []


async def test_the_filter_and_the_field_agree_on_what_is_overdue(world):
    past = (now() - timedelta(hours=1)).isoformat()
    for late in ({}, {"accept_by": past}, {"start_by": past}):
        for verbs in ([], ["accept"], ["accept", "start"], ["reject"]):
            made = await world.refer(**late)
            for version, verb in enumerate(verbs, start=1):
                more = {"reason": "full"} if verb == "reject" else {}
                await world.act(world.at_pantry, made["id"], verb, version, **more)
    listed = (await world.at_clinic.get("/v1/referrals")).json()["items"]
    late = (await world.at_clinic.get("/v1/referrals?overdue=true")).json()["items"]
    assert [item for item in listed if item["overdue"]] == late
    assert {(item["status"], bool(item["overdue"])) for item in late} == {
        ("requested", True),
        ("accepted", True),
    }


async def test_a_voided_draft_was_never_known_to_its_owner(world):
    draft = await world.refer(status="draft")
    voided = await world.act(world.at_clinic, draft["id"], "void", 1)
    assert voided.json()["status"] == "entered-in-error"
    assert (await world.at_pantry.get(f"/v1/referrals/{draft['id']}")).status_code == 404
    assert all(event.data["parties"] == [world.clinic] for event in await world.events(draft["id"]))


async def test_pages_follow_each_other_without_gap(world):
    made = [(await world.refer())["id"] for _ in range(5)]
    seen, url = [], "/v1/referrals?limit=2"
    while url:
        page = (await world.at_clinic.get(url)).json()
        seen += [item["id"] for item in page["items"]]
        url = page["next"] and f"/v1/referrals?limit=2&cursor={page['next']}"
    assert seen == made[::-1]


async def test_a_cursor_belongs_to_one_organisation(world):
    for _ in range(2):
        await world.refer()
    cursor = (await world.at_clinic.get("/v1/referrals?limit=1")).json()["next"]
    answer = await world.at_pantry.get(f"/v1/referrals?limit=1&cursor={cursor}")
    assert answer.json()["code"] == "cursor-invalid"


async def test_a_page_costs_one_statement_however_long(world):
    for _ in range(3):
        await world.refer()
    counts = []
    for limit in (1, 3):
        with world.statements() as seen:
            await world.at_clinic.get(f"/v1/referrals?limit={limit}")
        counts.append(len(seen))
    assert counts == [1, 1]
