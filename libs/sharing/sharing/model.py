"""The facts a decision is made from, as values: rows of the replica without a database."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

Basis = Literal["consent", "referral", "care-team", "treatment", "emergency", "legal"]


class Reader(Protocol):
    """Who asks; `svckit.identity.Caller` is one."""

    @property
    def organisation_id(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def purpose(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Organisation:
    """A partner as the replica knows it; as a reader it asks for one purpose."""

    organisation_id: str
    kind: str
    purpose: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """What is asked for. `about_person`: the person's own record, which stands above every case."""

    custodian_id: str | None
    person_id: str | None
    case_id: str | None = None
    about_person: bool = False


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a custodian may share at most with a recipient, or with every recipient of a kind."""

    id: str
    custodian_id: str
    recipient_id: str | None
    recipient_kind: str | None
    purposes: int
    classes: int
    consent_classes: int
    retention_days: int
    valid_from: datetime
    valid_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """One person's data of one custodian, opened to one recipient; `case_id` None: every case."""

    id: str
    custodian_id: str
    recipient_id: str
    person_id: str
    case_id: str | None
    agreement_id: str
    classes: int
    purposes: int
    basis: Basis
    basis_id: str
    valid_from: datetime
    valid_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class Consent:
    """One directive of a person; `recipient_id` None: whoever asks."""

    id: str
    person_id: str
    recipient_id: str | None
    decision: Literal["permit", "deny"]
    classes: int
    purposes: int
    valid_from: datetime
    valid_to: datetime | None
    decided_at: datetime
    active: bool = True


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything known that may bear on a decision; more than needed does no harm."""

    agreements: Mapping[str, Agreement] = field(default_factory=dict)
    grants: tuple[Grant, ...] = ()
    consents: tuple[Consent, ...] = ()
