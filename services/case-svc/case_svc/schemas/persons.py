"""Persons and client records on the wire."""

from datetime import date, datetime
from typing import Literal

from pydantic import Field
from svckit.http import In, Out

from case_svc.schemas.fields import (
    Code,
    Contact,
    Envelope,
    Financial,
    Identity,
    Line,
    OfRecord,
    RowOut,
    Safety,
)

# FHIR R4 administrative-gender
Gender = Literal["male", "female", "other", "unknown"]


class AddressIn(In):
    line: Line | None = None
    city: Line | None = None
    state: Line | None = None
    postal_code: Line | None = None
    country: Line | None = None


class IdentifierIn(In):
    system: Line
    value: Code


class RecordIn(In):
    """An organisation's own client record of a person."""

    number: Code | None = None
    family_name: Line | None = None
    given_name: Line | None = None
    birth_date: date | None = None
    gender: Gender | None = None
    language: Code | None = None
    phone: Line | None = None
    email: Line | None = None
    address: AddressIn | None = None
    identifiers: list[IdentifierIn] = Field(default=[], max_length=20)
    member_number: Code | None = None
    contact_prohibited: bool = False
    # address, phone and e-mail are shown to those alone who also see the person's safety
    address_confidential: bool = False
    # shown to everybody else in place of the address, such as a programme's post box
    substitute_address: AddressIn | None = None


class RecordPatch(RecordIn):
    """What is left out stays as it is; null empties."""


class AddressOut(Out):
    line: Envelope[str | None] = None
    city: Envelope[str | None] = None
    state: Envelope[str | None] = None
    postal_code: Envelope[str | None] = None
    country: Envelope[str | None] = None


class IdentifierOut(Out):
    system: Envelope[str]
    value: Envelope[str]


class RecordOut(RowOut):
    version: OfRecord[int | None] = None
    updated_at: OfRecord[datetime | None] = None
    person_id: Envelope[str]
    number: Identity[str | None] = None
    family_name: Identity[str | None] = None
    given_name: Identity[str | None] = None
    birth_date: Identity[date | None] = None
    gender: Identity[Gender | None] = None
    identifiers: Identity[list[IdentifierOut] | None] = None
    language: Contact[str | None] = None
    phone: Contact[str | None] = None
    email: Contact[str | None] = None
    address: Contact[AddressOut | None] = None
    # whoever can contact the person must see that the person must not be contacted
    contact_prohibited: Contact[bool | None] = None
    address_confidential: Safety[bool | None] = None
    substitute_address: Safety[AddressOut | None] = None
    member_number: Financial[str | None] = None


class PersonOut(Out):
    id: Envelope[str]
    created_at: Envelope[datetime]
    records: Envelope[list[RecordOut]]


class PersonPage(Out):
    items: list[PersonOut]
    next: str | None
