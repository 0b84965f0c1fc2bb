"""Declaring, changing, attaching, withdrawing and listing documents."""

import asyncio
import re

import jsonschema_rs
import orjson
from svckit.contracts import schema_of
from svckit.ids import new_id


async def test_a_case_announced_a_moment_later_is_waited_for(world):
    case = new_id("cas")

    async def announce():
        await asyncio.sleep(0.05)
        await world.case_opened(case)

    declared, _ = await asyncio.gather(
        world.add(world.client(world.clinic), case_id=case), announce()
    )
    assert declared.status_code == 201, declared.text
    assert declared.json()["person_id"] == world.person


async def test_a_case_or_referral_that_is_not_the_callers_is_unknown(world):
    food = world.organisation("social-service")
    outsider = world.client(world.organisation("clinic"))
    referral = await world.referral(food)
    ended = await world.referral(food, "rejected")
    for client, body in (
        (outsider, {"case_id": world.case}),
        (outsider, {"case_id": new_id("cas")}),
        (outsider, {"referral_id": referral}),
        (world.client(food), {"referral_id": ended}),
    ):
        answer = await world.add(client, **body)
        [name] = body
        assert answer.status_code == 422
        [error] = answer.json()["errors"]
        assert error["pointer"] == f"#/{name}"
        assert error["code"] == f"unknown-{name.removesuffix('_id')}"
    assert await world.scalar("SELECT count(*) FROM document") == 0


BAD = [
    ({"case_id": None}, "#"),
    ({"case_id": new_id("cas"), "referral_id": new_id("ref")}, "#"),
    ({"case_id": "case-17"}, "#/case_id"),
    ({"title": ""}, "#/title"),
    ({"title": "a\x00b"}, "#/title"),
    ({"data_class": "everything"}, "#/data_class"),
    ({"labels": ["NICE"]}, "#/labels/0"),
    ({"confidentiality": "X"}, "#/confidentiality"),
    ({"content_type": "pdf"}, "#/content_type"),
    ({"content_type": "text/html\r\nX: y"}, "#/content_type"),
    ({"sha256": "abc"}, "#/sha256"),
    ({"size_bytes": 0}, "#/size_bytes"),
    ({"custodian_id": "org_01jd8x0a1bc2d3e4f5g6h7j8k9"}, "#/custodian_id"),
    ({"status": "current"}, "#/status"),
    ({"version": 7}, "#/version"),
]


async def test_a_declaration_that_is_not_acceptable_names_the_field(world):
    for change, pointer in BAD:
        answer = await world.add(world.client(world.clinic), **change)
        assert answer.status_code == 422, change
        assert pointer in {error["pointer"] for error in answer.json()["errors"]}, change
    assert await world.scalar("SELECT count(*) FROM document") == 0


async def test_the_same_key_declares_once(world):
    clinic = world.client(world.clinic)
    body = {
        "case_id": world.case,
        "title": "Care plan",
        "type": "18776-5",
        "data_class": "plan",
        "content_type": "application/pdf",
    }
    headers = {"Idempotency-Key": "the-first"}
    first = await clinic.post("/v1/documents", json=body, headers=headers)
    again = await clinic.post("/v1/documents", json=body, headers=headers)
    other = await clinic.post("/v1/documents", json={**body, "title": "Other"}, headers=headers)
    assert first.json() == again.json()
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    assert await world.scalar("SELECT count(*) FROM document") == 1


async def test_metadata_changes_under_its_etag_and_is_told(world):
    clinic = world.client(world.clinic)
    document = (await world.shared(clinic))["id"]
    path = f"/v1/documents/{document}"
    changed = await clinic.patch(
        path, json={"title": "Care plan, week 2", "labels": ["MH"]}, headers={"If-Match": '"1"'}
    )
    assert changed.status_code == 200, changed.text
    assert changed.headers["etag"] == '"2"'
    assert changed.json()["title"] == "Care plan, week 2"
    assert changed.json()["type"] == "18776-5"
    stale = await clinic.patch(path, json={"title": "x"}, headers={"If-Match": '"1"'})
    assert stale.status_code == 412
    for body in ({}, {"title": None}, {"person_id": new_id("per")}, {"content_number": 9}):
        refused = await clinic.patch(path, json=body, headers={"If-Match": '"2"'})
        assert refused.status_code == 422, body
    event = (await world.events(document))[-1]
    data = orjson.loads(event.value)
    assert data["change"] == {"fields": ["labels", "title"]}
    assert data["classes"] == ["behavioral", "plan"]


async def test_every_event_keeps_its_contract_and_says_nothing_personal(world):
    food = world.organisation("social-service")
    referral = await world.referral(food)
    clinic = world.client(world.clinic)
    document = (await world.shared(clinic, title="Letter to Ms Quisling"))["id"]
    await world.put(clinic, document, b"second", version=1)
    await world.act(clinic, document, "attach", 2, referral_id=referral)
    await world.act(clinic, document, "withdraw", 3, reason="superseded")
    events = await world.events(document)
    assert [event.type.split(".")[3] for event in events] == [
        "added",
        "revised",
        "attached",
        "withdrawn",
    ]
    assert [event.version for event in events] == [1, 2, 3, 4]
    for event in events:
        schema = schema_of(event.type).document
        jsonschema_rs.validator_for(schema).validate(orjson.loads(event.value))
        assert b"Quisling" not in event.value


async def test_a_document_is_attached_once_and_to_its_own_person_only(world):
    clinic = world.client(world.clinic)
    document = (await world.shared(clinic))["id"]
    second = await world.case_opened()
    stranger = await world.case_opened(person=new_id("per"))
    attached = await world.act(clinic, document, "attach", 1, case_id=second)
    assert attached.status_code == 200, attached.text
    assert [link["id"] for link in attached.json()["attached_to"]] == [world.case, second]
    again = await world.act(clinic, document, "attach", 2, case_id=second)
    assert (again.status_code, again.json()["code"]) == (409, "already-attached")
    other = await world.act(clinic, document, "attach", 2, case_id=stranger)
    assert (other.status_code, other.json()["code"]) == (409, "other-person")
    for case in (world.case, second):
        items = (await clinic.get(f"/v1/documents?case_id={case}")).json()["items"]
        assert [item["id"] for item in items] == [document]


async def test_a_withdrawn_document_takes_nothing_more(world):
    clinic = world.client(world.clinic)
    document = (await world.shared(clinic))["id"]
    await world.act(clinic, document, "withdraw", 1, reason="superseded")
    again = await world.act(clinic, document, "withdraw", 2, reason="superseded")
    assert (again.status_code, again.json()["code"]) == (409, "document-withdrawn")
    assert (await world.put(clinic, document, b"late", version=2)).status_code == 409
    wrong = await world.act(clinic, document, "withdraw", 2, reason="current")
    assert wrong.status_code == 422


async def test_a_list_is_filtered_counted_and_paged_newest_first(world):
    clinic = world.client(world.clinic)
    second = await world.case_opened()
    ids = [
        (await world.shared(clinic, content=b"%d" % n, case_id=case, type=kind))["id"]
        for n, (case, kind) in enumerate(
            [(world.case, "18842-5"), (second, "18842-5"), (world.case, "57133-1")] * 2
        )
    ]
    listed = (await clinic.get("/v1/documents")).json()["items"]
    assert [item["id"] for item in listed] == sorted(ids, reverse=True)
    for query, expected in (
        (f"case_id={world.case}", 4),
        (f"case_id={second}&type=18842-5", 2),
        ("type=57133-1", 2),
        (f"person_id={world.person}", 6),
        (f"person_id={new_id('per')}", 0),
        (f"case_id={new_id('cas')}", 0),
    ):
        items = (await clinic.get(f"/v1/documents?{query}")).json()["items"]
        count = (await clinic.get(f"/v1/documents/count?{query}")).json()["count"]
        assert len(items) == count == expected, query

    seen, url = [], "/v1/documents?limit=4"
    while url:
        page = await clinic.get(url)
        seen += [item["id"] for item in page.json()["items"]]
        link = re.fullmatch(r'<(.+)>; rel="next"', page.headers.get("link", ""))
        url = link and link[1]
    assert seen == sorted(ids, reverse=True)
    foreign = (await clinic.get("/v1/documents?limit=4")).json()["next"]
    other = world.client(world.organisation("clinic"))
    assert (await other.get(f"/v1/documents?cursor={foreign}")).status_code == 400


async def test_a_page_costs_the_same_statements_whatever_its_length(world):
    clinic = world.client(world.clinic)
    for n in range(12):
        await world.shared(clinic, content=b"%d" % n)
    await clinic.get("/v1/documents")
    counts = []
    for limit in (1, 12):
        with world.statements() as seen:
            page = await clinic.get(f"/v1/documents?limit={limit}")
        assert len(page.json()["items"]) == limit
        counts.append(len(seen))
    assert counts[0] == counts[1] == 3


async def test_reads_cost_few_statements(world):
    clinic = world.client(world.clinic)
    document = (await world.shared(clinic))["id"]
    with world.statements() as seen:
        await clinic.get(f"/v1/documents/{document}")
    assert len(seen) == 3
    with world.statements() as seen:
        await clinic.get(f"/v1/documents/{document}/content")
    assert len(seen) == 3
