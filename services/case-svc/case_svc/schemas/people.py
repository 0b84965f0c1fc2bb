"""Parties, the care team and external numbers on the wire."""

from datetime import date, datetime
from typing import Self

from pydantic import model_validator
from svckit.http import In, Out

from case_svc.schemas.fields import (
    Code,
    Contact,
    Coordination,
    Identity,
    IdIn,
    InCaseOut,
    Line,
    OfParty,
)


class PartyIn(In):
    """Somebody with a role: a person of the network, an organisation, or a name."""

    role: Code
    name: Line | None = None
    person_id: IdIn | None = None
    organisation_id: IdIn | None = None
    phone: Line | None = None
    valid_from: date | None = None
    valid_to: date | None = None

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if not (self.name or self.person_id or self.organisation_id):
            raise ValueError("name, person_id or organisation_id says who it is")
        if self.valid_from and self.valid_to and self.valid_to < self.valid_from:
            raise ValueError("valid_to is not before valid_from")
        return self


class EndIn(In):
    on: date | None = None


class PartyOut(InCaseOut):
    version: OfParty[int | None] = None
    updated_at: OfParty[datetime | None] = None
    role: Coordination[str | None] = None
    organisation_id: Coordination[str | None] = None
    valid_from: Coordination[date | None] = None
    valid_to: Coordination[date | None] = None
    name: Identity[str | None] = None
    person_id: Identity[str | None] = None
    phone: Contact[str | None] = None


class PartyPage(Out):
    items: list[PartyOut]
    next: str | None


class MemberIn(In):
    organisation_id: IdIn
    role: Code
    worker: Line | None = None


class MemberOut(InCaseOut):
    organisation_id: Coordination[str | None] = None
    role: Coordination[str | None] = None
    worker: Coordination[str | None] = None
    joined_on: Coordination[date | None] = None
    left_on: Coordination[date | None] = None


class MemberPage(Out):
    items: list[MemberOut]
    next: str | None


class NumberIn(In):
    """The number another system knows the case by."""

    system: Line
    value: Code


class NumberOut(InCaseOut):
    system: Coordination[str | None] = None
    value: Coordination[str | None] = None


class NumberPage(Out):
    items: list[NumberOut]
    next: str | None
