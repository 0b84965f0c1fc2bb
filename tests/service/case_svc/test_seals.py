"""A sealed case: its custodian's alone from the next statement on, on every path, until unsealed."""

import pytest
from svckit.ids import new_id

from tests.service.case_svc.test_access import COC, addresses, filled

__all__ = ["filled"]


async def sealed(clinic, file, version=2, reason="safety"):
    return await clinic.move(f"/v1/cases/{file['id']}/seal", version, reason=reason)


async def nowhere(partner, file):
    for address in addresses(file):
        assert (await partner.get(address)).status_code == 404, address
    for listing in ("/v1/cases", "/v1/tasks"):
        assert (await partner.read(listing))["items"] == [], listing
    assert (await partner.read("/v1/cases/count"))["count"] == 0


async def test_a_sealed_case_is_its_custodians_alone(world, clinic, pantry, filled):
    await world.grant(clinic, pantry, filled["person_id"], COC)
    path = f"/v1/cases/{filled['id']}"
    assert (await pantry.get(path)).status_code == 200
    shown = await sealed(clinic, filled)
    assert (shown["sealed"], shown["version"]) == (True, 3)
    await nowhere(pantry, filled)
    assert (await clinic.get(path)).status_code == 200
    note = await clinic.make(f"{path}/notes", kind="contact", text="x")
    (told,) = await world.events(note["id"])
    assert (told.data["person_id"], told.data["parties"]) == (None, [])


async def test_what_a_partner_wrote_into_it_is_sealed_with_it(world, clinic, pantry, filled):
    await world.grant(clinic, pantry, filled["person_id"], COC)
    path = f"/v1/cases/{filled['id']}"
    note = await pantry.make(f"{path}/notes", kind="contact", text="ours")
    task = await pantry.make(f"{path}/tasks", title="ours")
    await sealed(clinic, filled, (await clinic.read(path))["version"])
    assert (await pantry.get(f"{path}/notes/{note['id']}")).status_code == 404
    assert (await pantry.get(f"/v1/tasks/{task['id']}")).status_code == 404
    await nowhere(pantry, filled)


async def test_the_care_team_does_not_open_it(world, clinic, pantry, filled):
    await world.know(pantry)
    path = f"/v1/cases/{filled['id']}"
    await clinic.make(f"{path}/care-team", organisation_id=pantry.id, role="lead")
    await world.grant(clinic, pantry, filled["person_id"], COC, case=filled["id"])
    await sealed(clinic, filled, (await clinic.read(path))["version"])
    await nowhere(pantry, filled)


async def test_unsealed_it_is_as_it_was(world, clinic, pantry, filled):
    await world.grant(clinic, pantry, filled["person_id"], COC)
    await sealed(clinic, filled)
    path = f"/v1/cases/{filled['id']}"
    opened = await clinic.move(f"{path}/unseal", 3, reason="grounds-ended")
    assert opened["sealed"] is False
    assert (await pantry.get(path)).status_code == 200
    assert [each["id"] for each in (await pantry.read("/v1/cases"))["items"]] == [filled["id"]]


async def test_only_its_custodian_seals_and_unseals(world, clinic, pantry, filled):
    await world.grant(clinic, pantry, filled["person_id"], COC)
    path = f"/v1/cases/{filled['id']}"
    assert (await pantry.act(f"{path}/seal", 2, reason="safety")).status_code == 404
    assert (await pantry.get(path)).status_code == 200
    await sealed(clinic, filled)
    assert (await pantry.act(f"{path}/unseal", 3, reason="grounds-ended")).status_code == 404
    await nowhere(pantry, filled)


async def test_sealing_is_told_with_its_reason_to_the_custodian_alone(
    world, clinic, pantry, filled
):
    await world.grant(clinic, pantry, filled["person_id"], [*COC, "safety"])
    await sealed(clinic, filled, reason="person-request")
    told = (await world.events(filled["id"]))[-1]
    assert told.type == "org.careloop.case.sealed.v1"
    assert told.data["person_id"] == filled["person_id"]
    assert (told.data["classes"], told.data["parties"]) == (["coordination", "safety"], [])
    assert told.data["change"] == {"grounds": "person-request"}
    audited = await world.rows(
        "SELECT action FROM audit WHERE resource = :id ORDER BY at DESC LIMIT 1", id=filled["id"]
    )
    assert [row.action for row in audited] == ["case.sealed"]


async def test_a_case_opened_sealed_is_sealed_before_it_is_told(world, clinic, pantry):
    person = await world.person(clinic)
    await world.grant(clinic, pantry, person["id"], COC)
    file = await world.case(clinic, person=person["id"], sealed=True)
    kinds = [each.type.split(".", 2)[2] for each in await world.events(file["id"])]
    assert kinds == ["case.sealed.v1", "case.opened.v1"]
    assert (await pantry.get(f"/v1/cases/{file['id']}")).status_code == 404
    opened = await clinic.move(f"/v1/cases/{file['id']}/unseal", 2, reason="grounds-ended")
    assert opened["version"] == 3
    assert (await pantry.get(f"/v1/cases/{file['id']}")).status_code == 200


async def test_sealing_twice_and_unsealing_what_is_open_are_conflicts(clinic, filled):
    path = f"/v1/cases/{filled['id']}"
    refused = await clinic.act(f"{path}/unseal", 2, reason="grounds-ended")
    assert (refused.status_code, refused.json()["code"]) == (409, "case-not-sealed")
    await sealed(clinic, filled)
    refused = await clinic.act(f"{path}/seal", 3, reason="safety")
    assert (refused.status_code, refused.json()["code"]) == (409, "case-sealed")
    assert (await clinic.act(f"{path}/seal", 1, reason="safety")).status_code == 412


@pytest.mark.parametrize("body", [{}, {"reason": "because"}, {"reason": None}])
async def test_a_seal_needs_a_reason_from_the_list(clinic, filled, body):
    answer = await clinic.act(f"/v1/cases/{filled['id']}/seal", 2, **body)
    assert answer.status_code == 422


async def test_a_case_is_no_longer_sealed_in_passing(clinic, filled):
    answer = await clinic.patch(f"/v1/cases/{filled['id']}", 2, sealed=True)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "#/sealed"


async def test_an_unknown_case_is_not_found(clinic):
    path = f"/v1/cases/{new_id('cas')}/seal"
    assert (await clinic.act(path, 1, reason="safety")).status_code == 404
