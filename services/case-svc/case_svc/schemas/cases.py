"""Case types and the case file on the wire."""

from datetime import date, datetime
from typing import Literal

from pydantic import Field
from sharing.confidentiality import Confidentiality
from svckit.http import In, Out

from case_svc.domain.cases import CaseStatus, Mode, Phase, SealReason, TypeStatus
from case_svc.schemas.fields import (
    Code,
    Coordination,
    Envelope,
    IdIn,
    Line,
    Needs,
    Notes,
    OfCase,
    Outcome,
    Plan,
    Prose,
)
from case_svc.schemas.people import NumberIn
from case_svc.schemas.plan import NeedIn

Priority = Literal["routine", "urgent", "asap", "stat"]


class CaseTypeIn(In):
    """A new edition of the organisation's case type of this code, as a draft unless published."""

    code: Code
    name: Line
    description: Prose | None = None
    mode: Mode = Mode.ADAPTIVE
    status: Literal["draft", "published"] = "draft"
    phases: list[Phase] = Field(default=list(Phase), min_length=1, max_length=5)
    roles: list[Code] = Field(default=[], max_length=50)
    outcomes: list[Code] = Field(min_length=1, max_length=50)


class CaseTypeOut(Out):
    id: Envelope[str]
    version: Envelope[int]
    organisation_id: Envelope[str | None]
    code: Envelope[str]
    edition: Envelope[int]
    name: Envelope[str]
    description: Envelope[str | None]
    mode: Envelope[Mode]
    status: Envelope[TypeStatus]
    phases: Envelope[list[Phase]]
    roles: Envelope[list[str]]
    outcomes: Envelope[list[str]]
    created_at: Envelope[datetime]
    updated_at: Envelope[datetime]


class CaseTypePage(Out):
    items: list[CaseTypeOut]
    next: str | None


class CaseIn(In):
    """Opens a case in intake; without a type the newest published default is taken."""

    person_id: IdIn
    type_id: IdIn | None = None
    worker: Line
    title: Line | None = None
    summary: Prose | None = None
    priority: Priority = "routine"
    review_on: date | None = None
    confidentiality: Confidentiality = Confidentiality.NORMAL
    sealed: bool = False
    needs: list[NeedIn] = Field(default=[], max_length=24)
    numbers: list[NumberIn] = Field(default=[], max_length=20)


class CasePatch(In):
    """What is left out stays as it is; null empties where the field may be empty."""

    title: Line | None = None
    summary: Prose | None = None
    priority: Priority = "routine"
    review_on: date | None = None
    confidentiality: Confidentiality = Confidentiality.NORMAL


class SealIn(In):
    """Why, as a code: who may see the case's safety learns it once the case is open again."""

    reason: SealReason


class CloseIn(In):
    outcome_code: Code
    note: Prose | None = None


class PhaseIn(In):
    phase: Phase


class HandOverIn(In):
    """Names who answers for the case from now on; another organisation must be in the care team."""

    worker: Line
    organisation_id: IdIn | None = None
    brief: Prose


class CountsOut(Out):
    """Of the rows the caller may see; a count whose class is hidden is absent."""

    needs_open: Needs[int | None] = None
    tasks_open: Coordination[int | None] = None
    goals: Plan[int | None] = None
    notes: Notes[int | None] = None


class CaseOut(Out):
    id: Envelope[str]
    version: OfCase[int | None] = None
    updated_at: OfCase[datetime | None] = None
    custodian_id: Envelope[str]
    person_id: Envelope[str]
    status: Outcome[CaseStatus | None] = None
    outcome_code: Outcome[str | None] = None
    opened_at: Outcome[datetime | None] = None
    closed_at: Outcome[datetime | None] = None
    cycle: Outcome[int | None] = None
    number: Coordination[str | None] = None
    type_id: Coordination[str | None] = None
    title: Coordination[str | None] = None
    priority: Coordination[str | None] = None
    phase: Coordination[Phase | None] = None
    responsible_id: Coordination[str | None] = None
    worker: Coordination[str | None] = None
    review_on: Coordination[date | None] = None
    confidentiality: Coordination[Confidentiality | None] = None
    sealed: Coordination[bool | None] = None
    status_reason: Notes[str | None] = None
    outcome_note: Notes[str | None] = None
    summary: Notes[str | None] = None
    brief: Notes[str | None] = None
    counts: Envelope[CountsOut | None] = None


class CasePage(Out):
    items: list[CaseOut]
    next: str | None


class CountOut(Out):
    count: int


class CasePhaseOut(Out):
    phase: Envelope[Phase]
    cycle: Envelope[int]
    round: Envelope[int]
    entered_at: Envelope[datetime]
    left_at: Envelope[datetime | None]


class CasePhasePage(Out):
    items: list[CasePhaseOut]
    next: str | None
