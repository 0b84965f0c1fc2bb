"""The closed loop over HTTP, as separate processes, and what each partner sees of it."""

import json
import subprocess
from collections import Counter
from collections.abc import Iterator

import pytest
from rich.console import Console

from careloop.demo import stage, views
from careloop.demo.journey import Journey
from careloop.demo.script import CLINICAL_NOTE, OUTCOME
from careloop.demo.steps import STEPS
from tests.world import Platform
from tests.written import Heard, records

CASE_FIELDS_OF_A_PAYER = {
    *("id", "version", "custodian_id", "person_id", "counts"),
    *("status", "outcome_code", "opened_at", "closed_at", "cycle"),
}


@pytest.fixture(scope="module")
def played(platform: Platform) -> Iterator[Journey]:
    """The whole loop, played to its end; a step that does not hold fails every test here."""
    with stage(platform.sandbox(), platform.data_dir) as found:
        for _who, _what, step in STEPS:
            step(found)
        yield found


@pytest.fixture(scope="module")
def seen(played: Journey) -> dict[str, list[str]]:
    readers = (played.clinic, played.food, played.payer)
    return dict(views.rows(played, readers))


def test_the_clinic_sees_everything(seen: dict[str, list[str]]):
    assert all(cells[0] for cells in seen.values())


def test_the_social_service_sees_whom_it_helps_and_no_note(seen: dict[str, list[str]]):
    assert seen["person"][1] == "Ines Duval"
    assert seen["goal"][1] == seen["goal"][0]
    assert seen["notes"][1] == ""


def test_the_payer_sees_outcomes_and_nothing_more(seen: dict[str, list[str]]):
    shown = {name: cells[2] for name, cells in seen.items() if cells[2]}
    assert shown == {
        "case status": "closed",
        "case outcome": "needs-met",
        "referral status": "completed",
        "referral outcome": "yes",
    }


def test_a_hidden_field_is_absent_not_null(played: Journey):
    body = played.payer.get(f"/v1/cases/{played.case['id']}").body
    assert set(body) <= CASE_FIELDS_OF_A_PAYER


def test_lists_and_counts_hide_what_get_hides(played: Journey):
    ours = played.case["id"]
    assert ours in {case["id"] for case in played.payer.items("/v1/cases")}
    assert ours not in {case["id"] for case in played.housing.items("/v1/cases")}
    assert list(played.payer.items(f"/v1/cases/{ours}/notes")) == []
    assert played.housing.get("/v1/referrals/count", case_id=ours).body == {"count": 0}


def test_nothing_happened_twice(played: Journey):
    case = f"/v1/cases/{played.case['id']}"
    entries = [entry["id"] for entry in played.clinic.items(f"{case}/timeline")]
    assert len(entries) == len(set(entries))
    for what, count in (("notes", 2), ("goals", 1), ("needs", 1), ("assessments", 1)):
        assert len(list(played.clinic.items(f"{case}/{what}"))) == count, what
    moves = played.clinic.get(f"/v1/referrals/{played.referral['id']}/history").body["items"]
    assert [move["to_status"] for move in moves] == [
        *("requested", "accepted", "in-progress", "completed"),
    ]


def test_the_payers_webhooks_tell_only_of_outcomes(played: Journey):
    assert {kind.removeprefix("org.careloop.") for kind in played.receiver.types("/payer")} <= {
        *("case.closed.v1", "referral.completed.v1", "case.closed", "referral.completed"),
        *("case.opened.v1", "case.changed.v1"),
    }


def test_nothing_of_what_was_said_is_written_down(
    played: Journey, platform: Platform, heard: Heard
):
    """Nor in any record of any topic: keys, headers, values."""
    assert {"Duval", "12 Quay Street", "She cooks again.", CLINICAL_NOTE, OUTCOME} <= heard.texts
    topics = Counter(record.topic for record in records(platform))
    assert {"case.v1", "document.v1", "notify.v1", "referral.v1", "sharing.v1"} <= topics.keys()
    assert heard.found(platform) == []
    # such a search finds what is there
    assert {"case.v1", "sharing.v1"} <= set(Heard({played.case["id"]}).found(platform))


def test_the_demo_command_plays_against_a_running_one(platform: Platform):
    command = [*platform.command("demo"), "--against", platform.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "The loop is closed." in done.stdout


def test_the_demo_refuses_another_gateway(platform: Platform):
    command = [*platform.command("demo"), "--against", "http://127.0.0.1:9"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert platform.url in done.stdout


def test_the_sandbox_file_is_enough_for_a_program_outside(platform: Platform):
    text = platform.sandbox_file.read_text()
    assert platform.sandbox_file.stat().st_mode & 0o077 == 0
    found = json.loads(text)
    assert found["token_url"] == f"{platform.url}/oauth/token"
    assert {entry["kind"] for entry in found["organisations"]} == {
        *("clinic", "social-service", "payer", "coordinator"),
    }
    assert {entry["alg"] for entry in found["organisations"]} == {"ES384", "RS384"}


def test_the_view_prints(played: Journey):
    console = Console(width=140, record=True)
    views.show(console, played)
    text = console.export_text()
    assert "referral.completed" in text
    assert "Meridian Health Plan" in text
