"""What crosses the edge.

Every field is envelope: a document is visible only to those who hold all the classes it needs, so
that its row is the unit that the policy shows or hides.
"""

from datetime import datetime
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator
from sharing import classed
from sharing.confidentiality import Confidentiality
from sharing.labels import Label
from svckit.http import In, Out
from svckit.ids import PATTERN

from document_svc.domain import MEDIA_TYPE, Anchor, DataClass, Status

Ident = Annotated[str, StringConstraints(pattern=PATTERN)]
# no control characters: PostgreSQL cannot store NUL, and no other belongs into a title
Title = Annotated[
    str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")
]
Type = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"),
    Field(description="Kind of document; LOINC where it exists", examples=["18842-5"]),
]
MediaType = Annotated[str, StringConstraints(max_length=100, pattern=MEDIA_TYPE)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Labels = Annotated[tuple[Label, ...], Field(max_length=len(Label))]

# moves also when the document is attached to what others may not know of
_CUSTODIANS = Field(json_schema_extra={"x-custodian-only": True})
_EITHER = "Name exactly one of case_id and referral_id."


class AttachIn(In):
    """One case, or one referral."""

    case_id: Ident | None = None
    referral_id: Ident | None = None

    @model_validator(mode="after")
    def exactly_one(self) -> Self:
        if (self.case_id is None) == (self.referral_id is None):
            raise ValueError(_EITHER)
        return self


class DocumentIn(AttachIn):
    """The metadata of a document; its content follows with PUT /v1/documents/{id}/content."""

    title: Title
    type: Type
    data_class: DataClass
    labels: Labels = ()
    confidentiality: Confidentiality = Confidentiality.NORMAL
    content_type: MediaType
    sha256: Sha256 | None = None
    size_bytes: Annotated[int, Field(ge=1, le=2**53)] | None = None


class DocumentPatch(In):
    """What is left out stays; null is refused."""

    title: Title = ""
    type: Type = ""
    data_class: DataClass = DataClass.CLINICAL
    labels: Labels = ()
    confidentiality: Confidentiality = Confidentiality.NORMAL

    @model_validator(mode="after")
    def something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("Name at least one field to change.")
        return self


class WithdrawIn(In):
    """Why the document is withdrawn, in the words of FHIR R4 DocumentReference.status."""

    reason: Annotated[Status, Field(json_schema_extra={"enum": ["superseded", "entered-in-error"]})]

    @model_validator(mode="after")
    def final(self) -> Self:
        if self.reason not in (Status.SUPERSEDED, Status.ENTERED_IN_ERROR):
            raise ValueError("The reason is superseded or entered-in-error.")
        return self


class LinkOut(Out):
    anchor: Annotated[Anchor, classed("envelope")]
    id: Annotated[str, classed("envelope")]
    href: Annotated[str, classed("envelope")]


class ContentOut(Out):
    """One immutable version of the bytes; `sha256` is its ETag."""

    number: Annotated[int, classed("envelope")]
    content_type: Annotated[str, classed("envelope")]
    size_bytes: Annotated[int, classed("envelope")]
    sha256: Annotated[str, classed("envelope")]
    recorded_at: Annotated[datetime, classed("envelope")]
    href: Annotated[str, classed("envelope")]


class Part2Out(Out):
    """What goes with a Part 2 record (42 CFR 2.32): notice, and the consent that lets it out.

    Absent from every other document.
    """

    redisclosure_notice: Annotated[str | None, classed("envelope")] = None
    redisclosure_consent: Annotated[str | None, classed("envelope")] = None
    # as-hipaa-permits or by-consent-only (42 CFR 2.33(b))
    redisclosure_rule: Annotated[str | None, classed("envelope")] = None


class ContentWithNotice(ContentOut, Part2Out):
    """A content in a list of its own."""


class DocumentOut(Part2Out):
    """`content` is null until the first content; `attached_to` names what the caller may know of."""

    id: Annotated[str, classed("envelope")]
    version: Annotated[int | None, classed("envelope"), _CUSTODIANS] = None
    custodian_id: Annotated[str, classed("envelope")]
    person_id: Annotated[str, classed("envelope")]
    status: Annotated[Status, classed("envelope")]
    type: Annotated[str, classed("envelope")]
    title: Annotated[str, classed("envelope")]
    data_class: Annotated[DataClass, classed("envelope")]
    labels: Annotated[list[Label], classed("envelope")]
    confidentiality: Annotated[Confidentiality, classed("envelope")]
    attached_to: Annotated[list[LinkOut], classed("envelope")]
    content: Annotated[ContentOut | None, classed("envelope")]
    recorded_at: Annotated[datetime, classed("envelope")]
    updated_at: Annotated[datetime | None, classed("envelope"), _CUSTODIANS] = None


class DocumentPage(Out):
    items: list[DocumentOut]
    next: str | None


class ContentPage(Out):
    items: list[ContentWithNotice]
    next: str | None


class Count(Out):
    count: int
