"""The service directory: Open Referral HSDS in, search and detail out."""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Body, Query, Response
from svckit.db import Read
from svckit.idempotency import Change, Create, Reply
from svckit.paging import Paging
from svckit.problems import PROBLEMS

from referral_svc.actions import directory as declaring
from referral_svc.actions import publish
from referral_svc.api import present
from referral_svc.api.callers import MayReadDirectory, MayWriteDirectory
from referral_svc.domain.needs import CapacityStatus, NeedCategory
from referral_svc.queries import directory
from referral_svc.schemas.directory import (
    ImportOut,
    ServiceChange,
    ServiceDetail,
    ServiceOut,
    ServicePage,
)

router = APIRouter(prefix="/v1/directory", tags=["directory"], responses=PROBLEMS)
Words = Annotated[str | None, Query(min_length=1, max_length=200)]


@router.post("/import", response_model=ImportOut)
async def import_hsds(
    body: Annotated[dict[str, Any] | list[Any], Body()], caller: MayWriteDirectory, cmd: Create
) -> Response:
    """Import HSDS 3.0/3.1 JSON: an object, an array, a page or a tabular package."""

    async def reply(_: object, __: object, done: ImportOut) -> Reply:
        return Reply(done.model_dump(mode="json"))

    return await cmd.run(caller, lambda tx: publish.publish(tx, caller, body), reply)


@router.get("/services", response_model=ServicePage)
async def search_services(
    caller: MayReadDirectory,
    session: Read,
    page: Paging,
    *,
    q: Words = None,
    need_category: NeedCategory | None = None,
    area: Words = None,
    language: Words = None,
    status: Words = None,
    age: Annotated[float | None, Query(ge=0, le=150)] = None,
    organisation_id: Words = None,
    capacity_status: CapacityStatus | None = None,
) -> Response:
    """Search the directory: words in name, description and eligibility, and what must hold."""
    search = directory.Search(
        q=q,
        need_category=need_category,
        area=area,
        language=language,
        status=status,
        age=age,
        organisation_id=organisation_id,
        capacity_status=capacity_status,
    )
    after = page.after(caller.organisation_id)
    rows = await directory.search_services(
        session, search, limit=page.limit + 1, after=after[0] if after else None
    )
    return page.reply(
        caller.organisation_id, rows, key=lambda row: [row.id], present=present.service
    )


@router.get("/services/{service_id}", response_model=ServiceDetail)
async def get_service(service_id: str, _: MayReadDirectory, session: Read) -> Response:
    """Return one service with its sites, schedules, languages, areas and the HSDS object."""
    row = await directory.get_service(session, service_id)
    body = orjson.dumps(await present.service_detail(session, row))
    headers = {"ETag": f'"{row.version}"', "Cache-Control": "no-store"}
    return Response(body, 200, headers, "application/json")


@router.patch("/services/{service_id}", response_model=ServiceOut)
async def declare(
    service_id: str, body: ServiceChange, caller: MayWriteDirectory, cmd: Change
) -> Response:
    """Set need categories and capacity of a service of one's own."""
    return await cmd.run(
        caller,
        lambda tx: declaring.declare(tx, caller, service_id, body, expected=cmd.expected),
        present.declared,
    )
