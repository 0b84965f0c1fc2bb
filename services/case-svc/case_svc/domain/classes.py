"""Which data classes a row needs, by its kind, its labels and its code."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType

from sharing.classes import DataClass
from sharing.labels import Label, of_labels


class NoteKind(StrEnum):
    CLINICAL = "clinical"
    COORDINATION = "coordination"
    CONTACT = "contact"


NOTE_CLASS: Mapping[NoteKind, DataClass] = MappingProxyType(
    {
        NoteKind.CLINICAL: DataClass.NOTES | DataClass.CLINICAL,
        NoteKind.COORDINATION: DataClass.NOTES,
        NoteKind.CONTACT: DataClass.NOTES,
    }
)

# What another organisation writes into a case is seen by the case's custodian: it was written
# into that custodian's file. Sensitive classes are not: those need their own grant and consent.
FILED = (
    DataClass.COORDINATION | DataClass.NEEDS | DataClass.PLAN | DataClass.NOTES | DataClass.OUTCOME
)

# A case shows itself to whoever may learn of its coordination or of its outcome.
CASE_SHOWS = DataClass.COORDINATION | DataClass.OUTCOME
# Each change of a case is seen by whoever sees these.
CASE_WHOLE = DataClass.COORDINATION | DataClass.NOTES | DataClass.OUTCOME
RECORD_SHOWS = DataClass.IDENTITY | DataClass.CONTACT | DataClass.FINANCIAL

# What a key of an event's `change` tells on top of the classes that the event itself needs: who
# learns that a referral was completed may not learn of what or by whom.
CHANGE_CLASS: Mapping[str, DataClass] = MappingProxyType(
    {
        "need_id": DataClass.NEEDS,
        "need_category": DataClass.NEEDS,
        "category": DataClass.NEEDS,
        "requester_id": DataClass.COORDINATION,
        "recipient_id": DataClass.COORDINATION,
        "service_id": DataClass.COORDINATION,
        "organisation_id": DataClass.COORDINATION,
        "responsible_id": DataClass.COORDINATION,
        "phase": DataClass.COORDINATION,
    }
)

# and of what happens to the case itself, as its fields have it
OF_A_CASE: Mapping[str, DataClass] = MappingProxyType(
    dict.fromkeys(("status", "cycle", "outcome_code"), DataClass.OUTCOME)
)

SENSITIVE_NEEDS: Mapping[str, Label] = MappingProxyType(
    {"intimate-partner-violence": Label.SDV, "elder-abuse": Label.SDV}
)


def of_note(kind: NoteKind, labels: Iterable[Label]) -> DataClass:
    """Return every class needed to learn that the note exists."""
    return NOTE_CLASS[kind] | of_labels(labels)


def of_need(category: str, labels: Iterable[Label] = ()) -> DataClass:
    """Return every class needed to learn that the need exists."""
    label = SENSITIVE_NEEDS.get(category)
    return DataClass.NEEDS | of_labels(labels) | of_labels([label] if label else [])
