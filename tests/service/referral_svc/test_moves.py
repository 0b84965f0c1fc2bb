"""The commands of a referral over HTTP: effects, refusals, and the two-party race."""

import asyncio
import itertools
import random

import pytest
from referral_svc.domain.referral import MOVES, NEEDS_REASON, Party, Status

OUTCOME = {"need_met": "yes", "activity": {"system": "http://snomed.info/sct", "code": "710925007"}}
VERBS = {
    Status.REQUESTED: "request",
    Status.ACCEPTED: "accept",
    Status.REJECTED: "reject",
    Status.CANCELLED: "cancel",
    Status.IN_PROGRESS: "start",
    Status.ON_HOLD: "hold",
    Status.COMPLETED: "complete",
    Status.FAILED: "fail",
    Status.ENTERED_IN_ERROR: "void",
}
# how to bring a referral to each state, by the side that moves it
PATHS = {
    Status.DRAFT: [],
    Status.REQUESTED: [],
    Status.ACCEPTED: ["accept"],
    Status.REJECTED: ["reject"],
    Status.CANCELLED: ["cancel"],
    Status.IN_PROGRESS: ["accept", "start"],
    Status.ON_HOLD: ["accept", "hold"],
    Status.COMPLETED: ["accept", "complete"],
    Status.FAILED: ["accept", "fail"],
    Status.ENTERED_IN_ERROR: ["void"],
}


def body(verb):
    if verb == "complete":
        return {"outcome": OUTCOME}
    return {"reason": "At capacity"} if verb in ("reject", "cancel", "hold", "fail") else {}


async def bring_to(world, state):
    made = await world.refer(status="draft" if state is Status.DRAFT else "requested")
    version = 1
    for verb in PATHS[state]:
        client = world.at_clinic if verb == "void" else world.at_pantry
        moved = await world.act(client, made["id"], verb, version, **body(verb))
        assert moved.status_code == 200, moved.text
        version += 1
    return made["id"], version


@pytest.mark.parametrize("state", list(Status))
async def test_over_http_every_state_moves_as_the_table_says(world, state):
    idle, version = await bring_to(world, state)
    for to, verb in VERBS.items():
        allowed = MOVES.get((state, to), frozenset())
        for party in (Party.REQUESTER, Party.OWNER):
            if party is Party.OWNER and state is Status.DRAFT:
                continue
            client = world.at_clinic if party is Party.REQUESTER else world.at_pantry
            if party in allowed:
                referral, version = await bring_to(world, state)
                moved = await world.act(client, referral, verb, version, **body(verb))
                assert moved.status_code == 200, (verb, party, moved.text)
                assert moved.json()["status"] == to.value
                assert moved.headers["ETag"] == f'"{version + 1}"'
                continue
            refused = await world.act(client, idle, verb, version, **body(verb))
            if allowed:
                assert refused.json()["code"] == "wrong-party", (verb, party)
            else:
                assert refused.status_code == 409, (verb, party)
                assert refused.json()["current_status"] == state.value
    assert len(await world.events(idle)) == version, "a refused move leaves no trace"


async def test_a_whole_loop_tells_one_event_a_move(world):
    made = await world.refer()
    steps = [
        ("accept", {}),
        ("start", {}),
        ("hold", {"reason": "Waiting for papers"}),
        ("resume", {}),
        ("complete", {"outcome": OUTCOME, "reason": "Done"}),
    ]
    for version, (verb, more) in enumerate(steps, start=1):
        moved = await world.act(world.at_pantry, made["id"], verb, version, **more)
        assert moved.status_code == 200, moved.text
    done = moved.json()
    assert (done["status"], done["request_status"]) == ("completed", "completed")
    assert done["outcome"] == {
        "activity": {"system": "http://snomed.info/sct", "code": "710925007", "text": None},
        "text": None,
        "need_met": "yes",
        "code": None,
    }
    events = await world.events(made["id"])
    verbs = ["requested", "accepted", "started", "held", "resumed", "completed"]
    assert [event.type for event in events] == [f"referral.{verb}" for verb in verbs]
    assert [event.version for event in events] == [1, 2, 3, 4, 5, 6]
    assert events[-1].data["classes"] == ["outcome"]
    assert events[-1].data["change"]["need_met"] == "yes"


async def test_the_history_tells_who_when_and_why(world):
    made = await world.refer()
    await world.act(world.at_pantry, made["id"], "accept", 1)
    await world.act(world.at_clinic, made["id"], "cancel", 2, reason="Moved away")
    page = (await world.at_clinic.get(f"/v1/referrals/{made['id']}/history")).json()
    told = [
        (move["from_status"], move["to_status"], move["party"], move["organisation_id"])
        for move in page["items"]
    ]
    assert told == [
        (None, "requested", "requester", world.clinic),
        ("requested", "accepted", "owner", world.pantry),
        ("accepted", "cancelled", "requester", world.clinic),
    ]
    assert page["items"][2]["reason"] == "Moved away"
    assert page["items"][0]["at"] <= page["items"][1]["at"] <= page["items"][2]["at"]


@pytest.mark.parametrize("to", sorted(NEEDS_REASON))
async def test_a_negative_move_without_reason_changes_nothing(world, to):
    referral, version = await bring_to(
        world, Status.REQUESTED if to in ("rejected", "cancelled") else Status.ACCEPTED
    )
    answer = await world.act(world.at_pantry, referral, VERBS[to], version)
    assert answer.status_code == 422
    assert answer.json()["code"] == "reason-missing"
    assert answer.json()["errors"][0]["pointer"] == "#/reason"
    assert len(await world.events(referral)) == version


async def test_completing_without_an_outcome_changes_nothing(world):
    referral, version = await bring_to(world, Status.ACCEPTED)
    for empty in ({"reason": "x"}, {"outcome": {}}):
        answer = await world.act(world.at_pantry, referral, "complete", version, **empty)
        assert answer.json()["code"] == "outcome-missing"
    assert len(await world.events(referral)) == version


async def test_resume_needs_a_pause(world):
    referral, version = await bring_to(world, Status.ACCEPTED)
    answer = await world.act(world.at_pantry, referral, "resume", version)
    assert answer.status_code == 409
    assert answer.json()["current_status"] == "accepted"


async def test_a_stale_version_changes_nothing(world):
    referral, _ = await bring_to(world, Status.ACCEPTED)
    answer = await world.act(world.at_pantry, referral, "start", 1)
    assert answer.status_code == 412
    assert answer.json()["current_version"] == 2


async def test_a_move_without_if_match_is_428(world):
    made = await world.refer()
    answer = await world.post(world.at_pantry, f"/v1/referrals/{made['id']}/accept")
    assert answer.status_code == 428


async def test_a_move_without_a_key_is_400(world):
    made = await world.refer()
    answer = await world.at_pantry.post(
        f"/v1/referrals/{made['id']}/accept", headers={"If-Match": '"1"'}
    )
    assert answer.status_code == 400
    assert answer.json()["code"] == "idempotency-key-missing"


async def test_a_repeated_move_answers_the_same_and_moves_once(world):
    made = await world.refer()
    path = f"/v1/referrals/{made['id']}/accept"
    first = await world.post(world.at_pantry, path, version=1, key="one")
    again = await world.post(world.at_pantry, path, version=1, key="one")
    assert (again.status_code, again.content) == (200, first.content)
    assert len(await world.events(made["id"])) == 2


async def test_of_two_sides_at_once_exactly_one_wins(world):
    for _ in range(5):
        made = await world.refer()
        accepted, cancelled = await asyncio.gather(
            world.act(world.at_pantry, made["id"], "accept", 1),
            world.act(world.at_clinic, made["id"], "cancel", 1, reason="Not needed"),
        )
        statuses = sorted([accepted.status_code, cancelled.status_code])
        assert statuses[0] == 200
        assert statuses[1] in (409, 412)
        now = (await world.at_clinic.get(f"/v1/referrals/{made['id']}")).json()
        assert now["version"] == 2
        assert now["status"] == ("accepted" if accepted.status_code == 200 else "cancelled")
        if accepted.status_code == 409:
            assert accepted.json()["current_status"] == "cancelled"
        assert len(await world.events(made["id"])) == 2


class Side:
    """One party that acts on what it last read, and never learns of the other's moves."""

    def __init__(self, world, client, party):
        self.world, self.client, self.party = world, client, party
        self.version = 1

    async def try_something(self, referral, chooser):
        to = chooser.choice(list(VERBS))
        verb = VERBS[to]
        answer = await self.world.act(self.client, referral, verb, self.version, **body(verb))
        assert answer.status_code in (200, 403, 409, 412), answer.text
        seen = (await self.client.get(f"/v1/referrals/{referral}")).json()
        self.version = seen["version"]
        return answer.status_code == 200


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_two_sides_do_at_once_the_history_is_one_line(world, seed):
    """A stateful race: the history must be a path of the table, one version a move, and the
    number of moves that were answered 200 must be the number that happened."""
    chooser = random.Random(seed)
    made = await world.refer()
    sides = [
        Side(world, world.at_clinic, Party.REQUESTER),
        Side(world, world.at_pantry, Party.OWNER),
    ]
    won = 0
    for _ in range(12):
        answers = await asyncio.gather(
            *(side.try_something(made["id"], random.Random(chooser.random())) for side in sides)
        )
        won += sum(answers)
    path = f"/v1/referrals/{made['id']}"
    moves = (await world.at_clinic.get(f"{path}/history")).json()["items"]
    assert len(moves) == won + 1
    assert [move["version"] for move in moves] == list(range(1, len(moves) + 1))
    for before, after in itertools.pairwise(moves):
        assert after["from_status"] == before["to_status"]
        pair = (Status(after["from_status"]), Status(after["to_status"]))
        assert Party(after["party"]) in MOVES[pair]
    events = await world.events(made["id"])
    assert [event.version for event in events] == list(range(1, len(moves) + 1))
    assert [event.data["change"]["status"] for event in events] == [
        move["to_status"] for move in moves
    ]
    now = (await world.at_clinic.get(path)).json()
    assert (now["status"], now["version"]) == (moves[-1]["to_status"], len(moves))


async def test_each_side_sets_its_own_number(world):
    made = await world.refer()
    path = f"/v1/referrals/{made['id']}"

    async def patch(client, version, **more):
        return await client.patch(path, json=more, headers={"If-Match": f'"{version}"'})

    mine = await patch(world.at_clinic, 1, requester_number="LC-17")
    assert mine.json()["requester_number"] == "LC-17"
    theirs = await patch(world.at_pantry, 2, owner_number="P-4", business_status="5.1.1")
    assert theirs.json()["owner_number"] == "P-4"
    assert theirs.json()["version"] == 3
    foreign = await patch(world.at_clinic, 3, owner_number="mine")
    assert foreign.status_code == 403
    assert foreign.json()["errors"][0]["pointer"] == "#/owner_number"
    stale = await patch(world.at_pantry, 1, owner_number="P-5")
    assert stale.status_code == 412
    nothing = await patch(world.at_pantry, 3, owner_number="P-4")
    assert nothing.json()["version"] == 3
    events = await world.events(made["id"])
    assert [event.type for event in events][1:] == ["referral.changed", "referral.changed"]
    assert events[2].data["change"]["fields"] == ["owner_number", "business_status"]


async def test_both_sides_write_to_each_other(world):
    made = await world.refer()
    path = f"/v1/referrals/{made['id']}/messages"
    asked = await world.post(world.at_pantry, path, {"text": "Is Tuesday fine?"})
    await world.post(world.at_clinic, path, {"text": "Yes."})
    assert asked.status_code == 201
    page = (await world.at_clinic.get(path)).json()
    assert [item["text"] for item in page["items"]] == ["Yes.", "Is Tuesday fine?"]
    assert page["items"][1]["sender_id"] == world.pantry
    (event,) = await world.events(asked.json()["id"])
    assert event.type == "message.sent"
    assert (event.version, event.key) == (1, made["id"])
    assert "Tuesday" not in str(event.data)


async def test_a_message_cannot_be_empty(world):
    made = await world.refer()
    answer = await world.post(
        world.at_clinic, f"/v1/referrals/{made['id']}/messages", {"text": " "}
    )
    assert answer.status_code == 422
