"""Persons are never merged: each organisation keeps its own client record of a person."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, false
from sqlalchemy.orm import Mapped, mapped_column
from svckit.db import Id

from case_svc.models.base import Base, PrimaryKey, Versioned


class Person(Base):
    """The spine that records hang on; it says nothing about anybody."""

    __tablename__ = "person"

    id: Mapped[PrimaryKey]
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]


class ClientRecord(Versioned):
    __tablename__ = "client_record"

    person_id: Mapped[str] = mapped_column(Id, ForeignKey("person.id"))
    number: Mapped[str | None] = mapped_column(Id)
    family_name: Mapped[str | None]
    given_name: Mapped[str | None]
    # folded copies of the names, for searching by their beginning
    family_key: Mapped[str] = mapped_column(Id, default="")
    given_key: Mapped[str] = mapped_column(Id, default="")
    birth_date: Mapped[date | None]
    gender: Mapped[str | None]
    language: Mapped[str | None]
    phone: Mapped[str | None]
    email: Mapped[str | None]
    address: Mapped[dict[str, Any] | None]
    identifiers: Mapped[list[Any]] = mapped_column(default=list)
    member_number: Mapped[str | None]
    contact_prohibited: Mapped[bool] = mapped_column(default=False)
    # address, phone and e-mail are for those who see the person's safety
    address_confidential: Mapped[bool] = mapped_column(default=False, server_default=false())
    # what everybody else is shown in place of the address
    substitute_address: Mapped[dict[str, Any] | None]

    __table_args__ = (
        Index("uq_client_record_number", "custodian_id", "number", unique=True),
        Index("uq_client_record_person", "person_id", "custodian_id", unique=True),
        Index("ix_client_record_family", "family_key"),
        Index("ix_client_record_given", "given_key"),
    )


class PersonReader(Base):
    """Superset of the organisations that may see the person: what lists are driven from."""

    __tablename__ = "person_reader"

    organisation_id: Mapped[PrimaryKey]
    person_id: Mapped[PrimaryKey]

    __table_args__ = (Index("ix_person_reader_person_id", "person_id"),)
