"""The catalogue of what partners can be told."""

import orjson
from fastapi import APIRouter, Response
from svckit.problems import PROBLEMS

from notify_svc.api.parts import MayFollow
from notify_svc.catalogue import catalogue
from notify_svc.schemas.events import EventTypes

router = APIRouter(prefix="/v1/event-types", tags=["events"], responses=PROBLEMS)


@router.get("", response_model=EventTypes)
async def list_event_types(_: MayFollow) -> Response:
    """List every type of event, with the schema and an example of what you receive."""
    return Response(orjson.dumps({"items": catalogue()}), media_type="application/json")
