"""The closed loop, step by step, as the partners play it. Every step checks what it got.

clinic: person → case → screening → notes → consents → goal → directory → referral
social service: accept → start → message → document → complete with outcome
payer: the outcome, and nothing more
"""

import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from careloop.demo.checks import (
    absent,
    check,
    content_of,
    eventually,
    kind_of,
    known,
    what_is_at,
)
from careloop.demo.receiver import Receiver
from careloop.demo.script import ANSWERS, CLINICAL_NOTE, COORDINATION_NOTE, OUTCOME, PLAN
from careloop.partner import Partner, must


@dataclass
class Journey:
    """One play of the loop; the fields fill as it goes."""

    clinic: Partner
    food: Partner
    housing: Partner
    payer: Partner
    receiver: Receiver
    person: dict[str, Any] = field(default_factory=dict)
    case: dict[str, Any] = field(default_factory=dict)
    need_id: str = ""
    goal_id: str = ""
    service: dict[str, Any] = field(default_factory=dict)
    referral: dict[str, Any] = field(default_factory=dict)
    document_id: str = ""
    endpoints: list[tuple[Partner, str]] = field(default_factory=list)
    note_ids: dict[str, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    def say(self, line: str) -> None:
        self.said.append(line)

    def get_tokens(self) -> None:
        for partner in (self.clinic, self.food, self.housing, self.payer):
            check(partner.token(), f"{partner.name} has no token")
            self.say(f"{partner.name}: {partner.alg}, purpose {partner.purpose}")

    def register_webhooks(self) -> None:
        for path, partner in (
            ("/clinic", self.clinic),
            ("/food", self.food),
            ("/payer", self.payer),
        ):
            body = {"url": self.receiver.url(path), "description": f"{partner.name}, demonstration"}
            made = must(partner.post("/v1/webhook-endpoints", body), 201).body
            self.receiver.expect(path, made["secret"])
            self.endpoints.append((partner, made["id"]))
            self.say(f"{partner.name} listens at {made['url']}")

    def register_person(self) -> None:
        body = {
            "number": f"LC-{secrets.token_hex(4).upper()}",
            "family_name": "Duval",
            "given_name": "Ines",
            "birth_date": "1979-05-17",
            "gender": "female",
            "language": "en",
            "phone": "+1 555 0117",
            "address": {
                "line": "12 Quay Street",
                "city": "Lakeview",
                "state": "OH",
                "postal_code": "44199",
                "country": "US",
            },
        }
        self.person = must(self.clinic.post("/v1/persons", body), 201).body
        seen = must(self.clinic.get(f"/v1/persons/{self.person['id']}")).body
        check(seen["records"][0]["family_name"] == "Duval", "the clinic's own record is not whole")
        self.say(f"Ines Duval is {self.person['id']}")

    def open_case(self) -> None:
        body = {
            "person_id": self.person["id"],
            "worker": "nurse-navigator",
            "title": "Food and diet after diagnosis",
            "summary": "Newly diagnosed type 2 diabetes; money is short at the end of the month.",
        }
        opened = must(self.clinic.post("/v1/cases", body), 201)
        path = f"/v1/cases/{opened.body['id']}"
        self.case = must(self.clinic.post(f"{path}/activate", version=opened.version)).body
        check(self.case["status"] == "active", "the case is not active")
        self.say(f"case {self.case['number']} is {self.case['id']}")

    def screen(self) -> None:
        body = {
            "instrument": "ahc-hrsn",
            "instrument_version": "2",
            "answers": [{"question": question, "answer": answer} for question, answer in ANSWERS],
        }
        found = must(self.clinic.post(f"/v1/cases/{self.case['id']}/assessments", body), 201).body
        needs = {
            each["code"]: each.get("need_id") for each in found["findings"] if each["positive"]
        }
        check(set(needs) == {"food-insecurity"}, f"the rules found {sorted(needs)}")
        self.need_id = needs["food-insecurity"]
        check(self.need_id, "the finding became no need")
        self.say(f"{len(ANSWERS)} coded answers → need food-insecurity ({self.need_id})")

    def write_notes(self) -> None:
        for kind, text in (("clinical", CLINICAL_NOTE), ("coordination", COORDINATION_NOTE)):
            path = f"/v1/cases/{self.case['id']}/notes"
            made = must(self.clinic.post(path, {"kind": kind, "text": text}), 201).body
            self.note_ids[kind] = made["id"]
        self.say("one clinical note, one note for coordination")

    def record_consents(self) -> None:
        self._permit(self.food, ["identity", "contact"], "COC")
        self._permit(self.payer, ["outcome"], "HOPERAT")

    def _permit(self, recipient: Partner, classes: list[str], purpose: str) -> None:
        body = {
            "person_id": self.person["id"],
            "recipient_id": recipient.organisation_id,
            "decision": "permit",
            "classes": classes,
            "purposes": [purpose],
        }
        key = secrets.token_urlsafe(18)
        made = known(
            lambda: self.clinic.post("/v1/consents", body, key=key),
            "the gateway never heard of the person",
        )
        must(made, 201)
        self.say(f"{recipient.name} may learn: {', '.join(classes)}")

    def set_goal(self) -> None:
        path = f"/v1/cases/{self.case['id']}"
        goal = {
            "description": "Enough fresh food every week",
            "own_words": "I want to cook for my children again.",
            "need_id": self.need_id,
            "lifecycle_status": "active",
        }
        self.goal_id = must(self.clinic.post(f"{path}/goals", goal), 201).body["id"]
        activity = {"description": "Refer to a produce delivery", "goal_id": self.goal_id}
        must(self.clinic.post(f"{path}/activities", activity), 201)
        self.say("goal in her own words, and a first activity")

    def search_directory(self) -> None:
        search = {"need_category": "food-insecurity", "language": "en", "area": "Lakeview"}
        found = list(self.clinic.items("/v1/directory/services", **search))
        names = [item["name"] for item in found]
        chosen = [item for item in found if item["name"].startswith("Produce")]
        check(chosen, f"the search found {names}")
        self.service = chosen[0]
        self.say(
            f"{len(found)} found; chosen: {self.service['name']}, {self.service['capacity_status'] or 'capacity not declared'}"
        )

    def refer(self) -> None:
        body = {
            "service_id": self.service["id"],
            "case_id": self.case["id"],
            "person_id": self.person["id"],
            "need_id": self.need_id,
            "need_category": "food-insecurity",
            "reason": "Cannot carry heavy bags; needs fresh food for a diabetic diet.",
            "requester_number": self.case["number"],
        }
        key = secrets.token_urlsafe(18)
        made = must(
            known(
                lambda: self.clinic.post("/v1/referrals", body, key=key),
                "the directory never heard of the case",
            ),
            201,
        )
        again = must(self.clinic.post("/v1/referrals", body, key=key), 201)
        check(again.body["id"] == made.body["id"], "the same request made two referrals")
        self.referral = made.body
        self.say(
            f"{self.referral['id']} is {self.referral['status']}; a repeat of the request changed nothing"
        )

    def be_told(self) -> None:
        def told() -> dict[str, Any] | None:
            messages = self.receiver.messages["/food"].values()
            return next((m for m in messages if m["data"]["id"] == self.referral["id"]), None)

        message = eventually(told, "the food bank was never told of the referral")
        check("referral.requested" in message["type"], f"told of {message['type']}")
        check(
            set(message["data"]) <= {"id", "version", "href", "case_id"}, "the message tells more"
        )
        self.say(f"webhook verified: {message['type']}, ids and a link only")

    def accept(self) -> None:
        path = f"/v1/referrals/{self.referral['id']}"
        found = must(self.food.get(path))
        numbered = must(self.food.patch(path, {"owner_number": "HFB-20931"}, version=found.version))
        accepted = must(self.food.post(f"{path}/accept", version=numbered.version))
        late = self.food.post(f"{path}/accept", version=numbered.version)
        check(late.status in (409, 412), f"a second accept was answered {late.status}")
        started = must(self.food.post(f"{path}/start", version=accepted.version))
        check(started.body["status"] == "in-progress", "the work did not start")
        check(
            started.body["requester_number"] == self.case["number"], "the clinic's number is lost"
        )
        self.referral = started.body
        self.say(f"accepted as HFB-20931, started; a second accept got {late.status}")

    def read_as_service(self) -> None:
        """The social service reads what it needs: whom it serves, where, and what is planned."""

        def person() -> dict[str, Any] | None:
            path = f"/v1/persons/{self.person['id']}"
            record: dict[str, Any] = (what_is_at(self.food, path).get("records") or [{}])[0]
            return record if {"family_name", "phone"} <= record.keys() else None

        record = eventually(person, "the food bank never learns whom it serves")

        def plan() -> list[dict[str, Any]]:
            body = what_is_at(self.food, f"/v1/cases/{self.case['id']}/goals")
            return list(body.get("items", []))

        goals = eventually(plan, "the food bank never sees the goal")
        check(goals[0]["id"] == self.goal_id, "another goal")
        self.say(
            f"{record['given_name']} {record['family_name']}, {record['phone']}; the goal: “{goals[0]['own_words']}”"
        )

    def talk(self) -> None:
        path = f"/v1/referrals/{self.referral['id']}/messages"
        must(self.food.post(path, {"text": "First box on Thursday. Any allergies?"}), 201)
        must(self.clinic.post(path, {"text": "None. Low salt, please."}), 201)
        seen = [message["text"] for message in self.food.items(path)]
        check(
            seen == ["None. Low salt, please.", "First box on Thursday. Any allergies?"],
            f"the messages are {seen}",
        )
        self.say("two messages, both sides read both")

    def share_document(self) -> None:
        digest = hashlib.sha256(PLAN).hexdigest()
        body = {
            "referral_id": self.referral["id"],
            "title": "Food plan",
            "type": "18776-5",
            "data_class": "plan",
            "content_type": "text/plain",
            "sha256": digest,
            "size_bytes": len(PLAN),
        }
        key = secrets.token_urlsafe(18)
        made = must(
            known(
                lambda: self.clinic.post("/v1/documents", body, key=key),
                "the documents never heard of the referral",
            ),
            201,
        )
        self.document_id = made.body["id"]
        path = f"/v1/documents/{self.document_id}"
        must(self.clinic.put_content(path, PLAN, "text/plain", version=made.version))
        got = eventually(
            lambda: content_of(self.food.get(f"{path}/content")),
            "the food bank never sees the document",
        )
        check(hashlib.sha256(got).hexdigest() == digest, "the document changed on its way")
        self.say(f"{len(PLAN)} bytes, SHA-256 {digest[:12]}… verified by both sides")

    def complete(self) -> None:
        path = f"/v1/referrals/{self.referral['id']}"
        found = must(self.food.get(path))
        bare = self.food.post(f"{path}/complete", {}, version=found.version)
        check(bare.status == 422, f"completed without an outcome: {bare.status}")  # noqa: PLR2004
        body = {"outcome": {"need_met": "yes", "text": OUTCOME, "code": "met"}}
        done = must(self.food.post(f"{path}/complete", body, version=found.version))
        check(done.body["status"] == "completed", "the referral is not completed")
        self.referral = done.body
        self.say("completed; without an outcome it was refused")

    def see_need_met(self) -> None:
        def met() -> bool:
            needs = self.clinic.items(f"/v1/cases/{self.case['id']}/needs")
            return any(need["id"] == self.need_id and need["status"] == "met" for need in needs)

        eventually(met, "the need was never met")
        goals = list(self.clinic.items(f"/v1/cases/{self.case['id']}/goals"))
        self.say(
            f"the need is met, the goal is {goals[0]['achievement_status'] or goals[0]['lifecycle_status']}"
        )

    def close_case(self) -> None:
        path = f"/v1/cases/{self.case['id']}"
        found = must(self.clinic.get(path))
        body = {"outcome_code": "needs-met", "note": "She cooks again."}
        self.case = must(self.clinic.post(f"{path}/close", body, version=found.version)).body
        check(self.case["status"] == "closed", "the case is not closed")
        self.say("closed: needs-met")

    def read_as_payer(self) -> None:
        def outcome() -> dict[str, Any] | None:
            body = what_is_at(self.payer, f"/v1/cases/{self.case['id']}")
            return body if body.get("outcome_code") else None

        case = eventually(outcome, "the payer never sees the outcome")
        absent(
            case,
            ("number", "title", "summary", "worker", "phase", "brief", "outcome_note"),
            "the payer",
        )
        referral = eventually(
            lambda: what_is_at(self.payer, f"/v1/referrals/{self.referral['id']}"),
            "the payer never sees the referral's outcome",
        )
        check(referral["outcome"]["need_met"] == "yes", "the payer does not see the outcome")
        absent(
            referral,
            ("need_category", "reason", "requester_number", "owner_id", "service_id"),
            "the payer",
        )
        self.say(
            f"the payer sees {case['outcome_code']} and need_met {referral['outcome']['need_met']}"
        )

    def refuse(self) -> None:
        """Nobody sees more: the clinical note, the payer's notes, an organisation without a part."""
        case = f"/v1/cases/{self.case['id']}"
        for partner, path in (
            (self.food, f"{case}/notes/{self.note_ids['clinical']}"),
            (self.payer, f"{case}/notes/{self.note_ids['clinical']}"),
            (self.payer, f"{case}/notes/{self.note_ids['coordination']}"),
            (self.payer, f"/v1/documents/{self.document_id}"),
            (self.housing, case),
            (self.housing, f"/v1/persons/{self.person['id']}"),
            (self.housing, f"/v1/referrals/{self.referral['id']}"),
            (self.housing, f"/v1/documents/{self.document_id}"),
        ):
            status = partner.get(path).status
            check(status == 404, f"{partner.name} gets {status} for {path}")  # noqa: PLR2004
        self.say("eight doors tried, eight times 404")

    def verify_deliveries(self) -> None:
        """Every event in a partner's feed arrived as a verified delivery, the last ones included."""
        for path, partner, last in (
            ("/clinic", self.clinic, {"referral.completed", "case.closed"}),
            ("/food", self.food, {"referral.completed", "document.added"}),
            ("/payer", self.payer, {"case.closed"}),
        ):

            def complete(
                path: str = path, partner: Partner = partner, last: set[str] = last
            ) -> set[str] | None:
                told = {event["id"]: kind_of(event["type"]) for event in self.feed(partner)}
                verified = self.receiver.messages[path].keys()
                return set(told) if last <= set(told.values()) and set(told) <= verified else None

            arrived = eventually(complete, f"{partner.name} misses webhooks")
            self.say(f"{partner.name}: {len(arrived)} events, each delivered and verified")
        check(self.receiver.refused == 0, f"{self.receiver.refused} deliveries did not verify")

    def leave(self) -> None:
        """Remove the webhook endpoints: their receiver goes away now."""
        while self.endpoints:
            partner, endpoint_id = self.endpoints.pop()
            path = f"/v1/webhook-endpoints/{endpoint_id}"
            partner.delete(path, version=must(partner.get(path)).version)

    def feed(self, partner: Partner) -> Iterator[dict[str, Any]]:
        """Yield the partner's events about this case, oldest first."""
        after, more = 0, True
        ours = {self.case["id"], self.person["id"], self.referral["id"]}
        while more:
            page = must(partner.get("/v1/events", after=after, limit=200)).body
            for event in page["items"]:
                if event["data"]["case_id"] in ours or event["data"]["id"] in ours:
                    yield event
            after, more = page["next_after"], page["more"]
