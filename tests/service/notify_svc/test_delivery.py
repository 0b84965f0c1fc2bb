"""From a queued delivery to a partner's 2xx, and every other way it can end."""

import json
from datetime import datetime

import pytest
from sharing.classes import PART2_NOTICE
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from svckit import telemetry
from svckit.ids import new_id


def key():
    return {"Idempotency-Key": new_id("key")}


def match(version):
    return {"If-Match": f'"{version}"'}


@pytest.fixture
async def clinic(world):
    return await world.organisation()


@pytest.fixture
async def endpoint(world, clinic, receiver):
    return await world.endpoint(clinic, receiver.url)


async def test_the_reference_library_verifies_what_a_partner_receives(
    world, clinic, endpoint, receiver
):
    event = await world.happened("case.opened", clinic)
    await world.deliver()
    [got] = receiver.got
    told = Webhook(endpoint["secret"]).verify(got.body, dict(got.headers))
    assert told["type"] == "org.careloop.case.opened.v1"
    assert datetime.fromisoformat(told["timestamp"]) == event.time
    assert told["data"] == {
        "id": event.subject,
        "version": 1,
        "href": f"/v1/things/{event.subject}",
        "case_id": world.case,
    }
    assert got.headers["webhook-id"] == event.id
    assert got.headers["content-type"] == "application/json"
    shown = await world.delivery(clinic)
    assert (shown["status"], shown["attempt_count"]) == ("delivered", 1)
    assert [a["outcome"] for a in shown["attempts"]] == ["delivered"]
    assert shown["attempts"][0]["response_status"] == 204


async def test_a_webhook_of_a_part_2_record_carries_the_notice(world, clinic, endpoint, receiver):
    await world.happened("note.added", clinic, classes=["notes", "substance-use"])
    await world.deliver()
    [got] = receiver.got
    assert json.loads(got.body)["data"]["redisclosure_notice"] == PART2_NOTICE


async def test_a_tampered_body_or_another_secret_does_not_verify(world, clinic, endpoint, receiver):
    await world.happened("case.opened", clinic)
    await world.deliver()
    [got] = receiver.got
    with pytest.raises(WebhookVerificationError):
        Webhook(endpoint["secret"]).verify(
            got.body.replace(b"opened", b"closed"), dict(got.headers)
        )
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "A" * 32).verify(got.body, dict(got.headers))


async def test_every_attempt_has_the_same_id_and_the_same_bytes(world, clinic, endpoint, receiver):
    receiver.will_answer((500, {}), (302, {"Location": receiver.url + "/elsewhere"}))
    await world.happened("case.opened", clinic)
    await world.deliver()
    assert len({got.headers["webhook-id"] for got in receiver.got}) == 1
    assert len({got.body for got in receiver.got}) == 1
    assert [got.path for got in receiver.got] == ["/hook"] * 3
    shown = await world.delivery(clinic)
    assert shown["status"] == "delivered"
    assert [(a["number"], a["outcome"], a["error"]) for a in shown["attempts"]] == [
        (1, "failed", None),
        (2, "failed", "redirect"),
        (3, "delivered", None),
    ]


async def test_a_spent_schedule_leaves_the_delivery_exhausted_and_visible(
    world, clinic, endpoint, receiver
):
    receiver.will_answer(*[(500, {})] * 9)
    await world.happened("case.opened", clinic)
    await world.deliver()
    shown = await world.delivery(clinic)
    assert (shown["status"], shown["reason"], shown["attempt_count"]) == (
        "exhausted",
        "status-500",
        3,
    )
    assert len(receiver.got) == 3
    assert len(await world.deliveries(clinic, status="exhausted")) == 1


async def test_a_receiver_that_is_not_there_is_a_failure_of_its_own(world, clinic, receiver):
    await world.endpoint(clinic, "http://127.0.0.1:9/hook")
    await world.happened("case.opened", clinic)
    await world.deliver()
    shown = await world.delivery(clinic)
    assert (shown["status"], shown["reason"]) == ("exhausted", "connection")


async def test_a_receiver_that_does_not_answer_times_out_and_gets_a_smaller_window(
    world, clinic, endpoint, receiver
):
    receiver.release.clear()
    await world.happened("case.opened", clinic)
    async with world.sender(total_timeout_s=0.3, schedule_s=(0.0, 60.0)) as loop:
        await loop.step()
        await loop.idle()
    shown = await world.delivery(clinic)
    assert [a["error"] for a in shown["attempts"]] == ["timeout"]
    found = await world.sql('SELECT "window" FROM webhook_endpoint')
    assert found.scalar_one() == 2


async def test_410_disables_the_endpoint_and_holds_what_waits(world, clinic, endpoint, receiver):
    receiver.will_answer((410, {}))
    await world.happened("case.opened", clinic)
    await world.deliver()
    await world.happened("case.changed", clinic)
    await world.deliver()
    assert len(receiver.got) == 1
    assert {d["status"] for d in await world.deliveries(clinic)} == {"held"}
    client, path = world.client(clinic), f"/v1/webhook-endpoints/{endpoint['id']}"
    shown = (await client.get(path)).json()
    assert (shown["enabled"], shown["disabled_reason"], shown["version"]) == (False, "gone", 2)
    await client.patch(path, json={"enabled": True}, headers=match(2))
    await world.deliver()
    assert {d["status"] for d in await world.deliveries(clinic)} == {"delivered"}


@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_receiver_is_given_the_time_it_asks_for(
    world, clinic, endpoint, receiver, status
):
    receiver.will_answer((status, {"Retry-After": "120"}))
    await world.happened("case.opened", clinic)
    await world.deliver()
    shown = await world.delivery(clinic)
    waits = datetime.fromisoformat(shown["next_attempt_at"]) - datetime.fromisoformat(
        shown["attempts"][0]["ended_at"]
    )
    assert shown["status"] == "pending"
    assert shown["attempts"][0]["outcome"] == "deferred"
    assert 119 <= waits.total_seconds() <= 121
    found = await world.sql("SELECT step FROM delivery")
    assert found.scalar_one() == 0


async def test_what_may_no_longer_be_seen_is_not_sent(world, clinic, receiver):
    agency = await world.organisation("social-service")
    await world.endpoint(agency, receiver.url)
    grant = await world.grant(clinic, agency, ["coordination"])
    await world.happened("case.changed", clinic)
    await world.end(grant)
    await world.deliver()
    assert receiver.got == []
    shown = await world.delivery(agency)
    assert (shown["status"], shown["reason"]) == ("cancelled", "no-longer-visible")
    assert shown["attempts"] == []


async def test_rights_are_decided_again_before_a_retry(world, clinic, receiver):
    agency = await world.organisation("social-service")
    await world.endpoint(agency, receiver.url)
    grant = await world.grant(clinic, agency, ["coordination"])
    receiver.will_answer((500, {}))
    await world.happened("case.changed", clinic)
    async with world.sender() as loop:
        await loop.step()
        await loop.idle()
    await world.end(grant)
    await world.deliver()
    assert len(receiver.got) == 1
    shown = await world.delivery(agency)
    assert (shown["status"], shown["attempt_count"]) == ("cancelled", 1)


async def test_a_payer_gets_webhooks_of_outcomes_and_of_no_note_and_an_outsider_none(
    world, clinic, receiver
):
    payer, outsider = await world.organisation("payer"), await world.organisation()
    await world.grant(clinic, payer, ["outcome"])
    for organisation in (payer, outsider):
        await world.endpoint(organisation, receiver.url)
    await world.happened("note.added", clinic, classes=["notes"])
    await world.happened("referral.completed", clinic, classes=["outcome"])
    await world.deliver()
    assert [json.loads(got.body)["type"] for got in receiver.got] == [
        "org.careloop.referral.completed.v1"
    ]
    assert await world.deliveries(outsider) == []


async def test_during_a_rotation_both_secrets_verify_and_then_only_the_new(
    world, clinic, endpoint, receiver
):
    path = f"/v1/webhook-endpoints/{endpoint['id']}/rotate-secret"
    client = world.client(clinic)
    assert (await client.post(path, headers=key())).status_code == 428
    rotated = await client.post(path, headers={**key(), **match(1)})
    new, old = rotated.json()["secret"], endpoint["secret"]
    assert new != old
    await world.happened("case.opened", clinic)
    await world.deliver()
    [first] = receiver.got
    for secret in (new, old):
        Webhook(secret).verify(first.body, dict(first.headers))
    await world.sql("UPDATE webhook_secret SET not_after = now() WHERE not_after IS NOT NULL")
    await world.happened("case.changed", clinic)
    await world.deliver()
    second = receiver.got[1]
    Webhook(new).verify(second.body, dict(second.headers))
    with pytest.raises(WebhookVerificationError):
        Webhook(old).verify(second.body, dict(second.headers))


async def test_a_ping_reaches_the_receiver_signed(world, clinic, endpoint, receiver):
    asked = await world.client(clinic).post(
        f"/v1/webhook-endpoints/{endpoint['id']}/test", headers=key()
    )
    assert (asked.status_code, asked.json()["status"]) == (202, "pending")
    await world.deliver()
    [got] = receiver.got
    told = Webhook(endpoint["secret"]).verify(got.body, dict(got.headers))
    assert told["type"] == "org.careloop.webhook.ping.v1"
    assert told["data"]["id"] == endpoint["id"]
    assert (await world.delivery(clinic, asked.json()["id"]))["status"] == "delivered"
    assert await world.told(clinic) == []


async def test_a_delivery_that_has_ended_can_be_sent_again_under_its_id(
    world, clinic, endpoint, receiver
):
    event = await world.happened("case.opened", clinic)
    [waiting] = await world.deliveries(clinic)
    client, path = world.client(clinic), f"/v1/deliveries/{waiting['id']}/redeliver"
    early = await client.post(path, headers=key())
    assert (early.status_code, early.json()["code"]) == (409, "delivery-in-progress")
    await world.deliver()
    again = await client.post(path, headers=key())
    assert (again.status_code, again.json()["status"]) == (202, "pending")
    await world.deliver()
    assert [got.headers["webhook-id"] for got in receiver.got] == [event.id] * 2
    shown = await world.delivery(clinic, waiting["id"])
    assert (shown["status"], shown["attempt_count"]) == ("delivered", 2)


async def test_redelivery_to_a_disabled_endpoint_or_of_an_old_message_is_refused(
    world, clinic, endpoint, receiver
):
    await world.happened("case.opened", clinic)
    await world.deliver()
    [ended] = await world.deliveries(clinic)
    client, path = world.client(clinic), f"/v1/deliveries/{ended['id']}/redeliver"
    await world.sql("UPDATE message SET expires_at = now()")
    assert (await client.post(path, headers=key())).json()["code"] == "message-expired"
    await world.sql("UPDATE webhook_endpoint SET enabled = false")
    assert (await client.post(path, headers=key())).json()["code"] == "endpoint-disabled"


async def test_an_endpoint_without_success_for_days_is_disabled(world, clinic, endpoint, receiver):
    receiver.will_answer(*[(500, {})] * 40)
    for _ in range(10):
        await world.happened("case.changed", clinic)
    await world.deliver()
    await world.keep(disable_after_s=0.0001)
    shown = await world.client(clinic).get(f"/v1/webhook-endpoints/{endpoint['id']}")
    assert (shown.json()["enabled"], shown.json()["disabled_reason"]) == (False, "failing")
    statuses = {d["status"] for d in await world.deliveries(clinic)}
    assert statuses <= {"held", "exhausted"}


async def test_one_trace_leads_from_the_event_to_the_webhook(world, clinic, endpoint, receiver):
    telemetry.setup("notify-svc", trace_file=None, log_level="error")
    with telemetry.span("a request"):
        expected = telemetry.trace_id()
        await world.happened("case.opened", clinic)
    await world.deliver()
    [got] = receiver.got
    assert got.headers["traceparent"].split("-")[1] == expected
