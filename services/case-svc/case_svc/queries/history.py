"""A case as it was at an instant: what it held then, shown as the caller may see it today.

Grants, consents, seals, labels and the rule are those of now. What a row demanded of its readers it
demands twice, as it is protected now and as it was: a sentence taken out of a row before the row was
opened up stays where it was. The instant is that of the write, `updated_at`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from sharing import Reader, sql
from sharing.confidentiality import Confidentiality
from sharing.kept import AFTER_ALL, at_least, given, kept
from sqlalchemy import (
    ColumnElement,
    DateTime,
    Integer,
    Select,
    Text,
    and_,
    case,
    cast,
    func,
    literal,
    or_,
    select,
    true,
    type_coerce,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.selectable import LateralFromClause
from svckit.errors import FieldError, Invalid
from svckit.identity import Caller

from case_svc.domain.needs import NeedStatus
from case_svc.domain.plan import GoalStatus
from case_svc.domain.tasks import OPEN
from case_svc.models import (
    Activity,
    Assessment,
    CaseFile,
    CasePhase,
    Decision,
    ExternalNumber,
    Goal,
    Need,
    Note,
    Party,
    PastRow,
    Task,
    TeamMember,
)
from case_svc.models.base import InCase, Versioned
from case_svc.queries import cases
from case_svc.queries.visible import (
    Seen,
    case_mask,
    found,
    rank,
    row_mask,
    shows_case,
)

Row = TypeVar("Row", bound=InCase)
Kept = TypeVar("Kept", bound=Versioned)
_AT = given("as_of", DateTime(timezone=True))
_LOST = -1
_ROWS: tuple[type[InCase], ...] = (
    *(Activity, Assessment, Decision, ExternalNumber, Goal),
    *(Need, Note, Party, Task, TeamMember),
)


class NotKept(Invalid):
    """Something of the answer was changed before its past was kept: nothing is made up."""

    code = "as-of-not-kept"

    def __init__(self) -> None:
        fault = FieldError("#/query/as_of", self.code, "Ask for a later moment.")
        super().__init__("What stood there then was not kept yet.", errors=[fault])


def _past(model: type[Versioned]) -> LateralFromClause:
    """Return what the row held then, if it has changed since: column `state`."""
    return (
        select(PastRow.state)
        .where(PastRow.row_id == model.id, PastRow.until > _AT)
        .order_by(PastRow.until, PastRow.version)
        .limit(1)
        .correlate(model)
        .lateral(f"past_{model.__tablename__}")
    )


_ALL: tuple[type[Versioned], ...] = (CaseFile, *_ROWS)
_PAST = {model.__tablename__: _past(model) for model in _ALL}


def _state(model: type[Versioned], name: str) -> ColumnElement[Any]:
    found: ColumnElement[Any] = _PAST[model.__tablename__].c.state[name].astext
    return found


def _was(model: type[Versioned], name: str) -> ColumnElement[Any]:
    """Return the column as text, as it was then."""
    return func.coalesce(_state(model, name), cast(getattr(model, name), Text))


def _protected(model: type[Versioned]) -> ColumnElement[int]:
    """As confidential as the row and its case are now, and as they were then."""
    own: Any = getattr(model, "confidentiality", None)
    columns: list[Any] = [CaseFile.confidentiality, _state(CaseFile, "confidentiality")]
    if own is not None and model is not CaseFile:
        columns += [own, _state(model, "confidentiality")]
    return func.greatest(*map(rank, columns), type_=Integer)


_PROTECTED = {model.__tablename__: _protected(model) for model in _ALL}


async def get_case(
    tx: AsyncSession, caller: Caller, case_id: str, as_of: datetime
) -> Seen[CaseFile]:
    """Return the case as it was. Raises NotFound, also before it was opened; NotKept."""
    row = await _case.first(tx, caller, {"case_id": case_id, "as_of": as_of})
    return _then(*found(row))


@kept
def _case(reader: Reader) -> Select[Any]:
    seen = sql.lateral(case_mask(reader, _PROTECTED[CaseFile.__tablename__]))
    past = _PAST[CaseFile.__tablename__]
    return (
        select(CaseFile, past.c.state, _is_lost(CaseFile), seen.c.mask, CaseFile.person_id)
        .select_from(CaseFile)
        .outerjoin(past, true())
        .join(seen, true())
        .where(CaseFile.id == given("case_id"), CaseFile.created_at <= _AT, shows_case(seen.c.mask))
    )


async def find_case(
    tx: AsyncSession, caller: Caller, case_id: str, as_of: datetime | None
) -> Seen[CaseFile]:
    """Return the case, as it was if a moment is asked for. Raises NotFound, NotKept."""
    if as_of is None:
        return await cases.get_case(tx, caller, case_id)
    return await get_case(tx, caller, case_id, as_of)


async def list_rows(
    tx: AsyncSession,
    caller: Caller,
    model: type[Row],
    case_id: str,
    as_of: datetime,
    *,
    after: str | None,
    limit: int,
    which: Mapping[str, str],
) -> Sequence[Seen[Row]]:
    """Return a page of the case's rows as they were, newest first. Raises NotFound, NotKept."""
    await get_case(tx, caller, case_id, as_of)
    values = {"case_id": case_id, "as_of": as_of, "after": after or AFTER_ALL, **which}
    rows = await _page.rows(tx, caller, values, model, frozenset(which), at_least(limit))
    return [_then(*row) for row in rows[:limit]]


@kept
def _page(reader: Reader, model: Any, names: frozenset[str], limit: int) -> Select[Any]:
    narrowed = and_(true(), *(_was(model, name) == given(name, Text()) for name in sorted(names)))
    return (
        _of_case(reader, model)
        # what was not kept must be met, whatever it was
        .where(or_(narrowed, _is_lost(model)), model.id < given("after"))
        .order_by(model.id.desc())
        .limit(limit)
    )


async def get_row(  # noqa: PLR0917  # who, what, where, when
    tx: AsyncSession, caller: Caller, model: type[Row], case_id: str, row_id: str, as_of: datetime
) -> Seen[Row]:
    """Return one row of a case as it was. Raises NotFound, NotKept."""
    await get_case(tx, caller, case_id, as_of)
    which = {"case_id": case_id, "id": row_id, "as_of": as_of}
    return _then(*found(await _one.first(tx, caller, which, model)))


@kept
def _one(reader: Reader, model: Any) -> Select[Any]:
    return _of_case(reader, model).where(model.id == given("id"))


async def list_phases(
    tx: AsyncSession, seen: Seen[CaseFile], as_of: datetime | None
) -> Sequence[CasePhase]:
    """Return the stays in phases (begun until then) of a case at hand that its mask shows."""
    stays = await cases.list_phases(tx, seen.row.id) if cases.shows_phases(seen) else []
    return [_stay(each, as_of) for each in stays if each.entered_at <= as_of] if as_of else stays


async def count_rows(
    tx: AsyncSession, caller: Caller, case_id: str, as_of: datetime
) -> dict[str, int]:
    """Return the counts of rows as they were, of those that the caller sees. Raises NotKept."""
    row = found(await _counts.first(tx, caller, {"case_id": case_id, "as_of": as_of}))
    if _LOST in row:
        raise NotKept
    return dict(zip(_COUNTED, row, strict=True))


_COUNTED: dict[str, tuple[type[InCase], str | None, Sequence[StrEnum]]] = {
    "needs_open": (Need, "status", [NeedStatus.OPEN, NeedStatus.IN_PROGRESS]),
    "tasks_open": (Task, "status", sorted(OPEN)),
    "goals": (Goal, "lifecycle_status", [*set(GoalStatus) - {GoalStatus.ENTERED_IN_ERROR}]),
    "notes": (Note, None, ()),
}


@kept
def _counts(reader: Reader) -> Select[Any]:
    columns: list[Any] = []
    for name, (model, column, values) in _COUNTED.items():
        which = _was(model, column).in_([each.value for each in values]) if column else true()
        rows = (
            _visible(reader, model, which.label("counts"), _is_lost(model).label("lost"))
            .where(model.case_id == given("case_id"))
            .subquery()
        )
        count = func.count().filter(rows.c.counts)
        counted = case((func.bool_or(rows.c.lost), literal(_LOST)), else_=count)
        columns.append(select(counted).scalar_subquery().label(name))
    row: Select[Any] = select(*columns)
    return row


def _of_case(reader: Reader, model: type[InCase]) -> Select[Any]:
    past = _PAST[model.__tablename__]
    statement = _visible(reader, model, model, past.c.state, _is_lost(model))
    return statement.where(model.case_id == given("case_id"))


def _visible(reader: Reader, model: type[InCase], *what: Any) -> Select[Any]:
    seen = sql.lateral(row_mask(reader, model, _PROTECTED[model.__tablename__]))
    needed = type_coerce(model.classes, Integer).op("|")(
        func.coalesce(cast(_state(model, "classes"), Integer), 0)
    )
    return (
        select(*what, seen.c.mask, CaseFile.person_id, CaseFile.confidentiality)
        .select_from(model)
        .join(CaseFile, CaseFile.id == model.case_id)
        .outerjoin(_PAST[CaseFile.__tablename__], true())
        .outerjoin(_PAST[model.__tablename__], true())
        .join(seen, true())
        .where(model.created_at <= _AT, sql.may_see(seen.c.mask, needed))
    )


def _is_lost(model: type[Versioned]) -> ColumnElement[bool]:
    """Whether what stood there then was replaced before anything was kept of it."""
    written = cast(_state(model, "updated_at"), DateTime(timezone=True))
    return func.coalesce(written, model.updated_at) > _AT


def _then(  # noqa: PLR0917  # the columns of a statement, in their order
    row: Kept,
    state: dict[str, Any] | None,
    is_lost: object,
    mask: int,
    person_id: str,
    protected: Confidentiality = Confidentiality.UNRESTRICTED,
) -> Seen[Kept]:
    if is_lost:
        raise NotKept
    if state is None:
        return Seen(row, mask, person_id, protected)
    columns = type(row).__table__.columns.keys()
    was = type(row)(**{name: value for name, value in state.items() if name in columns})
    if isinstance(was, InCase) and isinstance(row, InCase):
        # what makes it a Part 2 record now, made it one then
        was.classes |= row.classes
    return Seen(was, mask, person_id, protected)


def _stay(stay: CasePhase, as_of: datetime) -> CasePhase:
    left_at = stay.left_at if stay.left_at and stay.left_at <= as_of else None
    return CasePhase(
        phase=stay.phase,
        cycle=stay.cycle,
        round=stay.round,
        entered_at=stay.entered_at,
        left_at=left_at,
    )
