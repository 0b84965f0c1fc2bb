"""Who has to do with a case: parties, the care team across organisations, everybody's numbers."""

from datetime import date

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column
from svckit.db import Id

from case_svc.models.base import InCase, Key


class Party(InCase):
    """Somebody with a role in the case, from a day to a day."""

    __tablename__ = "party"

    role: Mapped[str]
    name: Mapped[str | None]
    person_id: Mapped[str | None] = mapped_column(Id)
    organisation_id: Mapped[str | None] = mapped_column(Id)
    phone: Mapped[str | None]
    valid_from: Mapped[date]
    valid_to: Mapped[date | None]


class TeamMember(InCase):
    """One organisation's place in the care team."""

    __tablename__ = "team_member"

    organisation_id: Mapped[Key]
    role: Mapped[str]
    worker: Mapped[str | None]
    joined_on: Mapped[date]
    left_on: Mapped[date | None]

    __table_args__ = (
        Index("ix_team_member_page", "case_id", "id"),
        # an organisation is in the team once
        Index(
            "uq_team_member_place",
            "case_id",
            "organisation_id",
            unique=True,
            postgresql_where="left_on IS NULL",
        ),
    )


class ExternalNumber(InCase):
    """The number another system knows the case by."""

    __tablename__ = "external_number"

    system: Mapped[str]
    value: Mapped[Key]

    __table_args__ = (
        Index("ix_external_number_page", "case_id", "id"),
        Index("ix_external_number_value", "value"),
        Index(
            "uq_external_number_value", "case_id", "custodian_id", "system", "value", unique=True
        ),
    )
