"""Opening a case and moving it: state, event, audit row and timeline in one commit."""

import asyncio

from svckit.ids import new_id


async def test_a_case_is_opened_in_intake_with_a_number_of_the_organisation(world, clinic):
    case = await world.case(clinic, title="Food and rent")
    assert case["status"] == "intake"
    assert case["cycle"] == 1
    assert case["responsible_id"] == clinic.id
    second = await world.case(clinic)
    assert second["number"] > case["number"]


async def test_opening_writes_row_event_audit_row_and_timeline_once(world, clinic):
    case = await world.case(clinic)
    (told,) = await world.events(case["id"])
    assert told.type == "org.careloop.case.opened.v1"
    assert told.data["person_id"] == case["person_id"]
    assert told.data["custodian_id"] == clinic.id
    (audited,) = await world.rows("SELECT * FROM audit WHERE resource = :r", r=case["id"])
    assert (audited.action, audited.actor) == ("case.opened", "worker-7")
    timeline = await clinic.read(f"/v1/cases/{case['id']}/timeline")
    assert [each["action"] for each in timeline["items"]] == ["case.opened"]


async def test_a_case_walks_through_its_life_and_reopens_as_a_new_cycle(world, clinic):
    case = await world.case(clinic)
    path = f"/v1/cases/{case['id']}"
    case = await clinic.move(f"{path}/activate", 1)
    case = await clinic.move(f"{path}/suspend", 2, reason="Person is travelling.")
    assert (case["status"], case["status_reason"]) == ("suspended", "Person is travelling.")
    case = await clinic.move(f"{path}/resume", 3)
    case = await clinic.move(f"{path}/close", 4, outcome_code="needs-met", note="All is well.")
    assert case["closed_at"]
    case = await clinic.move(f"{path}/reopen", 5, reason="Lost the job.")
    assert (case["status"], case["cycle"], case["closed_at"]) == ("active", 2, None)
    assert [each.version for each in await world.events(case["id"])] == [1, 2, 3, 4, 5, 6]


async def test_phases_are_entered_again_and_keep_their_cycle(world, clinic):
    case = await world.case(clinic)
    path = f"/v1/cases/{case['id']}"
    await clinic.move(f"{path}/activate", 1)
    for version, phase in enumerate(["assessment", "linking", "assessment"], start=2):
        case = await clinic.move(f"{path}/enter-phase", version, phase=phase)
    assert case["phase"] == "assessment"
    stays = (await clinic.read(f"{path}/phases"))["items"]
    assert [(each["phase"], each["cycle"], each["round"]) for each in stays] == [
        ("assessment", 1, 1),
        ("linking", 1, 1),
        ("assessment", 1, 2),
    ]
    assert [each["left_at"] is None for each in stays] == [False, False, True]


async def test_a_standard_case_does_not_skip_a_phase(world, clinic):
    kind = await clinic.make(
        "/v1/case-types",
        code="intake",
        name="Intake",
        mode="standard",
        status="published",
        outcomes=["done"],
    )
    case = await world.case(clinic, type_id=kind["id"])
    path = f"/v1/cases/{case['id']}"
    await clinic.move(f"{path}/activate", 1)
    answer = await clinic.act(f"{path}/enter-phase", 2, phase="linking")
    assert (answer.status_code, answer.json()["code"]) == (409, "phase-out-of-order")
    await clinic.move(f"{path}/enter-phase", 2, phase="assessment")


async def test_a_command_that_the_status_does_not_allow_is_refused(world, clinic):
    case = await world.case(clinic)
    answer = await clinic.act(f"/v1/cases/{case['id']}/resume", 1)
    assert (answer.status_code, answer.json()["code"]) == (409, "invalid-transition")
    assert len(await world.events(case["id"])) == 1


async def test_an_outcome_that_the_type_does_not_name_is_refused(world, clinic):
    case = await world.case(clinic)
    answer = await clinic.act(f"/v1/cases/{case['id']}/close", 1, outcome_code="who-knows")
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown-outcome")
    assert answer.json()["errors"][0]["pointer"] == "#/outcome_code"


async def test_a_stale_version_is_refused_and_changes_nothing(world, clinic):
    case = await world.case(clinic)
    path = f"/v1/cases/{case['id']}"
    await clinic.move(f"{path}/activate", 1)
    assert (await clinic.act(f"{path}/suspend", 1, reason="x")).status_code == 412
    assert (await clinic.patch(path, 1, title="x")).status_code == 412
    assert (await clinic.read(path))["status"] == "active"


async def test_a_command_without_a_version_or_a_key_is_refused(world, clinic):
    case = await world.case(clinic)
    path = f"/v1/cases/{case['id']}/activate"
    keyed = {"Idempotency-Key": new_id("key")}
    assert (await clinic.http.post(path, headers=keyed)).status_code == 428
    assert (await clinic.http.post(path, headers={"If-Match": '"1"'})).status_code == 400


async def test_a_repeated_opening_answers_the_first_and_opens_nothing(world, clinic):
    person = await world.person(clinic)
    body = {"person_id": person["id"], "worker": "worker-7"}
    headers = {"Idempotency-Key": "first-visit"}
    one = await clinic.http.post("/v1/cases", json=body, headers=headers)
    two = await clinic.http.post("/v1/cases", json=body, headers=headers)
    assert one.content == two.content
    other = await clinic.http.post("/v1/cases", json={**body, "title": "x"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    assert (await clinic.read("/v1/cases/count"))["count"] == 1


async def test_of_two_commands_at_once_one_wins(world, clinic):
    case = await world.case(clinic)
    path = f"/v1/cases/{case['id']}"
    await clinic.move(f"{path}/activate", 1)
    answers = await asyncio.gather(
        clinic.act(f"{path}/suspend", 2, reason="a"),
        clinic.act(f"{path}/close", 2, outcome_code="declined"),
        clinic.patch(path, 2, title="b"),
    )
    assert sorted(each.status_code for each in answers) == [200, 412, 412]
    assert [each.version for each in await world.events(case["id"])] == [1, 2, 3]


async def test_concurrent_writes_under_a_case_have_places_without_gaps(world, clinic):
    case = await world.case(clinic)
    path = f"/v1/cases/{case['id']}/notes"
    await asyncio.gather(*(clinic.make(path, kind="contact", text=f"call {n}") for n in range(12)))
    rows = await world.rows(
        "SELECT place FROM timeline_entry WHERE case_id = :c ORDER BY place", c=case["id"]
    )
    assert [row.place for row in rows] == list(range(1, 14))


async def test_fields_that_nobody_may_write_are_refused(world, clinic):
    person = await world.person(clinic)
    for field in ("status", "custodian_id", "number", "outcome_code", "version", "id"):
        answer = await clinic.post(
            "/v1/cases", person_id=person["id"], worker="w", **{field: "active"}
        )
        assert answer.status_code == 422, field
        assert answer.json()["errors"][0]["pointer"] == f"#/{field}"


async def test_a_person_nobody_told_the_caller_of_opens_no_case(world, clinic, outsider):
    person = await world.person(clinic)
    for unknown in (person["id"], new_id("per")):
        answer = await outsider.post("/v1/cases", person_id=unknown, worker="w")
        assert (answer.status_code, answer.json()["code"]) == (422, "unknown-person")


async def test_a_case_opens_with_needs_and_the_numbers_of_other_systems(world, clinic):
    case = await world.case(
        clinic,
        needs=[{"category": "food-insecurity"}, {"category": "homelessness"}],
        numbers=[{"system": "ehr", "value": "E-17"}],
    )
    assert case["counts"]["needs_open"] == 2
    assert (await clinic.read("/v1/cases", number="E-17"))["items"][0]["id"] == case["id"]
    assert (await clinic.read("/v1/cases", number=case["number"]))["items"][0]["id"] == case["id"]


async def test_a_wrong_need_is_named_by_its_pointer(world, clinic):
    person = await world.person(clinic)
    answer = await clinic.post(
        "/v1/cases", person_id=person["id"], worker="w", needs=[{"category": "hunger"}]
    )
    assert answer.json()["errors"][0]["pointer"] == "#/needs/0/category"


async def test_a_case_is_handed_over_with_a_brief_only_within_its_care_team(world, clinic, pantry):
    case = await world.case(clinic)
    path = f"/v1/cases/{case['id']}"
    to = {"worker": "maria", "organisation_id": pantry.id, "brief": "Knows the family."}
    answer = await clinic.act(f"{path}/hand-over", 1, **to)
    assert (answer.status_code, answer.json()["code"]) == (409, "not-in-care-team")
    await world.know(pantry)
    await clinic.make(f"{path}/care-team", organisation_id=pantry.id, role="food-support")
    case = await clinic.move(f"{path}/hand-over", 1, **to)
    assert (case["responsible_id"], case["worker"]) == (pantry.id, "maria")
    assert case["brief"] == "Knows the family."


async def test_joining_and_leaving_the_care_team_tell_the_gateway(world, clinic, pantry):
    case = await world.case(clinic)
    path = f"/v1/cases/{case['id']}/care-team"
    await world.know(pantry)
    member = await clinic.make(path, organisation_id=pantry.id, role="food-support")
    again = await clinic.post(path, organisation_id=pantry.id, role="food-support")
    assert (again.status_code, again.json()["code"]) == (409, "in-care-team")
    member = await clinic.move(f"{path}/{member['id']}/leave", 1)
    assert member["left_on"]
    joined, left = await world.events(member["id"])
    assert joined.type == "org.careloop.care-team.joined.v1"
    assert left.type == "org.careloop.care-team.left.v1"
    for told in (joined, left):
        assert told.data["change"]["organisation_id"] == pantry.id
        assert told.data["person_id"] == case["person_id"]


async def test_an_organisation_outside_the_network_joins_no_care_team(world, clinic):
    case = await world.case(clinic)
    answer = await clinic.post(
        f"/v1/cases/{case['id']}/care-team", organisation_id=new_id("org"), role="x"
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown-organisation")


async def test_a_party_has_a_role_from_a_day_to_a_day(world, clinic):
    case = await world.case(clinic)
    path = f"/v1/cases/{case['id']}/parties"
    assert (await clinic.post(path, role="caregiver")).status_code == 422
    party = await clinic.make(path, role="caregiver", name="Rosa", valid_from="2026-01-01")
    early = await clinic.act(f"{path}/{party['id']}/end", 1, on="2025-12-31")
    assert early.json()["errors"][0]["pointer"] == "#/on"
    ended = await clinic.move(f"{path}/{party['id']}/end", 1, on="2026-06-30")
    assert (ended["valid_to"], ended["version"]) == ("2026-06-30", 2)


async def test_case_types_have_editions_that_are_published_and_retired(clinic, outsider):
    first = await clinic.make("/v1/case-types", code="reentry", name="Reentry", outcomes=["done"])
    assert (first["status"], first["edition"]) == ("draft", 1)
    path = f"/v1/case-types/{first['id']}"
    assert (await clinic.move(f"{path}/publish", 1))["status"] == "published"
    assert (await clinic.move(f"{path}/retire", 2))["status"] == "retired"
    assert (await clinic.act(f"{path}/publish", 3)).status_code == 409
    second = await clinic.make("/v1/case-types", code="reentry", name="Reentry", outcomes=["done"])
    assert second["edition"] == 2
    assert (await outsider.get(path)).status_code == 404
    assert (await outsider.act(f"{path}/retire", 3)).status_code == 404


async def test_the_network_has_one_published_case_type_from_the_beginning(clinic):
    (found,) = (await clinic.read("/v1/case-types", status="published"))["items"]
    assert (found["code"], found["organisation_id"]) == ("care-coordination", None)
    assert (await clinic.act(f"/v1/case-types/{found['id']}/retire", 1)).status_code == 404


async def test_a_draft_type_opens_no_case(world, clinic):
    kind = await clinic.make("/v1/case-types", code="draft", name="Draft", outcomes=["done"])
    person = await world.person(clinic)
    answer = await clinic.post("/v1/cases", person_id=person["id"], worker="w", type_id=kind["id"])
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown-case-type")


async def test_an_organisation_registered_just_now_joins_without_another_try(world, clinic, pantry):
    case = await world.case(clinic)
    path = f"/v1/cases/{case['id']}/care-team"
    member, _ = await asyncio.gather(
        clinic.make(path, organisation_id=pantry.id, role="food-support"), world.know(pantry)
    )
    task = await clinic.make(
        f"/v1/cases/{case['id']}/tasks", title="Call", organisation_id=member["organisation_id"]
    )
    await world.grant(clinic, pantry, case["person_id"], ["coordination"])
    assert [each["id"] for each in (await pantry.read("/v1/tasks"))["items"]] == [task["id"]]
