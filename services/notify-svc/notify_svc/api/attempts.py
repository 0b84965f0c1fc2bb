"""The log of attempts, of the caller's organisation."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic import AwareDatetime
from svckit.db import Read
from svckit.ids import PATTERN
from svckit.paging import Paging
from svckit.problems import PROBLEMS

from notify_svc import reply
from notify_svc.api.parts import MayManage
from notify_svc.domain.attempts import Outcome
from notify_svc.queries import attempts
from notify_svc.queries.attempts import Filters, Place
from notify_svc.schemas.deliveries import AttemptPage

router = APIRouter(prefix="/v1/delivery-attempts", tags=["deliveries"], responses=PROBLEMS)


def _filters(
    *,
    endpoint_id: Annotated[str | None, Query(pattern=PATTERN)] = None,
    delivery_id: Annotated[str | None, Query(pattern=PATTERN)] = None,
    event_id: Annotated[str | None, Query(pattern=PATTERN)] = None,
    outcome: Annotated[list[Outcome] | None, Query(max_length=4)] = None,
    response_status: Annotated[int | None, Query(ge=100, le=599)] = None,
    error: Annotated[
        str | None,
        Query(
            pattern="^[a-z0-9-]{1,64}$", description="why there was no answer, such as `timeout`"
        ),
    ] = None,
    since: Annotated[AwareDatetime | None, Query(description="begun from then on")] = None,
    until: Annotated[AwareDatetime | None, Query(description="begun before")] = None,
) -> Filters:
    return Filters(
        *(endpoint_id, delivery_id, event_id, outcome or ()),
        *(response_status, error, since, until),
    )


@router.get("", response_model=AttemptPage)
async def list_attempts(
    caller: MayManage, session: Read, page: Paging, filters: Annotated[Filters, Depends(_filters)]
) -> Response:
    """List attempts of all deliveries, newest first; `unknown` is under way, or its sender died."""
    after = page.after(caller.organisation_id)
    place = Place(datetime.fromisoformat(after[0]), after[1]) if after else None
    rows = await attempts.list_page(session, caller, filters, limit=page.limit, before=place)
    return page.reply(
        caller.organisation_id,
        rows,
        key=lambda row: [row.attempt.started_at.isoformat(), row.attempt.id],
        present=reply.logged_attempt,
    )
