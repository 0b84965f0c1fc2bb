"""The event feed of the caller's organisation."""

from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from svckit.problems import PROBLEMS

from notify_svc import reply
from notify_svc.api.parts import GONE, MayFollow
from notify_svc.domain.filters import Wanted
from notify_svc.domain.kinds import normalise
from notify_svc.feed import MAX_WAIT_S, Feed
from notify_svc.schemas.events import FeedOut
from notify_svc.schemas.fields import EventType
from notify_svc.schemas.filters import MOST, CaseId, NeedCategory, ReferralId, Transition
from notify_svc.stream import MEDIA_TYPE, Streams

router = APIRouter(prefix="/v1/events", tags=["events"], responses=PROBLEMS)
_LAST = 2**62


def _feed(request: Request) -> Feed:
    feed: Feed = request.app.state.feed
    return feed


def _streams(request: Request) -> Streams:
    streams: Streams = request.app.state.streams
    return streams


def _wanted(
    *,
    type: Annotated[list[EventType] | None, Query(max_length=MOST)] = None,  # noqa: A002 - its name on the wire
    case_id: Annotated[list[CaseId] | None, Query(max_length=MOST)] = None,
    referral_id: Annotated[list[ReferralId] | None, Query(max_length=MOST)] = None,
    need_category: Annotated[list[NeedCategory] | None, Query(max_length=MOST)] = None,
    transition: Annotated[
        list[Transition] | None,
        Query(max_length=MOST, description="A status that something moved to or began in"),
    ] = None,
) -> Wanted:
    return Wanted(
        kinds=tuple(normalise(type or [])),
        case_ids=tuple(case_id or ()),
        referral_ids=tuple(referral_id or ()),
        need_categories=tuple(need_category or ()),
        transitions=tuple(transition or ()),
    )


def _wants_stream(accept: str) -> bool:
    named = {each.partition(";")[0].strip().lower() for each in accept.split(",")}
    return MEDIA_TYPE in named


_AS_STREAM = {"content": {MEDIA_TYPE: {"schema": {"type": "string"}}}}


@router.get("", response_model=FeedOut, responses={**GONE, 200: _AS_STREAM})
async def read_events(
    caller: MayFollow,
    feed: Annotated[Feed, Depends(_feed)],
    streams: Annotated[Streams, Depends(_streams)],
    wanted: Annotated[Wanted, Depends(_wanted)],
    *,
    after: Annotated[int, Query(ge=0, le=_LAST, description="The last number you have")] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    wait: Annotated[float, Query(ge=0, le=MAX_WAIT_S, description="Seconds to wait")] = 0,
    last_event_id: Annotated[
        int | None, Header(ge=0, le=_LAST, description="Of a stream, in place of `after`")
    ] = None,
    accept: Annotated[str, Header(include_in_schema=False)] = "",
) -> Response:
    """Read the organisation's events after a number; with `wait`, until there is one.

    With `Accept: text/event-stream` the answer goes on: server-sent events whose ids are the numbers,
    whose data are the items.
    """
    if _wants_stream(accept):
        start = after if last_event_id is None else last_event_id
        return await streams.open(caller, after=start, wanted=wanted, present=reply.shown_event)
    page = await feed.read(caller, after=after, limit=limit, wanted=wanted, wait_s=wait)
    body = {
        "items": [reply.shown_event(row) for row in page.rows],
        "next_after": page.next_after,
        "more": page.more,
    }
    return Response(
        orjson.dumps(body), headers={"Cache-Control": "no-store"}, media_type="application/json"
    )
