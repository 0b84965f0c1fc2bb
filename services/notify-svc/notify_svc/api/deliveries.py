"""Deliveries and their attempts, of the caller's organisation."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic import AwareDatetime
from svckit.db import Read
from svckit.idempotency import Create
from svckit.ids import PATTERN
from svckit.paging import Paging
from svckit.problems import PROBLEMS

from notify_svc import reply
from notify_svc.actions import deliveries as actions
from notify_svc.api.parts import DeliveryId, MayManage
from notify_svc.domain.attempts import Status
from notify_svc.domain.kinds import normalise
from notify_svc.queries import deliveries
from notify_svc.queries.deliveries import Filters
from notify_svc.schemas.deliveries import DeliveryDetail, DeliveryPage
from notify_svc.schemas.fields import SentType

router = APIRouter(prefix="/v1/deliveries", tags=["deliveries"], responses=PROBLEMS)


def _filters(
    *,
    endpoint_id: Annotated[str | None, Query(pattern=PATTERN)] = None,
    status: Annotated[Status | None, Query()] = None,
    event_id: Annotated[str | None, Query(pattern=PATTERN)] = None,
    event_type: Annotated[list[SentType] | None, Query(max_length=20)] = None,
    since: Annotated[AwareDatetime | None, Query(description="queued from then on")] = None,
    until: Annotated[AwareDatetime | None, Query(description="queued before")] = None,
    response_status: Annotated[
        int | None, Query(ge=100, le=599, description="what an attempt was answered")
    ] = None,
) -> Filters:
    return Filters(
        endpoint_id, status, event_id, normalise(event_type or []), since, until, response_status
    )


@router.get("", response_model=DeliveryPage)
async def list_deliveries(
    caller: MayManage, session: Read, page: Paging, filters: Annotated[Filters, Depends(_filters)]
) -> Response:
    """List deliveries, newest first."""
    after = page.after(caller.organisation_id)
    rows = await deliveries.list_page(
        session, caller, filters, limit=page.limit, before=after[0] if after else None
    )
    return page.reply(
        caller.organisation_id,
        rows,
        key=lambda row: [row.delivery.id],
        present=reply.shown_delivery,
    )


@router.get(
    "/{delivery_id}",
    response_model=DeliveryDetail,
)
async def get_delivery(delivery_id: DeliveryId, caller: MayManage, session: Read) -> Response:
    """Show a delivery with every attempt; `unknown` is one whose sender did not live to tell."""
    found = await deliveries.get(session, caller, delivery_id)
    answer = await reply.delivery(session, caller, found)
    return Response(
        answer.encoded(), headers={"Cache-Control": "no-store"}, media_type="application/json"
    )


@router.post(
    "/{delivery_id}/redeliver",
    status_code=202,
    response_model=DeliveryDetail,
)
async def redeliver(delivery_id: DeliveryId, caller: MayManage, cmd: Create) -> Response:
    """Send a message again that has ended: the same bytes under the same `webhook-id`."""
    return await cmd.run(
        caller, lambda tx: actions.redeliver(tx, caller, delivery_id), reply.delivery
    )
