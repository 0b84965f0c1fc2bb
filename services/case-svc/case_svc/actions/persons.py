"""Persons and the organisation's own client records of them."""

from collections.abc import Mapping
from typing import Any

from sharing import DataClass
from sharing.fields import told_by
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.clock import now
from svckit.errors import Conflict, FieldError, NotFound
from svckit.idempotency import check_version
from svckit.identity import Caller
from svckit.ids import new_id

from case_svc import events
from case_svc.actions import readers
from case_svc.actions.authority import authored, touch
from case_svc.domain import persons as rules
from case_svc.domain.persons import fold
from case_svc.models import ClientRecord, Person
from case_svc.queries import persons
from case_svc.schemas.persons import RecordIn, RecordOut, RecordPatch


async def register(tx: AsyncSession, caller: Caller, body: RecordIn) -> ClientRecord:
    """Make a person known by the caller's record. Raises Conflict when its number is taken."""
    person = Person(id=new_id("per"), version=1, created_at=now())
    tx.add(person)
    await tx.flush()
    record = await _keep(tx, caller, person, body)
    await events.of_person(tx, caller, person, "person.registered", _registered(record))
    return record


async def add_record(
    tx: AsyncSession, caller: Caller, person_id: str, body: RecordIn
) -> ClientRecord:
    """Add the caller's own record to a person it knows of.

    Raises NotFound, or Conflict when it has one already or the number is taken.
    """
    if not await persons.knows_person(tx, caller, person_id):
        raise NotFound
    person = await persons.lock_person(tx, person_id)
    if person is None:
        raise NotFound
    record = await _keep(tx, caller, person, body)
    person.version += 1
    await events.of_person(tx, caller, person, "person.changed", _change("record-added", record))
    return record


async def change_record(
    tx: AsyncSession,
    caller: Caller,
    person_id: str,
    record_id: str,
    body: RecordPatch,
    *,
    expected: int,
) -> ClientRecord:
    """Change the caller's own record. Raises NotFound, PreconditionFailed, Conflict."""
    person = await persons.lock_person(tx, person_id)
    record = await persons.lock_record(tx, caller, person_id, record_id)
    if person is None:
        raise NotFound
    check_version(record.version, expected)
    changed = body.model_dump(mode="json", exclude_unset=True)
    was = record.address_confidential
    _write(record, changed, body)
    touch(record)
    person.version += 1
    await _flush(tx)
    seen_as = rules.concealed(was=was, is_now=record.address_confidential)
    told = told_by(RecordOut, changed, DataClass.IDENTITY, seen_as)
    change = _change("record-changed", record)
    await events.of_person(tx, caller, person, "person.changed", change, classes=told)
    return record


async def _keep(tx: AsyncSession, caller: Caller, person: Person, body: RecordIn) -> ClientRecord:
    record = ClientRecord(**authored("rec", caller), person_id=person.id)
    _write(record, body.model_dump(mode="json"), body)
    tx.add(record)
    await _flush(tx)
    await readers.of_person(tx, caller.organisation_id, person.id)
    return record


def _write(record: ClientRecord, values: Mapping[str, Any], body: RecordIn | RecordPatch) -> None:
    for name, value in values.items():
        setattr(record, name, body.birth_date if name == "birth_date" else value)
    record.family_key = fold(record.family_name)
    record.given_key = fold(record.given_name)


async def _flush(tx: AsyncSession) -> None:
    try:
        await tx.flush()
    except IntegrityError as error:
        if "uq_client_record_person" in str(error.orig):
            raise Conflict(
                "The organisation keeps a record of this person already.", code="record-exists"
            ) from error
        raise Conflict(
            "The organisation uses this number already.",
            code="number-taken",
            errors=[FieldError("#/number", "number-taken", "Used for another person.")],
        ) from error


def _registered(record: ClientRecord) -> dict[str, Any]:
    return {"record_id": record.id, "contact_prohibited": record.contact_prohibited}


def _change(what: str, record: ClientRecord) -> dict[str, Any]:
    return {**_registered(record), "what": what, "record_version": record.version}
