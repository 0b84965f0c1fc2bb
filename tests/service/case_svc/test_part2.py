"""Part 2 data leaves with its notice and with the consent it rests on, whichever way it leaves."""

import pytest_asyncio
from sharing.classes import PART2_NOTICE

SEES = ["coordination", "needs", "notes", "substance-use"]


@pytest_asyncio.fixture(loop_scope="session")
async def labelled(world, clinic):
    """A case with a need and a note about substance use, and one of each that is not."""
    case = await world.case(clinic)
    path = f"/v1/cases/{case['id']}"
    note = {"kind": "coordination", "text": "x"}
    return case | {
        "path": path,
        "notes": [
            await clinic.make(f"{path}/notes", **note, labels=["SUD"]),
            await clinic.make(f"{path}/notes", **note),
        ],
        "needs": [
            await clinic.make(f"{path}/needs", category="stress", labels=["SUD"]),
            await clinic.make(f"{path}/needs", category="stress"),
        ],
    }


async def reader(world, clinic, case):
    found = world.partner("clinic")
    await world.grant(clinic, found, case["person_id"], SEES)
    await world.permit(found, case["person_id"], ["substance-use"])
    return found


def consent_of(row):
    return row["redisclosure_consent"].removeprefix("/v1/consents/con_") != ""


async def test_every_row_leaves_with_notice_and_consent(world, clinic, labelled):
    other = await reader(world, clinic, labelled)
    for kind in ("notes", "needs"):
        secret, plain = labelled[kind]
        listed = {r["id"]: r for r in (await other.read(f"{labelled['path']}/{kind}"))["items"]}
        read = await other.read(f"{labelled['path']}/{kind}/{secret['id']}")
        for row in (listed[secret["id"]], read):
            assert row["redisclosure_notice"] == PART2_NOTICE, kind
            assert consent_of(row), kind
        ordinary = await other.read(f"{labelled['path']}/{kind}/{plain['id']}")
        for row in (listed[plain["id"]], ordinary):
            assert "redisclosure_notice" not in row, kind
            assert "redisclosure_consent" not in row, kind


async def test_the_timeline_says_it_too(world, clinic, labelled):
    other = await reader(world, clinic, labelled)
    entries = (await other.read(f"{labelled['path']}/timeline"))["items"]
    for kind in ("notes", "needs"):
        secret, plain = labelled[kind]
        (told,) = [each for each in entries if each["resource_id"] == secret["id"]]
        assert told["redisclosure_notice"] == PART2_NOTICE
        assert consent_of(told)
        (told,) = [each for each in entries if each["resource_id"] == plain["id"]]
        assert "redisclosure_notice" not in told


async def test_what_a_command_answers_says_it_too(world, clinic, labelled):
    assert labelled["notes"][0]["redisclosure_notice"] == PART2_NOTICE
    assert "redisclosure_consent" not in labelled["notes"][0]
    other = await reader(world, clinic, labelled)
    made = await other.make(
        f"{labelled['path']}/notes", kind="coordination", text="x", labels=["SUD"]
    )
    assert made["redisclosure_notice"] == PART2_NOTICE


async def test_the_consent_named_is_the_newest_that_permits_it(world, clinic, labelled):
    other = await reader(world, clinic, labelled)
    path = f"{labelled['path']}/notes/{labelled['notes'][0]['id']}"
    first = (await other.read(path))["redisclosure_consent"]
    await world.permit(other, labelled["person_id"], ["substance-use"])
    second = (await other.read(path))["redisclosure_consent"]
    await world.permit(other, labelled["person_id"], ["notes"])
    assert (await other.read(path))["redisclosure_consent"] == second != first


async def test_without_a_permit_nothing_leaves_and_nothing_is_said(world, clinic, labelled):
    other = world.partner("clinic")
    await world.grant(clinic, other, labelled["person_id"], SEES)
    for kind in ("notes", "needs", "timeline"):
        answer = await other.get(f"{labelled['path']}/{kind}")
        assert PART2_NOTICE not in answer.text
        assert labelled["notes"][0]["id"] not in answer.text


async def test_a_programs_records_leave_under_a_permit_in_the_name_of_the_law_alone(
    world, clinic, labelled
):
    other = await reader(world, clinic, labelled)
    person, path = labelled["person_id"], f"{labelled['path']}/notes/{labelled['notes'][0]['id']}"
    assert (await other.get(path)).status_code == 200
    about = {"custodian_id": clinic.id}
    program = {"kind": "clinic", "name": "x", "part2_program": True}
    await world.tell("organisation.changed", clinic.id, about, **program)
    assert (await other.get(path)).status_code == 404
    rows = await other.read(f"{labelled['path']}/notes")
    assert [row["id"] for row in rows["items"]] == [labelled["notes"][1]["id"]]
    await world.permit(other, person, ["substance-use"], part2=True)
    assert (await other.read(path))["redisclosure_rule"] == "by-consent-only"
    # a later word of another law changes nothing
    await world.permit(other, person, ["substance-use"])
    first = (await other.read(path))["redisclosure_consent"]
    single = ["TREAT", "HPAYMT", "HOPERAT"]
    await world.permit(other, person, ["substance-use"], part2=True, purposes=single)
    found = await other.read(path)
    assert found["redisclosure_rule"] == "as-hipaa-permits"
    assert found["redisclosure_consent"] != first


async def test_a_permit_of_one_case_lets_out_no_other(world, clinic, labelled):
    other = world.partner("clinic")
    person = labelled["person_id"]
    await world.grant(clinic, other, person, SEES)
    second = await world.case(clinic, person)
    note = await clinic.make(
        f"/v1/cases/{second['id']}/notes", kind="coordination", text="x", labels=["SUD"]
    )
    await world.permit(
        other, person, ["substance-use"], directives=[_of_case(other, labelled["id"])]
    )
    first = f"{labelled['path']}/notes/{labelled['notes'][0]['id']}"
    assert (await other.get(first)).status_code == 200
    assert (await other.get(f"/v1/cases/{second['id']}/notes/{note['id']}")).status_code == 404


def _of_case(recipient, case_id):
    return {
        "decision": "permit",
        "depth": 0,
        "recipient_id": recipient.id,
        "purposes": ["TREAT"],
        "classes": ["substance-use"],
        "confidentiality": "V",
        "case_id": case_id,
        "valid_from": "2026-01-01T00:00:00Z",
        "valid_to": None,
    }
