"""Bodies of reviewed agreements, of explanations, previews and simulations."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator
from svckit.http import In, Out

from gateway.domain import Stage
from gateway.schemas import AgreementTerms, AnyId, ClassName, Digest, Open

Label = Annotated[str, StringConstraints(pattern="^[A-Z0-9]{2,12}$")]


class DraftIn(AgreementTerms):
    # the agreement it revises; left out: a new one
    agreement_id: AnyId | None = None


class PublishIn(In):
    # of the simulated difference that was seen
    diff: Digest | None = None


class DraftOut(Out):
    id: Annotated[str, Open]
    agreement_id: Annotated[str | None, Open]
    base: Annotated[int, Open]
    stage: Annotated[Stage, Open]
    sha256: Annotated[str, Open]
    content: Annotated[dict[str, Any], Open]
    diff: Annotated[dict[str, Any] | None, Open]
    drafted_by: Annotated[str, Open]
    published_by: Annotated[str | None, Open]
    published_at: Annotated[datetime | None, Open]
    over_at: Annotated[datetime | None, Open]
    version: Annotated[int, Open]
    created_at: Annotated[datetime, Open]


class TermOut(Out):
    """A member of the text that changes."""

    field: Annotated[str, Open]
    before: Annotated[Any, Open]
    after: Annotated[Any, Open]


class ViewOut(Out):
    """One row somebody gains or loses classes of; `case_id` null is the person's own record."""

    custodian_id: Annotated[str, Open]
    person_id: Annotated[str, Open]
    case_id: Annotated[str | None, Open]
    classes: Annotated[list[str], Open]


class ShareOut(Out):
    """What one recipient gains or loses for one purpose, counted, with a sample by id."""

    recipient_id: Annotated[str, Open]
    purpose: Annotated[str, Open]
    persons: Annotated[int, Open]
    person_records: Annotated[int, Open]
    cases: Annotated[int, Open]
    # class -> in how many rows
    classes: Annotated[dict[str, int], Open]
    # resource -> the fields of those classes
    fields: Annotated[dict[str, list[str]], Open]
    sample: Annotated[list[ViewOut], Open]


class MayOut(Out):
    """What a kind of organisation may gain and lose for a purpose, and by which part of a policy."""

    kind: Annotated[str, Open]
    purpose: Annotated[str, Open]
    gains: Annotated[list[str], Open]
    loses: Annotated[list[str], Open]
    because: Annotated[str, Open]
    named: Annotated[str | None, Open]


class DiffOut(Out):
    """What a change lets whom see and no longer see, over what is there now."""

    digest: Annotated[str, Open]
    widens: Annotated[bool, Open]
    terms: Annotated[list[TermOut], Open]
    # of a policy
    may: Annotated[list[MayOut], Open]
    gains: Annotated[list[ShareOut], Open]
    loses: Annotated[list[ShareOut], Open]


class PreviewIn(In):
    recipient_id: AnyId
    # one of the two; a case names its person
    person_id: AnyId | None = None
    case_id: AnyId | None = None
    # whose records; left out: who registered the person or opened the case
    custodian_id: AnyId | None = None
    # what is about to be sent; `current`: what is seen as things stand
    sending: Literal["referral", "document", "current"] = "referral"
    # of the document
    data_class: ClassName | None = None
    labels: Annotated[list[Label], Field(max_length=20)] = Field(default_factory=list)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.person_id is None) == (self.case_id is None):
            raise ValueError("exactly one of person_id and case_id is needed")
        if (self.sending == "document") != (self.data_class is not None):
            raise ValueError("data_class is needed for a document and for nothing else")
        return self


class SimulateIn(In):
    """One change to try: an agreement's text, an agreement's end, or another policy's YAML."""

    agreement: DraftIn | None = None
    end_agreement_id: AnyId | None = None
    policy: Annotated[str, StringConstraints(max_length=100_000)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (
            sum(one is not None for one in (self.agreement, self.end_agreement_id, self.policy))
            != 1
        ):
            raise ValueError("exactly one of agreement, end_agreement_id and policy is needed")
        return self


class ExplainOut(Out):
    """Why an organisation sees of a row what it sees; `reasons` for who may know them."""

    custodian_id: Annotated[str, Open]
    person_id: Annotated[str, Open]
    case_id: Annotated[str | None, Open]
    # where one row is asked about
    row_id: Annotated[str | None, Open] = None
    resource: Annotated[str, Open]
    recipient_id: Annotated[str, Open]
    purpose: Annotated[str, Open]
    visible: Annotated[bool, Open]
    outcome: Annotated[str, Open]
    classes: Annotated[list[str], Open]
    fields: Annotated[list[str], Open]
    hidden_fields: Annotated[list[str] | None, Open]
    reasons: Annotated[dict[str, Any] | None, Open]


class SeenOut(Out):
    organisation_id: Annotated[str, Open]
    kind: Annotated[str, Open]
    # empty for who needs none: the custodian, a party
    purpose: Annotated[str, Open]
    classes: Annotated[list[str], Open]
    fields: Annotated[list[str], Open]


class WhoOut(Out):
    custodian_id: Annotated[str, Open]
    person_id: Annotated[str, Open]
    case_id: Annotated[str | None, Open]
    # where one row is asked about
    row_id: Annotated[str | None, Open] = None
    resource: Annotated[str, Open]
    seen_by: Annotated[list[SeenOut], Open]


class WhatOut(Out):
    recipient_id: Annotated[str, Open]
    sees: Annotated[list[ShareOut], Open]


class PreviewedOut(Out):
    """What a recipient gets when it asks for this purpose, once this has happened."""

    stage: Annotated[str, Open]
    purpose: Annotated[str, Open]
    classes: Annotated[list[str], Open]
    # resource -> fields; a row's labels and kind may ask for more
    resources: Annotated[dict[str, list[str]], Open]


class PreviewOut(Out):
    recipient_id: Annotated[str, Open]
    custodian_id: Annotated[str, Open]
    person_id: Annotated[str, Open]
    case_id: Annotated[str | None, Open]
    # what the recipient gets of what is sent itself, as one of its two sides
    sent: Annotated[dict[str, list[str]], Open]
    gets: Annotated[list[PreviewedOut], Open]


class PolicyOut(Out):
    """A policy that may be published; `sha256` is its version."""

    id: Annotated[str, Open]
    sha256: Annotated[str, Open]
    content: Annotated[dict[str, Any], Open]
    drafted_by: Annotated[str, Open]
    created_at: Annotated[datetime, Open]


class PublicationOut(Out):
    """A policy put in force, until the next number."""

    number: Annotated[int, Open]
    policy_id: Annotated[str, Open]
    sha256: Annotated[str, Open]
    # digest of the difference that was seen, whether it widened, how many views it opened and closed
    diff: Annotated[dict[str, Any], Open]
    published_by: Annotated[str, Open]
    published_at: Annotated[datetime, Open]


class InForceOut(Out):
    """The policy in force; `publication` null: the release's own, for nothing was published."""

    sha256: Annotated[str, Open]
    content: Annotated[dict[str, Any], Open]
    publication: Annotated[PublicationOut | None, Open]
