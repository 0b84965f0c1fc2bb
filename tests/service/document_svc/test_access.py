"""Who sees a document: on get, content, versions, list and count, always the same."""

import asyncio

import pytest
from document_svc.app import SERVICE
from sharing.classes import PART2_NOTICE
from svckit.ids import new_id

from tests.parked import given_up, parked

from .conftest import CONTENT


async def sees(world, organisation, document, **more):
    """Ask by every path; all must agree."""
    client = world.client(organisation, **more)
    path = f"/v1/documents/{document}"
    statuses = {
        "get": (await client.get(path)).status_code,
        "content": (await client.get(f"{path}/content")).status_code,
        "head": (await client.head(f"{path}/content")).status_code,
        "versions": (await client.get(f"{path}/versions")).status_code,
    }
    items = (await client.get("/v1/documents")).json()["items"]
    statuses["list"] = 200 if document in [item["id"] for item in items] else 404
    count = (await client.get("/v1/documents/count")).json()["count"]
    assert count == len(items)
    assert len(set(statuses.values())) == 1, statuses
    return statuses["get"] == 200


# organisation kind, classes granted for the case, class of the document, labels -> seen
MATRIX = [
    ("clinic", ["clinical"], "clinical", [], True),
    ("clinic", ["plan"], "clinical", [], False),
    ("clinic", ["clinical"], "clinical", ["MH"], False),
    ("clinic", ["clinical", "behavioral"], "clinical", ["MH"], True),
    ("clinic", ["clinical", "substance-use"], "clinical", ["SUD"], False),
    ("social-service", ["plan"], "plan", [], True),
    ("social-service", ["plan"], "plan", ["SDV"], False),
    ("social-service", ["plan", "safety"], "plan", ["SDV"], True),
    ("social-service", ["plan", "clinical"], "clinical", [], False),
    ("payer", ["outcome", "plan", "clinical"], "outcome", [], True),
    ("payer", ["outcome", "plan", "clinical"], "plan", [], False),
    ("payer", ["outcome", "financial"], "financial", [], False),
    ("coordinator", ["coordination"], "coordination", [], True),
    ("coordinator", [], "coordination", [], False),
]


async def test_a_partner_sees_a_document_only_with_every_class_it_needs(world):
    clinic = world.client(world.clinic)
    for kind, granted, data_class, labels, seen in MATRIX:
        case = await world.case_opened()
        partner = world.organisation(kind)
        if granted:
            await world.grant(partner, granted, case=case)
        document = await world.shared(clinic, case_id=case, data_class=data_class, labels=labels)
        cell = (kind, granted, data_class, labels)
        assert await sees(world, partner, document["id"]) is seen, cell
        assert await sees(world, world.clinic, document["id"]), cell


async def test_what_else_a_document_is_attached_to_moves_nothing_for_who_does_not_see_it(world):
    """Neither version nor time nor ETag: they are the custodian's alone."""
    case, other = await world.case_opened(), await world.case_opened()
    partner, clinic = world.organisation("clinic"), world.client(world.clinic)
    await world.grant(partner, ["plan"], case=case)
    document = await world.shared(clinic, case_id=case)
    client, path = world.client(partner), f"/v1/documents/{document['id']}"

    async def everything():
        doors = (path, "/v1/documents", f"{path}/versions", f"{path}/content")
        answers = [await client.get(door) for door in doors]
        return [(one.status_code, one.headers.get("etag"), one.content) for one in answers]

    before = await everything()
    assert [status for status, *_ in before] == [200] * 4
    attached = await world.act(clinic, document["id"], "attach", 1, case_id=other)
    assert (attached.headers["etag"], attached.json()["version"]) == ('"2"', 2)
    assert await everything() == before
    named = {"If-Match": '"2"'}
    assert (await clinic.patch(path, json={"title": "New"}, headers=named)).status_code == 200
    after = await everything()
    assert after[0][1] != before[0][1]
    assert (await client.get(path)).json().keys().isdisjoint({"version", "updated_at"})


async def test_an_outsider_finds_nothing(world):
    outsider = world.organisation("clinic")
    document = await world.shared(world.client(world.clinic))
    assert not await sees(world, outsider, document["id"])


@pytest.mark.parametrize("first", ["grant", "document"])
async def test_the_order_of_grant_and_document_does_not_matter(world, first):
    partner = world.organisation("social-service")
    clinic = world.client(world.clinic)
    if first == "grant":
        await world.grant(partner, ["plan"], case=world.case)
    document = await world.shared(clinic)
    if first == "document":
        await world.grant(partner, ["plan"], case=world.case)
    assert await sees(world, partner, document["id"])


async def test_a_grant_and_a_document_at_once_do_not_miss_each_other(world):
    partners = [world.organisation("social-service") for _ in range(4)]
    clinic = world.client(world.clinic)
    added, *_ = await asyncio.gather(
        world.shared(clinic), *(world.grant(each, ["plan"], case=world.case) for each in partners)
    )
    for partner in partners:
        assert await sees(world, partner, added["id"])


async def test_a_grant_for_another_case_opens_nothing(world):
    partner = world.organisation("social-service")
    await world.grant(partner, ["plan"], case=await world.case_opened())
    document = await world.shared(world.client(world.clinic))
    assert not await sees(world, partner, document["id"])


async def test_an_ended_grant_closes_what_it_opened(world):
    partner = world.organisation("social-service")
    grant = await world.grant(partner, ["plan"], case=world.case)
    document = await world.shared(world.client(world.clinic))
    assert await sees(world, partner, document["id"])
    await world.end_grant(grant)
    assert not await sees(world, partner, document["id"])


async def test_a_withdrawn_permit_closes_a_part_2_document(world):
    partner = world.organisation("clinic")
    classes = ["clinical", "substance-use"]
    await world.grant(partner, classes, case=world.case)
    document = await world.shared(world.client(world.clinic), data_class="clinical", labels=["SUD"])
    assert not await sees(world, partner, document["id"])
    await world.consent(partner, classes)
    assert await sees(world, partner, document["id"])
    await world.consent(partner, ["substance-use"], decision="deny")
    assert not await sees(world, partner, document["id"])


async def test_a_part_2_document_always_leaves_with_its_notice(world):
    partner = world.organisation("clinic")
    await world.grant(partner, ["clinical", "substance-use"], case=world.case)
    await world.consent(partner, ["clinical", "substance-use"])
    clinic = world.client(world.clinic)
    document = await world.shared(clinic, data_class="clinical", labels=["SUD"])
    assert document["confidentiality"] == "R"
    path = f"/v1/documents/{document['id']}"
    reader = world.client(partner)
    assert (await reader.get(path)).json()["redisclosure_notice"] == PART2_NOTICE
    [item] = (await reader.get("/v1/documents")).json()["items"]
    assert item["redisclosure_notice"] == PART2_NOTICE
    for answer in (
        await reader.get(f"{path}/content"),
        await reader.head(f"{path}/content"),
        await reader.get(f"{path}/content", headers={"Range": "bytes=0-3"}),
    ):
        assert answer.headers["redisclosure-notice"] == PART2_NOTICE
        assert answer.headers["link"] == f'<{item["redisclosure_consent"]}>; rel="describedby"'
    assert item["redisclosure_consent"].startswith("/v1/consents/con_")
    etag = {"If-None-Match": answer.headers["etag"]}
    unchanged = await reader.get(f"{path}/content", headers=etag)
    assert unchanged.status_code == 304
    assert unchanged.headers["redisclosure-notice"] == PART2_NOTICE
    [version] = (await reader.get(f"{path}/versions")).json()["items"]
    assert version["redisclosure_notice"] == PART2_NOTICE
    plain = await world.shared(clinic)
    assert "redisclosure_notice" not in plain
    answer = await clinic.get(f"/v1/documents/{plain['id']}/content")
    assert "redisclosure-notice" not in answer.headers


async def test_a_document_of_a_referral_opens_for_its_parties_only(world):
    food, housing = world.organisation("social-service"), world.organisation("social-service")
    referral = await world.referral(food)
    await world.grant(food, ["plan"], case=world.case, basis="referral", basis_id=referral)
    await world.grant(housing, ["plan"], case=world.case, basis="referral")
    clinic = world.client(world.clinic)
    document = await world.shared(clinic, referral_id=referral)
    assert document["attached_to"] == [
        {"anchor": "referral", "id": referral, "href": f"/v1/referrals/{referral}"}
    ]
    assert await sees(world, food, document["id"])
    assert not await sees(world, housing, document["id"])

    attached = await world.act(clinic, document["id"], "attach", 1, case_id=world.case)
    assert attached.status_code == 200, attached.text
    assert await sees(world, housing, document["id"])
    other = (await world.client(housing).get(f"/v1/documents/{document['id']}")).json()
    assert [link["anchor"] for link in other["attached_to"]] == ["case"]
    filtered = await world.client(housing).get(f"/v1/documents?referral_id={referral}")
    assert filtered.json()["items"] == []


async def test_a_referred_service_shares_back_and_stays_custodian(world):
    food = world.organisation("social-service")
    referral = await world.referral(food, "accepted")
    letter = await world.shared(world.client(food), referral_id=referral, data_class="outcome")
    assert letter["custodian_id"] == food
    assert not await sees(world, world.clinic, letter["id"])
    way_back = {"custodian": food, "case": world.case, "basis": "referral"}
    await world.grant(world.clinic, ["outcome"], **way_back)
    assert not await sees(world, world.clinic, letter["id"])
    await world.grant(world.clinic, ["outcome"], **way_back, basis_id=referral)
    assert await sees(world, world.clinic, letter["id"])
    clinic = world.client(world.clinic)
    refused = await world.act(clinic, letter["id"], "withdraw", 1, reason="superseded")
    assert (refused.status_code, refused.json()["code"]) == (403, "not-custodian")


async def test_pending_and_withdrawn_documents_are_their_custodians_alone(world):
    partner = world.organisation("social-service")
    await world.grant(partner, ["plan"], case=world.case)
    clinic = world.client(world.clinic)
    declared = (await world.add(clinic)).json()["id"]
    assert (await world.client(partner).get(f"/v1/documents/{declared}")).status_code == 404
    nothing = await clinic.get(f"/v1/documents/{declared}/content")
    assert (nothing.status_code, nothing.json()["code"]) == (409, "content-missing")

    document = (await world.shared(clinic))["id"]
    ended = await world.act(clinic, document, "withdraw", 1, reason="entered-in-error")
    assert ended.status_code == 200, ended.text
    assert ended.json()["status"] == "entered-in-error"
    assert not await sees(world, partner, document)
    assert (await clinic.get(f"/v1/documents/{document}/content")).content == CONTENT


async def test_a_label_added_later_closes_the_document_to_those_without_the_class(world):
    partner = world.organisation("social-service")
    await world.grant(partner, ["plan"], case=world.case)
    clinic = world.client(world.clinic)
    document = (await world.shared(clinic))["id"]
    assert await sees(world, partner, document)
    changed = await clinic.patch(
        f"/v1/documents/{document}", json={"labels": ["SDV"]}, headers={"If-Match": '"1"'}
    )
    assert changed.status_code == 200, changed.text
    assert changed.json()["confidentiality"] == "R"
    assert not await sees(world, partner, document)


PATHS = [
    ("POST", "/v1/documents"),
    ("GET", "/v1/documents"),
    ("GET", "/v1/documents/count"),
    ("GET", "/v1/documents/{id}"),
    ("PATCH", "/v1/documents/{id}"),
    ("POST", "/v1/documents/{id}/attach"),
    ("POST", "/v1/documents/{id}/withdraw"),
    ("GET", "/v1/documents/{id}/versions"),
    ("PUT", "/v1/documents/{id}/content"),
    ("GET", "/v1/documents/{id}/content"),
    ("HEAD", "/v1/documents/{id}/content"),
]
BODIES = {
    "PATCH": {"title": "Mine now"},
    "attach": {"case_id": "cas_01jd8x5k2mq4r7t9v0w1y3z5a7"},
    "withdraw": {"reason": "superseded"},
}


def body_of(method, path):
    return BODIES.get(method) or BODIES.get(path.rpartition("/")[2])


async def test_no_route_opens_without_a_token_or_its_scope(world):
    document = (await world.shared(world.client(world.clinic)))["id"]
    for method, path in PATHS:
        url = path.format(id=document)
        headers = {"If-Match": '"1"', "Idempotency-Key": new_id("key")}
        stranger = await world.stranger().request(method, url, headers=headers)
        assert stranger.status_code == 401, (method, path)
        scope = "documents.write" if method in ("GET", "HEAD") else "documents.read"
        narrow = world.client(world.clinic, scopes=f"{scope} cases.read cases.write")
        answer = await narrow.request(method, url, headers=headers, json=body_of(method, path))
        assert answer.status_code == 403, (method, path)


async def test_not_yours_and_not_there_are_the_same_404(world):
    document = (await world.shared(world.client(world.clinic)))["id"]
    outsider = world.client(world.organisation("clinic"))
    for method, path in PATHS:
        if "{id}" not in path:
            continue
        bodies = []
        for known in (document, new_id("doc"), "doc_nonsense"):
            headers = {
                "If-Match": '"1"',
                "Idempotency-Key": new_id("key"),
                "Content-Digest": "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:",
            }
            answer = await outsider.request(
                method, path.format(id=known), headers=headers, json=body_of(method, path)
            )
            assert answer.status_code == 404, (method, path)
            found = answer.json() if answer.content else {}
            found.pop("trace_id", None)
            bodies.append(found)
        assert bodies[0] == bodies[1] == bodies[2], (method, path)


async def test_every_read_of_content_is_on_record(world):
    partner = world.organisation("social-service")
    await world.grant(partner, ["plan"], case=world.case)
    document = (await world.shared(world.client(world.clinic)))["id"]
    await world.client(partner).get(f"/v1/documents/{document}/content")
    readers = await world.scalar(
        "SELECT string_agg(organisation_id, ',') FROM audit"
        " WHERE action = 'document.read' AND resource = :document",
        document=document,
    )
    assert readers == partner


async def test_a_document_is_let_out_up_to_what_the_agreement_says(world):
    normal, restricted = world.organisation("clinic"), world.organisation("clinic")
    await world.grant(normal, ["clinical"], case=world.case, confidentiality="N")
    await world.grant(restricted, ["clinical"], case=world.case, confidentiality="R")
    clinic = world.client(world.clinic)
    document = await world.shared(clinic, data_class="clinical", confidentiality="R")
    assert not await sees(world, normal, document["id"])
    assert await sees(world, restricted, document["id"])
    path = f"/v1/documents/{document['id']}"
    lowered = await clinic.patch(
        path, json={"confidentiality": "N"}, headers={"If-Match": f'"{document["version"]}"'}
    )
    assert lowered.status_code == 200, lowered.text
    assert await sees(world, normal, document["id"])


async def test_a_sealed_case_takes_its_documents_with_it(world):
    partner = world.organisation("clinic")
    await world.grant(partner, ["clinical"], case=world.case)
    clinic = world.client(world.clinic)
    document = await world.shared(clinic, data_class="clinical")
    assert await sees(world, partner, document["id"])
    about = world.about(case=world.case)
    await world.tell("case.sealed", world.case, about)
    assert not await sees(world, partner, document["id"])
    assert await sees(world, world.clinic, document["id"])
    content = await world.client(partner).get(f"/v1/documents/{document['id']}/content")
    assert content.status_code == 404
    await world.tell("case.unsealed", world.case, about)
    assert await sees(world, partner, document["id"])


async def test_a_case_of_which_an_event_waits_is_closed_to_all_but_its_custodian(world):
    partner, recipient = world.organisation("clinic"), world.organisation("clinic")
    other = await world.case_opened()
    for case in (world.case, other):
        await world.grant(partner, ["clinical"], case=case)
    await world.grant(recipient, ["clinical"], case=world.case)
    referral = await world.referral(recipient)
    clinic = world.client(world.clinic)
    mine = (await world.shared(clinic, data_class="clinical"))["id"]
    free = (await world.shared(clinic, data_class="clinical", case_id=other))["id"]
    theirs = (await world.shared(clinic, data_class="clinical", referral_id=referral))["id"]
    assert await sees(world, partner, mine)
    assert await sees(world, recipient, theirs)
    await parked(world.db, "document-svc", world.case)
    assert not await sees(world, partner, mine)
    assert not await sees(world, recipient, theirs)
    assert await sees(world, partner, free)
    assert await sees(world, world.clinic, mine)
    await given_up(world.db, SERVICE, world.case)
    assert await sees(world, partner, mine)
    assert await sees(world, recipient, theirs)
