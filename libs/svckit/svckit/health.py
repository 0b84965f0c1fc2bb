"""Liveness, readiness and metrics, for probes and operators; never through the gateway."""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from svckit.errors import Unavailable
from svckit.faults import AWAY

Check = Callable[[], Awaitable[str]]
router = APIRouter(include_in_schema=False)


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Answer while the event loop turns; no dependency is asked."""
    return {"status": "ok"}


@router.get("/readyz")
async def readyz(request: Request) -> dict[str, str]:
    """Answer 200 when the database is reachable and the rights have been fresh once, else 503.

    Rights that get old later do not take the service away: an organisation's own is still served.
    """
    ready: Check = request.app.state.ready
    try:
        rights = await ready()
    except AWAY as error:
        raise Unavailable("Not ready.") from error
    return {"status": "ready", "rights": rights}


@router.get("/metrics")
async def metrics() -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
