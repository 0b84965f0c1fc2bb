"""Deliveries and their attempts."""

from datetime import datetime
from typing import Annotated

from svckit.http import Out

from notify_svc.domain.attempts import Outcome, Status
from notify_svc.schemas.fields import Envelope


class AttemptOut(Out):
    id: Annotated[str, Envelope]
    number: Annotated[int, Envelope]
    started_at: Annotated[datetime, Envelope]
    ended_at: Annotated[datetime | None, Envelope]
    duration_ms: Annotated[int | None, Envelope]
    outcome: Annotated[Outcome, Envelope]
    response_status: Annotated[int | None, Envelope]
    error: Annotated[str | None, Envelope]


class LoggedAttempt(AttemptOut):
    """An attempt with what it was to deliver, and where."""

    delivery_id: Annotated[str, Envelope]
    endpoint_id: Annotated[str, Envelope]
    event_id: Annotated[str, Envelope]
    event_type: Annotated[str, Envelope]


class AttemptPage(Out):
    items: Annotated[list[LoggedAttempt], Envelope]
    next: Annotated[str | None, Envelope]


class DeliveryOut(Out):
    id: Annotated[str, Envelope]
    endpoint_id: Annotated[str, Envelope]
    event_id: Annotated[str, Envelope]
    event_type: Annotated[str, Envelope]
    status: Annotated[Status, Envelope]
    reason: Annotated[str | None, Envelope]
    attempt_count: Annotated[int, Envelope]
    next_attempt_at: Annotated[datetime | None, Envelope]
    created_at: Annotated[datetime, Envelope]
    ended_at: Annotated[datetime | None, Envelope]


class DeliveryDetail(DeliveryOut):
    attempts: Annotated[list[AttemptOut], Envelope]


class DeliveryPage(Out):
    items: Annotated[list[DeliveryOut], Envelope]
    next: Annotated[str | None, Envelope]
