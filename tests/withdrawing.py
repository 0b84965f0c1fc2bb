"""A person's case at a clinic, shared with a partner by consent: what withdrawal is tried on."""

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any

from careloop.demo.checks import known
from careloop.partner import Answer, Partner, must

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
    made = create(clinic, "/v1/consents", permit_body(shared, recipient.organisation_id))
    return made.body["id"], made.version


def add_document(clinic: Partner, shared: Shared) -> str:
    """Add a document of class `plan` with its content; return its id."""
    content = secrets.token_bytes(32)
    body = {
        "case_id": shared.case_id,
        "title": "The plan",
        "type": "18842-5",
        "data_class": "plan",
        "content_type": "text/plain",
        "sha256": hashlib.sha256(content).hexdigest(),
        "size_bytes": len(content),
    }
    made = create(clinic, "/v1/documents", body)
    path = f"/v1/documents/{made.body['id']}"
    must(clinic.put_content(path, content, "text/plain", version=made.version))
    return str(made.body["id"])


def refer(clinic: Partner, shared: Shared, recipient: Partner) -> str:
    """Ask the recipient for food; return the referral's id."""
    body = {
        "owner_id": recipient.organisation_id,
        "case_id": shared.case_id,
        "person_id": shared.person_id,
        "need_category": "food-insecurity",
    }
    return str(create(clinic, "/v1/referrals", body).body["id"])


def create(clinic: Partner, path: str, body: Any) -> Answer:
    """Create once the service knows everything that the body names."""
    key = secrets.token_urlsafe(18)
    return must(
        known(lambda: clinic.post(path, body, key=key), f"{path}: names what is not known"), 201
    )


def withdraw(clinic: Partner, consent: tuple[str, int]) -> None:
    must(clinic.post(f"/v1/consents/{consent[0]}/withdraw", version=consent[1]))
