"""What several routes take: the caller's scope, the settings, ids in the path."""

from typing import Annotated, Any

from fastapi import Depends, Path, Request
from svckit.errors import NotFound
from svckit.identity import Caller, requires
from svckit.ids import is_id
from svckit.problems import PROBLEMS

from notify_svc.settings import Settings

MayFollow = Annotated[Caller, Depends(requires("events.read"))]
MayManage = Annotated[Caller, Depends(requires("webhooks.write"))]
# for routes that may be asked for what has been removed by its age
GONE: dict[int | str, dict[str, Any]] = {410: {**PROBLEMS[422], "description": "Gone"}}


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def _endpoint_id(endpoint_id: Annotated[str, Path(max_length=64)]) -> str:
    if not is_id(endpoint_id, "whe"):
        raise NotFound
    return endpoint_id


def _recovery_id(recovery_id: Annotated[str, Path(max_length=64)]) -> str:
    if not is_id(recovery_id, "rcv"):
        raise NotFound
    return recovery_id


def _delivery_id(delivery_id: Annotated[str, Path(max_length=64)]) -> str:
    if not is_id(delivery_id, "dlv"):
        raise NotFound
    return delivery_id


Config = Annotated[Settings, Depends(_settings)]
EndpointId = Annotated[str, Depends(_endpoint_id)]
RecoveryId = Annotated[str, Depends(_recovery_id)]
DeliveryId = Annotated[str, Depends(_delivery_id)]
