"""What rows have in common."""

from datetime import datetime
from typing import Annotated

import svckit.db
from sqlalchemy import ForeignKey, Index, MetaData
from sqlalchemy.orm import Mapped, declared_attr, mapped_column
from svckit.db import Id

Key = Annotated[str, mapped_column(Id)]
PrimaryKey = Annotated[str, mapped_column(Id, primary_key=True)]


class Base(svckit.db.Base):
    __abstract__ = True
    metadata = MetaData(naming_convention=svckit.db.NAMING)


class Versioned(Base):
    """A resource: `version` rises by one with every event of it, and never without one."""

    __abstract__ = True

    id: Mapped[PrimaryKey]
    version: Mapped[int] = mapped_column(default=1)
    # the organisation that wrote the row: it decides whose agreements open it to others
    custodian_id: Mapped[Key]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    created_by: Mapped[str]


class InCase(Versioned):
    """A row of a case. `classes`: every data class a reader needs to learn that it exists."""

    __abstract__ = True

    case_id: Mapped[str] = mapped_column(Id, ForeignKey("case_file.id"))
    classes: Mapped[int]

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> tuple[object, ...]:
        # the page of a case's rows, newest first
        return (Index(f"ix_{cls.__tablename__}_page", "case_id", "id"),)
