"""Tasks, notes, decisions and the timeline on the wire."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field
from sharing.confidentiality import Confidentiality
from sharing.labels import Label
from svckit.http import In, Instant, Out

from case_svc.domain.classes import NoteKind
from case_svc.domain.tasks import TaskStatus
from case_svc.schemas.fields import (
    Coordination,
    Envelope,
    IdIn,
    InCaseOut,
    Line,
    Notes,
    OfWork,
    Part2Out,
    Prose,
)

TaskPriority = Literal["routine", "urgent", "asap", "stat"]


class TaskIn(In):
    """For an organisation on the case, or nobody's yet."""

    title: Line
    description: Prose | None = None
    priority: TaskPriority = "routine"
    organisation_id: IdIn | None = None
    worker: Line | None = None
    due_at: Instant | None = None


class TaskPatch(In):
    title: Line = ""
    description: Prose | None = None
    priority: TaskPriority = "routine"
    due_at: Instant | None = None


class AssignIn(In):
    organisation_id: IdIn | None = None
    worker: Line | None = None


class ClaimIn(In):
    worker: Line


class WaitIn(In):
    """On whom or what the work waits, and why; `since` is now unless given."""

    on: Line
    why: Prose
    since: Instant | None = None


class CompleteIn(In):
    outcome: Prose | None = None


class TaskOut(InCaseOut):
    version: OfWork[int | None] = None
    updated_at: OfWork[datetime | None] = None
    title: Coordination[str | None] = None
    description: Notes[str | None] = None
    status: Coordination[TaskStatus | None] = None
    priority: Coordination[str | None] = None
    organisation_id: Coordination[str | None] = None
    worker: Coordination[str | None] = None
    due_at: Coordination[datetime | None] = None
    waiting_on: Coordination[str | None] = None
    waiting_since: Coordination[datetime | None] = None
    waiting_why: Notes[str | None] = None
    outcome: Notes[str | None] = None
    completed_at: Coordination[datetime | None] = None


class TaskPage(Out):
    items: list[TaskOut]
    next: str | None


class NoteIn(In):
    """Labels raise what a reader needs: SUD, MH, SDV."""

    kind: NoteKind
    text: Prose
    labels: list[Label] = Field(default=[], max_length=len(Label))
    confidentiality: Confidentiality = Confidentiality.NORMAL
    occurred_at: Instant | None = None


class LabelsIn(In):
    """What protects a note from now on, in place of what did."""

    labels: list[Label] = Field(max_length=len(Label))
    confidentiality: Confidentiality = Confidentiality.NORMAL


class NoteOut(InCaseOut):
    kind: Notes[NoteKind | None] = None
    labels: Notes[list[Label] | None] = None
    confidentiality: Notes[Confidentiality | None] = None
    text: Notes[str | None] = None
    occurred_at: Notes[datetime | None] = None


class NotePage(Out):
    items: list[NoteOut]
    next: str | None


class DecisionIn(In):
    title: Line
    grounds: Prose
    decided_by: Line | None = None
    decided_at: Instant | None = None


class DecisionOut(InCaseOut):
    version: OfWork[int | None] = None
    updated_at: OfWork[datetime | None] = None
    title: Coordination[str | None] = None
    decided_at: Coordination[datetime | None] = None
    decided_by: Coordination[str | None] = None
    grounds: Notes[str | None] = None


class DecisionPage(Out):
    items: list[DecisionOut]
    next: str | None


class EntryOut(Part2Out):
    """One action: what happened to which resource, when, by whom. `change` holds ids and codes."""

    id: Envelope[str]
    at: Envelope[datetime]
    action: Envelope[str]
    resource_id: Envelope[str]
    href: Envelope[str]
    organisation_id: Envelope[str | None]
    change: Envelope[dict[str, Any]]
    actor: Coordination[str | None] = None


class TimelinePage(Out):
    items: list[EntryOut]
    next: str | None
