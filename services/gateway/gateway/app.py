"""Where the gateway's parts meet."""

from pathlib import Path

from fastapi import FastAPI
from sharing.following import Following
from starlette.types import ASGIApp
from svckit import service
from svckit.identity import Verify
from svckit.service import Running, Service

from gateway import api, consumer, events, keys, oauth, wellknown
from gateway.actions import emergencies
from gateway.describing import Describing
from gateway.edge import Edge
from gateway.ledger import sealing
from gateway.ledger.recording import Recorder
from gateway.ledger.writer import Writer
from gateway.possession import Possession
from gateway.protocol import HardenedProtocol
from gateway.queries import policies
from gateway.remote_keys import RemoteKeys
from gateway.settings import Settings
from gateway.tokens import Tokens


def _rules() -> Following:
    return Following(policies.in_force)


def _verify(running: Running) -> Verify:
    """Check access tokens, as partners send them, in place of internal identities."""
    settings: Settings = running.settings
    # the key file is read when the first token is, not when the OpenAPI document is written
    return Tokens(keys.KeyFile(settings.key_file), settings.issuer)


def _wrap(app: FastAPI, running: Running) -> ASGIApp:
    app.state.remote_keys = RemoteKeys(allow_private=running.settings.allow_private_jwks)
    app.state.describing = Describing(running.settings, app.state.verify)
    writer = app.state.ledger = Writer(running.settings.database_url)
    tokens: Tokens = app.state.verify
    possession = app.state.possession = Possession(running.settings, tokens)
    return Edge(
        app,
        running.db,
        running.settings,
        tokens=tokens,
        possession=possession,
        recorder=Recorder(writer),
        stop=running.stop,
    )


SERVICE = Service(
    name="gateway",
    title="Careloop gateway",
    package=Path(__file__).parent,
    routers=(oauth.router, wellknown.router, *api.ROUTERS),
    handlers=consumer.HANDLERS,
    topics=consumer.TOPICS,
    publishes=events.TOPIC,
    rules=_rules,
    marks=True,
    workers=(emergencies.watch, sealing.watch),
    verify=_verify,
    wrap=_wrap,
    protocol=HardenedProtocol,
)


def create_app(settings: Settings) -> ASGIApp:
    """Return the gateway as partners meet it: the edge, and our routes behind it."""
    app = service.create_app(SERVICE, settings)
    return _wrap(app, app.state.running)
