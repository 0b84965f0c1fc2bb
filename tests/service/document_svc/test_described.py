"""What the gateway alone is told of a document, to explain who sees it."""

import pytest
from sharing.described import Described, Way
from svckit.describing import SCOPE
from svckit.ids import new_id

PATH = "/internal/rows"


@pytest.fixture
def gateway(world):
    return world.client(world.clinic, scopes=SCOPE)


async def test_a_document_says_what_it_is_attached_to_and_who_may_come_that_way(world, gateway):
    clinic, pantry = world.client(world.clinic), world.organisation("social-service")
    made = await world.shared(clinic, labels=["SUD"], confidentiality="R")
    path = f"{PATH}/{made['id']}"
    found = Described.model_validate((await gateway.get(path)).json())
    assert (found.resource, found.custodian_id) == ("document", world.clinic)
    assert (set(found.required), found.confidentiality) == ({"plan", "substance-use"}, "R")
    assert (found.ways, found.within, found.shared) == ((Way(case_id=world.case),), None, True)
    referral = await world.referral(pantry)
    attached = await world.act(clinic, made["id"], "attach", made["version"], referral_id=referral)
    assert attached.status_code == 200, attached.text
    (_, way) = Described.model_validate((await gateway.get(path)).json()).ways
    assert (way.referral_id, set(way.only)) == (referral, {world.clinic, pantry})


async def test_what_has_no_content_is_its_custodians_alone(world, gateway):
    made = (await world.add(world.client(world.clinic))).json()
    found = Described.model_validate((await gateway.get(f"{PATH}/{made['id']}")).json())
    assert found.shared is False


async def test_nobody_else_is_told(world, gateway):
    made = await world.shared(world.client(world.clinic), title="Zanzibar")
    path = f"{PATH}/{made['id']}"
    assert (await world.client(world.clinic).get(path)).status_code == 403
    assert (await world.stranger().get(path)).status_code == 401
    assert (await gateway.get(f"{PATH}/{new_id('doc')}")).status_code == 404
    assert "Zanzibar" not in (await gateway.get(path)).text
