"""A case as of a past moment: what was there then, as the caller may see it today."""

from datetime import timedelta

import pytest
from sharing.classes import PART2_NOTICE
from sqlalchemy import text
from svckit.clock import now
from svckit.ids import new_id

COC = ["identity", "contact", "coordination", "needs", "plan", "safety", "notes", "outcome"]
SUBS = (
    *("parties", "care-team", "numbers", "needs", "assessments", "goals"),
    *("activities", "tasks", "notes", "decisions", "timeline", "phases"),
)


def at(moment):
    return {"as_of": moment.isoformat()}


async def read(partner, path, moment, **params):
    return await partner.read(path, **at(moment), **params)


async def items(partner, path, moment, **params):
    return {row["id"]: row for row in (await read(partner, path, moment, **params))["items"]}


@pytest.fixture
def opened(world, clinic):
    async def make(**body):
        case = await world.case(clinic, title="first", summary="as it began", **body)
        return case, f"/v1/cases/{case['id']}"

    return make


async def test_the_case_is_what_it_was(clinic, opened):
    case, path = await opened()
    moments = [now()]
    await clinic.patch(path, 1, title="second")
    moments.append(now())
    await clinic.move(f"{path}/activate", 2)
    moments.append(now())
    await clinic.move(f"{path}/close", 3, outcome_code="needs-met", note="all well")
    seen = [await read(clinic, path, moment) for moment in moments]
    assert [(one["title"], one["status"], one["version"]) for one in seen] == [
        ("first", "intake", 1),
        ("second", "intake", 2),
        ("second", "active", 3),
    ]
    assert [one["closed_at"] for one in seen] == [None, None, None]
    assert await read(clinic, path, now()) == await clinic.read(path)
    assert seen[0] == {**case, "counts": seen[0]["counts"]}


async def test_its_rows_are_what_they_were_and_those_that_came_later_are_not_there(clinic, opened):
    _, path = await opened()
    need = await clinic.make(f"{path}/needs", category="stress", description="little sleep")
    task = await clinic.make(f"{path}/tasks", title="call")
    goal = await clinic.make(f"{path}/goals", description="sleep")
    before = now()
    await clinic.move(f"{path}/needs/{need['id']}/meet", 1)
    await clinic.move(f"/v1/tasks/{task['id']}/cancel", 1)
    await clinic.patch(f"{path}/goals/{goal['id']}", 1, description="sleep well")
    later = await clinic.make(f"{path}/needs", category="food-insecurity")
    assert await items(clinic, f"{path}/needs", before) == {need["id"]: need}
    assert await items(clinic, f"{path}/tasks", before) == {task["id"]: task}
    assert await items(clinic, f"{path}/goals", before) == {goal["id"]: goal}
    counts = {"needs_open": 1, "tasks_open": 1, "goals": 1, "notes": 0}
    assert (await read(clinic, path, before))["counts"] == counts
    assert await read(clinic, f"{path}/needs/{need['id']}", before) == need
    answer = await clinic.get(f"{path}/needs/{later['id']}", **at(before))
    assert answer.status_code == 404
    today = await items(clinic, f"{path}/needs", now())
    assert today[need["id"]]["status"] == "met"
    assert set(today) == {need["id"], later["id"]}
    assert (await read(clinic, path, now()))["counts"] == (await clinic.read(path))["counts"]


async def test_a_filter_asks_about_what_was(clinic, opened):
    _, path = await opened()
    need = await clinic.make(f"{path}/needs", category="stress")
    before = now()
    await clinic.move(f"{path}/needs/{need['id']}/meet", 1)
    for status, found in (("open", {need["id"]}), ("met", set())):
        assert set(await items(clinic, f"{path}/needs", before, status=status)) == found
    assert set(await items(clinic, f"{path}/needs", now(), status="met")) == {need["id"]}


async def test_timeline_and_phases_end_at_the_moment(clinic, opened):
    _, path = await opened()
    await clinic.move(f"{path}/activate", 1)
    await clinic.move(f"{path}/enter-phase", 2, phase="assessment")
    before = now()
    await clinic.move(f"{path}/enter-phase", 3, phase="planning")
    told = [entry["action"] for entry in (await read(clinic, f"{path}/timeline", before))["items"]]
    assert told == ["case.changed", "case.changed", "case.opened"]
    (stay,) = (await read(clinic, f"{path}/phases", before))["items"]
    assert (stay["phase"], stay["left_at"]) == ("assessment", None)
    assert (await read(clinic, path, before))["phase"] == "assessment"


async def test_pages_of_the_past_go_on_by_cursor(clinic, opened):
    _, path = await opened()
    notes = [await clinic.make(f"{path}/notes", kind="contact", text=str(n)) for n in range(3)]
    moment = now()
    await clinic.make(f"{path}/notes", kind="contact", text="later")
    first = await read(clinic, f"{path}/notes", moment, limit=2)
    rest = await read(clinic, f"{path}/notes", moment, limit=2, cursor=first["next"])
    assert [row["id"] for row in first["items"] + rest["items"]] == [n["id"] for n in notes[::-1]]
    other = await clinic.get(f"{path}/notes", **at(now()), limit=2, cursor=first["next"])
    assert other.status_code == 400, "a cursor belongs to its moment"


async def test_before_it_was_opened_there_is_no_case(clinic, opened):
    before = now() - timedelta(milliseconds=1)
    _, path = await opened()
    for address in (path, *(f"{path}/{sub}" for sub in SUBS)):
        assert (await clinic.get(address, **at(before))).status_code == 404, address


async def test_the_future_is_refused_with_the_place(clinic, opened):
    _, path = await opened()
    for address in (path, *(f"{path}/{sub}" for sub in SUBS)):
        answer = await clinic.get(address, **at(now() + timedelta(hours=1)))
        assert (answer.status_code, answer.json()["code"]) == (422, "as-of-in-future"), address
        assert [one["pointer"] for one in answer.json()["errors"]] == ["#/query/as_of"]
    for wrong in ("yesterday", "2026-01-01T00:00:00", "0001-01-01T00:00:00+14:00", ""):
        answer = await clinic.get(path, as_of=wrong)
        assert answer.status_code == 422, wrong


async def test_rights_are_those_of_today_and_never_those_of_then(world, clinic, pantry, opened):
    case, path = await opened()
    await clinic.make(f"{path}/notes", kind="contact", text="x")
    grant = await world.grant(clinic, pantry, case["person_id"], COC)
    while_open = now()
    assert "summary" in await read(pantry, path, while_open)
    await clinic.patch(path, 1, summary="changed")
    await world.end(grant, clinic, case["person_id"])
    for address in (path, *(f"{path}/{sub}" for sub in SUBS)):
        assert (await pantry.get(address, **at(while_open))).status_code == 404, address
    await world.grant(clinic, pantry, case["person_id"], ["coordination"])
    seen = await read(pantry, path, while_open)
    assert seen["title"] == "first"
    assert not {"summary", "status"} & set(seen)
    assert set(seen) == set(await pantry.read(path))
    assert await items(pantry, f"{path}/notes", while_open) == {}
    assert seen["counts"] == {"tasks_open": 0}


async def test_a_seal_of_today_closes_the_past(world, clinic, pantry, opened):
    case, path = await opened()
    await world.grant(clinic, pantry, case["person_id"], COC)
    before = now()
    assert (await pantry.get(path, **at(before))).status_code == 200
    await clinic.move(f"{path}/seal", 1, reason="staff-member")
    assert (await pantry.get(path, **at(before))).status_code == 404
    assert (await clinic.get(path, **at(before))).status_code == 200


async def test_what_was_protected_then_stays_protected(world, clinic, pantry, opened):
    """A sentence that was taken out before the row was opened up is not read by asking earlier."""
    case, path = await opened(confidentiality="R")
    await world.grant(clinic, pantry, case["person_id"], COC)
    note = await clinic.make(f"{path}/notes", kind="contact", text="x", labels=["MH"])
    then = now()
    await clinic.patch(path, 1, confidentiality="N", summary="nothing special")
    await clinic.move(f"{path}/notes/{note['id']}/label", 1, labels=[])
    opened_up = now()
    assert (await pantry.get(path)).status_code == 200
    assert (await pantry.get(path, **at(then))).status_code == 404
    assert set(await items(pantry, f"{path}/notes", opened_up)) == {note["id"]}
    assert set(await items(clinic, f"{path}/notes", then)) == {note["id"]}


async def test_what_is_protected_today_is_so_in_the_past(world, clinic, opened):
    case, path = await opened()
    other = world.partner("clinic")
    await world.grant(clinic, other, case["person_id"], [*COC, "substance-use"])
    note = await clinic.make(f"{path}/notes", kind="contact", text="x")
    then = now()
    assert set(await items(other, f"{path}/notes", then)) == {note["id"]}
    await clinic.move(f"{path}/notes/{note['id']}/label", 1, labels=["SUD"])
    assert await items(other, f"{path}/notes", then) == {}
    assert (await read(other, path, then))["counts"]["notes"] == 0
    await world.permit(other, case["person_id"], ["substance-use"])
    (seen,) = (await items(other, f"{path}/notes", then)).values()
    assert seen["labels"] == []
    assert seen["redisclosure_notice"] == PART2_NOTICE
    assert seen["redisclosure_consent"]


async def test_what_was_not_kept_is_said_and_not_made_up(world, clinic, opened):
    """Rows that changed before their past was kept: as a database has them that was migrated."""
    _, path = await opened()
    need = await clinic.make(f"{path}/needs", category="stress")
    before = now()
    await clinic.move(f"{path}/needs/{need['id']}/meet", 1)
    kept = now()
    await clinic.move(f"{path}/needs/{need['id']}/reopen", 2, reason="again")
    async with world.db.begin() as tx:
        await tx.execute(
            text("DELETE FROM past_row WHERE row_id = :id AND version = 1"), {"id": need["id"]}
        )
    for params in ({}, {"status": "met"}, {"category": "food-insecurity"}):
        answer = await clinic.get(f"{path}/needs", **at(before), **params)
        assert (answer.status_code, answer.json()["code"]) == (422, "as-of-not-kept")
    assert [row["status"] for row in (await items(clinic, f"{path}/needs", kept)).values()] == [
        "met"
    ]
    assert (await clinic.get(path, **at(before))).json()["code"] == "as-of-not-kept", "its counts"
    assert (await clinic.get(f"{path}/notes", **at(before))).status_code == 200


async def test_every_version_of_every_row_of_a_case_is_kept(world, clinic, opened):
    """Also a change that no code of ours makes: the table itself keeps what it held."""
    case, path = await opened()
    await clinic.make(f"{path}/decisions", title="d", grounds="as they were")
    before = now()
    async with world.db.begin() as tx:
        await tx.execute(
            text(
                "UPDATE decision SET grounds = 'other', version = version + 1, updated_at = now() "
                "WHERE case_id = :id"
            ),
            {"id": case["id"]},
        )
    (was,) = (await items(clinic, f"{path}/decisions", before)).values()
    assert was["grounds"] == "as they were"
    named = await world.rows(
        "SELECT event_object_table FROM information_schema.triggers "
        "WHERE trigger_name LIKE '%keeps_its_past'"
    )
    in_cases = await world.rows(
        "SELECT table_name FROM information_schema.columns "
        "WHERE column_name = 'created_by' INTERSECT "
        "SELECT table_name FROM information_schema.columns WHERE column_name = 'case_id'"
    )
    assert {each[0] for each in named} == {"case_file", *(each[0] for each in in_cases)}
    assert len(in_cases) > 9


async def test_an_answer_of_the_past_is_told_to_the_ledger(world, clinic, pantry, opened):
    from tests.service.case_svc.test_disclosed import told

    case, path = await opened()
    await world.grant(clinic, pantry, case["person_id"], COC)
    then = now()
    await clinic.patch(path, 1, title="second")
    (found,) = told(await pantry.get(path, **at(then)))
    assert (found.kind, found.custodian_id, found.person_id) == (
        "case",
        clinic.id,
        case["person_id"],
    )
    answer = await pantry.get(path, **at(then - timedelta(days=1)))
    assert (answer.status_code, [each.denied for each in told(answer)]) == (404, [True])
    assert (await pantry.get(f"/v1/cases/{new_id('cas')}", **at(then))).status_code == 404
