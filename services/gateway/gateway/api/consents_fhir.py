"""/v1/consents as FHIR R4: the same collection, chosen by Content-Type and by Accept."""

from collections.abc import Sequence
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.routing import Match
from starlette.types import Scope
from svckit.errors import BadRequest
from svckit.idempotency import Create, Reply
from svckit.identity import Caller
from svckit.paging import Page

from gateway import events, fhir
from gateway.actions import consents
from gateway.api.common import MayWrite, note_of
from gateway.models import Consent

_NUL = b"\\u0000"


class _FhirRoute(APIRoute):
    """Matches only what is sent as FHIR, so that the path's JSON route is left alone."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child = super().matches(scope)
        if match is Match.FULL and not _is_fhir(dict(scope["headers"]).get(b"content-type", b"")):
            return Match.NONE, {}
        return match, child


router = APIRouter(prefix="/v1/consents", tags=["consents"], route_class=_FhirRoute)
# what the JSON route's description says of this one
BODY: dict[str, Any] = {
    "requestBody": {
        "content": {fhir.MEDIA_TYPE: {"schema": {"type": "object", "title": "FHIR R4 Consent"}}}
    }
}
ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"content": {fhir.MEDIA_TYPE: {"schema": {"type": "object"}}}}
}


# described with the JSON route of the same path and method
@router.post("", status_code=201, include_in_schema=False)
async def import_consent(request: Request, caller: MayWrite, cmd: Create) -> Response:
    """Import a FHIR R4 Consent; what cannot be kept is refused with its place."""
    resource = _parsed(await request.body())
    state = request.app.state
    found = fhir.read(resource)
    await consents.await_person(state.db, caller, found.person.id, state.settings.replica_wait_s)
    return await cmd.run(
        caller, lambda tx: consents.import_fhir(tx, caller, resource, found), _imported
    )


async def _imported(_: AsyncSession, __: Caller, row: Consent) -> Reply:
    return Reply(_resource(row), 201, row.version, f"/v1/consents/{row.id}", fhir.MEDIA_TYPE)


def wanted(request: Request) -> bool:
    """Tell whether the caller asks for FHIR."""
    accepted = request.headers.get("accept", "").split(",")
    return any(_is_fhir(each.encode("latin-1")) for each in accepted)


def shown(row: Consent) -> Response:
    """Answer one consent as FHIR."""
    body = orjson.dumps(_resource(row))
    return Response(body, 200, _headers(row.version), fhir.MEDIA_TYPE)


def paged(page: Page, caller: Caller, rows: Sequence[Consent], request: Request) -> Response:
    """Answer a page as a searchset with the page's own links."""
    plain = page.reply(
        caller.organisation_id, rows, key=lambda row: [row.id], present=lambda row: {"id": row.id}
    )
    link = plain.headers.get("link", "")
    found = link[1 : link.index(">")] if link else None
    url = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
    body = fhir.bundle([_resource(row) for row in rows[: page.limit]], url=url, following=found)
    headers = {"Cache-Control": "no-store", **({"Link": link} if link else {})}
    return Response(orjson.dumps(body), 200, headers, fhir.MEDIA_TYPE)


def _headers(version: int) -> dict[str, str]:
    return {"ETag": f'"{version}"', "Cache-Control": "no-store"}


def _resource(row: Consent) -> dict[str, Any]:
    note_of(row)
    return fhir.consent(
        consent_id=row.id,
        person_id=row.person_id,
        custodian_id=row.custodian_id,
        version=row.version,
        changed_at=row.updated_at or row.created_at,
        decided_at=row.decided_at,
        active=row.active,
        directives=events.directives_of(row),
        source=row.source,
        legal_basis=row.legal_basis,
        signed_by=row.signed_by,
    )


def _is_fhir(media_type: bytes) -> bool:
    return media_type.partition(b";")[0].strip().lower() == fhir.MEDIA_TYPE.encode()


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest("The body is not well-formed JSON.", code="malformed-json") from error
    if not isinstance(found, dict) or _NUL in orjson.dumps(found):
        raise BadRequest("The body is no FHIR resource.", code="malformed-json")
    return found
