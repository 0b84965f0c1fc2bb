"""The service: where its parts meet."""

from pathlib import Path

from fastapi import FastAPI
from sharing import following
from svckit import service
from svckit.service import Service

from case_svc.api import ROUTERS
from case_svc.consumer import HANDLERS, TOPICS
from case_svc.queries.described import describe
from case_svc.queries.owners import owner_of
from case_svc.settings import Settings

SERVICE = Service(
    name="case-svc",
    title="Careloop persons, cases, plans and tasks",
    package=Path(__file__).parent,
    routers=ROUTERS,
    handlers=HANDLERS,
    topics=TOPICS,
    publishes="case.v1",
    rights_from=("sharing.v1",),
    rules=following.of_replica,
    marks=True,
    owner_of=owner_of,
    describe=describe,
    partner="case_svc_partner",
)


def create_app(settings: Settings) -> FastAPI:
    """Return the HTTP application, as the process and the tests run it."""
    return service.create_app(SERVICE, settings)
