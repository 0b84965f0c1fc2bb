"""The policy of who may see what: what was drafted, and what was put in force."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column
from svckit.db import Id

from gateway.models.base import Base


class Policy(Base):
    """A policy as it was imported: what may be published, and published again."""

    __tablename__ = "policy"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    # the canonical form, of which `sha256` is the hash
    text: Mapped[str]
    sha256: Mapped[str]
    drafted_by: Mapped[str] = mapped_column(Id)
    created_at: Mapped[datetime]


class PolicyPublication(Base):
    """One policy put in force, until the next number; with the difference that was seen."""

    __tablename__ = "policy_publication"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    policy_id: Mapped[str] = mapped_column(Id, ForeignKey("policy.id"))
    sha256: Mapped[str]
    diff: Mapped[dict[str, Any]]
    published_by: Mapped[str] = mapped_column(Id)
    published_at: Mapped[datetime]
