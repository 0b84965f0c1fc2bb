"""/v1/consents."""

from fastapi import APIRouter, Request, Response
from svckit.clock import now
from svckit.db import Read
from svckit.errors import NotFound
from svckit.idempotency import Act, Create, Reply
from svckit.paging import Paging
from svckit.problems import PROBLEMS

from gateway import queries
from gateway.actions import consents
from gateway.api import consents_fhir
from gateway.api.common import (
    MayRead,
    MayWrite,
    OfPerson,
    after_of,
    changed,
    created,
    paged,
    share_of,
    shown,
)
from gateway.schemas import ConsentIn, ConsentOut, PageOut

router = APIRouter(prefix="/v1/consents", tags=["consents"])


@router.post(
    "",
    status_code=201,
    response_model=ConsentOut,
    responses=PROBLEMS,
    openapi_extra=consents_fhir.BODY,
)
async def record_consent(
    request: Request, body: ConsentIn, caller: MayWrite, cmd: Create
) -> Response:
    """Record what a person decided; a permit for a named recipient opens grants."""
    state = request.app.state
    await consents.await_person(state.db, caller, body.person_id, state.settings.replica_wait_s)
    return await cmd.run(caller, lambda tx: consents.record(tx, caller, body), created("consents"))


@router.get("", response_model=PageOut[ConsentOut], responses={**PROBLEMS, **consents_fhir.ANSWER})
async def list_consents(
    request: Request, caller: MayRead, session: Read, page: Paging, person_id: OfPerson = None
) -> Response:
    """List the consents one recorded, and those of persons one registered; as FHIR, a Bundle."""
    after = after_of(page, caller)
    rows = await queries.list_consents(session, caller, person_id, after, page.limit)
    if consents_fhir.wanted(request):
        return consents_fhir.paged(page, caller, rows, request)
    return paged(page, caller, rows)


@router.get(
    "/{consent_id}", response_model=ConsentOut, responses={**PROBLEMS, **consents_fhir.ANSWER}
)
async def get_consent(
    consent_id: str, request: Request, caller: MayRead, session: Read
) -> Response:
    """Read a consent, as JSON or as a FHIR R4 Consent.

    Whom a permit lets see something reads, as JSON, what the consent says of it and no more.
    """
    try:
        found = await queries.get_consent(session, caller, consent_id)
    except NotFound:
        about = await queries.find_consent_about(session, caller, consent_id, now())
        return Reply(share_of(about, caller), version=about.version).response()
    return consents_fhir.shown(found) if consents_fhir.wanted(request) else shown(found)


@router.post("/{consent_id}/withdraw", response_model=ConsentOut, responses=PROBLEMS)
async def withdraw_consent(consent_id: str, caller: MayWrite, cmd: Act) -> Response:
    """Withdraw a consent: its grants end with it."""
    return await cmd.run(
        caller, lambda tx: consents.withdraw(tx, caller, consent_id, cmd.expected), changed
    )
