"""The event feed of the caller's organisation."""

from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response
from svckit.problems import PROBLEMS

from notify_svc import reply
from notify_svc.api.parts import GONE, MayFollow
from notify_svc.domain.kinds import normalise
from notify_svc.feed import MAX_WAIT_S, Feed
from notify_svc.schemas.events import FeedOut
from notify_svc.schemas.fields import EventType

router = APIRouter(prefix="/v1/events", tags=["events"], responses=PROBLEMS)


def _feed(request: Request) -> Feed:
    feed: Feed = request.app.state.feed
    return feed


@router.get("", response_model=FeedOut, responses=GONE)
async def read_events(
    caller: MayFollow,
    feed: Annotated[Feed, Depends(_feed)],
    *,
    after: Annotated[int, Query(ge=0, le=2**62, description="The last number you have")] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    wait: Annotated[float, Query(ge=0, le=MAX_WAIT_S, description="Seconds to wait")] = 0,
    type: Annotated[list[EventType] | None, Query(max_length=20)] = None,  # noqa: A002 - its name on the wire
) -> Response:
    """Read the organisation's events after a number; with `wait`, until there is one."""
    page = await feed.read(
        caller, after=after, limit=limit, kinds=normalise(type or []), wait_s=wait
    )
    body = {
        "items": [reply.shown_event(row) for row in page.rows],
        "next_after": page.next_after,
        "more": page.more,
    }
    return Response(
        orjson.dumps(body), headers={"Cache-Control": "no-store"}, media_type="application/json"
    )
