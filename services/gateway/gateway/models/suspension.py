"""What is kept beside the ledger itself."""

from datetime import datetime

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column
from svckit.db import Id

from gateway.models.base import Base


class Suspension(Base):
    """A person's right to an accounting of what one agency was told, suspended for a time."""

    __tablename__ = "accounting_suspension"
    __table_args__ = (Index(None, "custodian_id", "id"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    custodian_id: Mapped[str] = mapped_column(Id)
    person_id: Mapped[str] = mapped_column(Id)
    # the agency: disclosures to it are not told of
    organisation_id: Mapped[str] = mapped_column(Id)
    authority: Mapped[str]
    form: Mapped[str]
    official: Mapped[str]
    reference: Mapped[str | None]
    valid_from: Mapped[datetime]
    valid_to: Mapped[datetime]
    created_at: Mapped[datetime]
