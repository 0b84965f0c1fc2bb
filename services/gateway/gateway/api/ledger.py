"""/v1/ledger: who was told what of one's own persons, with proofs. Nobody sees others' entries."""

import time
from datetime import datetime
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime
from svckit import disclosure
from svckit.db import Read
from svckit.errors import Conflict, Invalid, NotFound
from svckit.identity import Caller, requires
from svckit.ids import is_id
from svckit.paging import Paging
from svckit.problems import PROBLEMS

from gateway.api.common import OfPerson, after_of
from gateway.domain import Scope
from gateway.ledger import export, reports, sealing
from gateway.queries import ledger as queries
from gateway.queries.ledger import Filters, Kept
from gateway.schemas import AnyId, PageOut
from gateway.schemas.ledger import EntryOut, PeriodOut, ProofOut

router = APIRouter(prefix="/v1/ledger", tags=["ledger"])
MayRead = Annotated[Caller, Depends(requires(Scope.LEDGER_READ))]
_Id = Annotated[AnyId | None, Query()]
_FRESH = {"Cache-Control": "no-store"}


class NotSealedYet(Conflict):
    code = "not-sealed-yet"


def _entry_id(entry_id: Annotated[str, Path(max_length=64)]) -> str:
    if not is_id(entry_id, "led"):
        raise NotFound
    return entry_id


EntryId = Annotated[str, Depends(_entry_id)]


def _filters(
    *,
    person_id: _Id = None,
    custodian_id: _Id = None,
    organisation_id: _Id = None,
    denied: bool | None = None,
    since: Annotated[AwareDatetime | None, Query()] = None,
    until: Annotated[AwareDatetime | None, Query()] = None,
) -> Filters:
    return Filters(person_id, custodian_id, organisation_id, denied, since, until)


@router.get("/entries", response_model=PageOut[EntryOut], responses=PROBLEMS)
async def list_entries(
    caller: MayRead, session: Read, page: Paging, wanted: Annotated[Filters, Depends(_filters)]
) -> Response:
    """List disclosures and refusals about one's own persons, newest first."""
    after = page.after(caller.organisation_id)
    started = (datetime.fromisoformat(after[0]), str(after[1])) if after else None
    rows = await queries.list_entries(session, caller, wanted, started, page.limit)
    return page.reply(
        caller.organisation_id,
        rows,
        key=lambda row: [row[0].isoformat(), row[1].id],
        present=lambda row: _shown(row[1]),
    )


@router.get("/entries/{entry_id}", response_model=EntryOut, responses=PROBLEMS)
async def get_entry(entry_id: EntryId, caller: MayRead, session: Read) -> Response:
    """Read one entry."""
    return _json(_shown(await queries.get_entry(session, caller, entry_id)))


@router.get("/entries/{entry_id}/proof", response_model=ProofOut, responses=PROBLEMS)
async def prove_entry(entry_id: EntryId, caller: MayRead, session: Read) -> Response:
    """Prove that a signed period holds the entry."""
    entry = await queries.get_entry(session, caller, entry_id)
    found = await sealing.inclusion(session, entry)
    if found is None:
        raise NotSealedYet(
            "The entry is sealed within a minute, or now by POST /v1/ledger/periods."
        )
    _note(entry)
    return _json(found)


@router.get("/periods", response_model=PageOut[PeriodOut], responses=PROBLEMS)
async def list_periods(caller: MayRead, session: Read, page: Paging) -> Response:
    """List sealed periods, newest first: whoever keeps their statements is a witness."""
    after = after_of(page, caller)
    rows = await queries.list_periods(session, int(after) if after else None, page.limit)
    return page.reply(
        caller.organisation_id, rows, key=lambda row: [row.number], present=_shown_period
    )


@router.post("/periods", response_model=PeriodOut, responses=PROBLEMS)
async def seal_now(request: Request, _: MayRead) -> Response:
    """Seal what is not sealed yet, and return the newest period: a checkpoint. Safe to repeat."""
    state = request.app.state
    ring = state.verify.keys
    async with state.db.begin() as tx:
        period = await sealing.checkpoint(tx, lambda: ring.access.signing(time.time()))
        if period is None:
            raise NotFound
        return _json(_shown_period(period))


@router.get("/periods/{number}", response_model=PeriodOut, responses=PROBLEMS)
async def get_period(
    number: Annotated[int, Path(ge=1, le=2**31 - 1)], _: MayRead, session: Read
) -> Response:
    """Read one sealed period."""
    return _json(_shown_period(await queries.get_period(session, number)))


_LINES: dict[int | str, dict[str, Any]] = {
    **PROBLEMS,
    200: {
        "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
        "description": "All",
    },
}


@router.get("/export", response_class=Response, responses=_LINES)
async def export_ledger(request: Request, caller: MayRead) -> Response:
    """Export one's own entries with their proofs, or with `ledger.audit` the whole ledger."""
    state = request.app.state
    if queries.sees_all(caller):
        disclosure.note(kind="ledger", custodian_id=None, person_id=None, classes=0)
    lines = export.lines(state.db, state.verify.keys, caller)
    return StreamingResponse(lines, headers=_FRESH, media_type="application/x-ndjson")


@router.get("/reports/{report}", responses=PROBLEMS)
async def get_report(
    report: reports.Report,
    caller: MayRead,
    session: Read,
    *,
    person_id: OfPerson = None,
    as_of: Annotated[AwareDatetime | None, Query()] = None,
) -> Response:
    """Report on one of one's own persons: `accounting`, `intermediary` or `person`."""
    if person_id is None:
        raise Invalid("person_id is needed.", code="person-missing")
    return _json(await reports.make(session, caller, report, person_id, as_of))


def _shown(entry: Kept) -> dict[str, Any]:
    _note(entry)
    return {**orjson.loads(entry.body), "body": entry.body}


def _note(entry: Kept) -> None:
    if entry.custodian_id is not None:
        disclosure.note(
            kind="ledger",
            custodian_id=entry.custodian_id,
            person_id=entry.person_id,
            classes=0,
        )


def _shown_period(row: Any) -> dict[str, Any]:
    return PeriodOut.model_validate(row).model_dump(mode="json")


def _json(body: Any) -> Response:
    return Response(orjson.dumps(body), 200, _FRESH, "application/json")
