"""Before it is sent anything a receiver has to show whose it is, and that it refuses what is forged."""

import json

import pytest
from aiohttp import web
from svckit.ids import new_id

from tests.service.notify_svc.conftest import is_genuine, key

PATH = "/v1/webhook-endpoints"


def match(version):
    return {"If-Match": f'"{version}"'}


@pytest.fixture
async def clinic(world):
    return await world.organisation()


@pytest.fixture
async def endpoint(world, clinic, receiver):
    """Registered, and its receiver knows the secret; not asked yet."""
    made = await world.register(clinic, receiver.url)
    receiver.trust(made["secret"])
    return made


def answers(receiver, *statuses):
    """Let the receiver answer a challenge otherwise than it should."""

    def verify(headers, body):
        genuine = any(is_genuine(secret, headers, body) for secret in receiver.secrets)
        status = statuses[0] if genuine else statuses[1]
        echo = {"challenge": json.loads(body)["data"]["challenge"]}
        return web.json_response(echo, status=status) if status else web.Response(text="thanks")

    receiver.verify = verify


async def test_a_receiver_that_gives_the_challenge_back_and_refuses_a_forged_one_is_enabled(
    world, clinic, endpoint, receiver
):
    assert (endpoint["state"], endpoint["enabled"]) == ("pending_verification", False)
    await world.keep()
    shown = await world.shown(clinic, endpoint["id"])
    assert (shown["state"], shown["enabled"], shown["version"]) == ("enabled", True, 1)
    assert shown["verification"]["result"] == "verified"
    assert shown["verification"]["verified_at"] == shown["verification"]["checked_at"]
    assert shown["verification"]["next_at"] is None
    genuine, forged = receiver.asked
    assert is_genuine(endpoint["secret"], genuine.headers, genuine.body)
    assert not is_genuine(endpoint["secret"], forged.headers, forged.body)
    told = [json.loads(each.body) for each in (genuine, forged)]
    assert {message["type"] for message in told} == {"webhook.verification"}
    assert told[0]["data"]["challenge"] != told[1]["data"]["challenge"]
    assert genuine.headers["webhook-id"] != forged.headers["webhook-id"]
    assert set(genuine.headers) == set(forged.headers)


async def test_what_happens_before_is_held_and_goes_out_afterwards(
    world, clinic, endpoint, receiver
):
    event = await world.happened("case.opened", clinic)
    path = f"{PATH}/{endpoint['id']}/test"
    asked = await world.client(clinic).post(path, headers=key())
    assert (asked.status_code, asked.json()["status"]) == (202, "held")
    await world.deliver()
    assert receiver.got == []
    await world.keep()
    await world.deliver()
    ids = {got.headers["webhook-id"] for got in receiver.got}
    assert ids == {event.id, asked.json()["event_id"]}


async def test_a_receiver_that_takes_a_forged_message_is_refused_and_its_owner_told(
    world, clinic, endpoint, receiver
):
    answers(receiver, 200, 204)
    await world.happened("case.opened", clinic)
    await world.keep()
    await world.deliver()
    shown = await world.shown(clinic, endpoint["id"])
    assert (shown["state"], shown["disabled_reason"]) == ("disabled", "accepts-unsigned")
    assert shown["verification"]["result"] == "accepts-unsigned"
    assert shown["verification"]["next_at"] is None
    assert {d["status"] for d in await world.deliveries(clinic)} == {"held"}
    assert receiver.got == []
    assert await world.told(clinic) == ["case.opened", "webhook.endpoint.disabled"]


@pytest.mark.parametrize(
    ("statuses", "result"),
    [
        ((500, 401), "status-500"),
        ((None, 401), "not-echoed"),
        ((200, 503), "forged-status-503"),
    ],
)
async def test_what_does_not_verify_is_asked_again_and_disabled_at_the_end(
    world, clinic, receiver, statuses, result
):
    endpoint = await world.register(clinic, receiver.url)
    receiver.trust(endpoint["secret"])
    answers(receiver, *statuses)
    await world.keep(verify_schedule_s=(0.0, 3600.0))
    shown = await world.shown(clinic, endpoint["id"])
    assert (shown["state"], shown["verification"]["result"]) == ("pending_verification", result)
    assert shown["verification"]["next_at"] > shown["verification"]["checked_at"]
    await world.sql("UPDATE webhook_endpoint SET verify_at = now()")
    await world.keep(verify_schedule_s=(0.0, 3600.0))
    shown = await world.shown(clinic, endpoint["id"])
    assert (shown["state"], shown["disabled_reason"]) == ("disabled", "unverified")
    assert shown["verification"]["result"] == result


async def test_nobody_there_is_asked_again(world, clinic):
    made = await world.register(clinic, "http://127.0.0.1:9/hook")
    await world.keep(verify_schedule_s=(0.0, 3600.0))
    shown = await world.shown(clinic, made["id"])
    assert (shown["state"], shown["verification"]["result"]) == (
        "pending_verification",
        "connection",
    )


async def test_its_owner_may_have_it_verified_again(world, clinic, endpoint, receiver):
    answers(receiver, 200, 204)
    await world.keep()
    del receiver.verify
    client, path = world.client(clinic), f"{PATH}/{endpoint['id']}/verify"
    asked = await client.post(path, headers=key())
    assert (asked.status_code, asked.json()["state"]) == (202, "pending_verification")
    await world.keep()
    assert (await world.shown(clinic, endpoint["id"]))["state"] == "enabled"


async def test_another_address_is_verified_before_it_is_sent_anything(
    world, clinic, endpoint, receiver, receivers
):
    await world.keep()
    client, path = world.client(clinic), f"{PATH}/{endpoint['id']}"
    async with receivers().serve() as other:
        changed = await client.patch(path, json={"url": other.url}, headers=match(1))
        assert changed.json()["state"] == "pending_verification"
        await world.happened("case.opened", clinic)
        await world.keep(verify_schedule_s=(0.0, 3600.0))
        await world.deliver()
        assert (other.got, len(other.asked)) == ([], 1)
        other.trust(endpoint["secret"])
        await world.sql("UPDATE webhook_endpoint SET verify_at = now()")
        await world.keep()
        await world.deliver()
        assert len(other.got) == 1
    assert receiver.got == []


async def test_a_change_of_anything_else_asks_nobody(world, clinic, endpoint, receiver):
    await world.keep()
    client, path = world.client(clinic), f"{PATH}/{endpoint['id']}"
    same = {"url": receiver.url, "description": "New", "enabled": True}
    changed = await client.patch(path, json=same, headers=match(1))
    assert changed.json()["state"] == "enabled"
    assert len(receiver.asked) == 2


async def test_one_that_waits_for_verification_is_not_enabled_by_a_change(
    world, clinic, endpoint, receiver
):
    client, path = world.client(clinic), f"{PATH}/{endpoint['id']}"
    for version, body in enumerate(({"description": "New"}, {"enabled": True}), 1):
        changed = await client.patch(path, json=body, headers=match(version))
        assert changed.json()["state"] == "pending_verification"


async def test_registered_disabled_it_is_asked_when_it_is_enabled(world, clinic, receiver):
    made = await world.register(clinic, receiver.url, enabled=False)
    assert (made["state"], made["disabled_reason"]) == ("disabled", "disabled-by-owner")
    await world.keep()
    assert receiver.asked == []
    receiver.trust(made["secret"])
    client, path = world.client(clinic), f"{PATH}/{made['id']}"
    changed = await client.patch(path, json={"enabled": True}, headers=match(1))
    assert changed.json()["state"] == "pending_verification"
    await world.keep()
    assert (await world.shown(clinic, made["id"]))["state"] == "enabled"


async def test_verified_once_it_is_enabled_again_without_being_asked(
    world, clinic, endpoint, receiver
):
    await world.keep()
    client, path = world.client(clinic), f"{PATH}/{endpoint['id']}"
    for version, enabled in ((1, False), (2, True)):
        changed = await client.patch(path, json={"enabled": enabled}, headers=match(version))
    assert changed.json()["state"] == "enabled"
    assert len(receiver.asked) == 2


async def test_an_asker_that_dies_is_followed_by_another_after_its_lease(
    world, clinic, endpoint, receiver
):
    from notify_svc.actions import verification

    async with world.db.begin() as tx:
        [dead] = await verification.take(tx, world.settings, 8)
    await world.keep()
    assert receiver.asked == []
    await world.sql("UPDATE webhook_endpoint SET verify_at = now()")
    await world.keep()
    assert (await world.shown(clinic, endpoint["id"]))["state"] == "enabled"
    refused = verification.Finding(verification.Verdict.REFUSED, "accepts-unsigned")
    async with world.db.begin() as tx:
        assert not await verification.settle(tx, dead.token, refused, world.settings, 0.5)
    assert (await world.shown(clinic, endpoint["id"]))["state"] == "enabled"


async def test_two_keepers_ask_once(world, clinic, endpoint, receiver):
    async with world.keeper() as one, world.keeper() as other:
        await one.turn()
        await other.turn()
        await one.idle()
        await other.idle()
    assert len(receiver.asked) == 2


async def test_an_endpoint_that_signs_with_a_private_key_is_asked_with_it(world, clinic, receiver):
    made = await world.register(clinic, receiver.url, signature="v1a")
    await world.keep(verify_schedule_s=(0.0, 3600.0))
    [asked] = receiver.asked
    assert asked.headers["webhook-signature"].startswith("v1a,")
    assert (await world.shown(clinic, made["id"]))["verification"]["result"] == "status-401"


async def test_an_endpoint_of_before_goes_on_and_is_asked_when_it_moves(world, clinic, receiver):
    """What was enabled by a release that did not ask is sent what it was sent."""
    made = await world.endpoint(clinic, receiver.url)
    await world.sql("UPDATE webhook_endpoint SET verified_at = NULL, enabled_at = NULL")
    client, path = world.client(clinic), f"{PATH}/{made['id']}"
    changed = await client.patch(path, json={"description": new_id("x")}, headers=match(1))
    assert changed.json()["state"] == "enabled"
    moved = await client.patch(path, json={"url": receiver.url + "2"}, headers=match(2))
    assert moved.json()["state"] == "pending_verification"
