"""Persons by the client records that the caller sees of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from sharing import Reader, sql
from sharing.kept import AFTER_ALL, at_least, given, kept
from sqlalchemy import (
    ColumnElement,
    Select,
    Text,
    and_,
    any_,
    exists,
    literal,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.errors import NotFound
from svckit.identity import Caller

from case_svc.domain.persons import tokens
from case_svc.models import CaseFile, CaseReader, ClientRecord, Person, PersonReader
from case_svc.queries.visible import (
    Seen,
    case_seen,
    found,
    record_mask,
    shows_case,
    shows_record,
)

Records = Mapping[str, list[Seen[ClientRecord]]]


async def get_person(
    tx: AsyncSession, caller: Caller, person_id: str
) -> tuple[Person, list[Seen[ClientRecord]]]:
    """Return the person with the records the caller sees. Raises NotFound when there are none."""
    rows = await _person.rows(tx, caller, {"person_id": person_id})
    if not rows:
        raise NotFound
    return rows[0][0], [Seen(*row[1:]) for row in rows]


@kept
def _person(reader: Reader) -> Select[Any]:
    seen = sql.lateral(record_mask(reader))
    return (
        select(Person, ClientRecord, seen.c.mask)
        .join(ClientRecord, ClientRecord.person_id == Person.id)
        .join(seen, true())
        .where(Person.id == given("person_id"), shows_record(seen.c.mask))
        .order_by(ClientRecord.id)
    )


async def get_record(
    tx: AsyncSession, caller: Caller, person_id: str, record_id: str
) -> Seen[ClientRecord]:
    """Return one record of a person. Raises NotFound."""
    which = {"person_id": person_id, "record_id": record_id}
    return Seen(*found(await _record.first(tx, caller, which)))


@kept
def _record(reader: Reader) -> Select[Any]:
    return _records(reader).where(
        ClientRecord.id == given("record_id"), ClientRecord.person_id == given("person_id")
    )


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
    [knows] = found(await _knows.first(tx, caller, {"person_id": person_id}))
    return bool(knows)


@kept
def _knows(reader: Reader) -> Select[Any]:
    seen = case_seen(reader)
    a_case = (
        select(CaseFile.id)
        .join(CaseReader, CaseReader.case_id == CaseFile.id)
        .join(seen, true())
        .where(
            CaseReader.organisation_id == reader.organisation_id,
            CaseFile.person_id == given("person_id"),
            shows_case(seen.c.mask),
        )
    )
    a_record = _records(reader).where(ClientRecord.person_id == given("person_id"))
    return select(or_(exists(a_record), exists(a_case)))


async def list_persons(
    tx: AsyncSession,
    caller: Caller,
    *,
    number: str | None,
    q: str | None,
    after: str | None,
    limit: int,
) -> Sequence[tuple[Person, list[Seen[ClientRecord]]]]:
    """Return a page of persons with the records of them that the caller sees, newest first.

    Names match by the beginnings of their words, numbers exactly.
    """
    words = tokens(q or "")
    if q is not None and not words:
        return []
    # a folded word holds no wildcard
    values = {f"word_{place}": f"{word}%" for place, word in enumerate(words)}
    if number is not None:
        values["number"] = number
    names = frozenset(values)
    values["after"] = after or AFTER_ALL
    rows = await _page.rows(tx, caller, values, names, at_least(limit))
    page = [person for (person,) in rows[:limit]]
    records = await records_of(tx, caller, [person.id for person in page])
    return [(person, records.get(person.id, [])) for person in page]


@kept
def _page(reader: Reader, names: frozenset[str], limit: int) -> Select[Any]:
    records = _records(reader).where(ClientRecord.person_id == Person.id, *_narrowed(reader, names))
    return (
        select(Person)
        .join(PersonReader, sql.looked_up(Person.id, PersonReader.person_id))
        .where(
            PersonReader.organisation_id == reader.organisation_id,
            PersonReader.person_id < given("after"),
            records.correlate(Person).exists(),
        )
        .order_by(PersonReader.person_id.desc())
        .limit(limit)
    )


async def records_of(tx: AsyncSession, caller: Caller, person_ids: Sequence[str]) -> Records:
    """Return the visible records by person, oldest first, in one statement."""
    records: dict[str, list[Seen[ClientRecord]]] = {}
    if person_ids:
        for row in await _of_persons.rows(tx, caller, {"person_ids": person_ids}):
            records.setdefault(row[0].person_id, []).append(Seen(*row))
    return records


@kept
def _of_persons(reader: Reader) -> Select[Any]:
    these = given("person_ids", ARRAY(Text))
    return _records(reader).where(ClientRecord.person_id == any_(these)).order_by(ClientRecord.id)


def _records(reader: Reader) -> Select[Any]:
    seen = sql.lateral(record_mask(reader))
    return select(ClientRecord, seen.c.mask).join(seen, true()).where(shows_record(seen.c.mask))


def _narrowed(reader: Reader, names: frozenset[str]) -> list[ColumnElement[bool]]:
    shown = sql.may_filter(record_mask(reader), "identity")
    return [
        and_(shown, ClientRecord.number == given(name) if name == "number" else _begins(name))
        for name in sorted(names)
    ]


def _begins(name: str) -> ColumnElement[bool]:
    columns = (ClientRecord.family_key, ClientRecord.given_key)
    word = given(name, Text())
    return or_(*(each.like(like) for each in columns for like in (word, literal("% ") + word)))
