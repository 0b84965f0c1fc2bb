"""Field types of the edge: bounded text coming in, classed values going out."""

from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import StringConstraints
from sharing import classed, part2, project
from sharing.kept import columns
from svckit.http import In, Out
from svckit.ids import PATTERN

Line = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Prose = Annotated[str, StringConstraints(min_length=1, max_length=10_000)]
Code = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\s\x00]+$")]
IdIn = Annotated[str, StringConstraints(pattern=PATTERN)]

T = TypeVar("T")
Envelope = Annotated[T, classed("envelope")]
Identity = Annotated[T, classed("identity")]
Contact = Annotated[T, classed("contact")]
Coordination = Annotated[T, classed("coordination")]
Needs = Annotated[T, classed("needs")]
Plan = Annotated[T, classed("plan")]
Clinical = Annotated[T, classed("clinical")]
Safety = Annotated[T, classed("safety")]
Notes = Annotated[T, classed("notes")]
Financial = Annotated[T, classed("financial")]
Outcome = Annotated[T, classed("outcome")]
# What moves with each change of a row that has fields of several classes: to who sees a part it
# would tell of changes of the rest.
OfNeed = Annotated[T, classed("needs", "notes")]
OfWork = Annotated[T, classed("coordination", "notes")]
OfParty = Annotated[T, classed("identity", "contact", "coordination")]
OfRecord = Annotated[T, classed("identity", "contact", "safety", "financial")]
OfCase = Annotated[T, classed("coordination", "notes", "outcome")]


class Coding(In):
    """A code of a terminology, as FHIR R4 Coding without its display."""

    system: Line
    code: Code


class CodingOut(Out):
    system: Envelope[str]
    code: Envelope[str]


class RowOut(Out):
    """The envelope of every row: visible with the row itself.

    A kind with fields of several classes shows `version` and `updated_at` to who sees all of them.
    """

    id: Envelope[str]
    version: Envelope[int | None] = None
    custodian_id: Envelope[str]
    created_at: Envelope[datetime]
    updated_at: Envelope[datetime | None] = None


class Part2Out(Out):
    """What goes with a Part 2 record (42 CFR 2.32): notice, and the consent that lets it out."""

    redisclosure_notice: Envelope[str | None] = None
    redisclosure_consent: Envelope[str | None] = None
    # as-hipaa-permits or by-consent-only (42 CFR 2.33(b))
    redisclosure_rule: Envelope[str | None] = None


class InCaseOut(RowOut, Part2Out):
    case_id: Envelope[str]


def shown(out: type[Out], row: Any, mask: int) -> dict[str, Any]:
    """Return what a mask shows of a row. A Part 2 record says that it is one, no other does."""
    body = project(out.model_validate(columns(row)), mask)
    for name in Part2Out.model_fields:
        body.pop(name, None)
    notice = part2.notice(getattr(row, "classes", 0))
    return {**body, "redisclosure_notice": notice} if notice else body


class ReasonIn(In):
    reason: Prose
