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
    assert (await gateway.get(f"{PATH}/{new_id('ref')}")).status_code == 404
