"""Routes: the event feed, webhook endpoints, deliveries. Everything is the caller's organisation's."""

from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from svckit.db import Read
from svckit.errors import NotFound
from svckit.idempotency import Act, Change, Create
from svckit.identity import Caller, requires
from svckit.ids import PATTERN, is_id
from svckit.paging import Paging
from svckit.problems import PROBLEMS

from notify_svc import reply
from notify_svc.actions import deliveries as delivery_actions
from notify_svc.actions import endpoints as endpoint_actions
from notify_svc.domain.attempts import Status
from notify_svc.domain.kinds import normalise
from notify_svc.feed import MAX_WAIT_S, Feed
from notify_svc.queries import deliveries, endpoints
from notify_svc.queries.deliveries import Filters
from notify_svc.schemas import (
    DeliveryDetail,
    DeliveryPage,
    EndpointIn,
    EndpointOut,
    EndpointPage,
    EndpointPatch,
    EndpointWithSecret,
    EventType,
    FeedOut,
)
from notify_svc.settings import Settings

router = APIRouter(prefix="/v1")
MayFollow = Annotated[Caller, Depends(requires("events.read"))]
MayManage = Annotated[Caller, Depends(requires("webhooks.write"))]


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def _feed(request: Request) -> Feed:
    feed: Feed = request.app.state.feed
    return feed


def _endpoint_id(endpoint_id: Annotated[str, Path(max_length=64)]) -> str:
    if not is_id(endpoint_id, "whe"):
        raise NotFound
    return endpoint_id


def _delivery_id(delivery_id: Annotated[str, Path(max_length=64)]) -> str:
    if not is_id(delivery_id, "dlv"):
        raise NotFound
    return delivery_id


def _filters(
    endpoint_id: Annotated[str | None, Query(pattern=PATTERN)] = None,
    status: Annotated[Status | None, Query()] = None,
    event_id: Annotated[str | None, Query(pattern=PATTERN)] = None,
) -> Filters:
    return Filters(endpoint_id, status, event_id)


Config = Annotated[Settings, Depends(_settings)]
EndpointId = Annotated[str, Depends(_endpoint_id)]
DeliveryId = Annotated[str, Depends(_delivery_id)]


@router.get("/events", response_model=FeedOut, responses=PROBLEMS, tags=["events"])
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


@router.post(
    "/webhook-endpoints",
    status_code=201,
    response_model=EndpointWithSecret,
    responses=PROBLEMS,
    tags=["webhooks"],
)
async def register_endpoint(
    body: EndpointIn, caller: MayManage, cmd: Create, settings: Config
) -> Response:
    """Register an endpoint; the answer alone holds its secret."""
    return await cmd.run(
        caller,
        lambda tx: endpoint_actions.register(tx, caller, body, settings),
        reply.registered,
    )


@router.get(
    "/webhook-endpoints", response_model=EndpointPage, responses=PROBLEMS, tags=["webhooks"]
)
async def list_endpoints(caller: MayManage, session: Read, page: Paging) -> Response:
    """List endpoints, newest first."""
    after = page.after(caller.organisation_id)
    rows = await endpoints.list_page(
        session, caller, limit=page.limit, before=after[0] if after else None
    )
    return page.reply(
        caller.organisation_id, rows, key=lambda row: [row.id], present=reply.shown_endpoint
    )


@router.get(
    "/webhook-endpoints/{endpoint_id}",
    response_model=EndpointOut,
    responses=PROBLEMS,
    tags=["webhooks"],
)
async def get_endpoint(endpoint_id: EndpointId, caller: MayManage, session: Read) -> Response:
    """Show an endpoint."""
    found = await endpoints.get(session, caller, endpoint_id)
    return (await reply.endpoint(session, caller, found)).response()


@router.patch(
    "/webhook-endpoints/{endpoint_id}",
    response_model=EndpointOut,
    responses=PROBLEMS,
    tags=["webhooks"],
)
async def change_endpoint(
    endpoint_id: EndpointId, body: EndpointPatch, caller: MayManage, cmd: Change, settings: Config
) -> Response:
    """Change an endpoint; disabling holds what waits, enabling lets it go out."""
    return await cmd.run(
        caller,
        lambda tx: endpoint_actions.change(
            tx, caller, endpoint_id, body, settings=settings, expected=cmd.expected
        ),
        reply.endpoint,
    )


@router.delete(
    "/webhook-endpoints/{endpoint_id}", status_code=204, responses=PROBLEMS, tags=["webhooks"]
)
async def remove_endpoint(endpoint_id: EndpointId, caller: MayManage, cmd: Change) -> Response:
    """Remove an endpoint; what waits for it is cancelled, its log stays."""
    return await cmd.run(
        caller,
        lambda tx: endpoint_actions.remove(tx, caller, endpoint_id, cmd.expected),
        reply.removed,
    )


@router.post(
    "/webhook-endpoints/{endpoint_id}/rotate-secret",
    response_model=EndpointWithSecret,
    responses=PROBLEMS,
    tags=["webhooks"],
)
async def rotate_secret(
    endpoint_id: EndpointId, caller: MayManage, cmd: Act, settings: Config
) -> Response:
    """Add a new secret; the old one keeps signing beside it for a day."""
    return await cmd.run(
        caller,
        lambda tx: endpoint_actions.rotate_secret(tx, caller, endpoint_id, settings, cmd.expected),
        reply.endpoint_with_secret,
    )


@router.post(
    "/webhook-endpoints/{endpoint_id}/test",
    status_code=202,
    response_model=DeliveryDetail,
    responses=PROBLEMS,
    tags=["webhooks"],
)
async def test_endpoint(endpoint_id: EndpointId, caller: MayManage, cmd: Create) -> Response:
    """Send a signed `webhook.ping`."""
    return await cmd.run(
        caller, lambda tx: endpoint_actions.ping(tx, caller, endpoint_id), reply.delivery
    )


@router.get("/deliveries", response_model=DeliveryPage, responses=PROBLEMS, tags=["deliveries"])
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
    "/deliveries/{delivery_id}",
    response_model=DeliveryDetail,
    responses=PROBLEMS,
    tags=["deliveries"],
)
async def get_delivery(delivery_id: DeliveryId, caller: MayManage, session: Read) -> Response:
    """Show a delivery with every attempt; `unknown` is one whose sender did not live to tell."""
    found = await deliveries.get(session, caller, delivery_id)
    answer = await reply.delivery(session, caller, found)
    return Response(
        answer.encoded(), headers={"Cache-Control": "no-store"}, media_type="application/json"
    )


@router.post(
    "/deliveries/{delivery_id}/redeliver",
    status_code=202,
    response_model=DeliveryDetail,
    responses=PROBLEMS,
    tags=["deliveries"],
)
async def redeliver(delivery_id: DeliveryId, caller: MayManage, cmd: Create) -> Response:
    """Send a message again that has ended: the same bytes under the same `webhook-id`."""
    return await cmd.run(
        caller, lambda tx: delivery_actions.redeliver(tx, caller, delivery_id), reply.delivery
    )
