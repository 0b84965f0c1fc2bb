"""How a mail is handed to the server: once, over TLS, and again where it was not taken."""

import asyncio
import logging

import pytest
from pydantic import SecretStr

from careloop.ports import free_port
from tests import proofs
from tests.service.notify_svc.workers import ADDRESS, AT_ONCE, credentials, mail_server, trusting


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
    nobody = SecretStr(f"smtp://127.0.0.1:{free_port()}")
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
            update={**known, "smtp_url": SecretStr(url)}
        )
        await office.prefers(**AT_ONCE)
        await office.task("ada")
        await office.pass_time()
        [mail] = server.got
        assert mail.secure
        wrong = SecretStr(f"smtp://careloop:guess@localhost:{server.port}")
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
        url = SecretStr(f"smtp://localhost:{server.port}")
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
