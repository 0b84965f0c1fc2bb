"""Bodies in and out. Everything here is of the caller's own organisation: ids, codes, links."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from sharing import classed
from svckit.http import In, Out

from notify_svc.domain.attempts import Outcome, Status
from notify_svc.domain.kinds import is_filter

Envelope = classed("envelope")
Signature = Literal["v1", "v1a"]


def _known(pattern: str) -> str:
    if not is_filter(pattern):
        raise ValueError("names no event that is told; see contracts/events")
    return pattern


EventType = Annotated[str, Field(max_length=100), AfterValidator(_known)]
Url = Annotated[str, Field(min_length=8, max_length=2048)]
Description = Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")]


class EndpointIn(In):
    url: Url
    description: Description = ""
    event_types: list[EventType] = Field(
        default=[], max_length=50, description="`case.opened`, `case.*`; empty: every event"
    )
    enabled: bool = True
    signature: Signature = Field(
        default="v1", description="v1: shared secret (HMAC); v1a: public key (Ed25519)"
    )


class EndpointPatch(In):
    url: Url | None = None
    description: Description | None = None
    event_types: list[EventType] | None = Field(default=None, max_length=50)
    enabled: bool | None = None


class EndpointOut(Out):
    id: Annotated[str, Envelope]
    version: Annotated[int, Envelope]
    url: Annotated[str, Envelope]
    description: Annotated[str, Envelope]
    event_types: Annotated[list[str], Envelope, Field(validation_alias="kinds")]
    signature: Annotated[Signature, Envelope]
    enabled: Annotated[bool, Envelope]
    disabled_reason: Annotated[str | None, Envelope]
    last_success_at: Annotated[datetime | None, Envelope]
    created_at: Annotated[datetime, Envelope]
    updated_at: Annotated[datetime, Envelope]


class EndpointWithSecret(EndpointOut):
    """The only answer that holds the secret: a `whsec_` secret, or the `whpk_` public key."""

    secret: Annotated[str, Envelope]


class EndpointPage(Out):
    items: Annotated[list[EndpointOut], Envelope]
    next: Annotated[str | None, Envelope]


class AttemptOut(Out):
    id: Annotated[str, Envelope]
    number: Annotated[int, Envelope]
    started_at: Annotated[datetime, Envelope]
    ended_at: Annotated[datetime | None, Envelope]
    outcome: Annotated[Outcome, Envelope]
    response_status: Annotated[int | None, Envelope]
    error: Annotated[str | None, Envelope]


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


class EventData(Out):
    id: Annotated[str, Envelope]
    version: Annotated[int, Envelope]
    href: Annotated[str, Envelope]
    case_id: Annotated[str | None, Envelope]
    # of a Part 2 record (42 CFR 2.32); absent otherwise
    redisclosure_notice: Annotated[str | None, Envelope] = None


class EventOut(Out):
    seq: Annotated[int, Envelope]
    id: Annotated[str, Envelope]
    type: Annotated[str, Envelope]
    timestamp: Annotated[datetime, Envelope]
    data: Annotated[EventData, Envelope]


class FeedOut(Out):
    """`next_after` is where to go on, also when every event in between may no longer be seen."""

    items: Annotated[list[EventOut], Envelope]
    next_after: Annotated[int, Envelope]
    more: Annotated[bool, Envelope]
