"""Liveness, readiness and metrics, for probes and operators; never through the gateway."""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy.exc import SQLAlchemyError

from svckit.errors import Unavailable

Check = Callable[[], Awaitable[None]]
router = APIRouter(include_in_schema=False)


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Answer while the event loop turns; no dependency is asked."""
    return {"status": "ok"}


@router.get("/readyz")
async def readyz(request: Request) -> dict[str, str]:
    """Answer 200 when the database is reachable at the schema needed, else 503."""
    ready: Check = request.app.state.ready
    try:
        await ready()
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        raise Unavailable("Not ready.") from error
    return {"status": "ready"}


@router.get("/metrics")
async def metrics() -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
