"""Tasks, notes, decisions, and the timeline that keeps every action in order."""

from datetime import datetime
from typing import Any

from sharing.confidentiality import Confidentiality
from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column
from svckit.db import Id

from case_svc.domain.classes import NoteKind
from case_svc.domain.tasks import TaskStatus
from case_svc.models.base import Base, InCase, Key, PrimaryKey


class Task(InCase):
    __tablename__ = "task"

    title: Mapped[str]
    description: Mapped[str | None]
    status: Mapped[TaskStatus]
    priority: Mapped[str] = mapped_column(default="routine")
    # nobody's yet when null: whoever sees it may claim it
    organisation_id: Mapped[str | None] = mapped_column(Id)
    worker: Mapped[str | None]
    due_at: Mapped[datetime | None]
    waiting_on: Mapped[str | None]
    waiting_since: Mapped[datetime | None]
    waiting_why: Mapped[str | None]
    outcome: Mapped[str | None]
    completed_at: Mapped[datetime | None]

    __table_args__ = (
        Index("ix_task_page", "case_id", "id"),
        Index("ix_task_organisation", "organisation_id", "status", "id"),
        Index("ix_task_worker", "organisation_id", "worker", "id"),
    )


class TaskReader(Base):
    """Superset of the organisations that may see the task: what worklists are driven from."""

    __tablename__ = "task_reader"

    organisation_id: Mapped[PrimaryKey]
    task_id: Mapped[PrimaryKey]

    __table_args__ = (Index("ix_task_reader_task_id", "task_id"),)


class Note(InCase):
    """Written once; a correction is another note."""

    __tablename__ = "note"

    kind: Mapped[NoteKind]
    labels: Mapped[list[str]] = mapped_column(default=list)
    confidentiality: Mapped[Confidentiality] = mapped_column(
        default=Confidentiality.NORMAL, server_default="N"
    )
    text: Mapped[str]
    occurred_at: Mapped[datetime]


class Decision(InCase):
    __tablename__ = "decision"

    title: Mapped[str]
    grounds: Mapped[str]
    decided_at: Mapped[datetime]
    decided_by: Mapped[str]


class TimelineEntry(Base):
    """One action on the case, at its place in the order of commits."""

    __tablename__ = "timeline_entry"

    id: Mapped[PrimaryKey]
    case_id: Mapped[str] = mapped_column(Id, ForeignKey("case_file.id"))
    place: Mapped[int]
    custodian_id: Mapped[Key]
    classes: Mapped[int]
    confidentiality: Mapped[Confidentiality] = mapped_column(
        default=Confidentiality.NORMAL, server_default="N"
    )
    at: Mapped[datetime]
    action: Mapped[str]
    resource_id: Mapped[Key]
    href: Mapped[str]
    organisation_id: Mapped[str | None] = mapped_column(Id)
    actor: Mapped[str | None]
    change: Mapped[dict[str, Any]]

    __table_args__ = (Index("uq_timeline_entry_place", "case_id", "place", unique=True),)
