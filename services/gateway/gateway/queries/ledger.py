"""The ledger's statements: appended by a driver connection, read through sessions, never changed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache, reduce
from operator import or_
from typing import Any, NamedTuple

import asyncpg
import orjson
from sharing import mask_of, purposes
from sqlalchemy import ColumnElement, func, select, text, true, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.errors import NotFound
from svckit.identity import Caller

from gateway.domain import Scope
from gateway.entries import LAST, NONE, Bases, Entry, encoded, entry_id, named, place
from gateway.models import (
    Grant,
    LedgerEntry,
    LedgerPeriod,
    LedgerRange,
    LedgerSegment,
    Organisation,
)

# a service decides by rights that are at most this old: what ended since may be why it answered
_RIGHTS_MAY_BE_OLD = timedelta(seconds=6)


class Subject(NamedTuple):
    """Whose data of whom went to whom."""

    custodian_id: str
    organisation_id: str
    person_id: str


class _Reason(NamedTuple):
    purposes: int
    classes: int
    told: dict[str, Any]


@dataclass
class Known:
    """The grants and permits there are for one subject, for any purpose."""

    grants: list[_Reason] = field(default_factory=list)
    consents: list[_Reason] = field(default_factory=list)
    _found: dict[tuple[str, int], tuple[Bases, bool]] = field(default_factory=dict)

    def bases(self, purpose: str, classes: int) -> tuple[Bases, bool]:
        """Return those that bear on the classes, and whether they account for all of them."""
        found = self._found.get((purpose, classes))
        if found is None:
            found = self._found[purpose, classes] = self._bases(purpose, classes)
        return found

    def _bases(self, purpose: str, classes: int) -> tuple[Bases, bool]:
        grants, consents = (
            [each for each in reasons if purposes.covers(each.purposes, purpose)]
            for reasons in (self.grants, self.consents)
        )
        covered = reduce(or_, (each.classes for each in grants), 0)
        bearing = _bearing(grants, classes)
        whole = classes & ~covered == 0 and bool(bearing)
        told = _bearing(consents, classes) if consents else ()
        return Bases(encoded(bearing), encoded(told) if told else NONE.consents), whole


def _bearing(reasons: Sequence[_Reason], classes: int) -> list[dict[str, Any]]:
    return [
        {**each.told, "classes": named(each.classes & classes)}
        for each in reasons
        if each.classes & classes or not classes
    ]


_KNOWN = """
SELECT w.n, found.*
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS w (custodian, recipient, person, n)
CROSS JOIN LATERAL (
    SELECT TRUE AS grants, g.id, g.version, g.basis AS because, g.purposes::text, g.classes::text,
           a.id AS agreement, a.version AS agreement_version, a.legal_basis, FALSE AS general
    FROM grant_ g JOIN agreement a ON a.id = g.agreement_id
    WHERE g.person_id = w.person AND g.recipient_id = w.recipient AND g.custodian_id = w.custodian
      AND g.valid_from <= $4 AND (g.valid_to IS NULL OR g.valid_to > $5)
    UNION ALL
    SELECT FALSE, c.id, c.version, d.decision, d.purposes::text, d.classes::text,
           NULL, NULL, NULL, d.recipient_id IS NULL
    FROM consent c
    CROSS JOIN LATERAL (
        SELECT c.decision, c.recipient_id, c.purposes, c.classes, c.valid_from, c.valid_to
        WHERE jsonb_array_length(c.directives) = 0
        UNION ALL
        SELECT each.* FROM jsonb_to_recordset(c.directives) AS each (
            decision text, recipient_id text, purposes jsonb, classes jsonb,
            valid_from timestamptz, valid_to timestamptz)
    ) d
    WHERE c.person_id = w.person AND (c.active OR c.updated_at > $5)
      AND d.decision = 'permit' AND (d.recipient_id IS NULL OR d.recipient_id = w.recipient)
      AND (d.valid_from IS NULL OR d.valid_from <= $4) AND (d.valid_to IS NULL OR d.valid_to > $5)
) found
ORDER BY 1, 3
"""
_APPEND = """
INSERT INTO ledger_entry
    (at, id, custodian_id, person_id, organisation_id, denied, classes, body)
SELECT $1::timestamptz, * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[],
                                      $6::boolean[], $7::integer[], $8::text[])
"""


async def known(
    connection: asyncpg.Connection, subjects: Sequence[Subject], at: datetime
) -> dict[Subject, Known]:
    """Return what stands between custodian and recipient about each person, in one statement."""
    columns = [list(column) for column in zip(*subjects, strict=True)]
    rows = await connection.fetch(_KNOWN, *columns, at, at - _RIGHTS_MAY_BE_OLD)
    found = {subject: Known() for subject in subjects}
    for row in rows:
        reason = _reason(row)
        of = found[subjects[row["n"] - 1]]
        (of.grants if row["grants"] else of.consents).append(reason)
    return found


def _reason(row: Any) -> _Reason:
    told = {"id": row["id"], "version": row["version"]}
    if row["grants"]:
        told["because"] = row["because"]
        told["agreement"] = row["agreement"]
        told["agreement_version"] = row["agreement_version"]
        told["legal_basis"] = row["legal_basis"]
    else:
        told["general"] = row["general"]
    return _Reason(_purposes(row["purposes"]), _classes(row["classes"]), told)


# the same few lists stand in most grants
@lru_cache(maxsize=1024)
def _purposes(listed: str) -> int:
    return purposes.mask_of(orjson.loads(listed))


@lru_cache(maxsize=1024)
def _classes(listed: str) -> int:
    return int(mask_of(orjson.loads(listed)))


async def open_segment(connection: asyncpg.Connection, segment: str, at: datetime) -> None:
    await connection.execute("INSERT INTO ledger_segment VALUES ($1, $2)", segment, at)


async def append(connection: asyncpg.Connection, entries: Sequence[Entry]) -> None:
    """Insert entries of one instant in one statement: outside of a transaction one commit."""
    [at, *_], *columns = zip(*entries, strict=True)
    await connection.execute(_APPEND, at, *columns)


# reading


class Range(NamedTuple):
    """Consecutive entries of one segment; `first_leaf` is the first one's place in its period."""

    segment: str
    first: int
    last: int
    first_leaf: int = 0


class Kept(NamedTuple):
    """An entry as it is kept: what was hashed, and the columns that find it."""

    id: str
    custodian_id: str | None
    person_id: str | None
    body: str


_OF_RANGES = """
SELECT e.id, e.custodian_id, e.person_id, e.body
FROM unnest(CAST(:first AS text[]), CAST(:last AS text[])) WITH ORDINALITY AS w (first, last, n)
CROSS JOIN LATERAL (
    SELECT * FROM ledger_entry WHERE id COLLATE "C" >= w.first AND id COLLATE "C" <= w.last
    ORDER BY id LIMIT :most
) e ORDER BY w.n, e.id LIMIT :most
"""
_SEGMENTS = """
SELECT s.id, coalesce(max(r.last), 0) FROM ledger_segment s
LEFT JOIN ledger_range r ON r.segment = s.id GROUP BY s.id ORDER BY s.id
"""


async def take_turn(tx: AsyncSession, what: int) -> bool:
    """Tell whether this transaction alone does that now; others do not wait for it."""
    return bool(await tx.scalar(select(func.pg_try_advisory_xact_lock(what))))


async def await_turn(tx: AsyncSession, what: int) -> None:
    await tx.execute(select(func.pg_advisory_xact_lock(what)))


async def entries_of(tx: AsyncSession, ranges: Sequence[Range], most: int) -> list[Kept]:
    """Return the entries of the ranges, in their order, at most so many."""
    given = {
        "first": [entry_id(each.segment, each.first) for each in ranges],
        "last": [entry_id(each.segment, each.last) for each in ranges],
        "most": most,
    }
    return [Kept(*row) for row in await tx.execute(text(_OF_RANGES), given)]


async def unsealed(tx: AsyncSession) -> list[Range]:
    """Return, for every segment, what lies beyond its last sealed entry."""
    rows = await tx.execute(text(_SEGMENTS))
    return [Range(segment, last + 1, LAST) for segment, last in rows]


async def last_of(tx: AsyncSession, segment: str) -> Kept | None:
    """Return the newest entry of a segment."""
    low, high = entry_id(segment, 0), entry_id(segment, LAST)
    row = await tx.execute(
        select(*_KEPT)
        .where(LedgerEntry.id > low, LedgerEntry.id <= high)
        .order_by(LedgerEntry.id.desc())
        .limit(1)
    )
    found = row.first()
    return Kept(*found) if found else None


async def last_period(tx: AsyncSession) -> LedgerPeriod | None:
    return await tx.scalar(select(LedgerPeriod).order_by(LedgerPeriod.number.desc()).limit(1))


async def list_periods(tx: AsyncSession, after: int | None, limit: int) -> Sequence[LedgerPeriod]:
    """Return sealed periods, newest first, one more than the limit: they name no person."""
    query = select(LedgerPeriod).order_by(LedgerPeriod.number.desc()).limit(limit + 1)
    if after is not None:
        query = query.where(LedgerPeriod.number < after)
    return (await tx.scalars(query)).all()


async def get_period(tx: AsyncSession, number: int) -> LedgerPeriod:
    """Return a sealed period. Raises NotFound."""
    found = await tx.get(LedgerPeriod, number)
    if found is None:
        raise NotFound
    return found


async def ranges_of(tx: AsyncSession, period: int) -> list[Range]:
    """Return what a period seals, in the order of its leaves."""
    rows = await tx.scalars(
        select(LedgerRange).where(LedgerRange.period == period).order_by(LedgerRange.first_leaf)
    )
    return [Range(row.segment, row.first, row.last, row.first_leaf) for row in rows]


async def range_with(tx: AsyncSession, found: str) -> LedgerRange | None:
    """Return the sealed range that an entry lies in, None while it is not sealed."""
    segment, seq = place(found)
    return await tx.scalar(
        select(LedgerRange).where(
            LedgerRange.segment == segment, LedgerRange.first <= seq, LedgerRange.last >= seq
        )
    )


def sees_all(caller: Caller) -> bool:
    """Tell whether the caller looks after the whole ledger: the coordinator's privacy officer."""
    return Scope.LEDGER_AUDIT.value in caller.scopes


def _own(caller: Caller) -> ColumnElement[bool]:
    return true() if sees_all(caller) else LedgerEntry.custodian_id == caller.organisation_id


@dataclass(frozen=True)
class Filters:
    """What a list of entries may be narrowed by; None does not narrow."""

    person_id: str | None = None
    custodian_id: str | None = None
    organisation_id: str | None = None
    denied: bool | None = None
    since: datetime | None = None
    until: datetime | None = None


_KEPT = (LedgerEntry.id, LedgerEntry.custodian_id, LedgerEntry.person_id, LedgerEntry.body)


async def get_entry(tx: AsyncSession, caller: Caller, found: str) -> Kept:
    """Return an entry about the caller's own persons. Raises NotFound."""
    row = (await tx.execute(select(*_KEPT).where(LedgerEntry.id == found, _own(caller)))).first()
    if row is None:
        raise NotFound
    return Kept(*row)


async def list_entries(
    tx: AsyncSession,
    caller: Caller,
    wanted: Filters,
    after: tuple[datetime, str] | None,
    limit: int,
) -> list[tuple[datetime, Kept]]:
    """Return entries about the caller's own persons, newest first, one more than the limit."""
    equal = {
        LedgerEntry.person_id: wanted.person_id,
        LedgerEntry.custodian_id: wanted.custodian_id,
        LedgerEntry.organisation_id: wanted.organisation_id,
        LedgerEntry.denied: wanted.denied,
    }
    which = [column == value for column, value in equal.items() if value is not None]
    if wanted.since:
        which.append(LedgerEntry.at >= wanted.since)
    if wanted.until:
        which.append(LedgerEntry.at < wanted.until)
    if after:
        which.append(tuple_(LedgerEntry.at, LedgerEntry.id) < after)
    query = (
        select(LedgerEntry.at, *_KEPT)
        .where(_own(caller), *which)
        .order_by(LedgerEntry.at.desc(), LedgerEntry.id.desc())
        .limit(limit + 1)
    )
    return [(row[0], Kept(*row[1:])) for row in await tx.execute(query)]


async def names_of_organisations(tx: AsyncSession) -> dict[str, str]:
    """Return the name of every participant: they know each other."""
    return {row.id: row.name for row in await tx.scalars(select(Organisation))}


async def about(
    tx: AsyncSession, caller: Caller, person_id: str, since: datetime, until: datetime
) -> list[Kept]:
    """Return the caller's own entries about a person within the period, oldest first."""
    query = (
        select(*_KEPT)
        .where(
            LedgerEntry.custodian_id == caller.organisation_id,
            LedgerEntry.person_id == person_id,
            LedgerEntry.at >= since,
            LedgerEntry.at < until,
        )
        .order_by(LedgerEntry.at, LedgerEntry.id)
    )
    return [Kept(*row) for row in await tx.execute(query)]


async def references(tx: AsyncSession, caller: Caller, person_id: str) -> dict[str, str]:
    """Return by grant the order, statute or request that the caller's legal grants follow."""
    query = select(Grant.id, Grant.reference).where(
        Grant.custodian_id == caller.organisation_id,
        Grant.person_id == person_id,
        Grant.reference.is_not(None),
    )
    return {row.id: row.reference for row in await tx.execute(query)}


async def ends(tx: AsyncSession) -> list[Range]:
    """Return every segment with the number of its newest entry, empty ones left out."""
    found = []
    for segment in await tx.scalars(select(LedgerSegment.id).order_by(LedgerSegment.id)):
        last = await last_of(tx, segment)
        if last is not None:
            found.append(Range(segment, 1, place(last.id)[1]))
    return found


async def all_periods(tx: AsyncSession) -> Sequence[LedgerPeriod]:
    """Return every sealed period in order."""
    return (await tx.scalars(select(LedgerPeriod).order_by(LedgerPeriod.number))).all()
