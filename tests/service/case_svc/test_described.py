"""What the gateway alone is told of a row, to explain who sees it: no name, no text."""

import pytest
from sharing.described import Described
from svckit.describing import SCOPE
from svckit.ids import new_id

from tests.service.case_svc.test_access import filled

__all__ = ["filled"]
PATH = "/internal/rows"


@pytest.fixture
def gateway(world, clinic):
    return world.acting(clinic, scopes=SCOPE)


async def described(gateway, row_id):
    return Described.model_validate(await gateway.read(f"{PATH}/{row_id}"))


async def test_every_kind_of_row_says_what_decides_about_it(clinic, gateway, filled):
    for sub in ("needs", "goals", "activities", "tasks", "notes", "decisions", "assessments"):
        row = filled["rows"][sub]
        found = await described(gateway, row["id"])
        assert (found.custodian_id, found.person_id) == (clinic.id, filled["person_id"])
        assert [way.case_id for way in found.ways] == [filled["id"]]
        assert found.within.custodian_id == clinic.id
        assert found.required
    assert (await described(gateway, filled["rows"]["notes"]["id"])).required == (
        "clinical",
        "notes",
    )


async def test_people_and_numbers_of_a_case_are_described_as_well(clinic, pantry, world, filled):
    await world.know(pantry)
    path = f"/v1/cases/{filled['id']}"
    member = await clinic.make(f"{path}/care-team", organisation_id=pantry.id, role="helper")
    number = (await clinic.read(f"{path}/numbers"))["items"][0]
    gateway = world.acting(clinic, scopes=SCOPE)
    rows = {"care-team": member, "party": filled["rows"]["parties"], "number": number}
    for resource, row in rows.items():
        found = await described(gateway, row["id"])
        assert (found.resource, found.required) == (resource, ("coordination",))
        assert (found.custodian_id, found.within.case_id) == (clinic.id, filled["id"])


async def test_labels_and_confidentiality_are_those_of_now(clinic, gateway, filled):
    path = f"/v1/cases/{filled['id']}"
    note = await clinic.make(f"{path}/notes", kind="contact", text="x", labels=["SUD"])
    found = await described(gateway, note["id"])
    assert (found.required, found.confidentiality) == (("substance-use", "notes"), "N")
    await clinic.patch(path, 2, confidentiality="R")
    found = await described(gateway, note["id"])
    assert (found.confidentiality, found.within.confidentiality) == ("R", "R")


async def test_nobody_else_is_told(world, clinic, gateway, filled):
    row = filled["rows"]["notes"]["id"]
    assert (await clinic.get(f"{PATH}/{row}")).status_code == 403
    assert (await world.stranger().get(f"{PATH}/{row}")).status_code == 401
    for absent in (new_id("not"), new_id("ptm"), new_id("cas"), filled["id"], new_id("doc"), "x"):
        assert (await gateway.get(f"{PATH}/{absent}")).status_code == 404


async def test_what_a_person_or_partner_wrote_is_not_in_it(clinic, gateway, filled):
    note = await clinic.make(
        f"/v1/cases/{filled['id']}/notes", kind="contact", text="Zanzibar", labels=["MH"]
    )
    answer = await gateway.get(f"{PATH}/{note['id']}")
    assert "Zanzibar" not in answer.text
    assert "worker-7" not in answer.text
