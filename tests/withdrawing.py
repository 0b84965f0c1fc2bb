"""A person's case at a clinic, shared with a partner by consent: what withdrawal is tried on."""

import secrets
from dataclasses import dataclass
from typing import Any

from careloop.demo.checks import known
from careloop.partner import Partner, must

CLASSES = ["identity", "contact", "coordination", "needs", "plan", "notes", "outcome"]


@dataclass(frozen=True)
class Shared:
    """Whose case it is, and the case."""

    person_id: str
    case_id: str

    @property
    def path(self) -> str:
        return f"/v1/cases/{self.case_id}"


def open_case(clinic: Partner) -> Shared:
    """Register a person and open a case, told to nobody yet."""
    name = {"family_name": f"Zq{secrets.token_hex(4)}", "given_name": "Ana"}
    person = must(clinic.post("/v1/persons", name), 201).body["id"]
    case = {
        "person_id": person,
        "worker": "w",
        "title": "Food",
        "needs": [{"category": "food-insecurity"}],
    }
    return Shared(person, must(clinic.post("/v1/cases", case), 201).body["id"])


def permit_body(shared: Shared, recipient_id: str, purpose: str = "COC") -> dict[str, Any]:
    return {
        "person_id": shared.person_id,
        "recipient_id": recipient_id,
        "decision": "permit",
        "classes": CLASSES,
        "purposes": [purpose],
    }


def permit(clinic: Partner, shared: Shared, recipient: Partner) -> tuple[str, int]:
    """Record the person's permit for the recipient; return its id and version."""
    body, key = permit_body(shared, recipient.organisation_id), secrets.token_urlsafe(18)
    made = must(known(lambda: clinic.post("/v1/consents", body, key=key), "no person"), 201)
    return made.body["id"], made.version


def withdraw(clinic: Partner, consent: tuple[str, int]) -> None:
    must(clinic.post(f"/v1/consents/{consent[0]}/withdraw", version=consent[1]))
