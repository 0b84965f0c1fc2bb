"""Screening opens needs by rule; referrals move them; labels decide who learns of what."""

FOOD = [{"question": "88122-7", "answer": "LA28397-0"}]
NO_FOOD = [
    {"question": "88122-7", "answer": "LA28398-8"},
    {"question": "88123-5", "answer": "LA28398-8"},
]
HITS = ("95618-5", "95617-7", "95616-9", "95615-1")


async def assess(partner, case, instrument, answers, **more):
    path = f"/v1/cases/{case['id']}/assessments"
    body = {"instrument": instrument, "instrument_version": "1", "answers": answers, **more}
    return await partner.make(path, **body)


async def needs_of(partner, case, **params):
    return (await partner.read(f"/v1/cases/{case['id']}/needs", **params))["items"]


async def test_a_positive_answer_opens_a_need_with_its_event(world, clinic):
    case = await world.case(clinic)
    assessment = await assess(clinic, case, "ahc-hrsn", FOOD)
    (need,) = await needs_of(clinic, case)
    assert (need["category"], need["status"]) == ("food-insecurity", "open")
    assert need["assessment_id"] == assessment["id"]
    (told,) = await world.events(need["id"])
    assert told.type == "org.careloop.need.identified.v1"
    (completed,) = await world.events(assessment["id"])
    assert completed.data["change"]["instrument"] == "ahc-hrsn"


async def test_a_second_screening_does_not_double_an_open_need_and_tells_what_changed(
    world, clinic
):
    case = await world.case(clinic)
    first = await assess(clinic, case, "hunger-vital-sign", FOOD)
    second = await assess(clinic, case, "hunger-vital-sign", FOOD)
    third = await assess(clinic, case, "hunger-vital-sign", NO_FOOD)
    assert len(await needs_of(clinic, case)) == 1
    assert [each["findings"][0]["change"] for each in (first, second, third)] == [
        "new",
        "continuing",
        "resolved",
    ]
    assert second["previous_id"] == first["id"]
    assert second["findings"][0]["need_id"] == first["findings"][0]["need_id"]


async def test_the_same_answer_means_another_thing_in_another_instrument(world, clinic):
    case = await world.case(clinic)
    answer = await clinic.post(
        f"/v1/cases/{case['id']}/assessments",
        instrument="prapare",
        instrument_version="1",
        answers=[
            {"question": "71802-3", "answer": "LA30190-5"},
            {"question": "71802-3", "answer": "LA31994-9"},
        ],
    )
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "#/answers/1/answer"
    assert await needs_of(clinic, case) == []


async def test_an_unknown_instrument_or_question_is_refused(world, clinic):
    case = await world.case(clinic)
    path = f"/v1/cases/{case['id']}/assessments"
    unknown = await clinic.post(path, instrument="x", instrument_version="1", answers=FOOD)
    assert unknown.json()["code"] == "unknown-instrument"
    question = [{"question": "1-1", "answer": "LA33-6"}]
    wrong = await clinic.post(path, instrument="prapare", instrument_version="1", answers=question)
    assert wrong.json()["errors"][0]["pointer"] == "#/answers/0/question"


async def test_violence_found_by_the_sum_is_a_need_that_takes_the_safety_class(
    world, clinic, pantry
):
    case = await world.case(clinic)
    answers = [{"question": code, "answer": "LA10082-8"} for code in HITS]
    assessment = await assess(clinic, case, "ahc-hrsn", [*FOOD, *answers])
    found = {each["code"]: each for each in assessment["findings"]}
    assert found["intimate-partner-violence"]["score"] == 12
    classes = ["coordination", "needs", "notes"]
    await world.grant(clinic, pantry, case["person_id"], classes)
    assert [each["category"] for each in await needs_of(pantry, case)] == ["food-insecurity"]
    seen = await pantry.read(f"/v1/cases/{case['id']}/assessments/{assessment['id']}")
    assert {each["question"] for each in seen["answers"]} == {"88122-7"}
    assert "intimate-partner-violence" not in {each["code"] for each in seen["findings"]}
    assert (await pantry.read(f"/v1/cases/{case['id']}"))["counts"]["needs_open"] == 1
    listed = await pantry.read("/v1/cases", need="intimate-partner-violence")
    assert listed["items"] == []
    await world.grant(clinic, pantry, case["person_id"], [*classes, "safety"])
    assert len(await needs_of(pantry, case)) == 2


async def test_a_need_moves_and_a_met_one_can_be_reopened(world, clinic):
    case = await world.case(clinic)
    path = f"/v1/cases/{case['id']}/needs"
    need = await clinic.make(
        path,
        category="food-insecurity",
        coding=[{"system": "http://snomed.info/sct", "code": "733423003"}],
    )
    one = f"{path}/{need['id']}"
    met = await clinic.move(f"{one}/meet", 1)
    assert met["met_at"]
    assert (await clinic.act(f"{one}/withdraw", 2, reason="x")).status_code == 409
    again = await clinic.move(f"{one}/reopen", 2, reason="Box was empty.")
    assert (again["status"], again["met_at"]) == ("open", None)
    assert [each.version for each in await world.events(need["id"])] == [1, 2, 3]


async def test_a_referral_completed_with_the_need_met_meets_it_and_its_goal(world, clinic, pantry):
    case = await world.case(clinic, needs=[{"category": "food-insecurity"}])
    (need,) = await needs_of(clinic, case)
    goal = await clinic.make(
        f"/v1/cases/{case['id']}/goals",
        description="Food for every week",
        need_id=need["id"],
        lifecycle_status="active",
    )
    referral = await world.referral("requested", case, clinic, pantry, need=need["id"])
    assert (await needs_of(clinic, case))[0]["status"] == "open"
    await world.referral("accepted", case, clinic, pantry, referral=referral, need=need["id"])
    assert (await needs_of(clinic, case))[0]["status"] == "in-progress"
    await world.referral(
        "completed", case, clinic, pantry, referral=referral, need=need["id"], need_met="yes"
    )
    assert (await needs_of(clinic, case))[0]["status"] == "met"
    assert (await clinic.read(f"/v1/cases/{case['id']}/goals/{goal['id']}"))[
        "achievement_status"
    ] == "achieved"
    actions = [
        each["action"] for each in (await clinic.read(f"/v1/cases/{case['id']}/timeline"))["items"]
    ]
    assert actions == [
        "goal.changed",
        "need.changed",
        "referral.completed",
        "need.changed",
        "referral.accepted",
        "referral.requested",
        "goal.set",
        "need.identified",
        "case.opened",
    ]


async def test_a_referral_that_closes_without_help_leaves_the_need_open(world, clinic, pantry):
    case = await world.case(clinic, needs=[{"category": "food-insecurity"}])
    for end in ("rejected", "failed", "cancelled", "voided"):
        referral = await world.referral("requested", case, clinic, pantry)
        await world.referral("accepted", case, clinic, pantry, referral=referral)
        await world.referral(end, case, clinic, pantry, referral=referral)
        assert (await needs_of(clinic, case))[0]["status"] == "open", end
    referral = await world.referral("accepted", case, clinic, pantry)
    await world.referral("completed", case, clinic, pantry, referral=referral, need_met="no")
    assert (await needs_of(clinic, case))[0]["status"] == "open"


async def test_a_need_stays_under_way_while_another_referral_for_it_is(world, clinic, pantry):
    case = await world.case(clinic, needs=[{"category": "food-insecurity"}])
    one = await world.referral("accepted", case, clinic, pantry)
    two = await world.referral("accepted", case, clinic, pantry)
    await world.referral("failed", case, clinic, pantry, referral=one)
    assert (await needs_of(clinic, case))[0]["status"] == "in-progress"
    await world.referral("failed", case, clinic, pantry, referral=two)
    assert (await needs_of(clinic, case))[0]["status"] == "open"


async def test_a_referral_of_no_case_of_ours_changes_nothing(world, clinic, pantry):
    case = await world.case(clinic)
    await world.referral("accepted", {**case, "id": "cas_" + "0" * 26}, clinic, pantry)
    await world.referral("accepted", {**case, "id": None}, clinic, pantry)
    assert len((await clinic.read(f"/v1/cases/{case['id']}/timeline"))["items"]) == 1


async def test_goals_follow_the_life_cycle_of_the_standard(world, clinic):
    case = await world.case(clinic)
    path = f"/v1/cases/{case['id']}/goals"
    goal = await clinic.make(path, description="Own flat")
    one = f"{path}/{goal['id']}"
    assert (await clinic.patch(one, 1, lifecycle_status="completed")).status_code == 409
    assert (await clinic.patch(one, 1, lifecycle_status="active")).status_code == 200
    done = await clinic.patch(one, 2, lifecycle_status="completed", achievement_status="achieved")
    assert done.json()["achievement_status"] == "achieved"
    unknown = await clinic.post(path, description="x", need_id="nee_" + "0" * 26)
    assert unknown.json()["errors"][0]["pointer"] == "#/need_id"


async def test_the_owner_of_an_activity_moves_it(world, clinic, pantry):
    case = await world.case(clinic)
    path = f"/v1/cases/{case['id']}/activities"
    nobody = await clinic.post(path, description="Weekly box", organisation_id=pantry.id)
    assert nobody.json()["code"] == "organisation-not-on-case"
    await world.grant(clinic, pantry, case["person_id"], ["coordination", "plan"])
    planned = await clinic.make(path, description="Weekly box", organisation_id=pantry.id)
    answer = await pantry.patch(f"{path}/{planned['id']}", 1, status="in-progress")
    assert answer.json()["status"] == "in-progress"
    back = await pantry.patch(f"{path}/{planned['id']}", 2, status="not-started")
    assert (back.status_code, back.json()["code"]) == (409, "invalid-transition")


async def test_a_closed_case_takes_notes_but_no_new_work(world, clinic):
    case = await world.case(clinic)
    path = f"/v1/cases/{case['id']}"
    await clinic.move(f"{path}/close", 1, outcome_code="declined")
    for sub, body in {
        "needs": {"category": "stress"},
        "tasks": {"title": "x"},
        "goals": {"description": "x"},
        "activities": {"description": "x"},
    }.items():
        answer = await clinic.post(f"{path}/{sub}", **body)
        assert (answer.status_code, answer.json()["code"]) == (409, "case-closed"), sub
    await clinic.make(f"{path}/notes", kind="contact", text="Called to say goodbye.")
