"""What rows of a case file were before they changed."""

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Mapped, mapped_column

from case_svc.models.base import Base, Key, PrimaryKey


class PastRow(Base):
    """One version of a row that another has replaced: what it held `until` then.

    A trigger of the table writes it with the change itself, whoever makes that; a row that never
    changed has none. `state` is the row by its columns.
    """

    __tablename__ = "past_row"

    row_id: Mapped[PrimaryKey]
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    case_id: Mapped[Key]
    until: Mapped[datetime]
    state: Mapped[dict[str, Any]]
