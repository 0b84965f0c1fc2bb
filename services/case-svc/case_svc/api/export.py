"""Exports: one case, or all of them, as JSON lines page by page."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from svckit.db import Read
from svckit.identity import Caller
from svckit.paging import Page
from svckit.problems import PROBLEMS

from case_svc import reply
from case_svc.api.cases import Filter
from case_svc.api.parts import AsOf, IdPath, MayRead
from case_svc.queries import export
from case_svc.queries.export import Place

# a page is entered into the ledger before it leaves: so many lines it can always be told of
_MOST = 500
_LINES: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
        "description": 'Lines of `{"kind", "case_id", "row"}`, last `{"next"}`',
    }
}
router = APIRouter(prefix="/v1/cases", tags=["export"], responses=PROBLEMS)


async def _page(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=_MOST)] = _MOST,
    cursor: Annotated[str | None, Query(max_length=1024)] = None,
) -> Page:
    return Page(request, limit, cursor)


Paging = Annotated[Page, Depends(_page)]


@router.get("/export", response_class=Response, responses=_LINES)
async def export_cases(caller: MayRead, session: Read, page: Paging, wanted: Filter) -> Response:
    """Export all that the caller sees of the cases that the list would hold, case after case."""
    after = _place(page, caller)
    told = await export.of_cases(session, caller, wanted, after, page.limit + 1)
    return await _lines(session, caller, page, told)


@router.get("/{case_id}/export", response_class=Response, responses=_LINES)
async def export_case(
    case_id: IdPath, caller: MayRead, session: Read, page: Paging, as_of: AsOf
) -> Response:
    """Export all that the caller sees of the case: itself, the person's records, its rows.

    As it was, without records: their past is not kept.
    """
    after = _place(page, caller)
    told = await export.of_case(session, caller, case_id, after, page.limit + 1, as_of=as_of)
    return await _lines(session, caller, page, told)


def _place(page: Page, caller: Caller) -> Place | None:
    after = page.after(caller.organisation_id)
    return Place(*after) if after else None


async def _lines(session: Read, caller: Caller, page: Page, told: list[export.Told]) -> Response:
    return page.lines(
        caller.organisation_id,
        told,
        key=lambda one: list(one.place),
        present=await reply.line_presenter(session, caller, told),
    )
