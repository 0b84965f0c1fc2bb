"""Webhook endpoints: registering, changing, rotating, removing; and nobody else's."""

import pytest
from svckit.ids import new_id

PATH = "/v1/webhook-endpoints"
URL = "http://127.0.0.1:9/hook"


def key():
    return {"Idempotency-Key": new_id("key")}


def match(version):
    return {"If-Match": f'"{version}"'}


async def test_the_secret_is_shown_once_and_nowhere_else(world):
    clinic = await world.organisation()
    made = await world.endpoint(clinic, URL, description="Records", event_types=["case.*"])
    assert made["secret"].startswith("whsec_")
    client = world.client(clinic)
    shown = await client.get(f"{PATH}/{made['id']}")
    listed = await client.get(PATH)
    assert made["secret"] not in shown.text + listed.text
    assert shown.json() == {name: made[name] for name in made if name != "secret"}
    assert listed.json()["items"] == [shown.json()]
    assert shown.headers["ETag"] == '"1"'


async def test_an_endpoint_that_signs_with_a_private_key_shows_the_public_one(world):
    clinic = await world.organisation()
    made = await world.endpoint(clinic, URL, signature="v1a")
    assert made["secret"].startswith("whpk_")


async def test_filters_are_kept_in_their_short_form(world):
    clinic = await world.organisation()
    asked = ["org.careloop.case.opened.v1", "referral.*", "case.opened"]
    made = await world.endpoint(clinic, URL, event_types=asked)
    assert made["event_types"] == ["case.opened", "referral.*"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"url": "nonsense"}, "#/url"),
        ({"url": "https://a@b.example/"}, "#/url"),
        ({"url": "https://b.example/" + "x" * 2048}, "#/url"),
        ({"url": URL, "event_types": ["case.eaten"]}, "#/event_types/0"),
        ({"url": URL, "event_types": ["case.*"] * 51}, "#/event_types"),
        ({"url": URL, "description": "x" * 201}, "#/description"),
        ({"url": URL, "secret": "whsec_mine"}, "#/secret"),
        ({"url": URL, "organisation_id": "org_other"}, "#/organisation_id"),
        ({"url": URL, "enabled": "perhaps"}, "#/enabled"),
        ({"url": URL, "signature": "none"}, "#/signature"),
        ({}, "#/url"),
    ],
)
async def test_an_unacceptable_registration_names_the_field_and_changes_nothing(
    world, body, pointer
):
    client = world.client(await world.organisation())
    answer = await client.post(PATH, json=body, headers=key())
    assert answer.status_code == 422
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert (await client.get(PATH)).json()["items"] == []


async def test_outside_the_sandbox_only_public_https_is_accepted(settings, issuer, client_for):
    from notify_svc.app import create_app

    app = create_app(settings.model_copy(update={"allow_private_targets": False}))
    client = client_for(app, issuer.token("notify-svc", org=new_id("org")))
    for url in (URL, "https://127.0.0.1/", "https://[::1]/", "https://10.0.0.1:8443/"):
        answer = await client.post(PATH, json={"url": url}, headers=key())
        assert (answer.status_code, answer.json()["code"]) == (422, "webhook-target-refused")
    answer = await client.post(PATH, json={"url": "https://partner.example/"}, headers=key())
    assert answer.status_code == 201
    changed = await client.patch(
        f"{PATH}/{answer.json()['id']}", json={"url": "https://127.1/"}, headers=match(1)
    )
    assert changed.status_code == 422


async def test_an_organisation_has_only_so_many_endpoints(settings, issuer, client_for):
    from notify_svc.app import create_app

    app = create_app(settings.model_copy(update={"endpoints_per_organisation": 2}))
    client = client_for(app, issuer.token("notify-svc", org=new_id("org")))
    for expected in (201, 201, 409):
        answer = await client.post(PATH, json={"url": URL}, headers=key())
        assert answer.status_code == expected
    assert answer.json()["code"] == "too-many-endpoints"


async def test_a_repeated_registration_is_one_endpoint_with_one_secret(world):
    client = world.client(await world.organisation())
    same = key()
    first = await client.post(PATH, json={"url": URL}, headers=same)
    again = await client.post(PATH, json={"url": URL}, headers=same)
    other = await client.post(PATH, json={"url": URL + "2"}, headers=same)
    assert first.json() == again.json()
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    assert len((await client.get(PATH)).json()["items"]) == 1


async def test_a_change_needs_the_version_that_was_read(world):
    clinic = await world.organisation()
    made = await world.endpoint(clinic, URL)
    client, path = world.client(clinic), f"{PATH}/{made['id']}"
    assert (await client.patch(path, json={"enabled": False})).status_code == 428
    assert (await client.patch(path, json={}, headers=match(9))).status_code == 412
    changed = await client.patch(path, json={"description": "New"}, headers=match(1))
    assert (changed.status_code, changed.headers["ETag"]) == (200, '"2"')
    assert changed.json()["description"] == "New"
    assert (await client.patch(path, json={}, headers=match(1))).status_code == 412


async def test_an_endpoint_that_is_removed_is_gone_and_its_log_stays(world):
    clinic = await world.organisation()
    made = await world.endpoint(clinic, URL)
    await world.happened("case.opened", clinic)
    client, path = world.client(clinic), f"{PATH}/{made['id']}"
    assert (await client.delete(path)).status_code == 428
    assert (await client.delete(path, headers=match(1))).status_code == 204
    assert (await client.get(path)).status_code == 404
    [delivery] = await world.deliveries(clinic)
    assert (delivery["status"], delivery["reason"]) == ("cancelled", "endpoint-removed")
    left = await world.sql("SELECT count(*) FROM webhook_secret")
    assert left.scalar_one() == 0


async def test_an_event_is_queued_for_the_endpoints_whose_filter_matches(world):
    clinic = await world.organisation()
    wanted = [
        await world.endpoint(clinic, URL, event_types=types)
        for types in ([], ["case.*"], ["note.added", "case.opened"])
    ]
    await world.endpoint(clinic, URL, event_types=["referral.*"])
    await world.happened("case.opened", clinic)
    queued = {delivery["endpoint_id"] for delivery in await world.deliveries(clinic)}
    assert queued == {endpoint["id"] for endpoint in wanted}


async def test_what_happens_while_an_endpoint_is_disabled_is_held_and_goes_out_later(world):
    clinic = await world.organisation()
    made = await world.endpoint(clinic, URL)
    client, path = world.client(clinic), f"{PATH}/{made['id']}"
    await world.happened("case.opened", clinic)
    await client.patch(path, json={"enabled": False}, headers=match(1))
    await world.happened("case.changed", clinic)
    assert [d["status"] for d in await world.deliveries(clinic)] == ["held", "held"]
    await client.patch(path, json={"enabled": True}, headers=match(2))
    assert [d["status"] for d in await world.deliveries(clinic)] == ["pending", "pending"]


async def test_deliveries_are_listed_by_page_newest_first_and_filtered(world):
    clinic = await world.organisation()
    one, two = await world.endpoint(clinic, URL), await world.endpoint(clinic, URL)
    events = [await world.happened("case.changed", clinic) for _ in range(3)]
    client = world.client(clinic)
    first = await client.get("/v1/deliveries", params={"limit": 4})
    rest = await client.get("/v1/deliveries", params={"limit": 4, "cursor": first.json()["next"]})
    ids = [item["id"] for item in first.json()["items"] + rest.json()["items"]]
    assert len(ids) == 6
    assert ids == sorted(ids, reverse=True)
    assert rest.json()["next"] is None
    assert len(await world.deliveries(clinic, endpoint_id=one["id"])) == 3
    assert len(await world.deliveries(clinic, event_id=events[0].id)) == 2
    assert len(await world.deliveries(clinic, status="pending", endpoint_id=two["id"])) == 3
    assert await world.deliveries(clinic, status="delivered") == []


async def test_deliveries_are_found_by_type_by_time_and_by_what_was_answered(world, receiver):
    clinic = await world.organisation()
    await world.endpoint(clinic, receiver.url)
    receiver.will_answer((500, {}), (204, {}), (503, {}))
    for kind in ("case.opened", "note.added", "case.closed"):
        await world.happened(kind, clinic)
        await world.deliver()

    async def found(**filters):
        listed = await world.deliveries(clinic, **filters)
        return [one["event_type"].removeprefix("org.careloop.")[:-3] for one in listed]

    assert await found(event_type="case.*") == ["case.closed", "case.opened"]
    assert await found(event_type=["note.added", "org.careloop.case.opened.v1"]) == [
        "note.added",
        "case.opened",
    ]
    assert await found(response_status=500) == ["case.opened"]
    assert await found(response_status=503) == ["note.added"]
    assert await found(response_status=204, event_type="case.*") == ["case.closed", "case.opened"]
    assert await found(event_type="webhook.ping") == []
    second = (await world.deliveries(clinic))[1]["created_at"]
    assert await found(since=second) == ["case.closed", "note.added"]
    assert await found(until=second) == ["case.opened"]
    client = world.client(clinic)
    for nonsense in (
        {"event_type": "case.eaten"},
        {"since": "yesterday"},
        {"until": "2026-01-01T00:00:00"},
        {"response_status": 99},
    ):
        answer = await client.get("/v1/deliveries", params=nonsense)
        assert answer.status_code == 422, nonsense


ROUTES = [
    ("GET", PATH),
    ("GET", PATH + "/{endpoint}"),
    ("PATCH", PATH + "/{endpoint}"),
    ("DELETE", PATH + "/{endpoint}"),
    ("POST", PATH + "/{endpoint}/rotate-secret"),
    ("POST", PATH + "/{endpoint}/test"),
    ("GET", "/v1/deliveries"),
    ("GET", "/v1/deliveries/{delivery}"),
    ("POST", "/v1/deliveries/{delivery}/redeliver"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_what_is_not_yours_is_not_there(world, method, path):
    clinic, other = await world.organisation(), await world.organisation()
    made = await world.endpoint(clinic, URL)
    await world.happened("case.opened", clinic)
    [delivery] = await world.deliveries(clinic)
    body = {"json": {}} if method == "PATCH" else {}

    async def call(client, endpoint=made["id"], attempt=delivery["id"]):
        url = path.format(endpoint=endpoint, delivery=attempt)
        return await client.request(method, url, headers={**key(), **match(1)}, **body)

    foreign = await call(world.client(other))
    if "{" in path:
        missing = await call(world.client(other), new_id("whe"), new_id("dlv"))
        nonsense = await call(world.client(other), "x", "x")
        for answer in (foreign, missing, nonsense):
            assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
        assert foreign.json()["detail"] == missing.json()["detail"]
    else:
        assert foreign.json()["items"] == []
    assert (await call(world.client(clinic, scopes="events.read"))).status_code == 403
    assert (await call(world.stranger())).status_code == 401
    [unchanged] = await world.deliveries(clinic)
    assert unchanged == delivery


async def test_statements_do_not_grow_with_the_page(world):
    clinic = await world.organisation()
    await world.endpoint(clinic, URL)
    for _ in range(12):
        await world.happened("case.changed", clinic)
    counts = []
    for limit in (1, 12):
        with world.statements() as sent:
            await world.deliveries(clinic, limit=limit)
        counts.append(len(sent))
    assert counts[0] == counts[1] <= 2
