"""The event filter: may an organisation learn that this happened, decided by the same rule."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sharing.classes import UnknownClass, mask_of
from sharing.confidentiality import CODES, HIGHEST, NORMAL, rank
from sharing.evaluate import evaluate
from sharing.fields import may_show
from sharing.model import Facts, Organisation, Row


def row_of(data: Mapping[str, Any]) -> Row:
    """Return the row an event is about; one whose subject is the person stands above the cases."""
    person_id = data["person_id"]
    return Row(
        custodian_id=data["custodian_id"],
        person_id=person_id,
        case_id=data["case_id"],
        about_person=person_id is not None and data["id"] == person_id,
        referral_id=referral_of(data),
        confidentiality=rank_of(data),
        parties=tuple(data["parties"]),
    )


def referral_of(data: Mapping[str, Any]) -> str | None:
    """Return the referral that an event is about: its subject, or what a message or document is on."""
    kind = data["id"].partition("_")[0]
    if kind == "ref":
        return str(data["id"])
    return data.get("change", {}).get("referral_id") if kind in {"msg", "doc"} else None


def visible_event(
    facts: Facts,
    organisation: str,
    kind: str,
    purpose: str,
    data: Mapping[str, Any],
    *,
    at: datetime,
) -> bool:
    """Tell whether the organisation may learn of the event at that instant.

    The custodian may, and the parties unless the case is sealed; anyone else needs every class in
    `classes`. A class that this build does not know is one that nobody else has.
    """
    reader = Organisation(organisation, kind, purpose)
    decision = evaluate(facts, reader, row_of(data), at=at)
    if decision.custodian or (decision.party and decision.mask):
        return True
    try:
        required = mask_of(data["classes"])
    except UnknownClass:
        return False
    return may_show(decision.mask, required)


def rank_of(data: Mapping[str, Any]) -> int:
    """Return how confidential an event is; a code that is not known is taken for the highest."""
    code = data.get("confidentiality")
    if code is None:
        return NORMAL
    return rank(code) if code in CODES else HIGHEST
