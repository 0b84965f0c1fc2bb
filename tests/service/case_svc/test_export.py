"""Exports: every line is what its own address answers, nothing more, nothing twice."""

import json

import pytest
from sharing.classes import PART2_NOTICE
from svckit.clock import now

from tests.service.case_svc.test_access import COC, filled
from tests.service.case_svc.test_disclosed import told

__all__ = ["filled"]
ADDRESS = {
    "party": "parties",
    "care-team": "care-team",
    "number": "numbers",
    "assessment": "assessments",
    "need": "needs",
    "goal": "goals",
    "activity": "activities",
    "task": "tasks",
    "note": "notes",
    "decision": "decisions",
    "timeline": "timeline",
}


def lines(answer):
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    found = [json.loads(line) for line in answer.text.splitlines()]
    return found[:-1], found[-1]["next"]


async def exported(partner, path, **params):
    """Every line of all pages."""
    found, cursor = [], {}
    while True:
        page, following = lines(await partner.get(path, **params, **cursor))
        found += page
        if following is None:
            return found
        assert page, "a page that goes on holds something"
        cursor = {"cursor": following}


async def by_address(partner, case):
    """The same as its own addresses show it."""
    path = f"/v1/cases/{case['id']}"
    one = await partner.read(path)
    one.pop("counts")
    found = [("case", one)]
    person = await partner.get(f"/v1/persons/{case['person_id']}")
    if person.status_code == 200:
        found += [("record", record) for record in person.json()["records"]]
    phases = await partner.read(f"{path}/phases")
    found += [("phases", phases)] if phases["items"] else []
    for kind, sub in ADDRESS.items():
        rows = (await partner.read(f"{path}/{sub}", limit=200))["items"]
        found += [(kind, row) for row in rows]
    return found


async def test_a_case_is_exported_as_its_addresses_show_it(world, clinic, pantry, payer, filled):
    path = f"/v1/cases/{filled['id']}"
    await clinic.move(f"{path}/enter-phase", 2, phase="assessment")
    await world.grant(clinic, pantry, filled["person_id"], COC)
    await world.grant(clinic, payer, filled["person_id"], ["outcome"])
    for partner, many in ((clinic, 20), (pantry, 15), (payer, 0)):
        found = await exported(partner, f"{path}/export")
        assert [(line["kind"], line["row"]) for line in found] == await by_address(partner, filled)
        assert {line["case_id"] for line in found} == {filled["id"]}
        assert len(found) > many


@pytest.mark.parametrize("limit", [1, 2, 7])
async def test_pages_hold_every_line_once_and_in_order(clinic, filled, limit):
    path = f"/v1/cases/{filled['id']}/export"
    whole, following = lines(await clinic.get(path))
    assert following is None
    assert await exported(clinic, path, limit=limit) == whole


async def test_a_case_is_exported_as_it_was(world, clinic, pantry, filled):
    """Every line is what its own address answers of that moment; persons' records keep no past."""
    path = f"/v1/cases/{filled['id']}"
    await world.grant(clinic, pantry, filled["person_id"], COC)
    before = {
        one.id: [line for line in await exported(one, f"{path}/export") if line["kind"] != "record"]
        for one in (clinic, pantry)
    }
    then = {"as_of": now().isoformat()}
    await clinic.move(f"{path}/enter-phase", 2, phase="assessment")
    await clinic.make(f"{path}/notes", kind="contact", text="later")
    await clinic.patch(f"/v1/tasks/{filled['rows']['tasks']['id']}", 1, title="Other")
    for partner in (clinic, pantry):
        for limit in (2, 500):
            found = await exported(partner, f"{path}/export", limit=limit, **then)
            assert found == before[partner.id]
        assert await exported(partner, f"{path}/export") != before[partner.id]
    early = {"as_of": "2020-01-01T00:00:00Z"}
    assert (await clinic.get(f"{path}/export", **early)).status_code == 404


async def test_the_export_of_all_cases_is_the_list_with_all_that_is_in_it(world, clinic, pantry):
    cases = [await world.case(clinic, title=str(number)) for number in range(4)]
    for case in cases:
        path = f"/v1/cases/{case['id']}"
        await clinic.make(f"{path}/notes", kind="contact", text="x")
        await clinic.make(f"{path}/notes", kind="clinical", text="x")
    for case in cases[:3]:
        await world.grant(clinic, pantry, case["person_id"], COC)
    for partner, seen in ((clinic, cases), (pantry, cases[:3])):
        expected = [
            (case["id"], *line) for case in seen[::-1] for line in await by_address(partner, case)
        ]
        for limit in (3, 500):
            found = await exported(partner, "/v1/cases/export", limit=limit)
            told_ = [(line["case_id"], line["kind"], line["row"]) for line in found]
            assert told_ == expected
    found = await exported(pantry, "/v1/cases/export", person_id=cases[0]["person_id"])
    assert {line["case_id"] for line in found} == {cases[0]["id"]}


async def test_a_page_decides_by_the_rights_of_now(world, clinic, pantry):
    cases = [await world.case(clinic) for _ in range(2)]
    grants = [await world.grant(clinic, pantry, case["person_id"], COC) for case in cases]
    page, following = lines(await pantry.get("/v1/cases/export", limit=1))
    assert [line["case_id"] for line in page] == [cases[1]["id"]]
    await world.end(grants[1], clinic, cases[1]["person_id"])
    rest, _ = lines(await pantry.get("/v1/cases/export", limit=500, cursor=following))
    assert {line["case_id"] for line in rest} == {cases[0]["id"]}
    page, following = lines(await pantry.get(f"/v1/cases/{cases[0]['id']}/export", limit=1))
    await world.end(grants[0], clinic, cases[0]["person_id"])
    answer = await pantry.get(f"/v1/cases/{cases[0]['id']}/export", limit=1, cursor=following)
    assert answer.status_code == 404


async def test_nothing_is_there_for_an_organisation_without_a_grant(clinic, outsider, filled):
    assert (await outsider.get(f"/v1/cases/{filled['id']}/export")).status_code == 404
    assert lines(await outsider.get("/v1/cases/export")) == ([], None)


async def test_persons_are_told_to_who_may_read_persons(world, clinic, filled):
    narrow = world.acting(clinic, scopes="cases.read")
    kinds = {line["kind"] for line in await exported(narrow, f"/v1/cases/{filled['id']}/export")}
    assert "case" in kinds
    assert "record" not in kinds
    for scopes in ("persons.read", "cases.write"):
        answer = await world.acting(clinic, scopes=scopes).get("/v1/cases/export")
        assert answer.status_code == 403


async def test_a_part_2_record_leaves_with_its_notice(world, clinic):
    case, other = await world.case(clinic), world.partner("clinic")
    path = f"/v1/cases/{case['id']}"
    note = await clinic.make(f"{path}/notes", kind="contact", text="x", labels=["SUD"])
    await world.grant(clinic, other, case["person_id"], [*COC, "substance-use"])
    assert PART2_NOTICE not in (await other.get(f"{path}/export")).text
    await world.permit(other, case["person_id"], ["substance-use"])
    about = [
        line["row"]
        for line in await exported(other, f"{path}/export")
        if note["id"] in (line["row"].get("id"), line["row"].get("resource_id"))
    ]
    assert len(about) == 2, "the note, and what the timeline tells of it"
    assert all(row["redisclosure_notice"] == PART2_NOTICE for row in about)
    assert all(row["redisclosure_consent"] for row in about)


async def test_each_page_tells_the_ledger_of_its_lines_and_of_no_other(
    world, clinic, pantry, filled
):
    path = f"/v1/cases/{filled['id']}/export"
    await world.grant(clinic, pantry, filled["person_id"], COC)
    assert told(await clinic.get(path)) == []
    answer = await pantry.get(path)
    found = told(answer)
    assert {each.custodian_id for each in found} == {clinic.id}
    assert {each.person_id for each in found} == {filled["person_id"]}
    assert sum(each.rows for each in found) == len(lines(answer)[0])
    (first,) = told(await pantry.get(path, limit=1))
    assert (first.kind, first.rows) == ("case", 1)


async def test_a_cursor_belongs_to_its_export(world, clinic, pantry, filled):
    path = f"/v1/cases/{filled['id']}/export"
    _, following = lines(await clinic.get(path, limit=1))
    for partner, address in ((clinic, "/v1/cases/export"), (pantry, path)):
        answer = await partner.get(address, limit=1, cursor=following)
        assert answer.status_code == 400
    assert (await clinic.get(path, limit=501)).status_code == 422


async def test_a_page_costs_the_same_number_of_statements_however_many_lines(world, clinic):
    async def asked(many):
        other = world.partner("clinic")
        for _ in range(many):
            await world.case(other, needs=[{"category": "stress"}])
        await other.get("/v1/cases/export")
        with world.statements() as seen:
            assert len(lines(await other.get("/v1/cases/export"))[0]) == 5 * many
        return len(seen)

    assert await asked(2) == await asked(6)
