"""Persons and client records."""

from fastapi import APIRouter, Response
from svckit.db import Read
from svckit.idempotency import Change, Create
from svckit.paging import Paging
from svckit.problems import PROBLEMS

from case_svc import reply
from case_svc.actions import persons as actions
from case_svc.api.parts import IdPath, MayReadPersons, MayWritePersons, Text, last
from case_svc.queries import persons
from case_svc.schemas.persons import PersonOut, PersonPage, RecordIn, RecordOut, RecordPatch

router = APIRouter(prefix="/v1/persons", tags=["persons"], responses=PROBLEMS)


@router.post("", status_code=201, response_model=PersonOut)
async def register_person(body: RecordIn, caller: MayWritePersons, cmd: Create) -> Response:
    """Make a person known by the caller's own client record."""
    return await cmd.run(
        caller, lambda tx: actions.register(tx, caller, body), reply.created(reply.of_person)
    )


@router.get("", response_model=PersonPage)
async def list_persons(
    caller: MayReadPersons, session: Read, page: Paging, number: Text = None, q: Text = None
) -> Response:
    """List persons of whom the caller sees a record; `q` matches names by their beginnings."""
    found = await persons.list_persons(
        session, caller, number=number, q=q, after=last(page, caller), limit=page.limit + 1
    )
    return page.reply(
        caller.organisation_id,
        found,
        key=lambda each: [each[0].id],
        present=lambda each: reply.person(each[0].id, each[0].created_at, each[1]),
    )


@router.get("/{person_id}", response_model=PersonOut)
async def get_person(person_id: IdPath, caller: MayReadPersons, session: Read) -> Response:
    """Return the person as the records that the caller sees."""
    found, records = await persons.get_person(session, caller, person_id)
    return reply.plain(reply.person(found.id, found.created_at, records))


@router.post("/{person_id}/records", status_code=201, response_model=RecordOut)
async def add_record(
    person_id: IdPath, body: RecordIn, caller: MayWritePersons, cmd: Create
) -> Response:
    """Add the caller's own record to a person it knows of."""
    return await cmd.run(
        caller,
        lambda tx: actions.add_record(tx, caller, person_id, body),
        reply.created(reply.of_record),
    )


@router.get("/{person_id}/records/{record_id}", response_model=RecordOut)
async def get_record(
    person_id: IdPath, record_id: IdPath, caller: MayReadPersons, session: Read
) -> Response:
    """Return one client record."""
    seen = await persons.get_record(session, caller, person_id, record_id)
    return reply.tagged(reply.record(seen), seen.row.version)


@router.patch("/{person_id}/records/{record_id}", response_model=RecordOut)
async def change_record(
    person_id: IdPath,
    record_id: IdPath,
    body: RecordPatch,
    caller: MayWritePersons,
    cmd: Change,
) -> Response:
    """Change the caller's own record."""
    return await cmd.run(
        caller,
        lambda tx: actions.change_record(
            tx, caller, person_id, record_id, body, expected=cmd.expected
        ),
        reply.of_record,
    )
