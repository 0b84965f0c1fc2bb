"""Builds a service from its parts and runs its roles: the only place where they meet.

python -m case_svc serve      api + relay + consumer in one process
python -m case_svc api | relay | consume | worker     one role alone, to scale apart
python -m case_svc migrate | revision MESSAGE | openapi
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog
import uvicorn
from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.telemetry import TelemetryConfig
from sqlalchemy import text
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Scope

from svckit import describing, health, problems, revisions
from svckit.consume import Consumer, Freed, Handler, Upcaster
from svckit.db import Database
from svckit.describing import Describe
from svckit.disclosure import Disclosing, OwnerOf
from svckit.errors import Unavailable
from svckit.eventlog import EventLog, connect
from svckit.http import BodyLimit, Telemetry, never
from svckit.identity import Verifier, Verify
from svckit.inbox import Reader
from svckit.outbox import schemas_in
from svckit.relay import Relay
from svckit.rights import FRESH, STALE, Rights, RightsStale, Rules
from svckit.settings import ServiceSettings

Worker = Callable[["Running", asyncio.Event], Awaitable[None]]
_GRACE_S = 8
# FastAPI would start spans beside ours, with the query in them, and log what it was given
_NONE_OF_ITS_OWN: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}
_log = structlog.get_logger("service")


@dataclass(frozen=True)
class Service:
    """What a service is made of. `publishes` is its own topic, `topics` those it reads.

    `rights_from` are those it decides by: when they are not fresh, partners are refused; of
    `rights_by_key` an event protects no more than its key, and one that is parked closes that key
    alone, until it is `freed`. `rules` makes what they are decided with. `marks` says that others
    decide by its own.
    """

    name: str
    title: str
    package: Path
    routers: Sequence[APIRouter]
    handlers: Mapping[str, Handler] = field(default_factory=dict)
    upcasters: Mapping[str, Upcaster] = field(default_factory=dict)
    topics: Sequence[str] = ()
    publishes: str | None = None
    rights_from: Sequence[str] = ()
    rights_by_key: Sequence[str] = ()
    freed: Freed | None = None
    rules: Callable[[], Rules] | None = None
    marks: bool = False
    workers: Sequence[Worker] = ()
    unlimited: Callable[[Scope], bool] = never
    verify: Callable[["Running"], Verify] | None = None
    wrap: Callable[[FastAPI, "Running"], ASGIApp] | None = None
    protocol: type[asyncio.Protocol] | str = "httptools"
    # whose row an id names, for the ledger's entry of a refusal
    owner_of: OwnerOf | None = None
    # what a row is, for who explains the decision about it
    describe: Describe | None = None
    # the role of the database that partners' reads run as: `svckit.migrate.belt`
    partner: str | None = None

    @property
    def internal(self) -> Sequence[APIRouter]:
        """Return the routes that are in no contract: probes, and what services tell each other."""
        return [health.router, *([describing.router] if self.describe else [])]

    @property
    def routes(self) -> Iterator[BaseRoute]:
        """Yield every route itself: a router that is included is looked through twice a request."""
        for router in (*self.internal, *self.routers):
            yield from router.routes


@dataclass
class Running:
    """The open resources of one process of the service."""

    service: Service
    settings: Any
    db: Database
    rights: Rights
    # rights were fresh once since this process began: from then on it may be asked
    ready: bool = False
    log: EventLog | None = None
    # set when the process is to end: who answers without end looks here
    stop: asyncio.Event = field(default_factory=asyncio.Event)


def create_app(service: Service, settings: ServiceSettings) -> FastAPI:
    """Return the HTTP application; its database opens and closes with its lifespan."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await app.state.db.dispose()

    app = FastAPI(
        title=service.title,
        version="1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        separate_input_output_schemas=False,
        telemetry=_NONE_OF_ITS_OWN,
    )
    db = Database(settings.database_url, settings.pool_size, service.partner)
    running = Running(service, settings, db, rights_of(service, db))
    app.state.running = running
    app.state.db = running.db
    app.state.rights = running.rights
    app.state.settings = settings
    app.state.verify = (
        service.verify(running)
        if service.verify
        else Verifier(
            issuer=settings.issuer, audience=service.name, jwks_url=settings.internal_jwks_url
        )
    )
    app.state.ready = lambda: _ready(running)
    problems.install(app)
    app.router.routes.extend(service.routes)
    app.add_middleware(Disclosing, owner_of=service.owner_of, db=db, rules=running.rights.version)
    app.add_middleware(BodyLimit, limit=settings.max_body_bytes, exempt=service.unlimited)
    app.add_middleware(Telemetry, service=service.name)
    schemas_in(settings.contracts_dir)
    return app


def rights_of(service: Service, db: Database) -> Rights:
    """Return the view of the rights in a database of the service."""
    return Rights(db, service.name, service.rights_from, service.rules and service.rules())


def reader_of(service: Service) -> Reader:
    """Return who applies the service's parked events."""
    return Reader(service.name, service.handlers, service.upcasters, service.freed)


async def _ready(running: Running) -> str:
    async with asyncio.timeout(2):
        async with running.db.read() as session:
            await session.execute(text("SELECT 1"))
        rights = await running.rights.state()
    running.ready = running.ready or rights == FRESH
    if running.ready:
        return rights
    raise RightsStale if rights == STALE else Unavailable("Not ready.", code=rights)


async def check_schema(running: Running) -> None:
    """Raise Unavailable when the database is behind the code."""
    needed = revisions.head(running.service.package)
    if await revisions.current(running.db) != needed:
        raise Unavailable(f"{running.service.name}: the database is not at revision {needed}.")


async def run(service: Service, settings: ServiceSettings, roles: set[str]) -> None:
    """Run the roles until SIGTERM or SIGINT, or until one of them fails, then drain."""
    app = create_app(service, settings)
    running: Running = app.state.running
    stop = running.stop
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        await check_schema(running)
        needs_log = roles & {"relay", "consume"}
        running.log = await connect(settings.event_log_url) if needs_log else None
        async with asyncio.TaskGroup() as tasks:
            for job in _jobs(service, running, app, roles, stop):
                tasks.create_task(_until_stopped(job, stop))
    finally:
        if running.log:
            await running.log.close()
        await running.db.dispose()


async def _until_stopped(job: Awaitable[None], stop: asyncio.Event) -> None:
    """Run the job; whichever ends first, stopped or failed, stops the others."""
    try:
        await job
    finally:
        stop.set()


def _jobs(
    service: Service, running: Running, app: FastAPI, roles: set[str], stop: asyncio.Event
) -> list[Awaitable[None]]:
    settings = running.settings
    jobs: list[Awaitable[None]] = []
    if "api" in roles:
        jobs.append(
            _serve(service.wrap(app, running) if service.wrap else app, service, settings, stop)
        )
    if "relay" in roles and service.publishes and running.log:
        relay = Relay(
            settings.database_url,
            running.log,
            service.publishes,
            source=f"careloop/{service.name}",
            marks=service.marks,
            keep=timedelta(days=settings.event_log_keep_days),
        )
        jobs.append(relay.run(stop))
    if "consume" in roles and service.topics and running.log:
        consumer = Consumer(
            running.db,
            running.log,
            service.name,
            service.topics,
            service.handlers,
            rights_from=service.rights_from,
            rights_by_key=service.rights_by_key,
            learn=running.rights.learn,
            upcasters=service.upcasters,
            freed=service.freed,
        )
        jobs.append(consumer.run(stop))
    if "worker" in roles:
        jobs.extend(worker(running, stop) for worker in service.workers)
    return jobs


async def _serve(
    app: ASGIApp, service: Service, settings: ServiceSettings, stop: asyncio.Event
) -> None:
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=service.protocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE_S,
        **settings.tls(),
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve())  # noqa: SLF001  # serve() would take our signals
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    stopping.cancel()
    await serving


def openapi(service: Service, settings: ServiceSettings) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of the service's own routes."""
    app = create_app(service, settings)
    document = get_openapi(
        title=service.title, version="1", openapi_version="3.1.0", routes=app.routes
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for problem in (problems.Problem, problems.ProblemError):
        schemas[problem.__name__] = problem.model_json_schema(
            ref_template="#/components/schemas/{model}"
        )
        schemas[problem.__name__].pop("$defs", None)
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    _name_refusals(document)
    return document


def _name_refusals(document: dict[str, Any]) -> None:
    """Refer to each documented refusal instead of repeating it on every operation."""
    shared = document["components"].setdefault("responses", {})
    for item in document["paths"].values():
        for operation in item.values():
            for status, found in operation["responses"].items():
                if status.isdigit() and found == problems.PROBLEMS.get(int(status)):
                    shared[f"Problem{status}"] = found
                    operation["responses"][status] = {
                        "$ref": f"#/components/responses/Problem{status}"
                    }
