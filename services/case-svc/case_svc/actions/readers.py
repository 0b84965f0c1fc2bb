"""Keeps the narrow tables that lists are driven from: supersets of who may see a row.

They only find candidates; the mask decides. Adding readers takes turns per person and per case,
so that a grant and a new row that cross each other are both seen by whoever comes second.
"""

from sharing.model import Grant
from sharing.tables import grant as grants
from sqlalchemy import SelectBase, literal, select, union
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.db import Id

from case_svc.models import Base, CaseFile, CaseReader, PersonReader, Task, TaskReader
from case_svc.queries import persons


async def open_to(tx: AsyncSession, grant: Grant) -> None:
    """Let the recipient's lists find the person, the cases and their tasks."""
    if await persons.lock_person(tx, grant.person_id) is None:
        return
    await _add(tx, PersonReader, _pair(grant.recipient_id, grant.person_id))
    which = [CaseFile.custodian_id == grant.custodian_id, CaseFile.person_id == grant.person_id]
    if grant.case_id:
        which.append(CaseFile.id == grant.case_id)
    found = select(CaseFile.id).where(*which).order_by(CaseFile.id)
    cases = (await tx.scalars(found.with_for_update(key_share=True))).all()
    recipient = literal(grant.recipient_id, Id)
    await _add(tx, CaseReader, select(recipient, CaseFile.id).where(CaseFile.id.in_(cases)))
    await _add(tx, TaskReader, select(recipient, Task.id).where(Task.case_id.in_(cases)))


async def of_person(tx: AsyncSession, organisation_id: str, person_id: str) -> None:
    """Make the organisation a reader of the person it keeps a record of, and its recipients."""
    recipients = select(grants.c.recipient_id, literal(person_id, Id)).where(
        grants.c.custodian_id == organisation_id, grants.c.person_id == person_id
    )
    await _add(tx, PersonReader, union(_pair(organisation_id, person_id), recipients))


async def of_case(tx: AsyncSession, file: CaseFile) -> None:
    """Make readers of a new case: its custodian, and whom the person was already opened to."""
    recipients = select(grants.c.recipient_id, literal(file.id, Id)).where(
        grants.c.custodian_id == file.custodian_id,
        grants.c.person_id == file.person_id,
        grants.c.case_id.is_(None),
    )
    await _add(tx, CaseReader, union(_pair(file.custodian_id, file.id), recipients))


async def of_task(tx: AsyncSession, task: Task) -> None:
    """Make the readers of its case readers of a new task."""
    readers = select(CaseReader.organisation_id, literal(task.id, Id)).where(
        CaseReader.case_id == task.case_id
    )
    await _add(tx, TaskReader, readers)


def _pair(one: str, other: str) -> SelectBase:
    return select(literal(one, Id), literal(other, Id))


async def _add(tx: AsyncSession, table: type[Base], rows: SelectBase) -> None:
    columns = list(table.__table__.columns.keys())
    await tx.execute(insert(table).from_select(columns, rows).on_conflict_do_nothing())
