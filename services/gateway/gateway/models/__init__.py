"""Tables of the gateway: who takes part, what they agreed, and who may see what because of it."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column
from svckit.db import Id

from gateway.domain import (
    Basis,
    Decision,
    Emergency,
    OrganisationKind,
    Outcome,
    SenderConstraint,
    Stage,
)
from gateway.models.base import Base
from gateway.models.policies import Policy, PolicyPublication
from gateway.models.suspension import Suspension

__all__ = ["Base", "Policy", "PolicyPublication", "Suspension"]


class Organisation(Base):
    __tablename__ = "organisation"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    kind: Mapped[OrganisationKind]
    name: Mapped[str]
    # a federally assisted program: its substance use records are Part 2 records (42 CFR 2.11)
    part2_program: Mapped[bool] = mapped_column(default=False, server_default="false")
    version: Mapped[int]
    created_at: Mapped[datetime]


class Client(Base):
    """A program of an organisation. A sandbox client may have a secret instead of keys."""

    __tablename__ = "client"
    __table_args__ = (Index(None, "organisation_id", "id"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    organisation_id: Mapped[str] = mapped_column(Id, ForeignKey("organisation.id"))
    name: Mapped[str]
    jwks: Mapped[dict[str, Any]]
    # keys by address instead; then `jwks` holds none
    jwks_uri: Mapped[str | None]
    algorithms: Mapped[list[str]]
    scopes: Mapped[list[str]]
    purposes: Mapped[list[str]]
    sender_constraint: Mapped[SenderConstraint] = mapped_column(server_default="none")
    sandbox: Mapped[bool]
    secret_hash: Mapped[str | None]
    # of the token that manages a registration (RFC 7592)
    registration_hash: Mapped[str | None]
    active: Mapped[bool]
    # tokens of an earlier version are refused: keys, rights or binding changed since
    tokens_from: Mapped[int] = mapped_column(server_default="0")
    tokens_from_at: Mapped[datetime | None]
    # requests a window of its own, apart from its organisation's
    rate_limit: Mapped[int | None]
    version: Mapped[int]
    created_at: Mapped[datetime]


class Agreement(Base):
    """The ceiling of what one custodian shares with an organisation or a kind of organisation."""

    __tablename__ = "agreement"
    __table_args__ = (
        CheckConstraint("(recipient_id IS NULL) <> (recipient_kind IS NULL)", name="one_recipient"),
        CheckConstraint("valid_from < valid_to", name="period"),
        Index(None, "custodian_id", "recipient_id"),
        Index(None, "recipient_id"),
        Index(None, "recipient_kind"),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    custodian_id: Mapped[str] = mapped_column(Id, ForeignKey("organisation.id"))
    recipient_id: Mapped[str | None] = mapped_column(Id, ForeignKey("organisation.id"))
    recipient_kind: Mapped[OrganisationKind | None]
    purposes: Mapped[list[str]]
    classes: Mapped[list[str]]
    consent_classes: Mapped[list[str]]
    legal_basis: Mapped[str]
    # the highest v3-Confidentiality of a row that it lets out
    confidentiality: Mapped[str] = mapped_column(default="N", server_default="N")
    # of the canonical form of what was published; null: from before there were drafts
    sha256: Mapped[str | None]
    retention_days: Mapped[int]
    valid_from: Mapped[datetime]
    valid_to: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    version: Mapped[int]
    created_at: Mapped[datetime]


class AgreementVersion(Base):
    """What an agreement says, said or may come to say, and the diff it was published with."""

    __tablename__ = "agreement_version"
    __table_args__ = (Index(None, "agreement_id"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    # null: a draft of a new agreement
    agreement_id: Mapped[str | None] = mapped_column(Id, ForeignKey("agreement.id"))
    # the agreement's version that it revises; 0 for a new one
    base: Mapped[int]
    content: Mapped[dict[str, Any]]
    sha256: Mapped[str]
    stage: Mapped[Stage]
    diff: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    drafted_by: Mapped[str] = mapped_column(Id)
    published_by: Mapped[str | None] = mapped_column(Id)
    published_at: Mapped[datetime | None]
    over_at: Mapped[datetime | None]
    version: Mapped[int]
    created_at: Mapped[datetime]


class Consent(Base):
    """What a person decided; `recipient_id` null speaks of whoever asks."""

    __tablename__ = "consent"
    __table_args__ = (
        Index(None, "custodian_id", "id"),
        Index(None, "recorded_by_id", "id"),
        Index(None, "person_id"),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    person_id: Mapped[str] = mapped_column(Id)
    custodian_id: Mapped[str] = mapped_column(Id, ForeignKey("organisation.id"))
    recorded_by_id: Mapped[str] = mapped_column(Id, ForeignKey("organisation.id"))
    # the first directive in columns; `directives` holds them all, empty: there is only this one
    recipient_id: Mapped[str | None] = mapped_column(Id, ForeignKey("organisation.id"))
    decision: Mapped[Decision]
    classes: Mapped[list[str]]
    purposes: Mapped[list[str]]
    valid_from: Mapped[datetime]
    valid_to: Mapped[datetime | None]
    directives: Mapped[list[Any]] = mapped_column(default=list, server_default=text("'[]'"))
    # what law it is written by, such as 42CFRPart2, and who signed it
    legal_basis: Mapped[str | None]
    signed_by: Mapped[str | None]
    # whom some directive permits by name
    recipients: Mapped[list[str]] = mapped_column(default=list, server_default=text("'[]'"))
    # the FHIR Consent as it came
    source: Mapped[dict[str, Any] | None]
    updated_at: Mapped[datetime | None]
    decided_at: Mapped[datetime]
    active: Mapped[bool]
    version: Mapped[int]
    created_at: Mapped[datetime]


class Grant(Base):
    """One reason under one agreement why a recipient may see something of a person."""

    __tablename__ = "grant_"
    __table_args__ = (
        UniqueConstraint("basis_id", "basis", "agreement_id", "custodian_id", "recipient_id"),
        Index(None, "custodian_id", "id"),
        Index(None, "recipient_id", "id"),
        Index(None, "recipient_id", "person_id"),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    custodian_id: Mapped[str] = mapped_column(Id)
    recipient_id: Mapped[str] = mapped_column(Id)
    person_id: Mapped[str] = mapped_column(Id)
    case_id: Mapped[str | None] = mapped_column(Id)
    agreement_id: Mapped[str] = mapped_column(Id, ForeignKey("agreement.id"))
    classes: Mapped[list[str]]
    purposes: Mapped[list[str]]
    # what the reason asks for, of which an agreement may allow less; null: all that is agreed
    wanted: Mapped[list[str] | None] = mapped_column(JSONB)
    basis: Mapped[Basis]
    basis_id: Mapped[str] = mapped_column(Id)
    # of a legal basis: the order, statute or request it follows
    reference: Mapped[str | None]
    valid_from: Mapped[datetime]
    valid_to: Mapped[datetime | None]
    version: Mapped[int]
    created_at: Mapped[datetime]


class Person(Base):
    """Replica: which organisation registered a person; no more is known here."""

    __tablename__ = "person"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    custodian_id: Mapped[str] = mapped_column(Id)


class CaseFile(Base):
    """Replica: whose case it is, about whom, how confidential, and whether it is sealed."""

    __tablename__ = "case_file"
    __table_args__ = (Index(None, "person_id"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    custodian_id: Mapped[str] = mapped_column(Id)
    person_id: Mapped[str] = mapped_column(Id)
    confidentiality: Mapped[str] = mapped_column(default="N", server_default="N")
    sealed_at: Mapped[datetime | None]


class EmergencyAccess(Base):
    """A person's decision overridden for some hours, and its review (42 CFR 2.51(c))."""

    __tablename__ = "emergency_access"
    __table_args__ = (
        Index(None, "custodian_id", "id"),
        Index(None, "requester_id", "id"),
        Index(
            "ix_emergency_access_open", "review_due_at", postgresql_where=text("outcome IS NULL")
        ),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    custodian_id: Mapped[str] = mapped_column(Id, ForeignKey("organisation.id"))
    requester_id: Mapped[str] = mapped_column(Id, ForeignKey("organisation.id"))
    person_id: Mapped[str] = mapped_column(Id)
    case_id: Mapped[str | None] = mapped_column(Id)
    client_id: Mapped[str] = mapped_column(Id)
    actor: Mapped[str]
    # where the request came from, as EHR-S FM TI.2.1.2.8 asks
    address: Mapped[str]
    purpose: Mapped[str]
    role: Mapped[str]
    reason_code: Mapped[Emergency]
    reason_text: Mapped[str]
    personnel_name: Mapped[str]
    personnel_affiliation: Mapped[str]
    discloser: Mapped[str]
    opened_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    ended_by_id: Mapped[str | None] = mapped_column(Id)
    review_due_at: Mapped[datetime]
    outcome: Mapped[Outcome | None]
    review_note: Mapped[str | None]
    reviewed_by: Mapped[str | None] = mapped_column(Id)
    reviewed_at: Mapped[datetime | None]
    version: Mapped[int]
    created_at: Mapped[datetime]


class AssertionUse(Base):
    """A client assertion that has been used: `jti` once for each `iss`, over all replicas."""

    __tablename__ = "assertion_use"
    __table_args__ = (Index(None, "expires_at"),)

    client_id: Mapped[str] = mapped_column(Id, primary_key=True)
    jti: Mapped[str] = mapped_column(Id, primary_key=True)
    expires_at: Mapped[datetime]


class RevokedToken(Base):
    __tablename__ = "revoked_token"
    __table_args__ = (Index(None, "expires_at"),)

    jti: Mapped[str] = mapped_column(Id, primary_key=True)
    expires_at: Mapped[datetime]


class ProofUse(Base):
    """A DPoP proof that has been used: `jti` once for each key, over all replicas."""

    __tablename__ = "proof_use"
    __table_args__ = (Index(None, "expires_at"),)

    thumbprint: Mapped[str] = mapped_column(Id, primary_key=True)
    jti: Mapped[str] = mapped_column(Id, primary_key=True)
    expires_at: Mapped[datetime]


class TrustedIssuer(Base):
    """An identity provider of an organisation, whose tokens name the organisation's workers."""

    __tablename__ = "trusted_issuer"
    __table_args__ = (
        UniqueConstraint("organisation_id", "issuer"),
        CheckConstraint("(jwks IS NULL) <> (jwks_uri IS NULL)", name="one_source"),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    organisation_id: Mapped[str] = mapped_column(Id, ForeignKey("organisation.id"))
    issuer: Mapped[str]
    audience: Mapped[str]
    jwks: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    jwks_uri: Mapped[str | None]
    algorithms: Mapped[list[str]]
    # the claim that names the worker to the organisation: a number, never a name or an address
    actor_claim: Mapped[str]
    active: Mapped[bool]
    version: Mapped[int]
    created_at: Mapped[datetime]


class RegistrationToken(Base):
    """An administrator's permission to register one client (RFC 7591 s3, initial access token)."""

    __tablename__ = "registration_token"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    organisation_id: Mapped[str] = mapped_column(Id, ForeignKey("organisation.id"))
    secret_hash: Mapped[str] = mapped_column(unique=True)
    scopes: Mapped[list[str]]
    purposes: Mapped[list[str]]
    sender_constraint: Mapped[SenderConstraint]
    expires_at: Mapped[datetime]
    client_id: Mapped[str | None] = mapped_column(Id, ForeignKey("client.id"))
    version: Mapped[int]
    created_at: Mapped[datetime]


class LedgerSegment(Base):
    """What one writer of the ledger writes, from its start to its end or first failure."""

    __tablename__ = "ledger_segment"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    opened_at: Mapped[datetime]


class LedgerEntry(Base):
    """One disclosure or refusal; never changed, never removed. The body is what is hashed."""

    __tablename__ = "ledger_entry"
    __table_args__ = (Index(None, "custodian_id", "at", "id"), Index(None, "person_id", "at"))

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    at: Mapped[datetime]
    custodian_id: Mapped[str | None] = mapped_column(Id)
    person_id: Mapped[str | None] = mapped_column(Id)
    organisation_id: Mapped[str] = mapped_column(Id)
    denied: Mapped[bool]
    classes: Mapped[int]
    body: Mapped[str]


class LedgerPeriod(Base):
    """A sealed part of the ledger: `statement` is a JWS over its root and the period before it."""

    __tablename__ = "ledger_period"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sealed_at: Mapped[datetime]
    size: Mapped[int]
    root: Mapped[str]
    statement: Mapped[str]
    # the public key it was signed with: keys are rotated, statements stay
    key: Mapped[dict[str, Any]]


class LedgerRange(Base):
    """Which entries of a segment a period seals; `first_leaf` is the first one's leaf in the tree.

    No foreign keys: to check one PostgreSQL locks the row, which takes the right to update it.
    """

    __tablename__ = "ledger_range"
    __table_args__ = (Index(None, "period", "first_leaf"),)

    segment: Mapped[str] = mapped_column(Id, primary_key=True)
    first: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    last: Mapped[int] = mapped_column(BigInteger)
    period: Mapped[int]
    first_leaf: Mapped[int]
