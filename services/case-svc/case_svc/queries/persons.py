"""Persons by the client records that the caller sees of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from sharing import sql
from sqlalchemy import ColumnElement, Select, and_, exists, false, or_, select, true
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.errors import NotFound
from svckit.identity import Caller

from case_svc.domain.persons import tokens
from case_svc.models import CaseFile, CaseReader, ClientRecord, Person, PersonReader
from case_svc.queries.visible import Seen, case_seen, record_mask, shows_case, shows_record

Records = Mapping[str, list[Seen[ClientRecord]]]


async def get_person(
    tx: AsyncSession, caller: Caller, person_id: str
) -> tuple[Person, list[Seen[ClientRecord]]]:
    """Return the person with the records the caller sees. Raises NotFound when there are none."""
    records = (await records_of(tx, caller, [person_id])).get(person_id)
    person = await tx.get(Person, person_id)
    if not records or person is None:
        raise NotFound
    return person, records


async def get_record(
    tx: AsyncSession, caller: Caller, person_id: str, record_id: str
) -> Seen[ClientRecord]:
    """Return one record of a person. Raises NotFound."""
    which = and_(ClientRecord.id == record_id, ClientRecord.person_id == person_id)
    return await _record(tx, _records(caller).where(which))


async def lock_record(
    tx: AsyncSession, caller: Caller, person_id: str, record_id: str
) -> ClientRecord:
    """Return the caller's own record, locked. Raises NotFound: others' are not the caller's."""
    statement = (
        select(ClientRecord)
        .where(
            ClientRecord.id == record_id,
            ClientRecord.person_id == person_id,
            ClientRecord.custodian_id == caller.organisation_id,
        )
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    record = await tx.scalar(statement)
    if record is None:
        raise NotFound
    return record


async def lock_person(tx: AsyncSession, person_id: str) -> Person | None:
    """Return the person locked: whoever adds readers of a person's rows takes turns here."""
    statement = select(Person).where(Person.id == person_id).with_for_update(key_share=True)
    return await tx.scalar(statement)


async def knows_person(tx: AsyncSession, caller: Caller, person_id: str) -> bool:
    """Tell whether the caller sees a record or a case of the person."""
    seen = case_seen(caller)
    a_case = (
        select(CaseFile.id)
        .join(CaseReader, CaseReader.case_id == CaseFile.id)
        .join(seen, true())
        .where(
            CaseReader.organisation_id == caller.organisation_id,
            CaseFile.person_id == person_id,
            shows_case(seen.c.mask),
        )
    )
    a_record = _records(caller).where(ClientRecord.person_id == person_id)
    return bool(await tx.scalar(select(or_(exists(a_record), exists(a_case)))))


async def list_persons(
    tx: AsyncSession,
    caller: Caller,
    *,
    number: str | None,
    q: str | None,
    after: str | None,
    limit: int,
) -> Sequence[Person]:
    """Return a page of persons of whom the caller sees a record, newest first."""
    records = _records(caller).where(ClientRecord.person_id == Person.id)
    for condition in _narrowed(caller, number, q):
        records = records.where(condition)
    statement = (
        select(Person)
        .join(PersonReader, PersonReader.person_id == Person.id)
        .where(
            PersonReader.organisation_id == caller.organisation_id,
            records.correlate(Person).exists(),
        )
        .order_by(PersonReader.person_id.desc())
        .limit(limit)
    )
    if after:
        statement = statement.where(PersonReader.person_id < after, Person.id < after)
    return (await tx.scalars(statement)).all()


async def records_of(tx: AsyncSession, caller: Caller, person_ids: Sequence[str]) -> Records:
    """Return the visible records by person, oldest first, in one statement."""
    statement = _records(caller).where(ClientRecord.person_id.in_(person_ids))
    found: dict[str, list[Seen[ClientRecord]]] = {}
    for row in await tx.execute(statement.order_by(ClientRecord.id)):
        found.setdefault(row[0].person_id, []).append(Seen(*row))
    return found


def _records(caller: Caller) -> Select[Any]:
    seen = sql.lateral(record_mask(caller))
    return select(ClientRecord, seen.c.mask).join(seen, true()).where(shows_record(seen.c.mask))


def _narrowed(caller: Caller, number: str | None, q: str | None) -> list[ColumnElement[bool]]:
    """Names match by the beginnings of their words, numbers exactly."""
    shown = sql.may_filter(record_mask(caller), "identity")
    narrowed = []
    if number is not None:
        narrowed.append(and_(shown, ClientRecord.number == number))
    words = tokens(q or "")
    if q is not None and not words:
        narrowed.append(false())
    narrowed.extend(and_(shown, _begins(word)) for word in words)
    return narrowed


def _begins(word: str) -> ColumnElement[bool]:
    """A folded word holds no wildcard."""
    columns = (ClientRecord.family_key, ClientRecord.given_key)
    return or_(*(each.like(f"{start}{word}%") for each in columns for start in ("", "% ")))


async def _record(tx: AsyncSession, statement: Select[Any]) -> Seen[ClientRecord]:
    row = (await tx.execute(statement)).first()
    if row is None:
        raise NotFound
    return Seen(*row)
