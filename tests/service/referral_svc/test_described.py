"""What the gateway alone is told of a referral, to explain who sees it."""

from sharing.described import Described, Way
from svckit.describing import SCOPE
from svckit.ids import new_id

PATH = "/internal/rows"


async def test_a_referral_says_whose_it_is_and_who_its_sides_are(world):
    made = await world.refer()
    gateway = world.client(made["requester_id"], scopes=SCOPE)
    found = Described.model_validate((await gateway.get(f"{PATH}/{made['id']}")).json())
    assert (found.resource, found.custodian_id) == ("referral", made["custodian_id"])
    assert found.parties == (made["requester_id"], made["owner_id"])
    assert found.ways == (Way(case_id=made["case_id"], referral_id=made["id"]),)
    assert (await world.at_clinic.get(f"{PATH}/{made['id']}")).status_code == 403
    for absent in ("ref", "msg", "not"):
        assert (await gateway.get(f"{PATH}/{new_id(absent)}")).status_code == 404


async def test_a_message_is_a_part_of_its_referral(world):
    made = await world.refer(need_category="intimate-partner-violence")
    path = f"/v1/referrals/{made['id']}/messages"
    message = (await world.post(world.at_clinic, path, {"text": "Zanzibar"})).json()
    gateway = world.client(made["requester_id"], scopes=SCOPE)
    answer = await gateway.get(f"{PATH}/{message['id']}")
    found = Described.model_validate(answer.json())
    assert (found.resource, found.custodian_id) == ("message", made["custodian_id"])
    assert set(found.required) == {"coordination", "notes", "safety"}
    assert found.parties == (made["requester_id"], made["owner_id"])
    assert found.ways == (Way(case_id=made["case_id"], referral_id=made["id"]),)
    assert "Zanzibar" not in answer.text
