"""The catalogue says what partners receive: what they receive is as it says."""

import jsonschema_rs
import orjson
import pytest
from notify_svc.catalogue import catalogue
from notify_svc.domain.kinds import KINDS, TOLD
from svckit.contracts import events_dir

ENTRIES = {entry["kind"]: entry for entry in catalogue()}


def check(entry, message):
    jsonschema_rs.validator_for(entry["schema"], validate_formats=True).validate(message)


async def test_every_type_that_can_be_asked_for_is_in_it_with_schema_and_example(world):
    client = world.client(await world.organisation())
    answer = await client.get("/v1/event-types")
    assert answer.status_code == 200
    items = answer.json()["items"]
    assert {item["kind"] for item in items} == KINDS | {"webhook.ping"}
    for item in items:
        jsonschema_rs.meta.validate(item["schema"])
        check(item, item["example"])
        assert item["description"]
    accepted = next(item for item in items if item["kind"] == "referral.accepted")
    assert (accepted["need_category"], accepted["transitions"]) == (True, ["accepted"])


async def test_the_catalogue_needs_the_scope_of_the_feed(world):
    client = world.client(await world.organisation(), scopes="cases.read")
    assert (await client.get("/v1/event-types")).status_code == 403


async def test_what_is_told_is_as_the_catalogue_says(world):
    clinic = await world.organisation()
    kinds = [kind for kinds in TOLD.values() for kind in kinds]
    for kind in kinds:
        example = orjson.loads((events_dir() / f"{kind}.v1.example.json").read_bytes())
        subject, change = example.pop("id"), example.pop("change", {})
        del example["version"]
        about = {**example, "custodian_id": clinic, "parties": []}
        await world.hear(kind, subject, change, **about)
    items = (await world.feed(clinic, limit=200))["items"]
    assert len(items) == len(kinds)
    for kind, item in zip(kinds, items, strict=True):
        message = {name: item[name] for name in ("type", "timestamp", "data")}
        check(ENTRIES[kind], message)
        with pytest.raises(jsonschema_rs.ValidationError):
            check(ENTRIES[kind], {**message, "data": {**message["data"], "person_id": "x"}})


async def test_a_ping_is_as_the_catalogue_says(world, receiver):
    clinic = await world.organisation()
    endpoint = await world.endpoint(clinic, receiver.url)
    path = f"/v1/webhook-endpoints/{endpoint['id']}/test"
    await world.client(clinic).post(path, headers={"Idempotency-Key": "one"})
    await world.deliver()
    [got] = receiver.got
    check(ENTRIES["webhook.ping"], orjson.loads(got.body))
