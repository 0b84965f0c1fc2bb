"""Webhook endpoints."""

from datetime import datetime
from typing import Annotated

from pydantic import BeforeValidator, Field
from svckit.http import In, Out

from notify_svc.domain.health import Breaker, p95_ms
from notify_svc.domain.standing import State
from notify_svc.schemas.fields import (
    Description,
    Envelope,
    EventType,
    Ordering,
    Rate,
    Signature,
    Url,
)
from notify_svc.schemas.filters import FiltersIn, FiltersOut
from notify_svc.schemas.transport import TransportIn, TransportOut


class EndpointIn(In):
    url: Url
    description: Description = ""
    event_types: list[EventType] = Field(
        default=[], max_length=50, description="`case.opened`, `case.*`; empty: every event"
    )
    filters: FiltersIn = FiltersIn()
    enabled: bool = True
    signature: Signature = Field(
        default="v1", description="v1: shared secret (HMAC); v1a: public key (Ed25519)"
    )
    ordering: Ordering = Field(
        default="none", description="fifo: of one case the next only after the one before has ended"
    )
    coalesce: bool = Field(
        default=False, description="of several waiting events of one subject send the newest"
    )
    rate_per_s: Rate | None = Field(default=None, description="requests a second; none: as it can")
    transport: TransportIn | None = None


class EndpointPatch(In):
    url: Url | None = None
    description: Description | None = None
    event_types: list[EventType] | None = Field(default=None, max_length=50)
    filters: FiltersIn | None = None
    enabled: bool | None = None
    ordering: Ordering | None = None
    coalesce: bool | None = None
    rate_per_s: Rate | None = Field(default=None, description="null: as fast as it can")
    transport: TransportIn | None = Field(
        default=None, description="replaces all of it; null: nothing of it any more"
    )


class VerificationOut(Out):
    """`result` is what came of the last time: `verified`, or why not."""

    result: Annotated[str | None, Envelope]
    checked_at: Annotated[datetime | None, Envelope]
    next_at: Annotated[datetime | None, Envelope]
    verified_at: Annotated[datetime | None, Envelope]


class EndpointOut(Out):
    id: Annotated[str, Envelope]
    version: Annotated[int, Envelope]
    url: Annotated[str, Envelope]
    description: Annotated[str, Envelope]
    event_types: Annotated[list[str], Envelope, Field(validation_alias="kinds")]
    filters: Annotated[FiltersOut, Envelope]
    signature: Annotated[Signature, Envelope]
    state: Annotated[State, Envelope]
    enabled: Annotated[bool, Envelope]
    disabled_reason: Annotated[str | None, Envelope]
    verification: Annotated[VerificationOut, Envelope]
    failed_messages: Annotated[int, Envelope]
    warned_percent: Annotated[int, Envelope]
    last_success_at: Annotated[datetime | None, Envelope]
    ordering: Annotated[Ordering, Envelope]
    coalesce: Annotated[bool, Envelope, Field(validation_alias="coalesces")]
    rate_per_s: Annotated[float | None, Envelope]
    # of v1a: what verifies the newest signature
    public_key: Annotated[str | None, Envelope]
    transport: Annotated[TransportOut | None, Envelope]
    # how it is doing: what may be in flight at once, how long answers take, and whether we pause
    concurrency: Annotated[int, Envelope, Field(validation_alias="window")]
    p95_ms: Annotated[
        int | None, Envelope, Field(validation_alias="recent_ms"), BeforeValidator(p95_ms)
    ]
    slow_lane: Annotated[bool, Envelope, Field(validation_alias="slow")]
    breaker: Annotated[Breaker, Envelope]
    breaker_until: Annotated[datetime | None, Envelope]
    created_at: Annotated[datetime, Envelope]
    updated_at: Annotated[datetime, Envelope]


class EndpointWithSecret(EndpointOut):
    """The only answer that holds the secret: a `whsec_` secret, or the `whpk_` public key."""

    secret: Annotated[str, Envelope]


class EndpointPage(Out):
    items: Annotated[list[EndpointOut], Envelope]
    next: Annotated[str | None, Envelope]
