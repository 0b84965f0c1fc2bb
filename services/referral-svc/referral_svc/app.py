"""The service: where its parts meet."""

from pathlib import Path

from fastapi import FastAPI
from sharing import following, waiting
from svckit import service
from svckit.service import Service

from referral_svc.api import ROUTERS
from referral_svc.consumer import HANDLERS, TOPICS
from referral_svc.queries.owners import describe, owner_of
from referral_svc.settings import Settings

SERVICE = Service(
    name="referral-svc",
    title="Careloop referrals and service directory",
    package=Path(__file__).parent,
    routers=ROUTERS,
    handlers=HANDLERS,
    topics=TOPICS,
    publishes="referral.v1",
    rights_from=("sharing.v1", waiting.CASES),
    rights_by_key=(waiting.CASES,),
    rules=following.of_replica,
    owner_of=owner_of,
    describe=describe,
    partner="referral_svc_partner",
)


def create_app(settings: Settings) -> FastAPI:
    """Return the HTTP application, as the process and the tests run it."""
    return service.create_app(SERVICE, settings)
