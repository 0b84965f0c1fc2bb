"""Who sees what of a case, on every path; who may write; and what "not yours" looks like."""

import asyncio

import pytest
import pytest_asyncio
from svckit.ids import new_id

PAYER_SEES = {
    "id",
    "custodian_id",
    "person_id",
    "status",
    "outcome_code",
    "opened_at",
    "closed_at",
    "cycle",
    "counts",
}
COC = ["identity", "contact", "coordination", "needs", "plan", "safety", "notes", "outcome"]
SUBS = (
    "parties",
    "care-team",
    "numbers",
    "needs",
    "assessments",
    "goals",
    "activities",
    "tasks",
    "notes",
    "decisions",
    "timeline",
    "phases",
)


@pytest_asyncio.fixture(loop_scope="session")
async def filled(world, clinic):
    """A case with something of everything."""
    case = await world.case(
        clinic,
        title="T",
        summary="S",
        needs=[{"category": "food-insecurity"}],
        numbers=[{"system": "ehr", "value": "E-1"}],
    )
    path = f"/v1/cases/{case['id']}"
    made = {
        "parties": {"role": "caregiver", "name": "Rosa"},
        "needs": {"category": "stress"},
        "goals": {"description": "g"},
        "activities": {"description": "a"},
        "tasks": {"title": "t"},
        "notes": {"kind": "clinical", "text": "n"},
        "decisions": {"title": "d", "grounds": "g"},
    }
    found = {sub: await clinic.make(f"{path}/{sub}", **body) for sub, body in made.items()}
    found["assessments"] = await clinic.make(
        f"{path}/assessments",
        instrument="prapare",
        instrument_version="1",
        answers=[{"question": "93033-9", "answer": "LA33-6"}],
    )
    await clinic.move(f"{path}/activate", 1)
    return {**case, "rows": found}


def addresses(case):
    yield f"/v1/cases/{case['id']}"
    for sub in SUBS:
        yield f"/v1/cases/{case['id']}/{sub}"
    for sub, row in case["rows"].items():
        yield (
            f"/v1/tasks/{row['id']}"
            if sub == "tasks"
            else (f"/v1/cases/{case['id']}/{sub}/{row['id']}")
        )


def writes(case):
    """Every write on the case: method, path, body."""
    path, rows = f"/v1/cases/{case['id']}", case["rows"]
    yield "PATCH", path, {"title": "x"}
    for command in ("activate", "resume"):
        yield "POST", f"{path}/{command}", None
    yield "POST", f"{path}/suspend", {"reason": "x"}
    yield "POST", f"{path}/reopen", {"reason": "x"}
    yield "POST", f"{path}/close", {"outcome_code": "needs-met"}
    yield "POST", f"{path}/enter-phase", {"phase": "planning"}
    yield "POST", f"{path}/hand-over", {"worker": "x", "brief": "x"}
    yield "POST", f"{path}/parties", {"role": "x", "name": "x"}
    yield "POST", f"{path}/parties/{rows['parties']['id']}/end", {}
    yield "POST", f"{path}/care-team", {"organisation_id": new_id("org"), "role": "x"}
    yield "POST", f"{path}/needs", {"category": "stress"}
    yield "PATCH", f"{path}/needs/{rows['needs']['id']}", {"priority": "urgent"}
    yield "POST", f"{path}/needs/{rows['needs']['id']}/meet", None
    yield (
        "POST",
        f"{path}/assessments",
        {
            "instrument": "prapare",
            "instrument_version": "1",
            "answers": [{"question": "93033-9", "answer": "LA33-6"}],
        },
    )
    yield "POST", f"{path}/goals", {"description": "x"}
    yield "PATCH", f"{path}/goals/{rows['goals']['id']}", {"description": "x"}
    yield "POST", f"{path}/notes", {"kind": "clinical", "text": "x"}
    yield "POST", f"{path}/decisions", {"title": "x", "grounds": "x"}


def contributions(case):
    """What an organisation that sees coordination may add."""
    path = f"/v1/cases/{case['id']}"
    yield "POST", f"{path}/notes", {"kind": "coordination", "text": "x"}
    yield "POST", f"{path}/tasks", {"title": "x"}
    yield "POST", f"{path}/activities", {"description": "x"}
    yield "POST", f"{path}/numbers", {"system": "own", "value": "N-1"}


async def send(partner, method, path, body):
    headers = {"Idempotency-Key": new_id("key"), "If-Match": '"1"'}
    return await partner.http.request(method, path, json=body, headers=headers)


async def count_rows(world):
    tables = ("outbox", "audit", "timeline_entry", "idempotency")
    (row,) = await world.rows(
        "SELECT " + ", ".join(f"(SELECT count(*) FROM {name})" for name in tables)
    )
    return tuple(row)


async def test_an_organisation_without_a_grant_finds_nothing_anywhere(world, filled, outsider):
    for path in addresses(filled):
        assert (await outsider.get(path)).status_code == 404, path
    assert (await outsider.read("/v1/cases"))["items"] == []
    assert (await outsider.read("/v1/tasks"))["items"] == []
    assert await outsider.read("/v1/cases/count") == {"count": 0}
    for params in ({"person_id": filled["person_id"]}, {"number": filled["number"]}):
        assert (await outsider.read("/v1/cases", **params))["items"] == [], params


async def test_an_organisation_without_a_grant_writes_nothing(world, filled, outsider):
    before = await count_rows(world)
    for method, path, body in (*writes(filled), *contributions(filled)):
        answer = await send(outsider, method, path, body)
        assert answer.status_code == 404, (method, path, answer.text)
    assert await count_rows(world) == before


async def test_not_yours_and_not_there_are_the_same_answer(filled, outsider):
    theirs = (await outsider.get(f"/v1/cases/{filled['id']}")).json()
    nowhere = (await outsider.get(f"/v1/cases/{new_id('cas')}")).json()
    for body in (theirs, nowhere):
        del body["trace_id"]
    assert theirs == nowhere


async def test_without_a_token_or_scope_nothing_is_read_or_written(world, clinic, filled):
    path = f"/v1/cases/{filled['id']}"
    assert (await world.stranger().get(path)).status_code == 401
    foreign = world.acting(clinic, aud="referral-svc")
    assert (await foreign.get(path)).status_code == 401
    late = world.acting(clinic, lifetime_s=-60)
    assert (await late.get(path)).status_code == 401
    reader = world.acting(clinic, scopes="cases.read")
    assert (await reader.get(path)).status_code == 200
    assert (await reader.get("/v1/persons")).status_code == 403
    answer = await reader.post(f"{path}/notes", kind="contact", text="x")
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient-scope")


async def test_the_payer_sees_the_outcome_and_nothing_more(world, clinic, payer, filled):
    await world.grant(clinic, payer, filled["person_id"], ["outcome", "coordination", "notes"])
    path = f"/v1/cases/{filled['id']}"
    await clinic.move(f"{path}/close", 2, outcome_code="needs-met", note="private")
    case = await payer.read(path)
    assert set(case) == PAYER_SEES
    assert (case["outcome_code"], case["status"], case["counts"]) == ("needs-met", "closed", {})
    (listed,) = (await payer.read("/v1/cases"))["items"]
    assert set(listed) == PAYER_SEES - {"counts"}
    for sub in SUBS:
        shown = (await payer.read(f"{path}/{sub}"))["items"]
        if sub == "timeline":
            assert [each["action"] for each in shown] == ["case.closed"]
            assert "actor" not in shown[0]
        else:
            assert shown == [], sub
    assert (await payer.get(f"/v1/persons/{filled['person_id']}")).status_code == 404


async def test_the_payer_cannot_filter_count_or_search_by_what_it_does_not_see(
    world, clinic, payer, filled
):
    await world.grant(clinic, payer, filled["person_id"], ["outcome"])
    hidden = {
        "phase": "assessment",
        "worker": "worker-7",
        "number": filled["number"],
        "need": "food-insecurity",
        "updated_since": "2020-01-01T00:00:00Z",
    }
    for name, value in hidden.items():
        assert (await payer.read("/v1/cases", **{name: value}))["items"] == [], name
        assert (await payer.read("/v1/cases/count", **{name: value}))["count"] == 0, name
    for name, value in {"status": "active", "person_id": filled["person_id"]}.items():
        assert (await payer.read("/v1/cases/count", **{name: value}))["count"] == 1, name


async def test_a_partner_that_only_sees_the_outcome_writes_nothing(world, clinic, payer, filled):
    await world.grant(clinic, payer, filled["person_id"], ["outcome"])
    for method, path, body in (*writes(filled), *contributions(filled)):
        answer = await send(payer, method, path, body)
        assert answer.status_code == 404, (method, path, answer.text)


async def test_a_member_of_the_care_team_sees_by_grant_and_never_clinical_notes(
    world, clinic, pantry, filled
):
    await world.grant(clinic, pantry, filled["person_id"], COC, case=filled["id"])
    path = f"/v1/cases/{filled['id']}"
    case = await pantry.read(path)
    assert (case["title"], case["summary"]) == ("T", "S")
    assert case["counts"] == {"needs_open": 3, "tasks_open": 1, "goals": 1, "notes": 0}
    assert (await pantry.read(f"{path}/notes"))["items"] == []
    note = filled["rows"]["notes"]["id"]
    assert (await pantry.get(f"{path}/notes/{note}")).status_code == 404
    assert (await pantry.read(f"{path}/notes", kind="clinical"))["items"] == []
    told = (await pantry.read(f"{path}/timeline"))["items"]
    assert note not in {each["resource_id"] for each in told}


async def test_a_member_of_the_care_team_adds_its_own_rows_and_changes_no_others(
    world, clinic, pantry, filled
):
    await world.grant(clinic, pantry, filled["person_id"], COC)
    for method, path, body in contributions(filled):
        answer = await send(pantry, method, path, body)
        assert answer.status_code == 201, (path, answer.text)
        assert answer.json()["custodian_id"] == pantry.id
    for method, path, body in writes(filled):
        answer = await send(pantry, method, path, body)
        assert answer.status_code == 404, (method, path, answer.text)
    mine = (await clinic.read(f"/v1/cases/{filled['id']}/notes"))["items"]
    assert [each["custodian_id"] for each in mine] == [pantry.id, clinic.id]


@pytest.mark.parametrize(
    ("label", "needs"), [("SUD", "substance-use"), ("MH", "behavioral"), ("SDV", "safety")]
)
async def test_a_labelled_note_takes_the_class_of_its_label(world, clinic, label, needs):
    case = await world.case(clinic)
    path = f"/v1/cases/{case['id']}/notes"
    note = await clinic.make(path, kind="coordination", text="x", labels=[label])
    (told,) = await world.events(note["id"])
    assert set(told.data["classes"]) == {"notes", needs}
    other = world.partner("clinic")
    await world.grant(clinic, other, case["person_id"], ["coordination", "notes"])
    assert (await other.read(path))["items"] == []
    await world.grant(clinic, other, case["person_id"], ["coordination", "notes", needs])
    if label == "SUD":
        assert (await other.read(path))["items"] == []
        await world.permit(other, case["person_id"], ["substance-use"])
    assert [each["id"] for each in (await other.read(path))["items"]] == [note["id"]]


async def test_a_sensitive_note_filed_by_a_partner_is_not_the_custodians_to_read(
    world, clinic, pantry
):
    case = await world.case(clinic)
    await world.grant(clinic, pantry, case["person_id"], ["coordination", "notes"])
    path = f"/v1/cases/{case['id']}/notes"
    plain = await pantry.make(path, kind="coordination", text="x")
    labelled = await pantry.make(path, kind="coordination", text="x", labels=["SUD"])
    assert [each["id"] for each in (await clinic.read(path))["items"]] == [plain["id"]]
    (told,) = await world.events(labelled["id"])
    assert told.data["parties"] == []


async def test_what_one_partner_files_another_sees_only_by_that_partners_grant(
    world, clinic, pantry
):
    case = await world.case(clinic)
    other = world.partner("social-service")
    for partner in (pantry, other):
        await world.grant(clinic, partner, case["person_id"], COC)
    path = f"/v1/cases/{case['id']}/notes"
    note = await pantry.make(path, kind="coordination", text="x")
    assert (await other.read(path))["items"] == []
    await world.grant(pantry, other, case["person_id"], ["notes"], case=case["id"])
    assert [each["id"] for each in (await other.read(path))["items"]] == [note["id"]]


async def test_a_grant_for_one_case_does_not_open_another_of_the_person(world, clinic, pantry):
    one = await world.case(clinic)
    two = await world.case(clinic, person=one["person_id"])
    await world.grant(clinic, pantry, one["person_id"], COC, case=one["id"])
    assert [each["id"] for each in (await pantry.read("/v1/cases"))["items"]] == [one["id"]]
    assert (await pantry.get(f"/v1/cases/{two['id']}")).status_code == 404


async def test_a_case_opened_after_a_grant_is_on_the_recipients_list(world, clinic, pantry):
    person = await world.person(clinic)
    await world.grant(clinic, pantry, person["id"], COC)
    case = await world.case(clinic, person=person["id"])
    assert [each["id"] for each in (await pantry.read("/v1/cases"))["items"]] == [case["id"]]


async def test_an_ended_grant_closes_every_path_at_once(world, clinic, pantry, filled):
    grant = await world.grant(clinic, pantry, filled["person_id"], COC)
    assert (await pantry.read("/v1/cases/count"))["count"] == 1
    await world.end(grant, clinic, filled["person_id"])
    for path in addresses(filled):
        assert (await pantry.get(path)).status_code == 404, path
    assert (await pantry.read("/v1/cases/count"))["count"] == 0
    for method, path, body in contributions(filled):
        assert (await send(pantry, method, path, body)).status_code == 404, path


async def test_a_purpose_the_grant_does_not_cover_opens_nothing(world, clinic, pantry, filled):
    await world.grant(clinic, pantry, filled["person_id"], COC)
    other = world.acting(pantry, purpose="HMARKT")
    assert (await other.get(f"/v1/cases/{filled['id']}")).status_code == 404
    assert (await other.read("/v1/cases"))["items"] == []


async def test_a_grant_and_a_case_that_cross_each_other_find_each_other(world, clinic):
    person = await world.person(clinic)
    partners = [world.partner("social-service") for _ in range(6)]
    cases, _ = await asyncio.gather(
        asyncio.gather(*(world.case(clinic, person=person["id"]) for _ in range(6))),
        asyncio.gather(*(world.grant(clinic, each, person["id"], COC) for each in partners)),
    )
    for partner in partners:
        seen = (await partner.read("/v1/cases"))["items"]
        assert {each["id"] for each in seen} == {each["id"] for each in cases}


async def test_a_hidden_change_moves_nothing_that_a_partial_reader_gets(
    world, clinic, payer, filled
):
    """Neither ETag nor version nor time, in the case, the list, the timeline or a filter by time."""
    await world.grant(clinic, payer, filled["person_id"], ["outcome"])
    path = f"/v1/cases/{filled['id']}"
    doors = (path, "/v1/cases", f"{path}/timeline", "/v1/cases?updated_since=2020-01-01T00:00:00Z")

    async def everything():
        answers = [await payer.http.get(door) for door in doors]
        return [(one.status_code, one.headers.get("etag"), one.content) for one in answers]

    before = await everything()
    etag = before[0][1]
    assert before[0][0] == 200
    answer = await clinic.http.patch(
        path, json={"title": "Other", "summary": "Other"}, headers={"If-Match": '"2"'}
    )
    assert (answer.status_code, answer.headers["etag"]) == (200, '"3"')
    assert await everything() == before
    closed = {"outcome_code": "needs-met"}
    assert (await clinic.move(f"{path}/close", 3, **closed)) is not None
    assert (await payer.http.get(path)).headers["etag"] != etag
