"""What the service tells the ledger of its answers: the other side's referral, messages, refusals."""

from svckit.disclosure import HEADER, decode
from svckit.ids import new_id


def told(answer):
    lines = answer.headers.get_list(HEADER.decode())
    return list(decode([line.encode() for line in lines])) if lines else []


async def test_the_recipient_is_told_of_the_requesters_person(world):
    made = await world.refer()
    path = f"/v1/referrals/{made['id']}"
    for found in (await world.at_pantry.get(path), await world.at_pantry.get(f"{path}/history")):
        (note, *_) = told(found)
        assert (note.kind, note.custodian_id) == ("referral", made["custodian_id"])
        assert note.person_id == made["person_id"]
        assert note.classes
    listed = await world.at_pantry.get("/v1/referrals")
    assert [note.rows for note in told(listed)] == [len(listed.json()["items"])]


async def test_a_message_is_told_by_who_wrote_it(world):
    made = await world.refer()
    path = f"/v1/referrals/{made['id']}/messages"
    sent = await world.post(world.at_pantry, path, {"text": "hello"})
    assert told(sent) == []
    assert told(await world.at_pantry.get(path)) == []
    (note,) = told(await world.at_clinic.get(path))
    assert (note.kind, note.custodian_id) == ("message", made["owner_id"])


async def test_a_repeated_command_discloses_again_what_it_disclosed(world):
    made = await world.refer()
    path, key = f"/v1/referrals/{made['id']}/accept", new_id("key")
    first = await world.post(world.at_pantry, path, version=1, key=key)
    again = await world.post(world.at_pantry, path, version=1, key=key)
    assert again.headers["idempotency-replayed"] == "true"
    assert told(first) == told(again) != []


async def test_a_refusal_is_told_and_the_directory_is_not(world):
    made = await world.refer()
    outsider = world.client(await world.organisation("clinic"))
    answer = await outsider.get(f"/v1/referrals/{made['id']}")
    assert answer.status_code == 404
    (note,) = told(answer)
    assert (note.denied, note.custodian_id) == (True, made["custodian_id"])
    assert note.person_id == made["person_id"]
    assert told(await outsider.get("/v1/directory/services")) == []
