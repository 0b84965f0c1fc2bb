"""Bodies of the gateway's resources. Unknown fields are refused; times carry an offset."""

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

import sharing
from pydantic import Field, StringConstraints, model_validator
from sharing.classes import NAMES
from sharing.confidentiality import CODES as CONFIDENTIALITIES
from sharing.purposes import CODES
from svckit.http import In, Instant, Out
from svckit.ids import PATTERN

from gateway.domain import (
    Algorithm,
    Basis,
    Decision,
    OrganisationKind,
    Scope,
    SenderConstraint,
)

Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
AnyId = Annotated[str, StringConstraints(pattern=PATTERN)]


def _choice(*values: str) -> StringConstraints:
    return StringConstraints(pattern=f"^(?:{'|'.join(values)})$")


ClassName = Annotated[str, _choice(*NAMES)]
PurposeCode = Annotated[str, _choice(*CODES)]
Classes = Annotated[list[ClassName], Field(min_length=1, max_length=len(NAMES))]
Purposes = Annotated[list[PurposeCode], Field(min_length=1, max_length=len(CODES))]
Open = sharing.classed("envelope")


Item = TypeVar("Item")


class OrganisationIn(In):
    kind: OrganisationKind
    name: Name
    # keeps Part 2 records: a federally assisted program that treats substance use (42 CFR 2.11)
    part2_program: bool = False


class OrganisationPatch(In):
    """What is left out stays."""

    name: Name | None = None
    part2_program: bool | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.name is None and self.part2_program is None:
            raise ValueError("give name or part2_program")
        return self


class OrganisationOut(Out):
    id: Annotated[str, Open]
    kind: Annotated[OrganisationKind, Open]
    name: Annotated[str, Open]
    part2_program: Annotated[bool, Open]
    version: Annotated[int, Open]
    created_at: Annotated[datetime, Open]


class JwkSet(In):
    """RFC 7517 set of public keys: RSA of 2048 bits and more, P-256, P-384, Ed25519."""

    keys: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=10)]


JwksUri = Annotated[str, StringConstraints(max_length=500)]


class ClientIn(In):
    organisation_id: AnyId
    name: Name
    jwks: JwkSet | None = None
    # where the keys are, in place of `jwks`: https on a public address
    jwks_uri: JwksUri | None = None
    algorithms: Annotated[list[Algorithm], Field(min_length=1, max_length=4)] = Field(
        default_factory=lambda: list(Algorithm)
    )
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(Scope))]
    # the first is the one a token gets when none is asked for
    purposes: Purposes
    # what its tokens are bound to: nothing, a key (RFC 9449), a certificate (RFC 8705)
    sender_constraint: SenderConstraint = SenderConstraint.NONE
    sandbox: bool = False

    @model_validator(mode="after")
    def _some_credential(self) -> Self:
        if self.jwks and self.jwks_uri:
            raise ValueError("give jwks or jwks_uri, not both")
        if not (self.jwks or self.jwks_uri or self.sandbox):
            raise ValueError("jwks or jwks_uri is needed unless the client is marked sandbox")
        return self


class KeysPatch(In):
    """Either takes the place of the other."""

    jwks: JwkSet | None = None
    jwks_uri: JwksUri | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.jwks and self.jwks_uri:
            raise ValueError("give jwks or jwks_uri, not both")
        return self


class ClientPatch(KeysPatch):
    """What is left out stays; `active` false ends the client and its tokens within a second."""

    name: Name | None = None
    algorithms: Annotated[list[Algorithm], Field(min_length=1, max_length=4)] | None = None
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(Scope))] | None = None
    purposes: Purposes | None = None
    sender_constraint: SenderConstraint | None = None
    active: bool | None = None
    # requests a window of its own; 0 puts it back under its organisation's
    rate_limit: Annotated[int, Field(ge=0, le=100_000_000)] | None = None


class ClientOut(Out):
    id: Annotated[str, Open]
    organisation_id: Annotated[str, Open]
    name: Annotated[str, Open]
    jwks: Annotated[dict[str, Any], Open]
    jwks_uri: Annotated[str | None, Open]
    algorithms: Annotated[list[str], Open]
    scopes: Annotated[list[str], Open]
    purposes: Annotated[list[str], Open]
    sender_constraint: Annotated[SenderConstraint, Open]
    sandbox: Annotated[bool, Open]
    active: Annotated[bool, Open]
    rate_limit: Annotated[int | None, Open] = None
    version: Annotated[int, Open]
    created_at: Annotated[datetime, Open]


class NewClientOut(ClientOut):
    # of a sandbox client, in the answer to the request that made it and never again
    client_secret: Annotated[str | None, Open] = None


class AgreementTerms(In):
    """What an agreement says; its version is the SHA-256 of the canonical form of these."""

    custodian_id: AnyId
    recipient_id: AnyId | None = None
    recipient_kind: OrganisationKind | None = None
    purposes: Purposes
    classes: Classes
    # of the classes, those that need the person's permit on top
    consent_classes: Annotated[list[ClassName], Field(max_length=len(NAMES))] = Field(
        default_factory=list
    )
    legal_basis: Annotated[str, StringConstraints(max_length=200)] = ""
    # the highest v3-Confidentiality of a row that it lets out
    confidentiality: Annotated[str, _choice(*CONFIDENTIALITIES)] = "N"
    retention_days: Annotated[int, Field(ge=0, le=3650)] = 30
    valid_from: Instant | None = None
    valid_to: Instant | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.recipient_id is None) == (self.recipient_kind is None):
            raise ValueError("exactly one of recipient_id and recipient_kind is needed")
        if not set(self.consent_classes) <= set(self.classes):
            raise ValueError("consent_classes must be among classes")
        if self.recipient_id == self.custodian_id:
            raise ValueError("an agreement needs two organisations")
        _check_period(self.valid_from, self.valid_to)
        return self


Digest = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]


class AgreementIn(AgreementTerms):
    # of the simulated difference, when it lets somebody see more
    diff: Digest | None = None


class AgreementOut(Out):
    id: Annotated[str, Open]
    custodian_id: Annotated[str, Open]
    recipient_id: Annotated[str | None, Open]
    recipient_kind: Annotated[OrganisationKind | None, Open]
    purposes: Annotated[list[str], Open]
    classes: Annotated[list[str], Open]
    consent_classes: Annotated[list[str], Open]
    legal_basis: Annotated[str, Open]
    confidentiality: Annotated[str, Open]
    sha256: Annotated[str | None, Open]
    retention_days: Annotated[int, Open]
    valid_from: Annotated[datetime, Open]
    valid_to: Annotated[datetime | None, Open]
    ended_at: Annotated[datetime | None, Open]
    version: Annotated[int, Open]
    created_at: Annotated[datetime, Open]


class ConsentIn(In):
    person_id: AnyId
    # left out: whoever asks
    recipient_id: AnyId | None = None
    decision: Decision
    # a deny that names none denies everything
    classes: Annotated[list[ClassName], Field(max_length=len(NAMES))] = Field(default_factory=list)
    purposes: Annotated[list[PurposeCode], Field(max_length=len(CODES))] = Field(
        default_factory=list
    )
    valid_from: Instant | None = None
    valid_to: Instant | None = None
    # when the person decided; the newest decision wins
    decided_at: Instant | None = None
    # the law it is written by: then it has what 42 CFR 2.31(a) asks for, or is refused
    legal_basis: Literal["42CFRPart2"] | None = None
    signed_by: Literal["patient", "representative"] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.decision == Decision.PERMIT and not (self.classes and self.purposes):
            raise ValueError("a permit names its classes and purposes")
        _check_period(self.valid_from, self.valid_to)
        return self


class DirectiveOut(Out):
    """One thing a consent says; the deepest that reaches a request decides, at equal depth the deny."""

    decision: Annotated[Decision, Open]
    depth: Annotated[int, Open]
    recipient_id: Annotated[str | None, Open]
    purposes: Annotated[list[str], Open]
    classes: Annotated[list[str], Open]
    # v3-Confidentiality: reaches what is at most this confidential
    confidentiality: Annotated[str, Open]
    # left out: every case, and what is under none
    case_id: Annotated[str | None, Open] = None
    valid_from: Annotated[datetime, Open]
    valid_to: Annotated[datetime | None, Open]


class ConsentOut(Out):
    id: Annotated[str, Open]
    person_id: Annotated[str, Open]
    custodian_id: Annotated[str, Open]
    recorded_by_id: Annotated[str, Open]
    recipient_id: Annotated[str | None, Open]
    decision: Annotated[Decision, Open]
    classes: Annotated[list[str], Open]
    purposes: Annotated[list[str], Open]
    valid_from: Annotated[datetime, Open]
    valid_to: Annotated[datetime | None, Open]
    directives: Annotated[list[DirectiveOut], Open]
    legal_basis: Annotated[str | None, Open]
    signed_by: Annotated[str | None, Open]
    decided_at: Annotated[datetime, Open]
    active: Annotated[bool, Open]
    version: Annotated[int, Open]
    created_at: Annotated[datetime, Open]


class GrantOut(Out):
    id: Annotated[str, Open]
    custodian_id: Annotated[str, Open]
    recipient_id: Annotated[str, Open]
    person_id: Annotated[str, Open]
    case_id: Annotated[str | None, Open]
    agreement_id: Annotated[str, Open]
    classes: Annotated[list[str], Open]
    purposes: Annotated[list[str], Open]
    basis: Annotated[Basis, Open]
    basis_id: Annotated[str, Open]
    reference: Annotated[str | None, Open]
    valid_from: Annotated[datetime, Open]
    valid_to: Annotated[datetime | None, Open]
    version: Annotated[int, Open]
    created_at: Annotated[datetime, Open]


class PageOut(Out, Generic[Item]):
    items: list[Item]
    next: str | None


def _check_period(starts: datetime | None, ends: datetime | None) -> None:
    if ends and starts and ends <= starts:
        raise ValueError("valid_to must be after valid_from")
