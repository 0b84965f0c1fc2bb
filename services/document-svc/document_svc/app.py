"""Where the parts of document-svc meet."""

import asyncio
from pathlib import Path

import structlog
from fastapi import FastAPI
from sharing import following, waiting
from starlette.types import ASGIApp, Scope
from svckit import service, turns
from svckit.service import Running

from document_svc import actions, api, consumer
from document_svc.queries import described
from document_svc.settings import Settings
from document_svc.storage import open_store

_log = structlog.get_logger("document-svc")


def _streams(scope: Scope) -> bool:
    """Content has a limit of its own, counted while it streams."""
    return scope["method"] == "PUT" and str(scope["path"]).endswith("/content")


def _with_storage(app: FastAPI, running: Running) -> ASGIApp:
    app.state.storage = open_store(running.settings)
    return app


async def _sweep(running: Running, stop: asyncio.Event) -> None:
    settings: Settings = running.settings
    storage = open_store(settings)

    async def turn() -> None:
        removed = await actions.sweep(running.db, storage, settings.orphan_after_s)
        if removed:
            _log.info("orphans removed", count=removed)

    failed = "the sweep waits for its next turn"
    await turns.run(turn, stop, failed=failed, idle_s=settings.sweep_every_s)


SERVICE = service.Service(
    name="document-svc",
    title="Careloop document-svc",
    package=Path(__file__).parent,
    routers=(api.router,),
    handlers=consumer.HANDLERS,
    topics=("case.v1", "referral.v1", "sharing.v1"),
    publishes="document.v1",
    rights_from=("sharing.v1", waiting.CASES),
    rights_by_key=(waiting.CASES,),
    rules=following.of_replica,
    workers=(_sweep,),
    unlimited=_streams,
    wrap=_with_storage,
    owner_of=described.owner_of,
    describe=described.describe,
    partner="document_svc_partner",
)


def create_app(settings: Settings) -> FastAPI:
    """Return the HTTP application with its store open."""
    app = service.create_app(SERVICE, settings)
    _with_storage(app, app.state.running)
    return app
