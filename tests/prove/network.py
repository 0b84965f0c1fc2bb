"""Two cases of a clinic and everybody who may be let in: what can change who sees them."""

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from svckit.clock import now, wire

from careloop.demo.checks import known
from careloop.demo.receiver import Receiver
from careloop.partner import Answer, Partner, must
from tests import withdrawing, world
from tests.unit.gateway.test_fhir_consent import actor, consent, of_class, reason

PARTNERS = {
    "food": "Harbor Food Bank",
    "housing": "Northside Housing Aid",
    "payer": "Meridian Health Plan",
    "coordinator": "County Care Network",
}
FHIR = "application/fhir+json"
SEALING = {"reason": "person-request"}
_TERMS = (
    *("purposes", "classes", "consent_classes", "legal_basis", "confidentiality"),
    *("custodian_id", "recipient_id", "retention_days"),
)


@dataclass(frozen=True)
class Period:
    """Half open, as every period of the rule."""

    begins: datetime = field(default_factory=now)
    ends: datetime | None = None

    @classmethod
    def of(cls, after_s: float | None, for_s: float | None) -> "Period":
        """From `after_s` on (None: at once), for that long (None: without an end)."""
        begins = now() + timedelta(seconds=after_s or 0)
        return cls(begins, None if for_s is None else begins + timedelta(seconds=for_s))

    def holds(self, at: datetime) -> bool:
        return self.begins <= at and (self.ends is None or at < self.ends)

    @property
    def last(self) -> datetime:
        """The last instant at which it changes anything."""
        return self.ends or self.begins

    def body(self, after_s: float | None) -> dict[str, str]:
        """The members of a request; what begins at once names no beginning."""
        found = {} if after_s is None else {"valid_from": wire(self.begins)}
        return found | ({} if self.ends is None else {"valid_to": wire(self.ends)})


@dataclass(frozen=True)
class Permit:
    consent: tuple[str, int]
    period: Period


@dataclass(frozen=True)
class Case:
    """A case with a note, a need and a document, and what it may be searched by."""

    shared: withdrawing.Shared
    family_name: str
    number: str
    document: str

    @property
    def path(self) -> str:
        return self.shared.path

    @property
    def id(self) -> str:
        return self.shared.case_id

    @property
    def person_id(self) -> str:
        return self.shared.person_id


class Network:
    def __init__(self, platform: world.Platform, receiver: Receiver) -> None:
        self.clinic = platform.partner("Lakeside Clinic")
        self.partners = {name: platform.partner(full) for name, full in PARTNERS.items()}
        self.receiver = receiver
        self.agreed: dict[str, Period | None] = {}
        for name, partner in self.partners.items():
            body = {"url": receiver.url(f"/{name}"), "description": name}
            made = must(partner.post("/v1/webhook-endpoints", body), 201).body
            receiver.expect(f"/{name}", made["secret"])
        self._terms = self._agreements()
        self.agreed = {name: Period() for name in self.partners}

    # cases

    def cases(self) -> list[Case]:
        return [self._case() for _ in range(2)]

    def _case(self) -> Case:
        shared = withdrawing.open_case(self.clinic)
        person = must(self.clinic.get(f"/v1/persons/{shared.person_id}")).body
        number = must(self.clinic.get(shared.path)).body["number"]
        return Case(
            shared,
            person["records"][0]["family_name"],
            number,
            withdrawing.add_document(self.clinic, shared),
        )

    def note(self, case: Case, **more: Any) -> str:
        body = {"kind": "coordination", "text": "A visit", **more}
        return str(must(self.clinic.post(f"{case.path}/notes", body), 201).body["id"])

    # consents

    def permit(
        self, case: Case, partner: Partner, after_s: float | None, for_s: float | None
    ) -> Permit:
        period = Period.of(after_s, for_s)
        body = withdrawing.permit_body(case.shared, partner.organisation_id, partner.purpose)
        made = withdrawing.create(self.clinic, "/v1/consents", body | period.body(after_s))
        return Permit((made.body["id"], made.version), period)

    def permit_in_fhir(self, case: Case, partner: Partner) -> Permit:
        """The same as a FHIR Consent, but for the notes: an exception, nested in the permit."""
        permit = {
            "type": "permit",
            "actor": [actor(partner.organisation_id)],
            "purpose": reason(partner.purpose),
            "class": of_class(*withdrawing.CLASSES),
            "provision": [{"type": "deny", "class": of_class("notes")}],
        }
        patient = {"reference": f"Patient/{case.person_id}"}
        resource = consent({"provision": [permit]}, "OPTIN", patient=patient)
        key = secrets.token_urlsafe(18)
        headers = {"Content-Type": FHIR, "Idempotency-Key": key}
        send = lambda: self.clinic._send("POST", "/v1/consents", json=resource, headers=headers)  # noqa: E731
        made = must(known(send, "no person"), 201)
        return Permit((made.body["id"], made.version), Period())

    # care team, referrals, seals, confidentiality

    def join(self, case: Case, partner: Partner) -> str:
        joined = {"organisation_id": partner.organisation_id, "role": "member"}
        return str(must(self.clinic.post(f"{case.path}/care-team", joined), 201).body["id"])

    def leave(self, case: Case, member: str) -> None:
        path = f"{case.path}/care-team/{member}"
        must(self.clinic.post(f"{path}/leave", version=must(self.clinic.get(path)).version))

    def move(self, by: Partner, referral: str, verb: str, body: Any = None) -> None:
        """Let a side move the referral, once it is told of it."""
        path = f"/v1/referrals/{referral}"
        standing = known(lambda: by.get(path), f"{by.name} is not told of {path}")
        must(by.post(f"{path}/{verb}", body, version=must(standing).version))

    def change(self, path: str, body: Any) -> None:
        must(self.clinic.patch(path, body, version=must(self.clinic.get(path)).version))

    def command(self, path: str, verb: str, body: Any) -> None:
        version = must(self.clinic.get(path)).version
        must(self.clinic.post(f"{path}/{verb}", body, version=version))

    # agreements

    def _agreements(self) -> dict[str, dict[str, Any]]:
        """What the clinic agreed with each partner, as a new agreement would say it."""
        names = {one.organisation_id: name for name, one in self.partners.items()}
        found = {}
        for item in self._standing():
            if item["recipient_id"] in names:
                found[names[item["recipient_id"]]] = {term: item[term] for term in _TERMS}
        return found

    def _standing(self) -> list[dict[str, Any]]:
        admin = self.partners["coordinator"]
        return [
            item
            for item in admin.items("/v1/agreements")
            if item["custodian_id"] == self.clinic.organisation_id and item["ended_at"] is None
        ]

    def end_agreement(self, name: str) -> None:
        admin, recipient = self.partners["coordinator"], self.partners[name].organisation_id
        for item in self._standing():
            if item["recipient_id"] == recipient:
                path = f"/v1/agreements/{item['id']}"
                must(admin.post(f"{path}/end", version=must(admin.get(path)).version))
        self.agreed[name] = None

    def agree(self, name: str, after_s: float | None = None, for_s: float | None = None) -> None:
        """Publish what was agreed before as a new agreement, by a draft whose effect was seen."""
        admin, period = self.partners["coordinator"], Period.of(after_s, for_s)
        body = {**self._terms[name], **period.body(after_s)}
        draft = (
            f"/v1/agreements/drafts/{must(admin.post('/v1/agreements/drafts', body)).body['id']}"
        )

        def publish() -> Answer:
            seen = must(admin.post(f"{draft}/simulate")).body["digest"]
            return admin.post(f"{draft}/publish", {"diff": seen})

        must(known(publish, "the difference it makes changes all the time"))
        self.agreed[name] = period
