"""The directory: HSDS in, by item; search and detail out."""

from uuid import uuid4

import pytest
from svckit.ids import new_id

PLACE = "3a19ff88-4620-4d17-9830-ac1d859eb5d5"


def full(**more):
    """A small organisation with one service at one place, as HSDS 3.1 nests them."""
    location = {
        "id": PLACE,
        "location_type": "physical",
        "name": "Civic Center",
        "addresses": [{"id": str(uuid4()), "city": "Harborside", "postal_code": "02118"}],
        "languages": [{"id": "2989d3ed-c547-48f8-8f9d-432d81c7892e", "code": "pt"}],
    }
    service = {
        "id": "ac148810-d857-441c-9679-408f346de14b",
        "name": "Community Pantry",
        "description": "Weekly groceries for households",
        "status": "active",
        "eligibility_description": "Residents of the county on a low income",
        "minimum_age": 18,
        "maximum_age": 99,
        "languages": [{"id": str(uuid4()), "name": "Urdu", "code": "ur"}],
        "service_areas": [{"id": str(uuid4()), "name": "Kings County"}],
        "schedules": [{"id": str(uuid4()), "freq": "WEEKLY", "byday": "MO", "opens_at": "10:00"}],
        "capacities": [{"id": str(uuid4()), "available": 4, "unit": {"name": "bag"}}],
        "attributes": [{"id": str(uuid4()), "taxonomy_term": {"name": "Food Pantry"}}],
        "service_at_locations": [
            {"id": "e94c9f38-1e8f-4564-91d4-d53501ab1765", "location": location}
        ],
        "x_unknown": {"kept": True},
        **more,
    }
    return {"id": str(uuid4()), "name": "Pantry Inc.", "description": "Food", "services": [service]}


async def search(client, **query):
    answer = await client.get("/v1/directory/services", params=query)
    assert answer.status_code == 200, answer.text
    return [item["name"] for item in answer.json()["items"]]


async def test_an_organisation_is_stored_with_all_it_holds(world):
    answer = (await world.upload(world.at_pantry, full())).json()
    assert (answer["created"], answer["refused"]) == (4, 0)
    own = next(item for item in answer["items"] if item["kind"] == "service")
    detail = (await world.at_clinic.get(f"/v1/directory/services/{own['id']}")).json()
    assert detail["organisation_id"] == world.pantry
    assert detail["need_categories"] == ["food-insecurity"]
    assert detail["capacity_status"] == "capacity"
    assert detail["languages"] == ["pt", "ur", "urdu"]
    assert detail["areas"] == ["02118", "harborside", "kings county"]
    assert detail["schedules"][0]["byday"] == "MO"
    assert detail["locations"][0]["name"] == "Civic Center"
    assert detail["taxonomy_terms"][0]["taxonomy_term"]["name"] == "Food Pantry"
    assert detail["hsds"]["x_unknown"] == {"kept": True}
    (event,) = await world.events(own["id"])
    assert (event.type, event.version) == ("service.published", 1)
    assert event.data["change"]["need_categories"] == ["food-insecurity"]


async def test_the_same_document_twice_changes_nothing(world):
    document = full()
    await world.upload(world.at_pantry, document)
    again = (await world.upload(world.at_pantry, document)).json()
    assert (again["created"], again["changed"], again["unchanged"]) == (0, 0, 4)
    assert len(await world.events()) == 1
    for table in ("service", "location", "service_at_location", "schedule", "service_area"):
        assert await world.scalar(f"SELECT count(*) FROM {table}") == 1, table


async def test_a_changed_service_is_told_once(world):
    document = full()
    first = (await world.upload(world.at_pantry, document)).json()
    service = next(item["id"] for item in first["items"] if item["kind"] == "service")
    document["services"][0]["status"] = "inactive"
    document["services"][0]["schedules"] = []
    again = (await world.upload(world.at_pantry, document)).json()
    assert again["changed"] == 1
    events = await world.events(service)
    assert [(event.type, event.version) for event in events] == [
        ("service.published", 1),
        ("service.changed", 2),
    ]
    detail = (await world.at_clinic.get(f"/v1/directory/services/{service}")).json()
    assert (detail["status"], detail["version"], detail["schedules"]) == ("inactive", 2, [])


async def test_each_publisher_has_its_own_records(world):
    document = full()
    await world.upload(world.at_pantry, document)
    other = await world.upload(world.at_clinic, document)
    assert other.json()["created"] == 4
    assert await world.scalar("SELECT count(DISTINCT organisation_id) FROM service") == 2


async def test_a_bad_item_is_refused_by_pointer_and_spoils_no_other(world):
    good = {"id": str(uuid4()), "name": "Good", "status": "active"}
    bad = {"id": "7", "name": "Bad", "status": "open"}
    answer = (await world.upload(world.at_pantry, {"contents": [bad, good, 5]})).json()
    assert (answer["created"], answer["refused"]) == (1, 2)
    assert [error["pointer"] for error in answer["items"][0]["errors"]] == [
        "#/contents/0/id",
        "#/contents/0/status",
    ]
    assert answer["items"][2]["errors"][0]["pointer"] == "#/contents/2"
    assert await search(world.at_clinic) == ["Good"]


async def test_a_site_without_its_service_is_refused(world):
    site = {"id": str(uuid4()), "service_id": str(uuid4()), "location_id": str(uuid4())}
    answer = (await world.upload(world.at_pantry, site)).json()
    assert answer["items"][0]["result"] == "refused"
    assert answer["items"][0]["errors"][0]["pointer"] == "#/service_id"


async def test_a_site_may_come_after_its_service_and_place(world):
    service = {"id": str(uuid4()), "name": "Later", "status": "active"}
    place = {
        "id": PLACE,
        "location_type": "physical",
        "addresses": [{"id": str(uuid4()), "city": "Springfield"}],
    }
    await world.upload(world.at_pantry, [service, place])
    site = {"id": str(uuid4()), "service_id": service["id"], "location_id": PLACE}
    assert (await world.upload(world.at_pantry, site)).json()["created"] == 1
    assert await search(world.at_clinic, area="springfield") == ["Later"]


SEARCHES = [
    ({"q": "groceries"}, True),
    ({"q": "household"}, True),
    ({"q": "low income"}, True),
    ({"q": "dentist"}, False),
    ({"q": "groceries -weekly"}, False),
    ({"need_category": "food-insecurity"}, True),
    ({"need_category": "homelessness"}, False),
    ({"area": "Kings"}, True),
    ({"area": "harborSIDE"}, True),
    ({"area": "%"}, False),
    ({"area": "Queens"}, False),
    ({"language": "UR"}, True),
    ({"language": "portuguese"}, False),
    ({"language": "pt"}, True),
    ({"status": "active"}, True),
    ({"status": "defunct"}, False),
    ({"age": 17}, False),
    ({"age": 18}, True),
    ({"age": 100}, False),
    ({"capacity_status": "waitlist"}, False),
    ({"q": "groceries", "area": "kings", "language": "ur", "age": 40}, True),
    ({"q": "groceries", "area": "queens"}, False),
]


async def test_search_needs_all_that_is_asked(world):
    await world.upload(world.at_pantry, full())
    for query, found in SEARCHES:
        names = await search(world.at_clinic, **query)
        assert names == (["Community Pantry"] if found else []), query


async def test_search_is_open_to_every_partner(world):
    await world.upload(world.at_pantry, full())
    for kind in ("clinic", "payer", "coordinator"):
        partner = world.client(await world.organisation(kind))
        assert await search(partner, q="pantry") == ["Community Pantry"]


async def test_pages_of_the_directory_follow_each_other(world):
    services = [{"id": str(uuid4()), "name": f"S{n}", "status": "active"} for n in range(5)]
    await world.upload(world.at_pantry, services)
    seen, query = [], {"limit": 2}
    while True:
        page = (await world.at_clinic.get("/v1/directory/services", params=query)).json()
        seen += [item["name"] for item in page["items"]]
        if not page["next"]:
            break
        query["cursor"] = page["next"]
    assert sorted(seen) == ["S0", "S1", "S2", "S3", "S4"]


async def test_statements_grow_neither_with_the_page_nor_with_the_service(world):
    await world.upload(world.at_pantry, full())
    plain = await world.service(name="Bare")
    counts = set()
    for service in (plain, await world.scalar("SELECT id FROM service WHERE name <> 'Bare'")):
        with world.statements() as seen:
            await world.at_clinic.get(f"/v1/directory/services/{service}")
        counts.add(len(seen))
    assert len(counts) == 1
    with world.statements() as seen:
        await world.at_clinic.get("/v1/directory/services")
    assert len(seen) == 1


async def test_reading_and_writing_statements_of_an_import_do_not_grow_with_it(world):
    def kinds(seen):
        return len([s for s in seen if "outbox" not in s])

    counts = []
    for size in (2, 20):
        services = [full()["services"][0] | {"id": str(uuid4())} for _ in range(size)]
        for service in services:
            service["service_at_locations"] = []
        with world.statements() as seen:
            await world.upload(world.at_pantry, services)
        counts.append(kinds(seen))
    assert counts[1] <= counts[0] + 2


async def test_the_owner_declares_needs_and_capacity(world):
    service = await world.service()
    path = f"/v1/directory/services/{service}"
    body = {"need_categories": ["homelessness", "stress"], "capacity_status": "waitlist"}
    done = await world.at_pantry.patch(path, json=body, headers={"If-Match": '"1"'})
    assert done.json()["need_categories"] == ["homelessness", "stress"]
    assert await search(world.at_clinic, need_category="stress") == ["Pantry"]
    assert await search(world.at_clinic, capacity_status="waitlist") == ["Pantry"]
    events = await world.events(service)
    assert events[-1].type == "service.changed"
    assert events[-1].data["change"]["capacity_status"] == "waitlist"
    stale = await world.at_pantry.patch(path, json=body, headers={"If-Match": '"1"'})
    assert stale.status_code == 412


async def test_an_import_keeps_what_the_owner_declared(world):
    document = full()
    first = (await world.upload(world.at_pantry, document)).json()
    service = next(item["id"] for item in first["items"] if item["kind"] == "service")
    path = f"/v1/directory/services/{service}"
    await world.at_pantry.patch(
        path,
        json={"need_categories": ["stress"], "capacity_status": "no-capacity"},
        headers={"If-Match": '"1"'},
    )
    document["services"][0]["description"] = "Now on Fridays"
    await world.upload(world.at_pantry, document)
    detail = (await world.at_clinic.get(path)).json()
    assert (detail["need_categories"], detail["capacity_status"]) == (["stress"], "no-capacity")
    assert detail["description"] == "Now on Fridays"


async def test_only_the_owner_declares(world):
    service = await world.service()
    answer = await world.at_clinic.patch(
        f"/v1/directory/services/{service}",
        json={"capacity_status": "capacity"},
        headers={"If-Match": '"1"'},
    )
    assert answer.status_code == 404


async def test_what_the_import_owns_cannot_be_patched(world):
    service = await world.service()
    answer = await world.at_pantry.patch(
        f"/v1/directory/services/{service}", json={"name": "x"}, headers={"If-Match": '"1"'}
    )
    assert answer.status_code == 422


@pytest.mark.parametrize("body", ["text", 3, None])
async def test_a_body_that_is_no_document_is_refused(world, body):
    answer = await world.upload(world.at_pantry, body)
    assert answer.status_code == 422


async def test_malformed_json_is_400(world):
    answer = await world.at_pantry.post(
        "/v1/directory/import",
        content=b"{",
        headers={"Idempotency-Key": "k", "Content-Type": "application/json"},
    )
    assert answer.status_code == 400
    assert answer.json()["code"] == "malformed-json"


async def test_text_that_cannot_be_stored_is_refused_as_such(world):
    document = {"id": str(uuid4()), "name": "a\x00b", "status": "active"}
    answer = await world.upload(world.at_pantry, document)
    assert answer.status_code == 422
    assert await world.events() == []


async def test_an_unknown_service_is_404(world):
    for service in (new_id("svc"), "svc_1"):
        assert (await world.at_clinic.get(f"/v1/directory/services/{service}")).status_code == 404
