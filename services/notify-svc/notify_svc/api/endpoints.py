"""Webhook endpoints of the caller's organisation."""

from fastapi import APIRouter, Response
from svckit.db import Read
from svckit.idempotency import Act, Change, Create
from svckit.paging import Paging
from svckit.problems import PROBLEMS

from notify_svc import reply
from notify_svc.actions import endpoints as actions
from notify_svc.api.parts import Config, EndpointId, MayManage
from notify_svc.queries import endpoints
from notify_svc.schemas.deliveries import DeliveryDetail
from notify_svc.schemas.endpoints import (
    EndpointIn,
    EndpointOut,
    EndpointPage,
    EndpointPatch,
    EndpointWithSecret,
)

router = APIRouter(prefix="/v1/webhook-endpoints", tags=["webhooks"], responses=PROBLEMS)


@router.post(
    "",
    status_code=201,
    response_model=EndpointWithSecret,
)
async def register_endpoint(
    body: EndpointIn, caller: MayManage, cmd: Create, settings: Config
) -> Response:
    """Register an endpoint; the answer alone holds its secret. It is verified before it is sent anything."""
    return await cmd.run(
        caller,
        lambda tx: actions.register(tx, caller, body, settings),
        reply.registered,
    )


@router.get("", response_model=EndpointPage)
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
    "/{endpoint_id}",
    response_model=EndpointOut,
)
async def get_endpoint(endpoint_id: EndpointId, caller: MayManage, session: Read) -> Response:
    """Show an endpoint."""
    found = await endpoints.get(session, caller, endpoint_id)
    return (await reply.endpoint(session, caller, found)).response()


@router.patch(
    "/{endpoint_id}",
    response_model=EndpointOut,
)
async def change_endpoint(
    endpoint_id: EndpointId, body: EndpointPatch, caller: MayManage, cmd: Change, settings: Config
) -> Response:
    """Change an endpoint; disabling holds what waits, enabling lets it go out."""
    return await cmd.run(
        caller,
        lambda tx: actions.change(
            tx, caller, endpoint_id, body, settings=settings, expected=cmd.expected
        ),
        reply.endpoint,
    )


@router.delete("/{endpoint_id}", status_code=204)
async def remove_endpoint(endpoint_id: EndpointId, caller: MayManage, cmd: Change) -> Response:
    """Remove an endpoint; what waits for it is cancelled, its log stays."""
    return await cmd.run(
        caller,
        lambda tx: actions.remove(tx, caller, endpoint_id, cmd.expected),
        reply.removed,
    )


@router.post(
    "/{endpoint_id}/rotate-secret",
    response_model=EndpointWithSecret,
)
async def rotate_secret(
    endpoint_id: EndpointId, caller: MayManage, cmd: Act, settings: Config
) -> Response:
    """Add a new secret; the old one keeps signing beside it for a day."""
    return await cmd.run(
        caller,
        lambda tx: actions.rotate_secret(tx, caller, endpoint_id, settings, cmd.expected),
        reply.endpoint_with_secret,
    )


@router.post("/{endpoint_id}/verify", status_code=202, response_model=EndpointOut)
async def verify_endpoint(endpoint_id: EndpointId, caller: MayManage, cmd: Create) -> Response:
    """Ask the receiver again whose it is; until it has answered, deliveries are held."""
    return await cmd.run(
        caller, lambda tx: actions.verify(tx, caller, endpoint_id), reply.endpoint_asked
    )


@router.post(
    "/{endpoint_id}/test",
    status_code=202,
    response_model=DeliveryDetail,
)
async def test_endpoint(endpoint_id: EndpointId, caller: MayManage, cmd: Create) -> Response:
    """Send a signed `webhook.ping`, as soon as the endpoint is verified."""
    return await cmd.run(caller, lambda tx: actions.ping(tx, caller, endpoint_id), reply.delivery)
