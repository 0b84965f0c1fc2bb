"""Of whom no mail may tell."""

from svckit.ids import new_id

from tests.service.notify_svc.workers import AT_ONCE


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
