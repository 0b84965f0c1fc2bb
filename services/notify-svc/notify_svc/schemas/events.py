"""The event feed."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field
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


class EventTypeOut(Out):
    """One type of event, as the feed and webhooks tell it; `schema` and `example` are of that form."""

    type: Annotated[str, Envelope]
    # its short name, as filters take it
    kind: Annotated[str, Envelope]
    description: Annotated[str, Envelope]
    # whether a filter by need category can match it, and which transitions may
    need_category: Annotated[bool, Envelope]
    transitions: Annotated[list[str], Envelope]
    json_schema: Annotated[dict[str, Any], Envelope, Field(alias="schema")]
    example: Annotated[dict[str, Any], Envelope]


class EventTypes(Out):
    items: Annotated[list[EventTypeOut], Envelope]
