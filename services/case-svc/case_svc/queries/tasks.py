"""Tasks across cases: one, and the worklists."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sharing import sql
from sqlalchemy import ColumnElement, Select, select, true
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.errors import NotFound
from svckit.identity import Caller

from case_svc.domain.tasks import TaskStatus
from case_svc.models import CaseFile, Task, TaskReader
from case_svc.queries.visible import Seen, case_mask, row_mask, shows_case, shows_row


@dataclass(frozen=True)
class TaskFilter:
    """What a worklist may be narrowed by; None does not narrow."""

    status: TaskStatus | None = None
    organisation_id: str | None = None
    worker: str | None = None
    case_id: str | None = None
    due_before: datetime | None = None


async def get_task(tx: AsyncSession, caller: Caller, task_id: str) -> Seen[Task]:
    """Return the task. Raises NotFound."""
    row = (await tx.execute(_visible(caller).where(Task.id == task_id))).first()
    if row is None:
        raise NotFound
    return Seen(*row)


async def case_of(tx: AsyncSession, task_id: str) -> str:
    """Return the id of the task's case, which is then locked and checked. Raises NotFound."""
    case_id = await tx.scalar(select(Task.case_id).where(Task.id == task_id))
    if case_id is None:
        raise NotFound
    return case_id


async def list_tasks(
    tx: AsyncSession, caller: Caller, wanted: TaskFilter, after: str | None, limit: int
) -> Sequence[Seen[Task]]:
    """Return a page of tasks the caller sees, newest first."""
    statement = (
        _visible(caller)
        .join(TaskReader, TaskReader.task_id == Task.id)
        .where(TaskReader.organisation_id == caller.organisation_id, *_narrowed(wanted))
        .order_by(TaskReader.task_id.desc())
        .limit(limit)
    )
    if after:
        statement = statement.where(TaskReader.task_id < after, Task.id < after)
    return [Seen(*row) for row in (await tx.execute(statement))]


def _narrowed(wanted: TaskFilter) -> list[ColumnElement[bool]]:
    """Every field filtered on is of the class that a visible task shows anyway: coordination."""
    equal = {
        Task.status: wanted.status,
        Task.organisation_id: wanted.organisation_id,
        Task.worker: wanted.worker,
        Task.case_id: wanted.case_id,
    }
    narrowed = [column == value for column, value in equal.items() if value is not None]
    if wanted.due_before:
        narrowed.append(Task.due_at < wanted.due_before)
    return narrowed


def _visible(caller: Caller) -> Select[Any]:
    of_case = sql.lateral(case_mask(caller))
    seen = sql.lateral(row_mask(caller, Task))
    return (
        select(Task, seen.c.mask, CaseFile.person_id)
        .join(CaseFile, CaseFile.id == Task.case_id)
        .join(of_case, true())
        .join(seen, true())
        .where(shows_case(of_case.c.mask), shows_row(seen.c.mask, Task))
    )
