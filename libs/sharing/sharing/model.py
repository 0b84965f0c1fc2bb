"""The facts a decision is made from, as values: rows of the replica without a database.

`version` of a record is the one its owner gave it; it names the source in an explanation.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from sharing.confidentiality import HIGHEST, NORMAL

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
    """What is asked for. `about_person`: the person's own record, which stands above every case.

    `referral_id`: the referral that the row is, or belongs to. `confidentiality` is a rank;
    `parties` are the organisations that, like the custodian, have a standing of their own.
    `program`: the custodian once more, where it is a Part 2 program.
    """

    custodian_id: str | None
    person_id: str | None
    case_id: str | None = None
    about_person: bool = False
    referral_id: str | None = None
    confidentiality: int = NORMAL
    parties: tuple[str, ...] = ()
    program: str | None = None


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a custodian may share at most with a recipient, or with every recipient of a kind.

    `confidentiality` is the highest rank of a row that it lets out.
    """

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
    confidentiality: int = NORMAL
    legal_basis: str | None = None
    version: str = "1"


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
    version: str = "1"


@dataclass(frozen=True, slots=True)
class Consent:
    """One directive of a person; `recipient_id` None: whoever asks.

    A consent of several directives is one record each, with ids `con_…`, `con_….1` and so on and one
    `decided_at`: of those the deepest counts. `confidentiality` is the highest rank it reaches.
    `case_id` None: every case, and what is under none. `part2`: it was written as 42 CFR 2.31 asks, in the name of that law.
    """

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
    version: str = "1"
    depth: int = 0
    confidentiality: int = HIGHEST
    case_id: str | None = None
    part2: bool = False


@dataclass(frozen=True, slots=True)
class Seal:
    """A case closed to everybody but its custodian, whatever was granted."""

    case_id: str
    custodian_id: str
    valid_from: datetime
    valid_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything known that may bear on a decision; more than needed does no harm."""

    agreements: Mapping[str, Agreement] = field(default_factory=dict)
    grants: tuple[Grant, ...] = ()
    consents: tuple[Consent, ...] = ()
    seals: tuple[Seal, ...] = ()
