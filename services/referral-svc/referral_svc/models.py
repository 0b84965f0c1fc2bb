"""Tables: the directory, the referrals, the replica of case numbers. No behaviour."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Computed,
    Enum,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import ARRAY, TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column
from svckit import db
from svckit.db import Id

from referral_svc.domain.needs import CapacityStatus, NeedCategory
from referral_svc.domain.referral import NeedMet, Party, Priority, RequestStatus, Status


class Base(db.Base):
    __abstract__ = True
    metadata = MetaData(naming_convention=db.NAMING)


def _status(name: str) -> Enum:
    """Two columns of one table may hold a status: each constraint has its own name."""
    return Enum(
        Status,
        name=name,
        native_enum=False,
        create_constraint=True,
        length=40,
        values_callable=lambda kind: [member.value for member in kind],
    )


def _texts() -> Mapped[list[str]]:
    return mapped_column(ARRAY(Text), server_default="{}")


class Organisation(Base):
    """An HSDS organization as its publisher describes it; not the partner itself."""

    __tablename__ = "hsds_organization"
    __table_args__ = (UniqueConstraint("organisation_id", "hsds_id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    organisation_id: Mapped[str] = mapped_column(Id)
    hsds_id: Mapped[str] = mapped_column(Id)
    name: Mapped[str] = mapped_column(Text)
    document: Mapped[dict[str, Any]]


class Service(Base):
    """An HSDS service. `document` is all that was published, unknown properties too."""

    __tablename__ = "service"
    __table_args__ = (
        UniqueConstraint("organisation_id", "hsds_id"),
        Index("ix_service_search", "search", postgresql_using="gin"),
        Index("ix_service_need_categories", "need_categories", postgresql_using="gin"),
        Index("ix_service_languages", "languages", postgresql_using="gin"),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    version: Mapped[int] = mapped_column(Integer)
    organisation_id: Mapped[str] = mapped_column(Id)
    hsds_id: Mapped[str] = mapped_column(Id)
    hsds_organization_id: Mapped[str | None] = mapped_column(Id)
    name: Mapped[str] = mapped_column(Text)
    alternate_name: Mapped[str | None] = mapped_column(Text)
    description: Mapped[str | None] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text)
    url: Mapped[str | None] = mapped_column(Text)
    email: Mapped[str | None] = mapped_column(Text)
    eligibility_description: Mapped[str | None] = mapped_column(Text)
    minimum_age: Mapped[float | None]
    maximum_age: Mapped[float | None]
    # null: the owner has said nothing and the mapping of taxonomy terms stands
    declared_categories: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    need_categories: Mapped[list[str]] = _texts()
    capacity_status: Mapped[CapacityStatus | None]
    capacity_notes: Mapped[str | None] = mapped_column(Text)
    # lower-case codes and names, of the service and its locations: what the filters look at
    languages: Mapped[list[str]] = _texts()
    areas: Mapped[list[str]] = _texts()
    document: Mapped[dict[str, Any]]
    search: Mapped[str] = mapped_column(
        TSVECTOR,
        Computed(
            "to_tsvector('english', name || ' ' || coalesce(alternate_name, '') || ' ' ||"
            " coalesce(description, '') || ' ' || coalesce(eligibility_description, ''))",
            persisted=True,
        ),
        deferred=True,
    )
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class Location(Base):
    __tablename__ = "location"
    __table_args__ = (UniqueConstraint("organisation_id", "hsds_id"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    organisation_id: Mapped[str] = mapped_column(Id)
    hsds_id: Mapped[str] = mapped_column(Id)
    location_type: Mapped[str] = mapped_column(Text)
    name: Mapped[str | None] = mapped_column(Text)
    latitude: Mapped[float | None]
    longitude: Mapped[float | None]
    document: Mapped[dict[str, Any]]


class ServiceAtLocation(Base):
    __tablename__ = "service_at_location"
    __table_args__ = (UniqueConstraint("organisation_id", "hsds_id"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    organisation_id: Mapped[str] = mapped_column(Id)
    hsds_id: Mapped[str] = mapped_column(Id)
    service_id: Mapped[str] = mapped_column(Id, ForeignKey("service.id"), index=True)
    location_id: Mapped[str] = mapped_column(Id, ForeignKey("location.id"), index=True)
    description: Mapped[str | None] = mapped_column(Text)
    document: Mapped[dict[str, Any]]


class Part:
    """A part of a service, a location or a service at a location: the owner's id is `parent_id`.

    HSDS repeats one row's id under several parents, so the id alone names nothing here.
    """

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    parent_id: Mapped[str] = mapped_column(Id, index=True)
    hsds_id: Mapped[str | None] = mapped_column(Id)
    document: Mapped[dict[str, Any]]


class Schedule(Part, Base):
    __tablename__ = "schedule"

    freq: Mapped[str | None] = mapped_column(Text)
    byday: Mapped[str | None] = mapped_column(Text)
    opens_at: Mapped[str | None] = mapped_column(Text)
    closes_at: Mapped[str | None] = mapped_column(Text)


class Language(Part, Base):
    __tablename__ = "language"

    code: Mapped[str | None] = mapped_column(Text)
    name: Mapped[str | None] = mapped_column(Text)


class ServiceArea(Part, Base):
    __tablename__ = "service_area"

    name: Mapped[str | None] = mapped_column(Text)
    description: Mapped[str | None] = mapped_column(Text)
    extent_type: Mapped[str | None] = mapped_column(Text)


class Capacity(Part, Base):
    __tablename__ = "service_capacity"

    available: Mapped[float | None]
    maximum: Mapped[float | None]
    unit: Mapped[str | None] = mapped_column(Text)


class Classification(Part, Base):
    """A taxonomy term attached to a service (HSDS attribute)."""

    __tablename__ = "classification"

    code: Mapped[str | None] = mapped_column(Text)
    name: Mapped[str | None] = mapped_column(Text)
    taxonomy: Mapped[str | None] = mapped_column(Text)


class TaxonomyTerm(Base):
    """A term, or with `is_taxonomy` the taxonomy itself, as one publisher describes it."""

    __tablename__ = "taxonomy_term"
    __table_args__ = (UniqueConstraint("organisation_id", "hsds_id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    organisation_id: Mapped[str] = mapped_column(Id)
    hsds_id: Mapped[str] = mapped_column(Id)
    is_taxonomy: Mapped[bool]
    code: Mapped[str | None] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    document: Mapped[dict[str, Any]]


class CaseFile(Base):
    """Replica of case-svc: which cases exist, of which person, held by whom."""

    __tablename__ = "case_file"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    person_id: Mapped[str] = mapped_column(Id, index=True)
    custodian_id: Mapped[str] = mapped_column(Id)


class Referral(Base):
    """FHIR ServiceRequest (requester's side: `request_status`) and Task (`status`) in one row."""

    __tablename__ = "referral"
    __table_args__ = (
        Index("ix_referral_requester", "requester_id", "id"),
        Index("ix_referral_owner", "owner_id", "id"),
        Index("ix_referral_subject", "person_id", "custodian_id", "case_id"),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    version: Mapped[int] = mapped_column(Integer)
    # the case's custodian: whose grants decide what others see
    custodian_id: Mapped[str] = mapped_column(Id)
    requester_id: Mapped[str] = mapped_column(Id)
    owner_id: Mapped[str] = mapped_column(Id)
    service_id: Mapped[str | None] = mapped_column(Id, ForeignKey("service.id"), index=True)
    case_id: Mapped[str] = mapped_column(Id)
    person_id: Mapped[str] = mapped_column(Id)
    need_id: Mapped[str | None] = mapped_column(Id)
    need_category: Mapped[NeedCategory]
    # data classes a third party needs to learn of this referral at all
    required_classes: Mapped[int] = mapped_column(Integer)
    status: Mapped[Status]
    request_status: Mapped[RequestStatus]
    business_status: Mapped[str | None] = mapped_column(Text)
    status_reason: Mapped[str | None] = mapped_column(Text)
    priority: Mapped[Priority]
    reason: Mapped[str | None] = mapped_column(Text)
    requested_activity: Mapped[dict[str, Any] | None]
    contacting_subject_prohibited: Mapped[bool]
    requester_number: Mapped[str | None] = mapped_column(Text)
    owner_number: Mapped[str | None] = mapped_column(Text)
    document_ids: Mapped[list[str]] = _texts()
    accept_by: Mapped[datetime | None]
    start_by: Mapped[datetime | None]
    outcome_activity: Mapped[dict[str, Any] | None]
    outcome_text: Mapped[str | None] = mapped_column(Text)
    need_met: Mapped[NeedMet | None]
    outcome_code: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    # null while a draft: until then the other side knows nothing of it
    requested_at: Mapped[datetime | None]


class ReferralReader(Base):
    """Who may be able to see a referral, a superset: lists start here, the mask decides."""

    __tablename__ = "referral_reader"

    organisation_id: Mapped[str] = mapped_column(Id, primary_key=True)
    referral_id: Mapped[str] = mapped_column(Id, primary_key=True)


class Transition(Base):
    """One move of a referral: who, when, why. Never changed."""

    __tablename__ = "referral_transition"

    referral_id: Mapped[str] = mapped_column(Id, ForeignKey("referral.id"), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    from_status: Mapped[Status | None] = mapped_column(_status("from_status"))
    to_status: Mapped[Status] = mapped_column(_status("to_status"))
    party: Mapped[Party]
    organisation_id: Mapped[str] = mapped_column(Id)
    actor: Mapped[str] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text)
    at: Mapped[datetime]


class Message(Base):
    __tablename__ = "referral_message"
    __table_args__ = (Index("ix_referral_message_referral", "referral_id", "id"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    version: Mapped[int] = mapped_column(Integer)
    referral_id: Mapped[str] = mapped_column(Id, ForeignKey("referral.id"))
    sender_id: Mapped[str] = mapped_column(Id)
    actor: Mapped[str] = mapped_column(Text)
    text: Mapped[str] = mapped_column(Text)
    sent_at: Mapped[datetime]
