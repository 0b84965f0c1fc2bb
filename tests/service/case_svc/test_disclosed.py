"""What the service tells the ledger of its answers: all that shows another's rows, and refusals."""

import pytest_asyncio
from sharing import names_of
from svckit.disclosure import HEADER, decode
from svckit.ids import new_id

from tests.service.case_svc.test_access import addresses, filled, writes

__all__ = ["filled"]
COC = ["identity", "contact", "coordination", "needs", "plan", "safety", "notes", "outcome"]


def told(answer):
    lines = answer.headers.get_list(HEADER.decode())
    return list(decode([line.encode() for line in lines])) if lines else []


@pytest_asyncio.fixture(loop_scope="session")
async def shared(world, clinic, pantry, filled):
    await world.grant(clinic, pantry, filled["person_id"], COC)
    return filled


async def test_every_answer_that_shows_a_row_tells_whose_it_is(clinic, pantry, shared):
    silent = []
    for path in [*addresses(shared), "/v1/cases", "/v1/tasks", "/v1/persons"]:
        answer = await pantry.get(path)
        if answer.status_code != 200 or answer.json().get("items") == []:
            continue
        found = told(answer)
        if not found:
            silent.append(path)
        assert {each.custodian_id for each in found} <= {clinic.id}
        assert {each.person_id for each in found} <= {shared["person_id"]}
        assert not any(each.denied for each in found)
    assert silent == []


async def test_the_classes_told_are_those_shown(pantry, clinic, shared):
    (of_case,) = told(await pantry.get(f"/v1/cases/{shared['id']}"))
    shown = set(names_of(of_case.classes))
    assert {"coordination", "outcome"} <= shown <= set(COC)
    assert "identity" not in shown, "a case shows no name"
    (of_record,) = told(await pantry.get(f"/v1/persons/{shared['person_id']}"))
    assert of_record.kind == "client-record"
    assert set(names_of(of_record.classes)) == {"identity", "contact", "safety"}


async def test_a_list_tells_how_many_rows_of_whom(world, clinic, pantry):
    people = [(await world.case(clinic))["person_id"] for _ in range(3)]
    for person in people:
        await world.grant(clinic, pantry, person, ["coordination"])
    found = told(await pantry.get("/v1/cases", limit=2))
    assert [each.person_id for each in found] == people[:0:-1], "the page, not the row after it"


async def test_ones_own_rows_are_nothing_disclosed(clinic, shared):
    for path in [*addresses(shared), "/v1/cases"]:
        assert told(await clinic.get(path)) == []


async def test_a_refusal_tells_the_ledger_whose_row_it_was_and_the_caller_nothing(
    clinic, outsider, shared
):
    for path in addresses(shared):
        answer = await outsider.get(path)
        assert answer.status_code == 404
        (found,) = told(answer)
        assert (found.denied, found.custodian_id) == (True, clinic.id)
        assert found.person_id == shared["person_id"]
        assert clinic.id not in answer.text


async def test_a_refused_write_is_told_as_well(clinic, outsider, shared):
    for method, path, body in writes(shared):
        answer = await outsider.http.request(
            method, path, json=body, headers={"Idempotency-Key": new_id("key"), "If-Match": '"1"'}
        )
        assert answer.status_code == 404
        assert [each.custodian_id for each in told(answer)] == [clinic.id]


async def test_what_is_not_there_is_told_without_an_owner(outsider):
    answer = await outsider.get(f"/v1/cases/{new_id('cas')}")
    (found,) = told(answer)
    assert (found.kind, found.denied, found.custodian_id) == ("cas", True, None)


async def test_ones_own_missing_row_is_no_refusal(clinic, shared):
    answer = await clinic.get(f"/v1/cases/{shared['id']}/notes/{new_id('not')}")
    assert (answer.status_code, told(answer)) == (404, [])


async def test_a_missing_scope_is_told(world, clinic, shared):
    narrow = world.acting(clinic, scopes="persons.read")
    answer = await world.partner(scopes="persons.read").get(f"/v1/cases/{shared['id']}")
    assert answer.status_code == 403
    assert [each.custodian_id for each in told(answer)] == [clinic.id]
    assert told(await narrow.get(f"/v1/cases/{shared['id']}")) == []
