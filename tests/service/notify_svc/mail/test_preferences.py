"""Whose address it is, and what its worker wants to be told there."""

import pytest

from tests.service.notify_svc.conftest import key
from tests.service.notify_svc.workers import ADDRESS, AT_ONCE, PATH


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
