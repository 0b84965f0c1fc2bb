"""Recoveries: a part of the feed sent again to one endpoint."""

from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, Field
from svckit.http import In, Out

from notify_svc.domain.recovery import Progress
from notify_svc.schemas.fields import Envelope


class RecoverIn(In):
    since: AwareDatetime = Field(description="what came into your feed from then on")
    until: AwareDatetime | None = Field(default=None, description="left out: now")
    again: bool = Field(default=False, description="also what was delivered before")
    dry_run: bool = Field(default=False, description="count, and send nothing")


class RecoveryOut(Out):
    """`counted` of the period so far: `queued` to be sent, and `skipped`."""

    id: Annotated[str, Envelope]
    endpoint_id: Annotated[str, Envelope]
    since: Annotated[datetime, Envelope]
    until: Annotated[datetime, Envelope]
    again: Annotated[bool, Envelope]
    dry_run: Annotated[bool, Envelope]
    state: Annotated[Progress, Envelope, Field(validation_alias="progress")]
    counted: Annotated[int, Envelope]
    queued: Annotated[int, Envelope]
    skipped: Annotated[int, Envelope]
    delivery_id: Annotated[str | None, Envelope]
    created_at: Annotated[datetime, Envelope]
    ended_at: Annotated[datetime | None, Envelope]


class RecoveryPage(Out):
    items: Annotated[list[RecoveryOut], Envelope]
    next: Annotated[str | None, Envelope]
