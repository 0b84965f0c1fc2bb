"""The event feed."""

from datetime import datetime
from typing import Annotated

from svckit.http import Out

from notify_svc.schemas.fields import Envelope


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
