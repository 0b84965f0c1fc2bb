"""Assessments, needs, goals and activities on the wire."""

from datetime import date, datetime
from typing import Literal

from pydantic import Field
from sharing.confidentiality import Confidentiality
from sharing.labels import Label
from svckit.http import In, Instant, Out

from case_svc.domain.needs import NeedCategory, NeedStatus
from case_svc.domain.plan import Achievement, ActivityStatus, GoalStatus
from case_svc.domain.screening import Change
from case_svc.schemas.fields import (
    Code,
    Coding,
    CodingOut,
    IdIn,
    InCaseOut,
    Line,
    Needs,
    Notes,
    OfNeed,
    Plan,
    Prose,
)

NeedPriority = Literal["routine", "urgent", "asap", "stat"]
GoalPriority = Literal["high-priority", "medium-priority", "low-priority"]


class NeedIn(In):
    """A need by its Gravity category; codings may add the condition (SNOMED CT, ICD-10-CM)."""

    category: NeedCategory
    coding: list[Coding] = Field(default=[], max_length=10)
    description: Prose | None = None
    labels: list[Label] = Field(default=[], max_length=len(Label))
    confidentiality: Confidentiality = Confidentiality.NORMAL
    priority: NeedPriority = "routine"
    identified_at: Instant | None = None


class NeedPatch(In):
    description: Prose | None = None
    coding: list[Coding] = Field(default=[], max_length=10)
    priority: NeedPriority = "routine"


class NeedOut(InCaseOut):
    version: OfNeed[int | None] = None
    updated_at: OfNeed[datetime | None] = None
    category: Needs[NeedCategory | None] = None
    coding: Needs[list[CodingOut] | None] = None
    labels: Needs[list[Label] | None] = None
    confidentiality: Needs[Confidentiality | None] = None
    status: Needs[NeedStatus | None] = None
    priority: Needs[str | None] = None
    assessment_id: Needs[str | None] = None
    identified_at: Needs[datetime | None] = None
    met_at: Needs[datetime | None] = None
    description: Notes[str | None] = None
    status_reason: Notes[str | None] = None


class NeedPage(Out):
    items: list[NeedOut]
    next: str | None


class AnswerIn(In):
    """LOINC question and LOINC answer; a multiple choice is one entry an answer."""

    question: Code
    answer: Code


class AssessmentIn(In):
    instrument: Code
    instrument_version: Line
    performed_at: Instant | None = None
    answers: list[AnswerIn] = Field(min_length=1, max_length=200)


class AnswerOut(Out):
    question: Needs[str | None] = None
    answer: Needs[str | None] = None
    label: Needs[Label | None] = None


class FindingOut(Out):
    """`positive` null: not enough was answered; `change` is since the previous assessment."""

    code: Needs[str | None] = None
    positive: Needs[bool | None] = None
    score: Needs[int | None] = None
    label: Needs[Label | None] = None
    change: Needs[Change | None] = None
    need_id: Needs[str | None] = None


class AssessmentOut(InCaseOut):
    """Answers and findings of a sensitive label appear only to those who hold its class."""

    instrument: Needs[str | None] = None
    instrument_version: Needs[str | None] = None
    rules_version: Needs[str | None] = None
    performed_at: Needs[datetime | None] = None
    previous_id: Needs[str | None] = None
    answers: Needs[list[AnswerOut] | None] = None
    findings: Needs[list[FindingOut] | None] = None


class AssessmentPage(Out):
    items: list[AssessmentOut]
    next: str | None


class GoalIn(In):
    description: Prose
    own_words: Prose | None = None
    coding: list[Coding] = Field(default=[], max_length=10)
    need_id: IdIn | None = None
    lifecycle_status: GoalStatus = GoalStatus.PROPOSED
    achievement_status: Achievement | None = None
    priority: GoalPriority | None = None
    start_on: date | None = None
    target_on: date | None = None


class GoalPatch(In):
    """What is left out stays as it is; null empties where the field may be empty."""

    description: Prose = ""
    own_words: Prose | None = None
    lifecycle_status: GoalStatus = GoalStatus.PROPOSED
    achievement_status: Achievement | None = None
    priority: GoalPriority | None = None
    start_on: date | None = None
    target_on: date | None = None


class GoalOut(InCaseOut):
    description: Plan[str | None] = None
    own_words: Plan[str | None] = None
    coding: Plan[list[CodingOut] | None] = None
    need_id: Plan[str | None] = None
    lifecycle_status: Plan[GoalStatus | None] = None
    achievement_status: Plan[Achievement | None] = None
    priority: Plan[str | None] = None
    start_on: Plan[date | None] = None
    target_on: Plan[date | None] = None
    status_on: Plan[date | None] = None


class GoalPage(Out):
    items: list[GoalOut]
    next: str | None


class ActivityIn(In):
    """Planned for one organisation; the caller's own unless another is named."""

    description: Prose
    kind: Code | None = None
    goal_id: IdIn | None = None
    organisation_id: IdIn | None = None
    status: Literal["not-started", "scheduled", "in-progress"] = "not-started"
    due_on: date | None = None


class ActivityPatch(In):
    description: Prose = ""
    status: ActivityStatus = ActivityStatus.UNKNOWN
    status_reason: Prose | None = None
    due_on: date | None = None


class ActivityOut(InCaseOut):
    description: Plan[str | None] = None
    kind: Plan[str | None] = None
    goal_id: Plan[str | None] = None
    organisation_id: Plan[str | None] = None
    status: Plan[ActivityStatus | None] = None
    status_reason: Plan[str | None] = None
    due_on: Plan[date | None] = None


class ActivityPage(Out):
    items: list[ActivityOut]
    next: str | None
