"""Mails to workers, handed to a mail server that is really there."""

import asyncio
import logging
from datetime import timedelta

import pytest
from sharing.classes import PART2_NOTICE
from svckit.ids import new_id

from careloop.ports import free_port
from tests import proofs
from tests.service.notify_svc.conftest import key
from tests.service.notify_svc.workers import (
    ADDRESS,
    PATH,
    Office,
    credentials,
    mail_server,
    trusting,
)

HOUR = timedelta(hours=1)
AT_ONCE = {"kinds": {"assigned": "immediate", "waiting": "immediate", "overdue": "immediate"}}


@pytest.fixture
def server():
    with mail_server() as found:
        yield found


@pytest.fixture
def settings(settings, server):
    url = f"smtp://127.0.0.1:{server.port}"
    quick = {"smtp_schedule_s": (0.0, 0.01, 0.01), "smtp_timeout_s": 2, "lease_margin_s": 0.2}
    mail = {"smtp_from": "Careloop <careloop@network.example>", "smtp_plain": True}
    return settings.model_copy(update={**quick, **mail, "smtp_url": _secret(url)})


def _secret(url):
    from pydantic import SecretStr

    return SecretStr(url)


@pytest.fixture
async def office(world, server):
    clinic, agency = await world.organisation(), await world.organisation("social-service")
    await world.grant(clinic, agency, ["coordination", "contact"])
    return Office(world, clinic, agency, server)


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


async def test_nothing_is_written_to_an_address_before_it_was_verified(office, server):
    client = office.as_worker("ada")
    body = {"email": ADDRESS, **AT_ONCE}
    await client.put(f"{PATH}/preferences", json=body, headers=key())
    await office.task("ada")
    await office.pass_time()
    assert [mail.message["Subject"] for mail in server.got] == ["Careloop: confirm this address"]
    wrong = await client.post(f"{PATH}/preferences/verify", json={"code": "zz"}, headers=key())
    assert (wrong.status_code, wrong.json()["code"]) == (422, "verification-code-wrong")
    assert wrong.json()["errors"][0]["pointer"] == "#/code"


async def test_a_code_of_yesterday_is_none(office, server, world):
    client = office.as_worker("ada")
    await client.put(f"{PATH}/preferences", json={"email": ADDRESS}, headers=key())
    await office.pass_time()
    code = server.text().split()[0]
    given = {"code": code}
    late = "UPDATE mailbox SET asked_at = asked_at - interval '25 hours'"
    await world.sql(late)
    answer = await client.post(f"{PATH}/preferences/verify", json=given, headers=key())
    assert answer.status_code == 422


async def test_another_address_is_verified_anew_and_the_old_gets_nothing(office, server):
    await office.prefers(**AT_ONCE)
    other = {"email": "other@agency.example", **AT_ONCE}
    answer = await office.as_worker("ada").put(f"{PATH}/preferences", json=other, headers=key())
    assert answer.json()["verified"] is False
    await office.task("ada")
    await office.pass_time()
    assert [mail.to for mail in server.got] == [["other@agency.example"]]
    assert "confirm" in server.got[0].message["Subject"]


async def test_nobody_can_have_strangers_written_to_without_end(office, world):
    client, answers = office.as_worker("ada"), []
    for number in range(6):
        body = {"email": f"stranger{number}@elsewhere.example"}
        answers.append(await client.put(f"{PATH}/preferences", json=body, headers=key()))
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    kept = (await client.get(f"{PATH}/preferences")).json()
    assert kept["email"] == "stranger4@elsewhere.example"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"email": "no address"}, "#/email"),
        ({"email": "a@b.example\r\nBcc: c@d.example"}, "#/email"),
        ({"email": "a@b.example, c@d.example"}, "#/email"),
        ({"time_zone": "Mars/Base"}, "#/time_zone"),
        ({"digest_hour": 24}, "#/digest_hour"),
        ({"quiet_from": "25:00", "quiet_to": "07:00"}, "#/quiet_from"),
        ({"quiet_from": "20:00"}, "#"),
        ({"kinds": {"gossip": "digest"}}, "#/kinds/gossip/[key]"),
        ({"kinds": {"due": "hourly"}}, "#/kinds/due"),
        ({"colour": "red"}, "#/colour"),
    ],
)
async def test_preferences_that_make_no_sense_are_refused_and_change_nothing(office, body, pointer):
    client = office.as_worker("ada")
    answer = await client.put(f"{PATH}/preferences", json=body, headers=key())
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert (await client.get(f"{PATH}/preferences")).status_code == 404


async def test_preferences_are_one_workers_own(office):
    await office.prefers("ada")
    assert (await office.as_worker("ben").get(f"{PATH}/preferences")).status_code == 404
    elsewhere = office.as_worker("ada", office.clinic)
    assert (await elsewhere.get(f"{PATH}/preferences")).status_code == 404


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


# contacting-subject-prohibited


async def test_where_contact_is_prohibited_no_mail_tells_of_the_person(office, server, world):
    await office.prefers(**AT_ONCE)
    await office.prefers("ben", address="ben@agency.example")
    await office.referral("requested", by=office.clinic, contacting_subject_prohibited=True)
    await office.task("ada")
    await world.sql("UPDATE mailbox SET digest_at = now() WHERE digest_at IS NOT NULL")
    await office.pass_time()
    assert server.got == []
    suppressed = ("immediate", "suppressed", "contacting-subject-prohibited", 0)
    assert (await office.mails()).count(suppressed) == 2
    assert await office.told() == ["assigned", "waiting"], "the inbox itself says so and shows it"


async def test_a_prohibition_by_the_record_counts_until_it_is_lifted(office, server):
    await office.prefers(**AT_ONCE)
    record = await office.record(prohibited=True)
    await office.task("ada")
    await office.pass_time()
    assert server.got == []
    await office.record(prohibited=False, record=record)
    await office.task("ada")
    await office.pass_time()
    assert len(server.got) == 1


async def test_a_prohibition_between_queue_and_sending_counts(office, server):
    await office.prefers(**AT_ONCE)
    await office.task("ada")
    await office.record(prohibited=True)
    await office.pass_time()
    assert server.got == []


async def test_of_a_sealed_case_nothing_is_mailed(office, server):
    office.agency, agency = office.clinic, office.agency
    await office.prefers("nurse", **AT_ONCE)
    change = {
        "status": "ready",
        "organisation_id": office.clinic,
        "worker_key": office.key("nurse"),
    }
    await office.hear("task.created", new_id("tsk"), change, person_id=None)
    await office.pass_time()
    assert server.got == []
    office.agency = agency
    assert await office.told("nurse", office.clinic) == ["assigned"]


# the server


async def test_a_mail_that_is_deferred_is_the_same_mail_later(office, server):
    await office.prefers(**AT_ONCE)
    server.answers += ["451 try again", "421 busy"]
    await office.task("ada")
    async with office.loop() as loop:
        await _until(loop, server, 3)
    ids = {mail.message["Message-ID"] for mail in server.got}
    assert len(ids) == 1
    assert (await office.mails())[-1] == ("immediate", "sent", None, 3)


async def _until(loop, server, mails):
    for _ in range(200):
        await loop.step()
        if len(server.got) >= mails:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("not sent")


async def test_a_mail_refused_for_good_has_failed_and_holds_up_no_other(office, server):
    await office.prefers(**AT_ONCE)
    server.answers += ["550 no such user"]
    await office.task("ada")
    await office.pass_time()
    await office.task("ada")
    await office.pass_time()
    assert (await office.mails())[1:] == [
        ("immediate", "failed", "status-550", 1),
        ("immediate", "sent", None, 1),
    ]


async def test_a_server_that_is_away_loses_nothing(office, server, world):
    await office.prefers(**AT_ONCE)
    await office.task("ada")
    nobody = _secret(f"smtp://127.0.0.1:{free_port()}")
    async with office.loop(smtp_url=nobody, smtp_schedule_s=(0, 60)) as loop:
        await loop.step()
    asked = "SELECT outcome, code, error FROM mail_attempt ORDER BY started_at DESC LIMIT 1"
    [attempt] = await world.sql(asked)
    assert tuple(attempt) == ("deferred", None, "SMTPConnectError")
    await world.sql("UPDATE mail SET next_at = now() WHERE status = 'pending'")
    async with office.loop() as loop:
        await _until(loop, server, 1)


async def test_an_attempt_whose_sender_died_reads_unknown_and_is_made_again(office, server, world):
    from notify_svc.actions import mails

    await office.prefers(**AT_ONCE)
    await office.task("ada")
    async with world.db.begin() as tx:
        claimed = await mails.claim(tx, world.settings)
    assert claimed is not None
    await office.pass_time()
    assert server.got == [], "its lease has not ended"
    async with office.loop() as loop:
        await world.sql("UPDATE mail SET next_at = now() WHERE status = 'sending'")
        await _until(loop, server, 1)
    asked = "SELECT outcome FROM mail_attempt ORDER BY started_at, id"
    outcomes = [outcome for (outcome,) in await world.sql(asked)]
    assert outcomes[1:] == ["unknown", "sent"]
    assert server.got[0].message["Message-ID"].startswith(f"<{claimed.letter.mail_id}@")


async def test_while_rights_are_stale_no_mail_is_sent(office, server, world):
    await office.prefers(**AT_ONCE)
    await office.task("ada")
    await world.sql("UPDATE watermark SET at = now() - interval '1 minute'")
    world.app.state.rights._fresh_until = float("-inf")
    world.app.state.rights._looked_at = float("-inf")
    await asyncio.create_task(office.pass_time())
    assert server.got == []
    assert (await office.mails())[-1][1] == "pending"


async def test_two_processes_send_each_mail_once(office, server):
    await office.prefers(**AT_ONCE)
    for _ in range(10):
        await office.task("ada")
    async with office.loop() as one, office.loop() as other:
        await asyncio.gather(one.step(), other.step(), one.step(), other.step())
    ids = [mail.message["Message-ID"] for mail in server.got]
    assert len(ids) == len(set(ids)) == 10


@pytest.fixture(scope="module")
def certified(tmp_path_factory):
    folder = tmp_path_factory.mktemp("smtp")
    authority = proofs.certificate(folder, "authority")
    server = proofs.certificate(folder, "server", authority)
    return authority.pem_file, (server.pem_file, server.key_file)


async def test_a_password_goes_over_tls_alone(office, world, certified):
    authority, pair = certified
    secured = {
        "tls_context": trusting(*pair),
        "require_starttls": True,
        "auth_required": True,
        "authenticator": credentials("careloop", "p:ss/word"),
    }
    with mail_server(**secured) as server:
        office.server = server
        known = {"smtp_plain": False, "smtp_ca_file": authority}
        url = f"smtp://careloop:p%3Ass%2Fword@localhost:{server.port}"
        office.world.settings = world.settings.model_copy(
            update={**known, "smtp_url": _secret(url)}
        )
        await office.prefers(**AT_ONCE)
        await office.task("ada")
        await office.pass_time()
        [mail] = server.got
        assert mail.secure
        wrong = _secret(f"smtp://careloop:guess@localhost:{server.port}")
        await office.task("ada")
        more = {"smtp_schedule_s": (0, 60), "smtp_timeout_s": 60}
        async with office.loop(smtp_url=wrong, **more) as loop:
            await loop.step()
        assert (await office.mails())[-1] == ("immediate", "pending", "authentication", 1)


async def test_without_a_certificate_to_trust_nothing_is_handed_over(office, world, certified):
    _, pair = certified
    await office.prefers(**AT_ONCE)
    with mail_server(tls_context=trusting(*pair)) as server:
        await office.task("ada")
        url = _secret(f"smtp://localhost:{server.port}")
        more = {"smtp_plain": False, "smtp_schedule_s": (0, 60), "smtp_url": url}
        async with office.loop(**more) as loop:
            await loop.step()
        assert server.got == []
    assert (await office.mails())[-1][1] == "pending"


async def test_a_server_without_tls_gets_nothing(office, server):
    await office.prefers(**AT_ONCE)
    await office.task("ada")
    async with office.loop(smtp_plain=False, smtp_schedule_s=(0, 60)) as loop:
        await loop.step()
    assert server.got == []


async def test_no_address_and_no_code_is_logged_or_told(office, server, caplog, capfd):
    with caplog.at_level(logging.DEBUG):
        await office.prefers(**AT_ONCE)
        server.answers += [f"550 <{ADDRESS}> unknown"]
        await office.task("ada")
        await office.pass_time()
    out, err = capfd.readouterr()
    # the mail server of the test is in the same process and logs all it hears
    ours = [record.getMessage() for record in caplog.records if record.name[:5] != "mail."]
    for text in (*ours, out, err):
        assert ADDRESS not in text
    stored = await office.world.sql("SELECT string_agg(reason, ' ') FROM mail")
    assert ADDRESS not in stored.scalar()


# what operations is told


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
