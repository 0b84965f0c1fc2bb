"""What is sealed, for whom, and what is shown of it."""

from notify_svc.actions.resealing import reseal
from notify_svc.domain.sealing import Sealer, is_sealed

from tests.service.notify_svc.conftest import key, match
from tests.service.notify_svc.transport.stage import SECRETS, attempted, oauth, pair

PATH = "/v1/webhook-endpoints"


async def test_what_was_sealed_for_one_server_does_not_go_to_another(world, clinic, receiver):
    given = {"headers": {"X-Api-Key": "s3cr3t-value"}}
    made = await world.endpoint(clinic, receiver.url, transport=given)
    client, path = world.client(clinic), f"{PATH}/{made['id']}"
    elsewhere = {"url": "http://127.0.0.1:9/"}
    refused = await client.patch(path, json=elsewhere, headers=match(1))
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "#/transport")
    same = await client.patch(path, json={"url": f"{receiver.url}/2"}, headers=match(1))
    assert same.status_code == 200
    with_it = {**elsewhere, "transport": given}
    assert (await client.patch(path, json=with_it, headers=match(2))).status_code == 200
    gone = await client.patch(path, json={"transport": None}, headers=match(3))
    assert gone.json()["transport"] is None
    assert (await client.patch(path, json={"url": receiver.url}, headers=match(4))).json()


async def stored(world):
    found = await world.sql(
        "SELECT value FROM webhook_secret"
        " UNION ALL SELECT sealed FROM webhook_endpoint WHERE sealed IS NOT NULL"
    )
    return list(found.scalars())


async def test_no_secret_lies_open_in_the_database(world, clinic, authority, tokens):
    url = "https://127.0.0.1:9/hook"
    asked = {**oauth(tokens), **pair(authority.issue()), "headers": {"X-A": "s3cr3t-value"}}
    v1 = await world.endpoint(clinic, url, transport=asked)
    await world.endpoint(clinic, url, signature="v1a")
    dump = []
    for table in ("webhook_endpoint", "webhook_secret", "idempotency", "audit", "outbox"):
        found = await world.sql(f"SELECT * FROM {table}")
        dump += [repr(tuple(row)) for row in found]
    for secret in (*SECRETS, v1["secret"], "whsec_", "whsk_"):
        assert not any(secret in row for row in dump)
    assert all(is_sealed(value) for value in await stored(world))


async def test_secrets_are_brought_under_a_new_key_and_still_sign(world, clinic, receiver):
    old, new = world.settings.sealing_keys.get_secret_value(), "1" * 64
    given = {"headers": {"X-A": "s3cr3t-value"}}
    await world.endpoint(clinic, receiver.url, transport=given)
    await world.sql("UPDATE webhook_secret SET value = 'whsec_' || repeat('A', 32)")
    both = type(world.settings.sealing_keys)(f"{new},{old}")
    sealer = world.settings.model_copy(update={"sealing_keys": both}).sealer()
    async with world.db.begin() as tx:
        assert await reseal(tx, sealer) == 2
    async with world.db.begin() as tx:
        assert await reseal(tx, sealer) == 0
    alone = Sealer([bytes.fromhex(new)])
    assert all(alone.is_current(value) for value in await stored(world))
    only_new = type(world.settings.sealing_keys)(new)
    assert (await attempted(world, clinic, sealing_keys=only_new))["outcome"] == "delivered"
    assert receiver.got[0].headers["x-a"] == "s3cr3t-value"


async def test_a_key_that_is_missing_is_our_fault_and_costs_the_endpoint_nothing(
    world, clinic, receiver
):
    await world.endpoint(clinic, receiver.url)
    other = type(world.settings.sealing_keys)("2" * 64)
    found = await attempted(world, clinic, sealing_keys=other)
    assert (found["outcome"], found["error"]) == ("deferred", "secret-unavailable")
    assert (await world.delivery(clinic))["status"] == "pending"
    assert receiver.got == []


async def test_the_public_key_is_shown_whenever_it_is_asked_for(world, clinic, receiver):
    made = await world.endpoint(clinic, receiver.url, signature="v1a")
    client, path = world.client(clinic), f"{PATH}/{made['id']}"
    assert (await client.get(path)).json()["public_key"] == made["secret"]
    rotated = await client.post(f"{path}/rotate-secret", headers={**key(), **match(1)})
    shown = (await client.get(path)).json()["public_key"]
    assert shown == rotated.json()["secret"] != made["secret"]
