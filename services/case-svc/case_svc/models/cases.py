"""The case file, its type, its phases and who may see it."""

from datetime import date, datetime

from sharing.confidentiality import Confidentiality
from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column
from svckit.db import Id

from case_svc.domain.cases import CaseStatus, Mode, Phase, TypeStatus
from case_svc.models.base import Base, Key, PrimaryKey, Versioned


class CaseType(Base):
    """A template, one row per edition; without an organisation it serves the whole network."""

    __tablename__ = "case_type"

    id: Mapped[PrimaryKey]
    version: Mapped[int] = mapped_column(default=1)
    organisation_id: Mapped[str | None] = mapped_column(Id)
    code: Mapped[Key]
    edition: Mapped[int]
    name: Mapped[str]
    description: Mapped[str | None]
    mode: Mapped[Mode]
    status: Mapped[TypeStatus]
    phases: Mapped[list[str]]
    roles: Mapped[list[str]]
    outcomes: Mapped[list[str]]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    __table_args__ = (
        Index(
            "uq_case_type_edition",
            "organisation_id",
            "code",
            "edition",
            unique=True,
            postgresql_nulls_not_distinct=True,
        ),
    )


class CaseFile(Versioned):
    __tablename__ = "case_file"

    number: Mapped[Key]
    person_id: Mapped[str] = mapped_column(Id, ForeignKey("person.id"))
    type_id: Mapped[str] = mapped_column(Id, ForeignKey("case_type.id"))
    title: Mapped[str | None]
    summary: Mapped[str | None]
    priority: Mapped[str] = mapped_column(default="routine")
    status: Mapped[CaseStatus]
    phase: Mapped[Phase | None]
    cycle: Mapped[int] = mapped_column(default=1)
    responsible_id: Mapped[Key]
    worker: Mapped[str]
    brief: Mapped[str | None]
    confidentiality: Mapped[Confidentiality]
    # a sealed case is its custodian's alone, whatever was granted
    sealed: Mapped[bool] = mapped_column(default=False)
    status_reason: Mapped[str | None]
    outcome_code: Mapped[str | None]
    outcome_note: Mapped[str | None]
    opened_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
    review_on: Mapped[date | None]
    # the last timeline entry's place
    entries: Mapped[int] = mapped_column(default=0)

    __table_args__ = (
        Index("uq_case_file_number", "custodian_id", "number", unique=True),
        Index("ix_case_file_number", "number"),
        Index("ix_case_file_person_id", "person_id", "id"),
        Index("ix_case_file_status", "custodian_id", "status", "id"),
        Index("ix_case_file_worker", "custodian_id", "worker", "id"),
    )


class CaseNumber(Base):
    """The last number an organisation gave."""

    __tablename__ = "case_number"

    organisation_id: Mapped[PrimaryKey]
    last: Mapped[int]


class CaseReader(Base):
    """Superset of the organisations that may see the case: what lists are driven from."""

    __tablename__ = "case_reader"

    organisation_id: Mapped[PrimaryKey]
    case_id: Mapped[PrimaryKey]

    __table_args__ = (Index("ix_case_reader_case_id", "case_id"),)


class CasePhase(Base):
    """One stay in a phase; `round` counts the stays in this phase within the cycle."""

    __tablename__ = "case_phase"

    case_id: Mapped[str] = mapped_column(Id, ForeignKey("case_file.id"), primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    phase: Mapped[Phase]
    cycle: Mapped[int]
    round: Mapped[int]
    entered_at: Mapped[datetime]
    left_at: Mapped[datetime | None]
