"""Assessments, the needs they find, the goals and activities that answer them."""

from datetime import date, datetime
from typing import Any

from sharing.confidentiality import Confidentiality
from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column
from svckit.db import Id

from case_svc.domain.needs import NeedCategory, NeedStatus
from case_svc.domain.plan import Achievement, ActivityStatus, GoalStatus
from case_svc.models.base import Base, InCase, Key, PrimaryKey


class Need(InCase):
    __tablename__ = "need"

    category: Mapped[NeedCategory]
    coding: Mapped[list[Any]] = mapped_column(default=list)
    description: Mapped[str | None]
    labels: Mapped[list[str]] = mapped_column(default=list)
    confidentiality: Mapped[Confidentiality] = mapped_column(
        default=Confidentiality.NORMAL, server_default="N"
    )
    status: Mapped[NeedStatus]
    status_reason: Mapped[str | None]
    priority: Mapped[str] = mapped_column(default="routine")
    assessment_id: Mapped[str | None] = mapped_column(Id)
    identified_at: Mapped[datetime]
    met_at: Mapped[datetime | None]

    __table_args__ = (
        Index("ix_need_page", "case_id", "id"),
        Index("ix_need_category", "category", "case_id"),
    )


class Assessment(InCase):
    """Answers as given, labelled; findings as the rules of `rules_version` derived them."""

    __tablename__ = "assessment"

    instrument: Mapped[Key]
    instrument_version: Mapped[str]
    rules_version: Mapped[str]
    performed_at: Mapped[datetime]
    answers: Mapped[list[Any]]
    findings: Mapped[list[Any]]
    previous_id: Mapped[str | None] = mapped_column(Id)


class Goal(InCase):
    __tablename__ = "goal"

    description: Mapped[str]
    own_words: Mapped[str | None]
    coding: Mapped[list[Any]] = mapped_column(default=list)
    need_id: Mapped[str | None] = mapped_column(Id)
    lifecycle_status: Mapped[GoalStatus]
    achievement_status: Mapped[Achievement | None]
    priority: Mapped[str | None]
    start_on: Mapped[date | None]
    target_on: Mapped[date | None]
    status_on: Mapped[date]

    __table_args__ = (
        Index("ix_goal_page", "case_id", "id"),
        Index("ix_goal_need_id", "need_id"),
    )


class Activity(InCase):
    """Owned by one organisation, whoever planned it."""

    __tablename__ = "activity"

    description: Mapped[str]
    kind: Mapped[str | None]
    goal_id: Mapped[str | None] = mapped_column(Id)
    organisation_id: Mapped[Key]
    status: Mapped[ActivityStatus]
    status_reason: Mapped[str | None]
    due_on: Mapped[date | None]


class ReferralState(Base):
    """What a referral's events have said so far about the need it was made for."""

    __tablename__ = "referral_state"

    referral_id: Mapped[PrimaryKey]
    case_id: Mapped[Key]
    need_id: Mapped[str | None] = mapped_column(Id)
    category: Mapped[str | None]
    status: Mapped[str]
    need_met: Mapped[str | None]

    __table_args__ = (Index("ix_referral_state_need_id", "need_id"),)
