"""Tables: documents, their immutable contents, what they are attached to, and who may list them.

`case_ref` and `referral_ref` are this service's replica of what other services announced.
"""

from datetime import datetime

import svckit.db
from sharing.confidentiality import Confidentiality
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    MetaData,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column
from svckit.db import NAMING, Id

from document_svc.domain import Anchor, DataClass, Status


class Base(svckit.db.Base):
    __abstract__ = True
    metadata = MetaData(naming_convention=NAMING)


class Document(Base):
    """`version` is 0 until the first content, then rises by one with every event.

    `required` holds the data classes a reader needs, as the sharing library's bits.
    """

    __tablename__ = "document"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    version: Mapped[int]
    custodian_id: Mapped[str] = mapped_column(Id)
    person_id: Mapped[str] = mapped_column(Id)
    status: Mapped[Status]
    type: Mapped[str] = mapped_column(Text)
    title: Mapped[str] = mapped_column(Text)
    data_class: Mapped[DataClass]
    labels: Mapped[list[str]]
    confidentiality: Mapped[Confidentiality]
    required: Mapped[int]
    content_type: Mapped[str] = mapped_column(Text)
    declared_sha256: Mapped[str | None] = mapped_column(Text)
    declared_size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    # the newest content's number, 0 without one
    content_number: Mapped[int]
    recorded_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint("version >= 0 AND content_number >= 0", name="counts"),
        CheckConstraint("(status = 'pending') = (content_number = 0)", name="pending"),
        Index("ix_document_person", "person_id", "custodian_id"),
    )


class Content(Base):
    """One immutable version of the bytes; `document_version` is what it made of the document."""

    __tablename__ = "document_content"

    document_id: Mapped[str] = mapped_column(Id, ForeignKey("document.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    object_key: Mapped[str] = mapped_column(Id)
    sha256: Mapped[str] = mapped_column(Text)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    content_type: Mapped[str] = mapped_column(Text)
    document_version: Mapped[int]
    recorded_at: Mapped[datetime]

    __table_args__ = (
        UniqueConstraint("object_key"),
        CheckConstraint("number >= 1 AND size_bytes >= 1", name="counts"),
        CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name="sha256"),
    )


class Link(Base):
    """What a document is attached to; `case_id` is the case itself, or the referral's case."""

    __tablename__ = "document_link"

    document_id: Mapped[str] = mapped_column(Id, ForeignKey("document.id"), primary_key=True)
    anchor: Mapped[Anchor] = mapped_column(primary_key=True)
    target_id: Mapped[str] = mapped_column(Id, primary_key=True)
    case_id: Mapped[str | None] = mapped_column(Id)
    recorded_at: Mapped[datetime]

    __table_args__ = (
        Index("ix_document_link_target", "target_id", "document_id"),
        Index("ix_document_link_case", "case_id", "document_id"),
    )


class Reader(Base):
    """Who may possibly see a document: lists start here, the sharing mask decides."""

    __tablename__ = "document_reader"

    organisation_id: Mapped[str] = mapped_column(Id, primary_key=True)
    document_id: Mapped[str] = mapped_column(Id, ForeignKey("document.id"), primary_key=True)

    __table_args__ = (Index("ix_document_reader_document", "document_id"),)


class CaseRef(Base):
    __tablename__ = "case_ref"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    custodian_id: Mapped[str] = mapped_column(Id)
    person_id: Mapped[str] = mapped_column(Id)


class ReferralRef(Base):
    """`parties` are the two organisations; `live` ends when the referral is withdrawn or refused."""

    __tablename__ = "referral_ref"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    custodian_id: Mapped[str] = mapped_column(Id)
    person_id: Mapped[str] = mapped_column(Id)
    case_id: Mapped[str | None] = mapped_column(Id)
    parties: Mapped[list[str]]
    live: Mapped[bool] = mapped_column(server_default=text("true"))
