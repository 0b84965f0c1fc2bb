"""Recoveries: what an endpoint missed, sent again in the order of the feed."""

from fastapi import APIRouter, Response
from svckit.db import Read
from svckit.idempotency import Create
from svckit.paging import Paging
from svckit.problems import PROBLEMS

from notify_svc import reply
from notify_svc.actions import recovery as actions
from notify_svc.api.parts import GONE, EndpointId, MayManage, RecoveryId
from notify_svc.queries import endpoints
from notify_svc.queries import recovery as queries
from notify_svc.schemas.recoveries import RecoverIn, RecoveryOut, RecoveryPage

router = APIRouter(
    prefix="/v1/webhook-endpoints/{endpoint_id}", tags=["webhooks"], responses=PROBLEMS
)


@router.post("/recover", status_code=202, response_model=RecoveryOut, responses=GONE)
async def recover(
    endpoint_id: EndpointId, body: RecoverIn, caller: MayManage, cmd: Create
) -> Response:
    """Send what came into the feed in a period, in its order; with `dry_run` only count it."""
    return await cmd.run(
        caller, lambda tx: actions.recover(tx, caller, endpoint_id, body), reply.recovery_begun
    )


@router.get("/recoveries", response_model=RecoveryPage)
async def list_recoveries(
    endpoint_id: EndpointId, caller: MayManage, session: Read, page: Paging
) -> Response:
    """List an endpoint's recoveries, newest first."""
    after = page.after(caller.organisation_id)
    found = await endpoints.get(session, caller, endpoint_id)
    rows = await queries.list_page(
        session, caller, found.id, limit=page.limit, before=after[0] if after else None
    )
    return page.reply(
        caller.organisation_id, rows, key=lambda row: [row.id], present=reply.shown_recovery
    )


@router.get("/recoveries/{recovery_id}", response_model=RecoveryOut)
async def get_recovery(
    endpoint_id: EndpointId, recovery_id: RecoveryId, caller: MayManage, session: Read
) -> Response:
    """Show how far a recovery is; `delivery_id` is what it waits for."""
    found = await queries.get(session, caller, endpoint_id, recovery_id)
    return (await reply.recovery(session, caller, found)).response()


@router.post("/recoveries/{recovery_id}/cancel", response_model=RecoveryOut)
async def cancel_recovery(
    endpoint_id: EndpointId, recovery_id: RecoveryId, caller: MayManage, cmd: Create
) -> Response:
    """Queue nothing more of a recovery."""
    return await cmd.run(
        caller, lambda tx: actions.cancel(tx, caller, endpoint_id, recovery_id), reply.recovery
    )
