"""Who sees what of a referral, on every path that shows one."""

import pytest
from referral_svc.app import SERVICE
from svckit.ids import new_id

from tests.parked import given_up, parked

PATHS = ["", "/history", "/messages"]
OUTCOME = {"outcome": {"need_met": "partly", "text": "Two parcels"}}
ENVELOPE = {"id", "case_id", "person_id"}
OF_OUTCOME = {"status", "request_status", "outcome"}


async def closed_loop(world, **more):
    made = await world.refer(requester_number="LC-17", **more)
    await world.act(world.at_pantry, made["id"], "accept", 1)
    done = await world.act(world.at_pantry, made["id"], "complete", 2, **OUTCOME)
    return done.json()


async def everywhere(world, client, referral):
    """The status of every path for this caller, and whether lists and counts hold the referral."""
    path = f"/v1/referrals/{referral}"
    found = {tail: (await client.get(path + tail)).status_code for tail in PATHS}
    listed = await client.get("/v1/referrals")
    found["list"] = referral in [item["id"] for item in listed.json().get("items", [])]
    found["count"] = (await client.get("/v1/referrals/count")).json().get("count")
    for verb in ("accept", "cancel", "void"):
        answer = await world.act(
            client, referral, verb, 3, **({} if verb != "cancel" else {"reason": "x"})
        )
        found[verb] = answer.status_code
    answer = await client.patch(path, json={"owner_number": "1"}, headers={"If-Match": '"3"'})
    found["patch"] = answer.status_code
    answer = await world.post(client, f"{path}/messages", {"text": "hello"})
    found["message"] = answer.status_code
    return found


NOWHERE = {
    "": 404,
    "/history": 404,
    "/messages": 404,
    "list": False,
    "count": 0,
    "accept": 404,
    "cancel": 404,
    "void": 404,
    "patch": 404,
    "message": 404,
}


@pytest.mark.parametrize("kind", ["clinic", "social-service", "payer", "coordinator"])
async def test_an_outsider_finds_nothing_on_any_path(world, kind):
    done = await closed_loop(world)
    outsider = world.client(await world.organisation(kind))
    assert await everywhere(world, outsider, done["id"]) == NOWHERE
    assert len(await world.events(done["id"])) == 3


async def test_nobody_without_a_token_gets_in(world):
    done = await closed_loop(world)
    found = await everywhere(world, world.stranger(), done["id"])
    assert {found[key] for key in ("", "/history", "accept", "patch", "message")} == {401}
    assert (await world.stranger().get("/v1/referrals")).status_code == 401
    assert (await world.stranger().get("/v1/directory/services")).status_code == 401


@pytest.mark.parametrize(
    ("scopes", "method", "path"),
    [
        ("referrals.write", "GET", "/v1/referrals"),
        ("referrals.write", "GET", "/v1/referrals/count"),
        ("referrals.read", "POST", "/v1/referrals"),
        ("directory.write", "GET", "/v1/directory/services"),
        ("directory.read", "POST", "/v1/directory/import"),
    ],
)
async def test_a_scope_is_needed(world, scopes, method, path):
    client = world.client(world.clinic, scopes=scopes)
    sent = world.body() if path == "/v1/referrals" else {}
    answer = await client.request(
        method, path, json=sent if method == "POST" else None, headers={"Idempotency-Key": "k"}
    )
    assert answer.status_code == 403
    assert answer.json()["code"] == "insufficient-scope"


async def test_a_payer_with_outcome_sees_status_and_outcome_only(world):
    done = await closed_loop(world)
    payer = await world.organisation("payer")
    await world.grant(payer, ["outcome", "coordination", "needs", "notes"])
    client = world.client(payer)
    shown = (await client.get(f"/v1/referrals/{done['id']}")).json()
    assert set(shown) == ENVELOPE | OF_OUTCOME
    assert shown["status"] == "completed"
    assert shown["outcome"]["need_met"] == "partly"
    (listed,) = (await client.get("/v1/referrals")).json()["items"]
    assert listed == shown
    moves = (await client.get(f"/v1/referrals/{done['id']}/history")).json()["items"]
    assert set(moves[0]) == {"at", "from_status", "to_status"}
    assert (await client.get(f"/v1/referrals/{done['id']}/messages")).status_code == 404


async def test_a_hidden_change_moves_nothing_that_a_partial_reader_gets(world):
    """Neither ETag nor version nor time, in the referral, the list or the history."""
    done = await closed_loop(world)
    payer = await world.organisation("payer")
    await world.grant(payer, ["outcome"])
    client = world.client(payer)
    path = f"/v1/referrals/{done['id']}"

    async def everything():
        answers = [await client.get(door) for door in (path, "/v1/referrals", f"{path}/history")]
        return [(one.status_code, one.headers.get("etag"), one.content) for one in answers]

    before = await everything()
    assert [status for status, *_ in before] == [200, 200, 200]
    numbered = await world.at_pantry.patch(
        path, json={"owner_number": "P-1"}, headers={"If-Match": '"3"'}
    )
    assert (numbered.status_code, numbered.headers["etag"]) == (200, '"4"')
    assert await everything() == before
    await world.act(world.at_clinic, done["id"], "void", 4)
    assert (await client.get(path)).headers["etag"] != before[0][1]


async def test_a_payer_cannot_find_by_what_it_may_not_see(world):
    await closed_loop(world)
    payer = await world.organisation("payer")
    await world.grant(payer, ["outcome"])
    client = world.client(payer)
    for query in ("need_category=food-insecurity", "overdue=false", "role=owner"):
        assert (await client.get(f"/v1/referrals?{query}")).json()["items"] == []
        assert (await client.get(f"/v1/referrals/count?{query}")).json()["count"] == 0
    for query in ("status=completed", f"person_id={world.person}"):
        assert (await client.get(f"/v1/referrals/count?{query}")).json()["count"] == 1


async def test_who_sees_a_referral_and_is_no_party_cannot_act_on_it(world):
    made = await world.refer()
    network = await world.organisation("coordinator")
    await world.grant(network, ["coordination", "needs", "outcome", "notes"])
    found = await everywhere(world, world.client(network), made["id"])
    assert (found[""], found["/messages"], found["list"]) == (200, 200, True)
    acted = {found[verb] for verb in ("accept", "cancel", "void", "patch", "message")}
    assert acted == {403}
    assert len(await world.events(made["id"])) == 1


async def test_a_grant_for_another_case_shows_nothing(world):
    done = await closed_loop(world)
    network = await world.organisation("coordinator")
    await world.grant(network, ["coordination"], case=new_id("cas"))
    assert await everywhere(world, world.client(network), done["id"]) == NOWHERE


async def test_a_grant_for_another_person_shows_nothing(world):
    done = await closed_loop(world)
    network = await world.organisation("coordinator")
    await world.grant(network, ["coordination"], person=new_id("per"))
    assert await everywhere(world, world.client(network), done["id"]) == NOWHERE


async def test_a_grant_that_has_ended_shows_nothing(world):
    done = await closed_loop(world)
    network = await world.organisation("coordinator")
    grant = await world.grant(network, ["coordination", "outcome"])
    client = world.client(network)
    assert (await client.get(f"/v1/referrals/{done['id']}")).status_code == 200
    await world.end_grant(grant)
    assert await everywhere(world, client, done["id"]) == NOWHERE


async def test_a_grant_from_before_opens_a_later_referral(world):
    network = await world.organisation("coordinator")
    await world.grant(network, ["coordination"], case=world.case)
    made = await world.refer()
    (listed,) = (await world.client(network).get("/v1/referrals")).json()["items"]
    assert listed["id"] == made["id"]


async def test_the_wrong_purpose_shows_nothing(world):
    done = await closed_loop(world)
    payer = await world.organisation("payer")
    await world.grant(payer, ["outcome"])
    wrong = world.client(payer, purpose="TREAT")
    assert await everywhere(world, wrong, done["id"]) == NOWHERE


@pytest.mark.parametrize("need", ["intimate-partner-violence", "elder-abuse"])
async def test_a_referral_about_danger_needs_safety_to_be_known(world, need):
    made = await world.refer(need_category=need)
    network = await world.organisation("coordinator")
    await world.grant(network, ["coordination", "needs", "outcome", "safety"])
    helper = await world.organisation("social-service")
    await world.grant(helper, ["coordination", "safety"])
    assert (await world.client(network).get(f"/v1/referrals/{made['id']}")).status_code == 404
    assert (await world.client(helper).get(f"/v1/referrals/{made['id']}")).status_code == 200
    (event,) = await world.events(made["id"])
    assert event.data["classes"] == ["coordination", "safety"]


async def test_ids_of_any_shape_are_404(world):
    for referral in (new_id("ref"), "ref_1", "x", "%00", "1' OR '1'='1"):
        answer = await world.at_clinic.get(f"/v1/referrals/{referral}")
        assert answer.status_code in (404, 422), (referral, answer.text)


async def test_a_confidential_case_protects_its_referrals_from_all_but_the_parties(world):
    referral = await world.refer()
    path, third = f"/v1/referrals/{referral['id']}", await world.organisation("coordinator")
    await world.grant(third, ["coordination", "needs", "outcome"])
    assert (await world.client(third).get(path)).status_code == 200
    about = {"custodian_id": world.clinic, "person_id": world.person, "case_id": world.case}
    await world.tell("case.changed", world.case, **about, confidentiality="R")
    client = world.client(third)
    assert (await client.get(path)).status_code == 404
    assert (await client.get("/v1/referrals")).json()["items"] == []
    assert (await client.get("/v1/referrals/count")).json()["count"] == 0
    assert (await world.at_clinic.get(path)).status_code == 200
    await world.tell("case.closed", world.case, **about, confidentiality="N")
    assert (await client.get(path)).status_code == 200


async def test_a_case_of_which_an_event_waits_is_closed_to_all_but_its_custodian(world):
    done = await closed_loop(world)
    partner = await world.organisation("clinic")
    await world.grant(partner, ["coordination", "needs", "outcome", "notes"])
    before = {
        name: (await client.get(f"/v1/referrals/{done['id']}")).status_code
        for name, client in (("partner", world.client(partner)), ("owner", world.at_pantry))
    }
    assert before == {"partner": 200, "owner": 200}
    await parked(world.db, "referral-svc", world.case)
    for client in (world.client(partner), world.at_pantry):
        assert await everywhere(world, client, done["id"]) == NOWHERE
    assert (await world.at_clinic.get(f"/v1/referrals/{done['id']}")).status_code == 200
    await given_up(world.db, SERVICE, world.case)
    assert (await world.client(partner).get(f"/v1/referrals/{done['id']}")).status_code == 200
