"""The sandbox's network: who takes part, what they agreed, whom the clinic knows. All invented."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

PARTNER_SCOPES = (
    "cases.read",
    "cases.write",
    "persons.read",
    "persons.write",
    "directory.read",
    "directory.write",
    "referrals.read",
    "referrals.write",
    "documents.read",
    "documents.write",
    "events.read",
    "webhooks.write",
    "inbox.read",
    "inbox.write",
    "sharing.read",
    "sharing.write",
    "ledger.read",
)
PAYER_SCOPES = (
    "cases.read",
    "persons.read",
    "directory.read",
    "referrals.read",
    "documents.read",
    "events.read",
    "webhooks.write",
    "inbox.read",
    "inbox.write",
    "sharing.read",
    "ledger.read",
)


@dataclass(frozen=True)
class Member:
    """An organisation of the sandbox and how its client signs and why it asks."""

    slug: str
    name: str
    kind: str
    purposes: tuple[str, ...]
    scopes: tuple[str, ...] = PARTNER_SCOPES
    alg: str = "ES384"
    directory: str | None = None


CLINIC = Member("clinic", "Lakeside Clinic", "clinic", ("TREAT",))
FOOD = Member(
    "food", "Harbor Food Bank", "social-service", ("COC",), directory="harbor-food-bank.json"
)
HOUSING = Member(
    "housing",
    "Northside Housing Aid",
    "social-service",
    ("COC",),
    directory="northside-housing-aid.json",
)
# The payer signs with RSA: partners choose their algorithm, and both are in use from the start.
PAYER = Member("payer", "Meridian Health Plan", "payer", ("HOPERAT",), PAYER_SCOPES, "RS384")
COORDINATOR = Member(
    "coordinator",
    "County Care Network",
    "coordinator",
    ("COC", "HOPERAT"),
    (*PARTNER_SCOPES, "ledger.audit", "policy.publish", "admin"),
)
MEMBERS = (CLINIC, FOOD, HOUSING, PAYER, COORDINATOR)


@dataclass(frozen=True)
class Agreement:
    """What the custodian shows the recipient; `consent_classes` need the person's permit too."""

    custodian: Member
    recipient: Member
    purposes: tuple[str, ...]
    classes: tuple[str, ...]
    consent_classes: tuple[str, ...] = ()
    legal_basis: str = "45 CFR 164.506(c)"


_HELPING = ("identity", "contact", "coordination", "needs", "plan", "notes", "outcome")
_WAY_BACK = ("coordination", "plan", "notes", "outcome")
_OVERSEEING = ("coordination", "needs", "plan", "outcome")


def _agreements() -> list[Agreement]:
    found = []
    for service in (FOOD, HOUSING):
        found += [
            Agreement(
                CLINIC,
                service,
                ("COC",),
                _HELPING,
                # a social service is no covered entity: who the person is takes an authorisation
                consent_classes=("identity", "contact", "notes"),
                legal_basis="45 CFR 164.508",
            ),
            Agreement(service, CLINIC, ("TREAT", "COC"), _WAY_BACK),
            Agreement(service, PAYER, ("HOPERAT",), ("outcome",), ("outcome",)),
            Agreement(service, COORDINATOR, ("COC", "HOPERAT"), _OVERSEEING),
        ]
    return [
        *found,
        Agreement(CLINIC, PAYER, ("HOPERAT",), ("outcome",), ("outcome",)),
        Agreement(CLINIC, COORDINATOR, ("COC", "HOPERAT"), _OVERSEEING),
        Agreement(COORDINATOR, CLINIC, ("TREAT", "COC"), _WAY_BACK),
        Agreement(COORDINATOR, PAYER, ("HOPERAT",), ("outcome",), ("outcome",)),
    ]


AGREEMENTS = tuple(_agreements())


def seed_data(name: str) -> Any:
    """Return a file of `careloop/seed_data`, parsed."""
    return json.loads((files("careloop") / "seed_data" / name).read_text())


def persons() -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = seed_data("persons.json")
    return found
