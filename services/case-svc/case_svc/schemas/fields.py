"""Field types of the edge: bounded text coming in, classed values going out."""

from datetime import datetime
from typing import Annotated, TypeVar

from pydantic import StringConstraints
from sharing import classed
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


class Coding(In):
    """A code of a terminology, as FHIR R4 Coding without its display."""

    system: Line
    code: Code


class CodingOut(Out):
    system: Envelope[str]
    code: Envelope[str]


class RowOut(Out):
    """The envelope of every row: visible with the row itself."""

    id: Envelope[str]
    version: Envelope[int]
    custodian_id: Envelope[str]
    created_at: Envelope[datetime]
    updated_at: Envelope[datetime]


class Part2Out(Out):
    """What goes with a Part 2 record (42 CFR 2.32): notice, and the consent that lets it out."""

    redisclosure_notice: Envelope[str | None] = None
    redisclosure_consent: Envelope[str | None] = None
    # as-hipaa-permits or by-consent-only (42 CFR 2.33(b))
    redisclosure_rule: Envelope[str | None] = None


class InCaseOut(RowOut, Part2Out):
    case_id: Envelope[str]


class ReasonIn(In):
    reason: Prose
