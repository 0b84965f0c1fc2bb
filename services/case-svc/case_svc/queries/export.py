"""All that the caller sees of cases as one run of rows: case after case, part after part.

The place of a row is (case, part, row): the newest case first, parts in the order of `PARTS`, the
newest row first. A page goes on after a place, so nothing is told twice or left out by the way,
and a page costs the same wherever it begins.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession
from svckit.errors import NotFound
from svckit.identity import Caller

from case_svc.models import (
    Activity,
    Assessment,
    CasePhase,
    Decision,
    ExternalNumber,
    Goal,
    Need,
    Note,
    Party,
    Task,
    TeamMember,
    TimelineEntry,
)
from case_svc.models.base import InCase
from case_svc.queries import cases, history, persons, rows
from case_svc.queries.cases import CaseFilter
from case_svc.queries.visible import Seen

CASE, RECORD, PHASES = "case", "record", "phases"
_ROWS: Mapping[str, type[InCase] | type[TimelineEntry]] = MappingProxyType(
    {
        "party": Party,
        "care-team": TeamMember,
        "number": ExternalNumber,
        "assessment": Assessment,
        "need": Need,
        "goal": Goal,
        "activity": Activity,
        "task": Task,
        "note": Note,
        "decision": Decision,
        "timeline": TimelineEntry,
    }
)
PARTS = (CASE, RECORD, PHASES, *_ROWS)
# cases looked at together: more of them while they hold little that the caller sees
_FEW, _MANY = 25, 200


class Place(NamedTuple):
    """Where a row stands in the run."""

    case_id: str
    part: int
    row_id: str


class Told(NamedTuple):
    """One row of the run, or a case with its stays in phases."""

    place: Place
    seen: Seen[Any]
    stays: Sequence[CasePhase] = ()

    @property
    def part(self) -> str:
        return PARTS[self.place.part]


async def of_case(
    tx: AsyncSession,
    caller: Caller,
    case_id: str,
    after: Place | None,
    limit: int,
    *,
    as_of: datetime | None = None,
) -> list[Told]:
    """Return up to `limit` rows of one case, as they were then. Raises NotFound, NotKept.

    The past of a person's records is not kept: of a past moment there are none.
    """
    found = await history.find_case(tx, caller, case_id, as_of)
    return (await _run(tx, caller, [found], after, limit, as_of=as_of))[:limit]


async def of_cases(
    tx: AsyncSession, caller: Caller, wanted: CaseFilter, after: Place | None, limit: int
) -> list[Told]:
    """Return up to `limit` rows of the cases that the list of cases would hold."""
    told = await _rest(tx, caller, after, limit) if after else []
    last, size = after.case_id if after else None, _FEW
    while len(told) < limit:
        found = await cases.list_cases(tx, caller, wanted, last, size)
        if not found:
            break
        told += await _run(tx, caller, found, None, limit)
        last, size = found[-1].row.id, min(2 * size, _MANY)
    return told[:limit]


async def _rest(tx: AsyncSession, caller: Caller, after: Place, limit: int) -> list[Told]:
    """Return what is left of the case that the page before stopped in."""
    try:
        return await of_case(tx, caller, after.case_id, after, limit)
    except NotFound:
        return []


async def _run(
    tx: AsyncSession,
    caller: Caller,
    found: Sequence[Seen[Any]],
    after: Place | None,
    limit: int,
    *,
    as_of: datetime | None = None,
) -> list[Told]:
    """Return the rows of cases at hand; of each part up to `limit`, which the cut then takes."""
    part, row_id = (after.part, after.row_id) if after else (0, None)
    told = []
    for number in range(part, len(PARTS)):
        before = row_id if number == part else None
        if as_of:
            told += await _then(tx, caller, found[0], number, before, limit, as_of=as_of)
        else:
            told += await _part(tx, caller, found, number, before, limit)
    told.sort(key=lambda one: one.place.row_id, reverse=True)
    told.sort(key=lambda one: one.place.part)
    told.sort(key=lambda one: one.place.case_id, reverse=True)
    return told


async def _part(  # noqa: PLR0917  # who, what, of which cases, from where, how many
    tx: AsyncSession,
    caller: Caller,
    found: Sequence[Seen[Any]],
    number: int,
    before: str | None,
    limit: int,
) -> list[Told]:
    name = PARTS[number]
    if name in _ROWS:
        ids = [seen.row.id for seen in found]
        rows_ = await rows.rows_of(tx, caller, _ROWS[name], ids, after=before, limit=limit)
        return [Told(Place(seen.row.case_id, number, seen.row.id), seen) for seen in rows_]
    if name == CASE:
        told = [Told(Place(seen.row.id, number, seen.row.id), seen) for seen in found]
    elif name == RECORD:
        told = await _records(tx, caller, found, number)
    else:
        told = await _phases(tx, found, number)
    return [one for one in told if before is None or one.place.row_id < before]


async def _then(  # noqa: PLR0917  # as `_part`, of one case
    tx: AsyncSession,
    caller: Caller,
    case: Seen[Any],
    number: int,
    before: str | None,
    limit: int,
    *,
    as_of: datetime,
) -> list[Told]:
    name, case_id = PARTS[number], case.row.id
    if name in _ROWS:
        rows_ = await _rows_then(tx, caller, _ROWS[name], case_id, as_of, after=before, limit=limit)
        return [Told(Place(case_id, number, seen.row.id), seen) for seen in rows_]
    if name == RECORD or before is not None:
        return []
    if name == CASE:
        return [Told(Place(case_id, number, case_id), case)]
    stays = await history.list_phases(tx, case, as_of)
    return [Told(Place(case_id, number, case_id), case, stays)] if stays else []


async def _rows_then(
    tx: AsyncSession,
    caller: Caller,
    model: type[InCase] | type[TimelineEntry],
    case_id: str,
    as_of: datetime,
    *,
    after: str | None,
    limit: int,
) -> Sequence[Seen[Any]]:
    if issubclass(model, TimelineEntry):
        return await rows.list_timeline(tx, caller, case_id, after=after, limit=limit, as_of=as_of)
    return await history.list_rows(
        tx, caller, model, case_id, as_of, after=after, limit=limit, which={}
    )


async def _records(
    tx: AsyncSession, caller: Caller, found: Collection[Seen[Any]], number: int
) -> list[Told]:
    """The person's records are told with each of the person's cases, to who may read persons."""
    if "persons.read" not in caller.scopes:
        return []
    people = {seen.row.person_id for seen in found}
    records = await persons.records_of(tx, caller, sorted(people))
    return [
        Told(Place(seen.row.id, number, record.row.id), record)
        for seen in found
        for record in records.get(seen.row.person_id, [])
    ]


async def _phases(tx: AsyncSession, found: Collection[Seen[Any]], number: int) -> list[Told]:
    shown = {seen.row.id: seen for seen in found if cases.shows_phases(seen)}
    stays: dict[str, list[CasePhase]] = {}
    for stay in await cases.phases_of(tx, shown):
        stays.setdefault(stay.case_id, []).append(stay)
    return [
        Told(Place(case_id, number, case_id), shown[case_id], of_one)
        for case_id, of_one in stays.items()
    ]
