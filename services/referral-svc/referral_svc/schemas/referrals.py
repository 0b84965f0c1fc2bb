"""Referrals at the edge. Status strings are FHIR R4 Task.status and ServiceRequest.status."""

from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, StringConstraints, model_validator
from sharing import classed
from svckit.http import In, Instant, Out

from referral_svc.domain.needs import NeedCategory
from referral_svc.domain.referral import NeedMet, Party, Priority, RequestStatus, Status

Short = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Words = Annotated[str, StringConstraints(min_length=1, max_length=4000)]


def _id(prefix: str) -> StringConstraints:
    return StringConstraints(pattern=rf"^{prefix}_[0-9a-hjkmnp-tv-z]{{26}}$")


CaseId = Annotated[str, _id("cas")]
PersonId = Annotated[str, _id("per")]
NeedId = Annotated[str, _id("nee")]
ServiceId = Annotated[str, _id("svc")]
OrganisationId = Annotated[str, _id("org")]
DocumentId = Annotated[str, _id("doc")]


class Activity(In):
    """A coded activity (FHIR CodeableConcept), such as SNOMED CT 467771000124109."""

    system: Short | None = None
    code: Short | None = None
    text: Words | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.code or self.text):
            raise ValueError("an activity has a code or a text")
        return self


class ReferralIn(In):
    """From the caller to a directory service, or to an organisation as a whole."""

    service_id: ServiceId | None = None
    owner_id: OrganisationId | None = None
    case_id: CaseId
    person_id: PersonId
    need_id: NeedId | None = None
    need_category: NeedCategory = NeedCategory.UNSPECIFIED
    priority: Priority = Priority.ROUTINE
    reason: Words | None = None
    requested_activity: Activity | None = None
    contacting_subject_prohibited: bool = False
    requester_number: Short | None = None
    accept_by: Instant | None = None
    start_by: Instant | None = None
    document_ids: list[DocumentId] = Field(default_factory=list, max_length=50)
    status: Literal["draft", "requested"] = "requested"

    @model_validator(mode="after")
    def _has_a_target(self) -> Self:
        if not (self.service_id or self.owner_id):
            raise ValueError("name a service_id or an owner_id")
        return self


class ReferralChange(In):
    """Each side's own number and, for the owner, the business status of visits."""

    requester_number: Short | None = None
    owner_number: Short | None = None
    business_status: Short | None = None


class MoveIn(In):
    reason: Words | None = None


class OutcomeIn(In):
    """What came of it: at least one member (Gravity: at least one Task.output)."""

    activity: Activity | None = None
    text: Words | None = None
    need_met: NeedMet | None = None
    code: Short | None = None


class CompleteIn(In):
    outcome: OutcomeIn | None = None
    reason: Words | None = None


class MessageIn(In):
    text: Words


class ActivityOut(Out):
    system: Annotated[str | None, classed("envelope")] = None
    code: Annotated[str | None, classed("envelope")] = None
    text: Annotated[str | None, classed("envelope")] = None


class OutcomeOut(Out):
    activity: Annotated[ActivityOut | None, classed("outcome")] = None
    text: Annotated[str | None, classed("outcome")] = None
    need_met: Annotated[NeedMet | None, classed("outcome")] = None
    code: Annotated[str | None, classed("outcome")] = None


# what moves with each change: to who sees a part it would tell of changes of the rest
_WHOLE = classed("coordination", "needs", "outcome")


class ReferralOut(Out):
    id: Annotated[str, classed("envelope")]
    version: Annotated[int | None, _WHOLE] = None
    case_id: Annotated[str, classed("envelope")]
    person_id: Annotated[str, classed("envelope")]
    status: Annotated[Status | None, classed("outcome")] = None
    request_status: Annotated[RequestStatus | None, classed("outcome")] = None
    outcome: Annotated[OutcomeOut | None, classed("outcome")] = None
    updated_at: Annotated[AwareDatetime | None, _WHOLE] = None
    custodian_id: Annotated[str | None, classed("coordination")] = None
    requester_id: Annotated[str | None, classed("coordination")] = None
    owner_id: Annotated[str | None, classed("coordination")] = None
    service_id: Annotated[str | None, classed("coordination")] = None
    need_id: Annotated[str | None, classed("needs")] = None
    need_category: Annotated[NeedCategory | None, classed("needs")] = None
    reason: Annotated[str | None, classed("needs")] = None
    requested_activity: Annotated[ActivityOut | None, classed("needs")] = None
    status_reason: Annotated[str | None, classed("coordination")] = None
    business_status: Annotated[str | None, classed("coordination")] = None
    priority: Annotated[Priority | None, classed("coordination")] = None
    contacting_subject_prohibited: Annotated[bool | None, classed("coordination")] = None
    requester_number: Annotated[str | None, classed("coordination")] = None
    owner_number: Annotated[str | None, classed("coordination")] = None
    document_ids: Annotated[list[str] | None, classed("coordination")] = None
    accept_by: Annotated[AwareDatetime | None, classed("coordination")] = None
    start_by: Annotated[AwareDatetime | None, classed("coordination")] = None
    overdue: Annotated[bool | None, classed("coordination")] = None
    requested_at: Annotated[AwareDatetime | None, classed("coordination")] = None
    created_at: Annotated[AwareDatetime | None, classed("coordination")] = None


class TransitionOut(Out):
    # counts the changes between the moves as well
    version: Annotated[int | None, classed("coordination", "outcome")] = None
    at: Annotated[AwareDatetime, classed("envelope")]
    from_status: Annotated[Status | None, classed("outcome")] = None
    to_status: Annotated[Status | None, classed("outcome")] = None
    party: Annotated[Party | None, classed("coordination")] = None
    organisation_id: Annotated[str | None, classed("coordination")] = None
    actor: Annotated[str | None, classed("coordination")] = None
    reason: Annotated[str | None, classed("coordination")] = None


class MessageOut(Out):
    id: Annotated[str, classed("envelope")]
    version: Annotated[int, classed("envelope")]
    referral_id: Annotated[str, classed("envelope")]
    sent_at: Annotated[AwareDatetime, classed("notes")]
    sender_id: Annotated[str, classed("notes")]
    actor: Annotated[str, classed("notes")]
    text: Annotated[str, classed("notes")]


class ReferralPage(Out):
    items: list[ReferralOut]
    next: str | None = None


class TransitionPage(Out):
    items: list[TransitionOut]
    next: str | None = None


class MessagePage(Out):
    items: list[MessageOut]
    next: str | None = None


class CountOut(Out):
    count: int
