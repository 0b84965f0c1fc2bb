"""The worker inbox: what asks something of whom, until it is over; decided again at every look."""

import asyncio
from datetime import timedelta

import pytest
from sharing.classes import PART2_NOTICE
from svckit.ids import new_id

from tests.service.notify_svc.conftest import key
from tests.service.notify_svc.workers import PATH, Office

HOUR = timedelta(hours=1)


@pytest.fixture
async def office(world):
    clinic, agency = await world.organisation(), await world.organisation("social-service")
    await world.grant(clinic, agency, ["coordination", "contact", "notes"])
    return Office(world, clinic, agency)


async def test_who_gets_a_task_is_told_and_nobody_else(office):
    task = await office.task("ada")
    [item] = await office.inbox("ada")
    assert (item["kind"], item["about"], item["subject"]) == ("assigned", "task", task)
    assert item["href"] == f"/v1/tasks/{task}"
    assert await office.told("ben") == []
    assert await office.told("ada", office.clinic) == []


async def test_a_task_of_the_organisation_is_told_to_each_of_its_workers(office):
    await office.task()
    assert await office.told("ada") == await office.told("ben") == ["assigned"]
    assert await office.told("ada", office.clinic) == []


async def test_a_task_given_to_another_is_taken_from_the_first(office):
    task = await office.task("ada")
    await office.task("ben", task=task)
    assert (await office.told("ada"), await office.told("ben")) == ([], ["assigned"])


@pytest.mark.parametrize("status", ["completed", "cancelled"])
async def test_a_task_that_is_over_asks_nothing_any_more(office, status):
    task = await office.task("ada", due=-HOUR)
    await office.pass_time()
    assert await office.told() == ["overdue", "assigned"]
    await office.task("ada", task=task, due=-HOUR, status=status)
    assert await office.told() == []
    await office.pass_time()
    assert await office.told() == []


async def test_who_claims_a_task_is_not_told_of_it_but_of_its_deadline(office):
    task = await office.task()
    await office.task("ada", task=task, status="in-progress", command="claim", due=2 * HOUR)
    assert await office.told("ada") == await office.told("ben") == []
    await office.pass_time()
    assert (await office.told("ada"), await office.told("ben")) == (["due"], [])


async def test_a_deadline_is_told_of_when_it_is_near_and_again_when_it_has_passed(office, world):
    await office.task("ada", due=25 * HOUR, command="claim")
    await office.pass_time()
    assert await office.told() == []
    await world.sql("UPDATE inbox_duty SET next_at = now(), due_at = due_at - interval '2 hours'")
    await office.pass_time()
    assert await office.told() == ["due"]
    await world.sql("UPDATE inbox_duty SET next_at = now(), due_at = now()")
    await office.pass_time()
    assert await office.told() == ["overdue"], "it takes the place of the other"


async def test_a_deadline_is_told_of_once_however_many_look(office, world):
    tasks = {await office.task("ada", due=-HOUR, command="claim") for _ in range(30)}
    async with office.loop() as one, office.loop() as other:
        await asyncio.gather(*(loop.step() for loop in (one, other) * 4))
    items = await office.inbox(limit=200)
    assert {item["subject"] for item in items} == tasks
    assert len(items) == len(tasks)
    assert {item["kind"] for item in items} == {"overdue"}
    await world.sql("UPDATE inbox_duty SET next_at = now()")
    await office.pass_time()
    assert len(await office.inbox(limit=200)) == len(tasks)


async def test_a_deadline_that_moved_is_told_of_anew(office):
    task = await office.task("ada", due=-HOUR, command="claim")
    await office.pass_time()
    assert await office.told() == ["overdue"]
    await office.task("ada", task=task, due=72 * HOUR)
    assert await office.told() == []
    await office.task("ada", task=task, due=3 * HOUR)
    await office.pass_time()
    assert await office.told() == ["due"]


async def test_a_referral_waits_for_the_agency_until_it_is_answered(office):
    referral = await office.referral("requested", by=office.clinic)
    [item] = await office.inbox("ada")
    assert (item["kind"], item["about"]) == ("waiting", "accept")
    assert item["due_at"] is not None
    assert await office.told("nurse", office.clinic) == []
    await office.referral("accepted", referral, by=office.agency)
    assert await office.told("ada") == []
    assert await office.told("nurse", office.clinic) == ["referral-news"]


async def test_a_referral_that_nobody_answers_is_overdue(office):
    await office.referral("requested", by=office.clinic, accept_by="2026-01-01T00:00:00Z")
    await office.pass_time()
    assert await office.told() == ["overdue", "waiting"]


async def test_a_referral_accepted_and_not_started_is_overdue(office):
    late = {"start_by": "2026-01-01T00:00:00Z"}
    referral = await office.referral("requested", by=office.clinic, **late)
    await office.referral("accepted", referral, by=office.agency, **late)
    await office.pass_time()
    assert [(item["kind"], item["about"]) for item in await office.inbox()] == [
        ("overdue", "start")
    ]
    await office.referral("started", referral, by=office.agency, **late)
    assert await office.told() == []


async def test_of_a_referral_only_the_newest_is_news_and_only_to_the_other_side(office):
    referral = await office.referral("requested", by=office.clinic)
    for verb in ("accepted", "started", "held"):
        await office.referral(verb, referral, by=office.agency)
    assert await office.told("nurse", office.clinic) == ["referral-news"]
    assert await office.told() == []
    await office.referral("cancelled", referral, by=office.clinic)
    assert await office.told() == ["referral-news"]
    assert await office.told("nurse", office.clinic) == []


async def test_a_message_waits_until_it_is_answered(office):
    referral = await office.referral("requested", by=office.clinic)
    await office.referral("accepted", referral, by=office.agency)
    for _ in range(2):
        await office.message(referral, office.clinic)
    [item] = await office.inbox()
    assert (item["kind"], item["about"], item["subject"]) == ("waiting", "answer", referral)
    await office.message(referral, office.agency)
    assert await office.told() == []
    assert await office.told("nurse", office.clinic) == ["waiting", "referral-news"]


async def test_the_same_event_again_changes_nothing(office, world):
    event = world.event(
        "task.changed",
        new_id("tsk"),
        {"status": "ready", "organisation_id": office.agency, "worker_key": office.key("ada")},
        custodian_id=office.clinic,
        person_id=world.person,
        case_id=world.case,
        classes=["coordination"],
    )
    from notify_svc.consumer import HANDLERS

    for _ in range(3):
        async with world.db.begin() as tx:
            await HANDLERS[event.type](tx, event)
    assert await office.told() == ["assigned"]


async def test_what_may_no_longer_be_seen_disappears(office, world):
    grant = await world.grant(office.clinic, office.agency, ["coordination"])
    await world.sql("DELETE FROM sharing_grant WHERE id <> :id", id=grant)
    await office.task("ada")
    assert await office.told() == ["assigned"]
    await world.end(grant)
    assert await office.told() == []
    count = (await office.as_worker("ada").get(f"{PATH}/count")).json()
    assert count == {"total": 0, "unread": 0, "kinds": []}


async def test_what_is_sealed_disappears_for_the_other_side(office, world):
    await office.referral("requested", by=office.clinic)
    assert await office.told() == ["waiting"]
    await world.hear("case.sealed", world.case, custodian_id=office.clinic, case_id=world.case)
    assert await office.told() == []


async def test_read_and_done_are_one_workers_own_and_may_be_said_again(office):
    await office.task()
    ada, ben = office.as_worker("ada"), office.as_worker("ben")
    [item] = await office.inbox("ada")
    first = await ada.post(f"{PATH}/{item['id']}/read", headers=key())
    again = await ada.post(f"{PATH}/{item['id']}/read", headers=key())
    assert first.status_code == again.status_code == 200
    assert first.json() == again.json()
    assert first.json()["read_at"] is not None
    assert await office.told("ada", unread=True) == []
    assert await office.told("ada") == await office.told("ben", unread=True) == ["assigned"]
    done = await ada.post(f"{PATH}/{item['id']}/done", headers=key())
    assert done.json()["done_at"] is not None
    assert (await office.told("ada"), await office.told("ben")) == ([], ["assigned"])
    assert (await ben.get(f"{PATH}/count")).json()["unread"] == 1


async def test_counts_and_filters_agree_with_the_list(office):
    await office.task("ada", due=-HOUR)
    await office.task("ada")
    await office.referral("requested", by=office.clinic)
    await office.pass_time()
    count = (await office.as_worker("ada").get(f"{PATH}/count")).json()
    kinds = {each["kind"]: each["total"] for each in count["kinds"]}
    assert kinds == {"assigned": 2, "overdue": 1, "waiting": 1}
    assert (count["total"], count["unread"]) == (4, 4)
    for kind, total in kinds.items():
        assert await office.told(kind=kind) == [kind] * total


async def test_pages_follow_one_another_without_gap_or_double(office):
    tasks = [await office.task("ada") for _ in range(5)]
    client, seen, cursor = office.as_worker("ada"), [], None
    while cursor or not seen:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await client.get(PATH, params=params)).json()
        seen += [item["subject"] for item in page["items"]]
        cursor = page["next"]
    assert seen == tasks[::-1]


async def test_another_workers_notice_is_not_there(office):
    await office.task("ada")
    [item] = await office.inbox("ada")
    for client in (office.as_worker("ben"), office.as_worker("ada", office.clinic)):
        answer = await client.post(f"{PATH}/{item['id']}/read", headers=key())
        assert answer.status_code == 404
    answer = await office.as_worker("ben").get(PATH, params={"worker": "ada"})
    assert answer.status_code == 404


async def test_a_system_asks_for_a_worker_by_the_name_that_tasks_have(office, world):
    await office.task("ada")
    await office.task()
    system = world.client(office.agency)
    everybodys = (await system.get(PATH)).json()["items"]
    adas = (await system.get(PATH, params={"worker": "ada"})).json()["items"]
    assert (len(everybodys), len(adas)) == (1, 2)


async def test_bad_input_is_refused_with_its_place(office, world):
    ada = office.as_worker("ada")
    answer = await ada.get(PATH, params={"kind": "gossip"})
    assert answer.status_code == 422
    assert (await ada.post(f"{PATH}/nonsense/read", headers=key())).status_code == 404
    unscoped = world.client(office.agency, scopes="events.read")
    assert (await unscoped.get(PATH)).status_code == 403


async def test_what_is_told_of_a_part_2_record_says_so(office):
    change = {"status": "ready", "organisation_id": office.clinic}
    await office.hear(
        "task.created", new_id("tsk"), change, classes=["coordination", "substance-use"]
    )
    [item] = await office.inbox("nurse", office.clinic)
    assert item["redisclosure_notice"] == PART2_NOTICE


# contacting-subject-prohibited


async def test_the_way_to_the_persons_contact_is_shown_to_who_sees_contact(office, world):
    await office.task("ada")
    [item] = await office.inbox()
    assert item["contact_href"] == f"/v1/persons/{world.person}"
    assert "contacting_subject_prohibited" not in item


async def test_where_contact_is_prohibited_there_is_no_way_to_it_and_it_is_said(office):
    await office.task("ada")
    record = await office.record(prohibited=True)
    [item] = await office.inbox()
    assert item["contacting_subject_prohibited"] is True
    assert "contact_href" not in item
    await office.record(prohibited=False, record=record)
    [item] = await office.inbox()
    assert "contact_href" in item
    assert "contacting_subject_prohibited" not in item


async def test_a_referral_that_prohibits_it_prohibits_it_for_all_about_the_person(office):
    await office.referral("requested", by=office.clinic, contacting_subject_prohibited=True)
    await office.task("ada")
    task, referral = await office.inbox()
    assert referral["contacting_subject_prohibited"] is True
    assert "contact_href" not in task
    assert "contact_href" not in referral


async def test_who_does_not_see_contact_learns_nothing_of_its_prohibition(office, world):
    grant = await world.grant(office.clinic, office.agency, ["coordination"])
    await world.sql("DELETE FROM sharing_grant WHERE id <> :id", id=grant)
    await office.task("ada")
    before = await office.inbox()
    await office.record(prohibited=True)
    assert await office.inbox() == before
    assert "contact_href" not in before[0]
