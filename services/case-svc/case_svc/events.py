"""What happened, told three times in one transaction: event, timeline entry, audit row.

Data holds ids and codes only. Write under the lock of the case (or person): versions and places
then rise in the order of commits.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sharing.classes import DataClass, mask_of, names_of
from sharing.confidentiality import Confidentiality
from sqlalchemy.ext.asyncio import AsyncSession
from svckit import audit, outbox
from svckit.clock import now
from svckit.identity import Caller
from svckit.ids import new_id
from svckit.outbox import Event

from case_svc.domain.cases import high_water
from case_svc.domain.classes import FILED
from case_svc.models import CaseFile, Person, TimelineEntry
from case_svc.models.base import InCase, Versioned

PUBLISHES = (
    *("person.registered", "person.changed"),
    *("case.opened", "case.changed", "case.closed", "case.reopened"),
    *("case.sealed", "case.unsealed"),
    *("party.added", "party.ended", "care-team.joined", "care-team.left", "number.added"),
    *("need.identified", "need.changed", "assessment.completed", "goal.set", "goal.changed"),
    *("activity.planned", "activity.changed", "task.created", "task.changed"),
    *("note.added", "note.labelled", "decision.recorded"),
)

# told with the person also of a sealed case: the services need it, and the seal keeps others away
_NAMED = frozenset({"case.opened", "case.sealed", "case.unsealed"})

# the part of the address between the case and the row
COLLECTIONS: Mapping[str, str] = {
    "party": "parties",
    "team_member": "care-team",
    "external_number": "numbers",
    "need": "needs",
    "assessment": "assessments",
    "goal": "goals",
    "activity": "activities",
    "note": "notes",
    "decision": "decisions",
}


async def of_case(
    tx: AsyncSession,
    caller: Caller,
    file: CaseFile,
    happened: str,
    change: Mapping[str, Any],
    *,
    classes: DataClass = DataClass.COORDINATION,
) -> None:
    """Tell a change of the case itself; `happened` is noun.verb such as `case.opened`."""
    data = _data(file, file, int(classes), href(file))
    if happened in _NAMED:
        data["person_id"] = file.person_id
    await _tell(tx, caller, file, happened, {**data, "change": dict(change)})


async def of_row(  # noqa: PLR0917  # in the order of a sentence: who, where, what, to which
    tx: AsyncSession,
    caller: Caller | None,
    file: CaseFile,
    happened: str,
    row: InCase,
    change: Mapping[str, Any],
    *,
    parties: Sequence[str] = (),
    classes: DataClass | None = None,
) -> None:
    """Tell a change of a row in the case; without a caller another service's event caused it.

    Who sees the row learns of it; of a change that it shows to some of them, who has `classes`.
    """
    needed = row.classes if classes is None else int(classes)
    data = _data(file, row, needed, row_href(row))
    standing = set(parties)
    if needed & FILED == needed:
        standing.add(file.custodian_id)
    data["parties"] = sorted(standing - {row.custodian_id})
    await _tell(tx, caller, file, happened, {**data, "change": dict(change)})


async def of_person(
    tx: AsyncSession,
    caller: Caller,
    person: Person,
    happened: str,
    change: Mapping[str, Any],
    *,
    classes: DataClass = DataClass.IDENTITY,
) -> None:
    """Tell a change of what the caller's organisation records of a person."""
    data = {
        "id": person.id,
        "version": person.version,
        "custodian_id": caller.organisation_id,
        "person_id": person.id,
        "case_id": None,
        "parties": [],
        "classes": names_of(classes),
        "href": f"/v1/persons/{person.id}",
        "change": dict(change),
    }
    await _publish(tx, caller, happened, person.id, data)


async def add_entry(
    tx: AsyncSession,
    file: CaseFile,
    happened: str,
    data: Mapping[str, Any],
    *,
    classes: int,
    caller: Caller | None = None,
) -> None:
    """Put what happened at the next place of the case's timeline."""
    file.entries += 1
    tx.add(
        TimelineEntry(
            id=new_id("ent"),
            case_id=file.id,
            place=file.entries,
            custodian_id=data["custodian_id"],
            classes=classes,
            confidentiality=Confidentiality(data.get("confidentiality", "N")),
            at=now(),
            action=happened,
            resource_id=data["id"],
            href=data["href"],
            organisation_id=caller.organisation_id if caller else data["custodian_id"],
            actor=caller.actor if caller else None,
            change=dict(data["change"]),
        )
    )


def href(file: CaseFile) -> str:
    return f"/v1/cases/{file.id}"


def row_href(row: InCase) -> str:
    if row.__tablename__ == "task":
        return f"/v1/tasks/{row.id}"
    return f"/v1/cases/{row.case_id}/{COLLECTIONS[row.__tablename__]}/{row.id}"


def _data(file: CaseFile, subject: Versioned, classes: int, href: str) -> dict[str, Any]:
    protected = high_water(
        file.confidentiality, getattr(subject, "confidentiality", Confidentiality.NORMAL)
    )
    return {
        "id": subject.id,
        "version": subject.version,
        "custodian_id": subject.custodian_id,
        # no grant matches an event without a person: a sealed case is told to its custodian only
        "person_id": None if file.sealed else file.person_id,
        "case_id": file.id,
        "parties": [],
        "classes": names_of(classes),
        "confidentiality": protected.value,
        "href": href,
    }


async def _tell(
    tx: AsyncSession,
    caller: Caller | None,
    file: CaseFile,
    happened: str,
    data: Mapping[str, Any],
) -> None:
    if file.sealed:
        data = {**data, "parties": []}
    await _publish(tx, caller, happened, file.id, data)
    classes = int(mask_of(data["classes"]))
    await add_entry(tx, file, happened, data, classes=classes, caller=caller)


async def _publish(
    tx: AsyncSession, caller: Caller | None, happened: str, key: str, data: Mapping[str, Any]
) -> None:
    kind = f"org.careloop.{happened}.v1"
    event = Event(kind, subject=data["id"], version=data["version"], key=key, data=data)
    await outbox.record(tx, event, caller=caller)
    if caller:
        await audit.record(
            tx, caller, action=happened, resource=data["id"], version=data["version"]
        )
