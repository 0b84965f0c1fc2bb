"""Emergency access, explanations, previews and reviewed agreements on a Careloop that runs."""

import json
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from careloop.__main__ import app
from careloop.asking import console
from careloop.demo.checks import eventually, known
from careloop.keys import key_pair, public_set
from careloop.partner import Answer, Partner, must
from tests.world import Platform

AGREED = ["identity", "coordination", "notes"]


@dataclass
class Ward:
    """A person of the clinic with an open and a sealed case, who told the hospital no."""

    clinic: Partner
    food: Partner
    admin: Partner
    hospital: Partner
    treating: Partner
    ids: dict[str, str] = field(default_factory=dict)

    def path(self, name: str) -> str:
        return f"/v1/cases/{self.ids[name]}"

    def ask(self, **changes: Any) -> Answer:
        body = {
            "custodian_id": self.clinic.organisation_id,
            "person_id": self.ids["person"],
            "reason_code": "medical-emergency",
            "reason_text": "unconscious on arrival",
            "role": "emergency physician",
            "personnel_name": "Dr. Ada Ward",
            "personnel_affiliation": "the night ward of Hillside",
            **changes,
        }
        return self.hospital.post("/v1/emergency-accesses", body)


@pytest.fixture(scope="module")
def ward(calm: Platform) -> Iterator[Ward]:
    clinic, food = calm.partner("Lakeside Clinic"), calm.partner("Harbor Food Bank")
    admin = calm.partner("County Care Network")
    name = f"Hillside Hospital {secrets.token_hex(3)}"
    owner = must(admin.post("/v1/organisations", {"kind": "clinic", "name": name}), 201).body["id"]
    readers = [_client(calm, admin, owner, name, purpose) for purpose in ("BTG", "TREAT")]
    found = Ward(clinic, food, admin, *readers)
    agreement = {
        "custodian_id": clinic.organisation_id,
        "recipient_id": owner,
        "purposes": ["TREAT"],
        "classes": AGREED,
    }
    must(admin.post("/v1/agreements", agreement), 201)
    found.ids["hospital"] = owner
    _fill(found)
    return found


def _client(calm: Platform, admin: Partner, owner: str, name: str, purpose: str) -> Partner:
    key = key_pair(calm.data_dir / f"{owner}-{purpose}.pem", "ES384", f"{purpose}-1")
    body = {
        "organisation_id": owner,
        "name": f"{purpose} desk",
        "jwks": public_set(key),
        "algorithms": ["ES384"],
        "scopes": [
            *("cases.read", "persons.read", "events.read"),
            *("sharing.read", "sharing.write"),
        ],
        "purposes": [purpose],
    }
    client = must(admin.post("/v1/clients", body), 201).body["id"]
    whose = (calm.url, owner, name, "clinic", client)
    return Partner(*whose, key, "ES384", purpose, admin.http)


def _fill(ward: Ward) -> None:
    person = {"number": secrets.token_hex(6), "family_name": "Quill", "given_name": "Ona"}
    ward.ids["person"] = must(ward.clinic.post("/v1/persons", person), 201).body["id"]
    for name in ("open", "sealed"):
        body = {
            "person_id": ward.ids["person"],
            "worker": "w-17",
            "title": f"the {name} one",
            "summary": "what happened so far",
            "needs": [{"category": "food-insecurity", "description": "empty fridge"}],
        }
        made = must(ward.clinic.post("/v1/cases", body), 201)
        ward.ids[name] = made.body["id"]
        note = {"kind": "coordination", "text": "allergic to penicillin"}
        must(ward.clinic.post(f"{ward.path(name)}/notes", note), 201)
        sud = {"kind": "contact", "labels": ["SUD"], "text": "a word on treatment"}
        must(ward.clinic.post(f"{ward.path(name)}/notes", sud), 201)
    standing = must(ward.clinic.get(ward.path("sealed")))
    sealed = {"reason": "staff-member"}
    must(ward.clinic.post(f"{ward.path('sealed')}/seal", sealed, version=standing.version))
    no = {"person_id": ward.ids["person"], "recipient_id": ward.ids["hospital"], "decision": "deny"}
    key = secrets.token_urlsafe(18)
    must(known(lambda: ward.clinic.post("/v1/consents", no, key=key), "person unknown"), 201)


@pytest.fixture(scope="module")
def opened(ward: Ward) -> dict[str, Any]:
    """The emergency: nothing was seen before it."""
    for partner in (ward.hospital, ward.treating):
        assert partner.get(ward.path("open")).status == 404
        assert partner.get(f"/v1/persons/{ward.ids['person']}").status == 404
    made: dict[str, Any] = must(ward.ask(), 201).body
    eventually(lambda: ward.hospital.get(ward.path("open")).status == 200, "never opened")
    return made


def test_in_an_emergency_the_deny_gives_way_and_the_agreement_does_not(
    ward: Ward, opened: dict[str, Any]
) -> None:
    case = must(ward.hospital.get(ward.path("open"))).body
    assert (case["title"], case["summary"]) == ("the open one", "what happened so far")
    assert "status" not in case, "outcome is not agreed"
    texts = [note["text"] for note in ward.hospital.items(f"{ward.path('open')}/notes")]
    assert texts == ["allergic to penicillin"], "substance use is not agreed"
    assert list(ward.hospital.items(f"{ward.path('open')}/needs")) == []
    person = must(ward.hospital.get(f"/v1/persons/{ward.ids['person']}")).body
    assert person["records"][0]["family_name"] == "Quill"
    assert "phone" not in person["records"][0]


def test_no_other_purpose_uses_it(ward: Ward, opened: dict[str, Any]) -> None:
    assert ward.treating.get(ward.path("open")).status == 404
    assert ward.food.get(ward.path("open")).status == 404


def test_a_seal_stands_in_an_emergency(ward: Ward, opened: dict[str, Any]) -> None:
    assert ward.hospital.get(ward.path("sealed")).status == 404
    assert list(ward.hospital.items(f"{ward.path('open')}/notes"))
    listed = {case["id"] for case in ward.hospital.items("/v1/cases")}
    assert ward.ids["open"] in listed
    assert ward.ids["sealed"] not in listed


def test_the_custodian_is_told_and_asked_to_review(ward: Ward, opened: dict[str, Any]) -> None:
    def told() -> dict[str, Any] | None:
        feed = ward.clinic.items("/v1/events", type="emergency-access.opened")
        return next((one for one in feed if one["data"]["id"] == opened["id"]), None)

    event = eventually(told, "the custodian is never told")
    assert "unconscious" not in json.dumps(event)
    due = [one["id"] for one in ward.clinic.items("/v1/emergency-accesses", review="due")]
    assert opened["id"] in due


def test_the_explanation_names_the_emergency(
    calm: Platform, ward: Ward, opened: dict[str, Any]
) -> None:
    asked = ("--case", ward.ids["open"], "--to", ward.ids["hospital"], "--purpose", "BTG")
    shown = run(calm, "access", "explain", *asked)
    assert " sees " in shown
    assert "(emergency)" in shown
    command = calm.command("access", "explain", *asked, "--json")
    found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    got = set(must(ward.hospital.get(ward.path("open"))).body)
    assert got <= set(found["fields"])
    assert {"title", "summary"} <= got
    without = json.loads(run(calm, "access", "explain", *asked[:-1], "TREAT", "--json"))
    assert (without["visible"], without["fields"]) == (False, [])
    who = run(calm, "access", "explain", "--case", ward.ids["open"])
    assert "BTG" in who
    sealed = run(
        calm, "access", "explain", "--case", ward.ids["sealed"], "--to", ward.ids["hospital"]
    )
    assert "does not see" in sealed
    assert "sealed" in sealed


def test_one_note_is_explained_by_its_id(
    calm: Platform, ward: Ward, opened: dict[str, Any]
) -> None:
    path, asked = f"{ward.path('open')}/notes", ("--to", ward.ids["hospital"], "--purpose", "BTG")
    told = {}
    for note in ward.clinic.items(path):
        found = json.loads(run(calm, "access", "explain", note["id"], *asked, "--json"))
        read = ward.hospital.get(f"{path}/{note['id']}")
        assert found["visible"] is (read.status == 200), note
        assert set(read.body) <= set(found["fields"]) if found["visible"] else not found["fields"]
        told[note["text"]] = run(calm, "access", "explain", note["id"], *asked)
    assert " sees " in told["allergic to penicillin"]
    assert "(emergency)" in told["allergic to penicillin"]
    assert "does not see" in told["a word on treatment"]
    assert ward.food.get("/v1/access/explain", row_id=note["id"]).status == 404


def test_after_the_review_nothing_is_seen_again(ward: Ward, opened: dict[str, Any]) -> None:
    path = f"/v1/emergency-accesses/{opened['id']}/review"
    must(ward.clinic.post(path, {"outcome": "unjustified", "note": "nobody was ill"}))
    eventually(lambda: ward.hospital.get(ward.path("open")).status == 404, "never closed")
    assert ward.hospital.get(f"/v1/persons/{ward.ids['person']}").status == 404


def test_a_preview_is_what_is_seen_once_the_referral_is_sent(calm: Platform, ward: Ward) -> None:
    asked = ("--case", ward.ids["open"], "--to", "Harbor Food Bank", "--as", "Lakeside Clinic")
    assert "identity" not in run(calm, "access", "preview", *asked)
    previewed = json.loads(run(calm, "access", "preview", *asked, "--json"))
    foreseen = {
        one["stage"]: one["resources"] for one in previewed["gets"] if one["purpose"] == "COC"
    }
    assert ward.food.get(ward.path("open")).status == 404
    referral = _refer(ward)
    eventually(lambda: ward.food.get(ward.path("open")).status == 200, "never seen")
    seen = must(ward.food.get(ward.path("open"))).body
    assert set(seen) == _top(foreseen["requested"]["case"])
    told = must(eventually_got(ward.food, referral)).body
    said = run(calm, "access", "explain", told["id"], "--to", "Harbor Food Bank")
    assert "it is a side of it" in said
    assert f"referral {told['id']}" in said
    assert set(told) <= _top(previewed["sent"]["referral"])
    must(ward.food.post(f"{referral}/accept", version=told["version"]))
    plan = {"description": "eat well"}
    must(ward.clinic.post(f"{ward.path('open')}/goals", plan), 201)
    (goal,) = eventually(lambda: list(ward.food.items(f"{ward.path('open')}/goals")), "no goal")
    assert set(goal) <= _top(foreseen["accepted"]["goal"])
    assert "goal" not in foreseen["requested"]
    assert "note" not in foreseen["accepted"]
    assert list(ward.food.items(f"{ward.path('open')}/notes")) == []


def eventually_got(partner: Partner, path: str) -> Answer:
    def got() -> Answer | None:
        answer = partner.get(path)
        return answer if answer.status == 200 else None

    return eventually(got, "never seen")


def _top(fields: list[str]) -> set[str]:
    return {name for name in fields if "." not in name}


def _refer(ward: Ward) -> str:
    services = must(ward.clinic.get("/v1/directory/services", need_category="food-insecurity")).body
    owned = [
        one for one in services["items"] if one["organisation_id"] == ward.food.organisation_id
    ]
    body = {
        "service_id": owned[0]["id"],
        "case_id": ward.ids["open"],
        "person_id": ward.ids["person"],
        "need_category": "food-insecurity",
        "reason": "nothing in the house",
    }
    key = secrets.token_urlsafe(18)
    made = known(lambda: ward.clinic.post("/v1/referrals", body, key=key), "no case")
    return f"/v1/referrals/{must(made, 201).body['id']}"


def test_an_agreement_is_a_file_that_is_published_as_it_was_seen(
    calm: Platform, ward: Ward, tmp_path: Path
) -> None:
    recipient = f"Bright Legs {secrets.token_hex(3)}"
    must(ward.admin.post("/v1/organisations", {"kind": "clinic", "name": recipient}), 201)
    file = tmp_path / "agreement.yaml"
    text = (
        f"custodian: Lakeside Clinic\nrecipient: {recipient}\n"
        "purposes: [TREAT]\nclasses: [identity, plan]\nlegal_basis: 45 CFR 164.506(c)\n"
    )
    file.write_text(text)
    assert "lets somebody see more" in run(calm, "access", "simulate", str(file))
    shown = run(calm, "agreements", "import", str(file))
    _, _, command = shown.partition("careloop agreements publish ")
    draft, _, digest = command.split()[:3]
    refused = run(calm, "agreements", "publish", draft, "--seen", "0" * 64, code=1)
    assert "diff-changed" in refused
    assert "is in force" in run(calm, "agreements", "publish", draft, "--seen", digest)
    assert "published" in run(calm, "agreements", "list")
    file.write_text(text.replace("plan", "plans"))
    assert "#/classes/1" in run(calm, "agreements", "import", str(file), code=1)


def run(calm: Platform, *arguments: str, code: int = 0) -> str:
    """Run the command in this process, on a wide terminal, and return what it prints."""
    console.width = 250
    done = CliRunner().invoke(app, [*arguments, "--data-dir", str(calm.data_dir)])
    assert done.exit_code == code, done.output
    return done.output
