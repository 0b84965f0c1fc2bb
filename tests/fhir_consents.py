"""FHIR Consents as tests write them, and what is asked of them."""

import copy
from datetime import UTC, datetime
from typing import Any

import pytest
from gateway import fhir
from gateway.fhir import Directive, Inexpressible
from sharing.classes import NAMES, class_of

PERSON = "per_01k9zq3v6h8m2n4p5r7s9t0001"
CLINIC = "org_01k9zq3v6h8m2n4p5r7s9t0001"
PANTRY = "org_01k9zq3v6h8m2n4p5r7s9t0002"
PAYER = "org_01k9zq3v6h8m2n4p5r7s9t0003"
CASE = "cas_01k9zq3v6h8m2n4p5r7s9t0004"
OTHER_CASE = "cas_01k9zq3v6h8m2n4p5r7s9t0005"
AT = datetime(2026, 3, 1, tzinfo=UTC)
HL7 = "http://terminology.hl7.org/CodeSystem"
NORMAL, RESTRICTED, VERY = 3, 4, 5


def concept(system: str, *codes: str) -> dict[str, Any]:
    return {"coding": [{"system": f"{HL7}/{system}", "code": code} for code in codes]}


def reason(*codes: str) -> list[dict[str, str]]:
    return [{"system": f"{HL7}/v3-ActReason", "code": code} for code in codes]


def label(*codes: str) -> list[dict[str, str]]:
    return [
        {
            "system": f"{HL7}/{'v3-Confidentiality' if code in 'ULMNRV' else 'v3-ActCode'}",
            "code": code,
        }
        for code in codes
    ]


def actor(organisation: str, role: str = "PRCP") -> dict[str, Any]:
    return {
        "role": concept("v3-ParticipationType", role),
        "reference": {"reference": f"Organization/{organisation}"},
    }


def of_class(*names: str) -> list[dict[str, str]]:
    return [{"system": "urn:careloop:data-class", "code": name} for name in names]


def of_type(*names: str) -> list[dict[str, str]]:
    return [{"system": "http://hl7.org/fhir/resource-types", "code": name} for name in names]


def of_case(case_id: str, meaning: str = "related") -> dict[str, Any]:
    return {"meaning": meaning, "reference": {"reference": f"EpisodeOfCare/{case_id}"}}


def consent(
    provision: dict[str, Any] | None, rule: str | None = None, **more: Any
) -> dict[str, Any]:
    found = {
        "resourceType": "Consent",
        "status": "active",
        "scope": concept("consentscope", "patient-privacy"),
        "category": [concept("v3-ActCode", "IDSCL")],
        "patient": {"reference": f"Patient/{PERSON}"},
        "dateTime": "2026-01-05",
        "policy": [{"uri": "https://policies.example/sharing"}],
        **({"policyRule": concept("v3-ActCode", rule)} if rule else {}),
        **({"provision": provision} if provision else {}),
        **more,
    }
    return copy.deepcopy(found)


def answer(
    resource: dict[str, Any],
    reader: str = PANTRY,
    purpose: str = "TREAT",
    *,
    rank: int = NORMAL,
    at: datetime = AT,
    case: str | None = None,
) -> tuple[set[str], set[str]]:
    """What it permits and what it denies, by name."""
    permitted, denied = fhir.said(fhir.read(resource).directives, reader, purpose, rank, at, case)
    return {n for n in NAMES if class_of(n) & permitted}, {n for n in NAMES if class_of(n) & denied}


def faults(resource: Any) -> dict[str, str]:
    with pytest.raises(Inexpressible) as refused:
        fhir.read(resource)
    return {fault.pointer: fault.code for fault in refused.value.errors}


EVERY = set(NAMES)


def exported(
    directives: tuple[Directive, ...], *, active: bool = True, source: Any = None, **more: Any
) -> dict[str, Any]:
    return fhir.consent(
        consent_id="con_01k9zq3v6h8m2n4p5r7s9t0001",
        person_id=PERSON,
        custodian_id=CLINIC,
        version=3,
        changed_at=AT,
        decided_at=AT,
        active=active,
        directives=directives,
        source=source,
        **more,
    )
