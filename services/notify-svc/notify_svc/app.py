"""Where the parts of notify-svc meet."""

from pathlib import Path

from fastapi import FastAPI
from sharing import following, waiting
from starlette.types import ASGIApp
from svckit import service
from svckit.service import Running

from notify_svc import api, consumer, deliver, events, remind
from notify_svc.actions import ending, kept_back
from notify_svc.feed import Feed
from notify_svc.settings import Settings
from notify_svc.stream import Streams


def _with_feed(app: FastAPI, running: Running) -> ASGIApp:
    settings: Settings = running.settings
    # an answer may hold a webhook's secret
    app.state.keeper = settings.sealer()
    feed = app.state.feed = Feed(running.db, running.rights, settings.feed_waiters)
    app.state.streams = Streams(feed, running.rights, settings, running.stop)
    return app


SERVICE = service.Service(
    name="notify-svc",
    title="Careloop notify-svc",
    package=Path(__file__).parent,
    routers=api.ROUTERS,
    handlers=consumer.HANDLERS,
    topics=consumer.TOPICS,
    publishes=events.TOPIC,
    rights_from=("sharing.v1", waiting.CASES),
    rights_by_key=(waiting.CASES,),
    freed=kept_back.freed,
    rules=following.of_replica,
    workers=(*deliver.WORKERS, ending.watch, remind.run),
    wrap=_with_feed,
    partner="notify_svc_partner",
)


def create_app(settings: Settings) -> FastAPI:
    """Return the HTTP application."""
    app = service.create_app(SERVICE, settings)
    _with_feed(app, app.state.running)
    return app
