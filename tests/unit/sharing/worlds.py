"""Facts as plain dictionaries of names, as in contracts/sharing/vectors.json, and their translation."""

from datetime import UTC, datetime, timedelta

from sharing import Agreement, Consent, Facts, Grant, Organisation, Row, Seal, mask_of, purposes
from sharing.classes import NAMES
from sharing.confidentiality import rank

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=400)
PAST = NOW - timedelta(days=30)
FUTURE = NOW + timedelta(days=30)

EVERYTHING = list(NAMES)
# the Part 2 programs among the organisations, unless others are given
PROGRAMS = frozenset({"org_program"})
ROOTS = ["TREAT", "HPAYMT", "HOPERAT"]


def agreement(record_id, custodian_id, **more):
    return {
        "id": record_id,
        "custodian_id": custodian_id,
        "recipient_id": None,
        "recipient_kind": None,
        "purposes": ROOTS,
        "classes": EVERYTHING,
        "consent_classes": [],
        "retention_days": 30,
        "valid_from": PAST,
        "valid_to": FUTURE,
        "confidentiality": "N",
        **more,
    }


def grant(record_id, custodian_id, recipient_id, person_id, agreement_id, **more):
    return {
        "id": record_id,
        "custodian_id": custodian_id,
        "recipient_id": recipient_id,
        "person_id": person_id,
        "case_id": None,
        "agreement_id": agreement_id,
        "classes": EVERYTHING,
        "purposes": ROOTS,
        "basis": "care-team",
        "basis_id": f"basis_{record_id}",
        "valid_from": PAST,
        "valid_to": None,
        **more,
    }


def consent(record_id, person_id, decision, **more):
    return {
        "id": record_id,
        "person_id": person_id,
        "recipient_id": None,
        "decision": decision,
        "classes": EVERYTHING,
        "purposes": ROOTS,
        "valid_from": PAST,
        "valid_to": None,
        "decided_at": PAST,
        "active": True,
        "depth": 0,
        "confidentiality": "V",
        "case_id": None,
        "part2": False,
        **more,
    }


def seal(case_id, custodian_id, **more):
    return {
        "case_id": case_id,
        "custodian_id": custodian_id,
        "valid_from": PAST,
        "valid_to": None,
        **more,
    }


def row(record_id, custodian_id, person_id, case_id=None, about_person=False, **more):
    return {
        "id": record_id,
        "custodian_id": custodian_id,
        "person_id": person_id,
        "case_id": case_id,
        "about_person": about_person,
        "referral_id": None,
        "confidentiality": "N",
        "parties": [],
        **more,
    }


def reader(organisation_id, kind, purpose):
    return {"organisation_id": organisation_id, "kind": kind, "purpose": purpose}


def coded(record):
    """The record with masks for names, as the replica's tables hold it."""
    masks = {
        name: int(mask_of(record[name]))
        for name in ("classes", "consent_classes")
        if name in record
    }
    ranks = {name: rank(record[name]) for name in ("confidentiality",) if name in record}
    return {**record, **masks, **ranks, "purposes": purposes.mask_of(record["purposes"])}


def as_facts(agreements, grants, consents, seals=()):
    return Facts(
        agreements={one["id"]: Agreement(**coded(one)) for one in agreements},
        grants=tuple(Grant(**coded(one)) for one in grants),
        consents=tuple(Consent(**coded(one)) for one in consents),
        seals=tuple(Seal(**one) for one in seals),
    )


def as_row(plain, programs=PROGRAMS):
    values = {name: value for name, value in plain.items() if name != "id"}
    if "confidentiality" in values:
        values["confidentiality"] = rank(values["confidentiality"])
    program = plain["custodian_id"] if plain["custodian_id"] in programs else None
    return Row(**{**values, "parties": tuple(values.get("parties", ())), "program": program})


def as_reader(plain):
    return Organisation(**plain)
