"""What a mail tells, when, and to whom."""

from datetime import timedelta

import pytest
from sharing.classes import PART2_NOTICE
from svckit.ids import new_id

from tests.service.notify_svc.conftest import key
from tests.service.notify_svc.workers import ADDRESS, AT_ONCE, PATH

HOUR = timedelta(hours=1)


async def test_a_notice_is_mailed_at_once_to_who_wants_it_so(office, server):
    await office.prefers(**AT_ONCE)
    task = await office.task("ada")
    await office.pass_time()
    [mail] = server.got
    assert mail.to == [ADDRESS]
    assert mail.message["Subject"] == "Careloop: 1 notice"
    assert f"/v1/tasks/{task}" in server.text()
    assert mail.message["Message-ID"].endswith("@network.example>")
    assert mail.message["List-Unsubscribe"].endswith("/v1/inbox/preferences>")
    assert mail.message["Auto-Submitted"] == "auto-generated"
    assert mail.message["Date"] is not None
    assert (await office.mails())[1:] == [("immediate", "sent", None, 1)]


async def test_a_mail_says_kinds_and_links_and_nothing_of_the_person(office, server, world):
    await office.prefers(**AT_ONCE)
    await office.task("ada")
    await office.pass_time()
    text = server.got[0].message.as_string()
    for told in (world.person, world.case, "ada", office.clinic, office.agency):
        assert told not in text


async def test_a_digest_tells_once_a_day_what_is_open_and_unread(office, server, world):
    await office.prefers(kinds=dict.fromkeys(("assigned", "overdue", "waiting", "due"), "digest"))
    read = await office.task("ada")
    [item] = await office.inbox()
    await office.as_worker("ada").post(f"{PATH}/{item['id']}/read", headers=key())
    tasks = [await office.task("ada", due=-HOUR) for _ in range(2)]
    await office.task("ben")
    await office.pass_time()
    assert server.got == []
    for _ in range(2):
        await world.sql("UPDATE mailbox SET digest_at = date_trunc('day', now())")
        await office.pass_time()
    [mail] = server.got
    assert mail.message["Subject"] == "Careloop: 4 notices"
    assert read not in server.text()
    assert all(server.text().count(f"/v1/tasks/{task}") == 2 for task in tasks)
    kept = (await office.as_worker("ada").get(f"{PATH}/preferences")).json()
    assert kept["next_digest_at"] is not None


async def test_a_digest_with_nothing_to_tell_is_not_sent(office, server, world):
    await office.prefers()
    await world.sql("UPDATE mailbox SET digest_at = now()")
    await office.pass_time()
    assert server.got == []
    assert (await office.mails())[-1] == ("digest", "cancelled", "nothing-to-tell", 0)


async def test_a_digest_tells_what_the_agency_may_see_when_it_is_sent(office, server, world):
    await office.prefers()
    await world.sql("DELETE FROM sharing_grant")
    grant = await world.grant(office.clinic, office.agency, ["coordination"])
    hidden = await office.task("ada")
    shown = await office.referral("requested", by=office.clinic)
    await world.sql("UPDATE mailbox SET digest_at = now()")
    await world.end(grant)
    await office.pass_time()
    assert shown in server.text()
    assert hidden not in server.text()


async def test_what_is_over_by_then_is_not_mailed(office, server):
    await office.prefers(**AT_ONCE)
    task = await office.task("ada")
    await office.task("ada", task=task, status="completed")
    await office.pass_time()
    assert server.got == []
    assert (await office.mails())[-1] == ("immediate", "cancelled", "no-longer-to-tell", 0)


async def test_who_wants_none_of_a_kind_gets_none(office, server, world):
    await office.prefers(kinds=dict.fromkeys(("assigned", "waiting", "due", "overdue"), "off"))
    await office.task("ada", due=-HOUR)
    await world.sql("UPDATE mailbox SET digest_at = now()")
    await office.pass_time()
    assert server.got == []


async def test_quiet_hours_hold_a_mail_and_then_let_it_go(office, server, world):
    await office.prefers(**AT_ONCE, quiet_from="00:00", quiet_to="23:59")
    await office.task("ada")
    await office.pass_time()
    assert server.got == []
    held = "SELECT count(*) FROM mail WHERE status = 'pending' AND next_at > now()"
    assert (await world.sql(held)).scalar() == 1
    await world.sql("UPDATE mailbox SET quiet_from = NULL, quiet_to = NULL")
    await world.sql("UPDATE mail SET next_at = now() WHERE status = 'pending'")
    await office.pass_time()
    assert len(server.got) == 1


async def test_a_mail_of_a_part_2_record_carries_the_notice(office, server):
    office.agency, agency = office.clinic, office.agency
    await office.prefers("nurse", **AT_ONCE)
    change = {
        "status": "ready",
        "organisation_id": office.clinic,
        "worker_key": office.key("nurse"),
    }
    classes = ["coordination", "substance-use"]
    await office.hear("task.created", new_id("tsk"), change, classes=classes)
    await office.pass_time()
    assert PART2_NOTICE in server.text()
    office.agency = agency


async def _operations(office, server):
    client = office.world.client(office.agency)
    body = {"email": "ops@agency.example"}
    answer = await client.put(f"{PATH}/operations-contact", json=body, headers=key())
    assert answer.status_code == 200, answer.text
    await office.pass_time()
    given = {"code": server.text().split()[0]}
    path = f"{PATH}/operations-contact/verify"
    assert (await client.post(path, json=given, headers=key())).json()["verified"] is True
    server.got.clear()


@pytest.mark.parametrize("kind", ["webhook.endpoint.warned", "webhook.endpoint.disabled"])
async def test_operations_are_told_when_an_endpoint_fails(office, server, world, kind):
    await _operations(office, server)
    endpoint = new_id("whe")
    await _told(world, office.agency, kind, endpoint)
    await _told(world, office.clinic, kind, new_id("whe"))
    for _ in range(2):
        await office.pass_time()
    [mail] = server.got
    assert mail.to == ["ops@agency.example"]
    assert f"/v1/webhook-endpoints/{endpoint}" in server.text()


async def _told(world, organisation, kind, endpoint):
    """What this service tells an organisation of its own endpoint, as it stands in the feed."""
    event = new_id("evt")
    await world.sql(
        "INSERT INTO message (id, type, kind, subject, version, custodian_id, parties, classes,"
        " body, occurred_at, expires_at) VALUES (:id, 'x', :kind, :subject, 1, :org, '{}', 0, '',"
        " now(), now() + interval '1 day')",
        id=event,
        kind=kind,
        subject=endpoint,
        org=organisation,
    )
    await world.sql(
        "INSERT INTO feed_item (organisation_id, seq, message_id, kind) VALUES (:org,"
        " (SELECT coalesce(max(seq), 0) + 1 FROM feed_item WHERE organisation_id = :org), :id, :kind)",
        id=event,
        kind=kind,
        org=organisation,
    )


async def test_what_a_mail_tells_of_others_persons_is_told_to_the_ledger(office, server, world):
    await office.prefers(**AT_ONCE)
    await office.task("ada")
    await office.pass_time()
    asked = "SELECT convert_from(value, 'UTF8')::jsonb->'change'->'items'->0 FROM outbox"
    [item] = (await world.sql(asked)).scalars()
    assert item["mailbox_id"].startswith("mbx_")
    assert (item["organisation_id"], item["person_id"]) == (office.agency, world.person)
    assert item["classes"] == ["coordination"]
