"""Two persons of one clinic, full of canaries, and five organisations that try every door.

Ada's case is shared: a food bank delivers to her and a payer pays, both with her permit. Berta's is
nobody's but the clinic's. The outsider is a clinic with Ada's permit and no agreement with anybody.
Every text that is written down is a canary: it names the classes that a reader of it needs.
"""

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Any

from careloop.demo.checks import eventually, known
from careloop.demo.receiver import Receiver
from careloop.keys import key_pair, public_set
from careloop.partner import Partner, must
from tests.world import Platform

FOOD_SEES = {"identity", "contact", "coordination", "needs", "plan", "notes", "outcome"}
SEES = {
    "food": FOOD_SEES,
    "payer": {"outcome"},
    "housing": set(),
    "outsider": set(),
}


@dataclass
class Stage:
    """Who is on it, what was written (canary to the classes it needs), and the ids of it all."""

    clinic: Partner
    food: Partner
    payer: Partner
    housing: Partner
    outsider: Partner
    receiver: Receiver
    canaries: dict[str, set[str] | None] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    consents: dict[str, Any] = field(default_factory=dict)
    # what the clinic was told before anybody listened for webhooks
    before: set[str] = field(default_factory=set)

    def partner(self, name: str) -> Partner:
        found: Partner = getattr(self, name)
        return found

    def canary(self, *classes: str, private: bool = False) -> str:
        """Make a text that only readers of all these classes may ever get; `private`: nobody."""
        text = f"zq{secrets.token_hex(6)}"
        self.canaries[text] = None if private else set(classes)
        return text


def set_up(platform: Platform, receiver: Receiver) -> Stage:
    named = {
        "clinic": "Lakeside Clinic",
        "food": "Harbor Food Bank",
        "payer": "Meridian Health Plan",
        "housing": "Northside Housing Aid",
    }
    partners = {slug: platform.partner(name) for slug, name in named.items()}
    outsider = _outsider(platform, platform.partner("County Care Network"))
    stage = Stage(**partners, outsider=outsider, receiver=receiver)
    stage.before = {event["id"] for event in feed(stage.clinic)}
    for name in (*named, "outsider"):
        body = {"url": receiver.url(f"/{name}"), "description": name}
        made = must(stage.partner(name).post("/v1/webhook-endpoints", body), 201).body
        receiver.expect(f"/{name}", made["secret"])
    _ada(stage)
    _berta(stage)
    _settle(stage)
    return stage


def _outsider(platform: Platform, admin: Partner) -> Partner:
    body = {"kind": "clinic", "name": "Faraway Clinic"}
    organisation = must(admin.post("/v1/organisations", body), 201).body
    key = key_pair(platform.data_dir / "outsider.pem", "ES384", "outsider-1")
    client = {
        "organisation_id": organisation["id"],
        "name": "Faraway system",
        "jwks": public_set(key),
        "algorithms": ["ES384"],
        "scopes": [
            *("cases.read", "cases.write", "persons.read", "persons.write", "directory.read"),
            *("referrals.read", "referrals.write", "documents.read", "documents.write"),
            *("events.read", "webhooks.write", "sharing.read", "sharing.write"),
        ],
        "purposes": ["TREAT"],
    }
    made = must(admin.post("/v1/clients", client), 201).body
    return Partner(
        *(platform.url, organisation["id"], "Faraway Clinic", "clinic"),
        *(made["id"], key, "ES384", "TREAT", admin.http),
    )


def _person(stage: Stage, who: str, *, shared: bool) -> None:
    write = stage.canary if shared else lambda *_: stage.canary(private=True)
    body = {
        "number": write("identity"),
        "family_name": write("identity"),
        "given_name": write("identity"),
        "phone": write("contact"),
        "email": write("contact"),
        "address": {"line": write("contact")},
        "member_number": write("financial"),
    }
    made = must(stage.clinic.post("/v1/persons", body), 201).body
    stage.ids[who] = made["id"]
    stage.ids[f"{who} record"] = made["records"][0]["id"]
    stage.ids[f"{who} family name"] = body["family_name"]


def _case(stage: Stage, who: str, *, shared: bool) -> str:
    write = stage.canary if shared else lambda *_: stage.canary(private=True)
    body = {
        "person_id": stage.ids[who],
        "worker": write("coordination"),
        "title": write("coordination"),
        "summary": write("notes"),
        "needs": [{"category": "food-insecurity", "description": write("needs", "notes")}],
        "numbers": [{"system": "urn:oid:2.999", "value": write("coordination")}],
    }
    opened = must(stage.clinic.post("/v1/cases", body), 201)
    path = f"/v1/cases/{opened.body['id']}"
    stage.ids[f"{who} case"] = opened.body["id"]
    stage.ids[f"{who} worker"] = body["worker"]
    must(stage.clinic.post(f"{path}/activate", version=opened.version))
    stage.ids[f"{who} need"] = next(stage.clinic.items(f"{path}/needs"))["id"]
    for name, what, content in (
        ("note", "notes", {"kind": "coordination", "text": write("notes")}),
        ("clinical note", "notes", {"kind": "clinical", "text": write("notes", "clinical")}),
        (
            "sud note",
            "notes",
            {"kind": "contact", "labels": ["SUD"], "text": write("notes", "substance-use")},
        ),
        ("goal", "goals", {"description": write("plan"), "own_words": write("plan")}),
        ("activity", "activities", {"description": write("plan")}),
        ("decision", "decisions", {"title": write("coordination"), "grounds": write("notes")}),
        ("task", "tasks", {"title": write("coordination"), "description": write("notes")}),
        ("party", "parties", {"role": "carer", "name": write("identity")}),
    ):
        made = must(stage.clinic.post(f"{path}/{what}", content), 201).body
        stage.ids[f"{who} {name}"] = made["id"]
    return path


def _document(stage: Stage, who: str, name: str, *, data_class: str, canary: str) -> None:
    content = f"{canary} in the content".encode()
    body = {
        "case_id": stage.ids[f"{who} case"],
        "title": canary,
        "type": "18842-5",
        "data_class": data_class,
        "content_type": "text/plain",
        "sha256": hashlib.sha256(content).hexdigest(),
        "size_bytes": len(content),
    }
    key = secrets.token_urlsafe(18)
    made = must(known(lambda: stage.clinic.post("/v1/documents", body, key=key), "no case"), 201)
    path = f"/v1/documents/{made.body['id']}"
    must(stage.clinic.put_content(path, content, "text/plain", version=made.version))
    stage.ids[f"{who} {name}"] = made.body["id"]


def _permit(stage: Stage, recipient: Partner, classes: list[str], purpose: str) -> Any:
    body = {
        "person_id": stage.ids["ada"],
        "recipient_id": recipient.organisation_id,
        "decision": "permit",
        "classes": classes,
        "purposes": [purpose],
    }
    key = secrets.token_urlsafe(18)
    made = known(lambda: stage.clinic.post("/v1/consents", body, key=key), "no person")
    return must(made, 201)


def _ada(stage: Stage) -> None:
    """Shared as far as it goes: she permits more than the agreements and the policy allow."""
    _person(stage, "ada", shared=True)
    path = _case(stage, "ada", shared=True)
    wide = ["identity", "contact", "notes", "outcome", "clinical", "substance-use", "financial"]
    stage.consents["food"] = _permit(stage, stage.food, wide, "COC")
    stage.consents["payer"] = _permit(stage, stage.payer, wide, "HOPERAT")
    stage.consents["outsider"] = _permit(stage, stage.outsider, wide, "TREAT")
    search = {"need_category": "food-insecurity"}
    services = must(stage.clinic.get("/v1/directory/services", **search)).body["items"]
    owned = [one for one in services if one["organisation_id"] == stage.food.organisation_id]
    body = {
        "service_id": owned[0]["id"],
        "case_id": stage.ids["ada case"],
        "person_id": stage.ids["ada"],
        "need_id": stage.ids["ada need"],
        "need_category": "food-insecurity",
        "reason": stage.canary("needs"),
        "requester_number": stage.canary("coordination"),
    }
    key = secrets.token_urlsafe(18)
    made = must(known(lambda: stage.clinic.post("/v1/referrals", body, key=key), "no case"), 201)
    referral = f"/v1/referrals/{made.body['id']}"
    stage.ids["referral"] = made.body["id"]
    found = eventually(
        lambda: next((a for a in [stage.food.get(referral)] if a.status == 200), None),
        "the food bank never sees its referral",
    )
    accepted = must(stage.food.post(f"{referral}/accept", version=found.version))
    must(stage.food.post(f"{referral}/messages", {"text": stage.canary("notes")}), 201)
    _document(stage, "ada", "plan", data_class="plan", canary=stage.canary("plan"))
    _document(stage, "ada", "letter", data_class="clinical", canary=stage.canary("clinical"))
    started = must(stage.food.post(f"{referral}/start", version=accepted.version))
    outcome = {"outcome": {"need_met": "yes", "text": stage.canary("outcome")}}
    must(stage.food.post(f"{referral}/complete", outcome, version=started.version))
    standing = must(stage.clinic.get(path))
    closing = {"outcome_code": "needs-met", "note": stage.canary("notes")}
    must(stage.clinic.post(f"{path}/close", closing, version=standing.version))


def _berta(stage: Stage) -> None:
    _person(stage, "berta", shared=False)
    _case(stage, "berta", shared=False)
    canary = stage.canary(private=True)
    _document(stage, "berta", "letter", data_class="clinical", canary=canary)


def _settle(stage: Stage) -> None:
    """Wait until everything that happened has gone everywhere it may go."""
    last = {
        *("ada case", "ada letter", "ada plan", "referral", "berta case", "berta letter"),
        *("berta party", "ada party"),
    }
    wanted = {stage.ids[name] for name in last}

    def told() -> bool:
        return wanted <= {event["data"]["id"] for event in feed(stage.clinic)}

    eventually(told, "the clinic's feed is not whole")
    case, person = f"/v1/cases/{stage.ids['ada case']}", f"/v1/persons/{stage.ids['ada']}"
    eventually(lambda: stage.payer.get(case).body.get("outcome_code"), "no outcome for the payer")
    eventually(lambda: stage.food.get(person).status == 200, "the food bank never sees her")
    mine = {event["id"] for event in feed(stage.clinic)} - stage.before
    eventually(
        lambda: mine <= stage.receiver.messages["/clinic"].keys(), "the clinic misses webhooks"
    )


def feed(partner: Partner) -> list[dict[str, Any]]:
    """Every event of the partner's feed, oldest first."""
    found: list[dict[str, Any]] = []
    after, more = 0, True
    while more:
        page = must(partner.get("/v1/events", after=after, limit=200)).body
        found += page["items"]
        after, more = page["next_after"], page["more"]
    return found
