"""Bodies of emergency accesses."""

from datetime import datetime
from typing import Annotated

from pydantic import StringConstraints
from svckit.http import In, Out

from gateway.domain import Emergency, Outcome, Review
from gateway.schemas import AnyId, Name, Open

Words = Annotated[str, StringConstraints(min_length=1, max_length=2000)]


class EmergencyAccessIn(In):
    """42 CFR 2.51(c): who is told, where they work, who discloses, and what the emergency is."""

    custodian_id: AnyId
    person_id: AnyId
    # left out: every case the custodian has of this person
    case_id: AnyId | None = None
    reason_code: Emergency
    reason_text: Words
    role: Name
    personnel_name: Name
    personnel_affiliation: Name
    # left out: the custodian, by rule
    discloser: Name | None = None


class ReviewIn(In):
    outcome: Outcome
    note: Words


class EmergencyAccessOut(Out):
    id: Annotated[str, Open]
    custodian_id: Annotated[str, Open]
    requester_id: Annotated[str, Open]
    person_id: Annotated[str, Open]
    case_id: Annotated[str | None, Open]
    client_id: Annotated[str, Open]
    actor: Annotated[str, Open]
    address: Annotated[str, Open]
    purpose: Annotated[str, Open]
    role: Annotated[str, Open]
    reason_code: Annotated[Emergency, Open]
    reason_text: Annotated[str, Open]
    personnel_name: Annotated[str, Open]
    personnel_affiliation: Annotated[str, Open]
    discloser: Annotated[str, Open]
    opened_at: Annotated[datetime, Open]
    ends_at: Annotated[datetime, Open]
    ended_by_id: Annotated[str | None, Open]
    review: Annotated[Review, Open]
    review_due_at: Annotated[datetime, Open]
    outcome: Annotated[Outcome | None, Open]
    review_note: Annotated[str | None, Open]
    reviewed_by: Annotated[str | None, Open]
    reviewed_at: Annotated[datetime | None, Open]
    version: Annotated[int, Open]
    created_at: Annotated[datetime, Open]
