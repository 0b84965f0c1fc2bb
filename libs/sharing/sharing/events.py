"""The event filter: may an organisation learn that this happened, decided by the same rule."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sharing.classes import UnknownClass, mask_of
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
    )


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

    Custodian and parties may; anyone else needs every class in `classes`. A class that this build
    does not know is one that nobody else has.
    """
    if organisation == data["custodian_id"] or organisation in data["parties"]:
        return True
    try:
        required = mask_of(data["classes"])
    except UnknownClass:
        return False
    reader = Organisation(organisation, kind, purpose)
    return may_show(evaluate(facts, reader, row_of(data), at=at).mask, required)
