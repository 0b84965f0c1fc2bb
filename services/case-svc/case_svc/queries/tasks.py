"""Tasks across cases: one, and the worklists."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sharing import Reader, sql
from sharing.kept import AFTER_ALL, at_least, given, kept, narrowing
from sqlalchemy import ColumnElement, Select, select, true
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.errors import NotFound
from svckit.identity import Caller

from case_svc.domain.tasks import TaskStatus
from case_svc.models import CaseFile, Task, TaskReader
from case_svc.queries.visible import Seen, case_mask, found, row_mask, shows_case, shows_row


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
    return Seen(*found(await _task.first(tx, caller, {"task_id": task_id})))


@kept
def _task(reader: Reader) -> Select[Any]:
    return _visible(reader).where(Task.id == given("task_id"))


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
    values = narrowing(wanted)
    names = frozenset(values)
    values["after"] = after or AFTER_ALL
    rows = await _page.rows(tx, caller, values, names, at_least(limit))
    return [Seen(*row) for row in rows[:limit]]


@kept
def _page(reader: Reader, names: frozenset[str], limit: int) -> Select[Any]:
    return (
        _visible(reader)
        .join(TaskReader, sql.looked_up(Task.id, TaskReader.task_id))
        .where(TaskReader.organisation_id == reader.organisation_id, *_narrowed(names))
        .where(TaskReader.task_id < given("after"))
        .order_by(TaskReader.task_id.desc())
        .limit(limit)
    )


def _narrowed(names: frozenset[str]) -> list[ColumnElement[bool]]:
    """Every field filtered on is of the class that a visible task shows anyway: coordination."""
    columns = {
        "status": Task.status,
        "organisation_id": Task.organisation_id,
        "worker": Task.worker,
        "case_id": Task.case_id,
    }
    narrowed = [column == given(name) for name, column in columns.items() if name in names]
    if "due_before" in names:
        narrowed.append(Task.due_at < given("due_before"))
    return narrowed


def _visible(caller: Reader) -> Select[Any]:
    of_case = sql.lateral(case_mask(caller))
    seen = sql.lateral(row_mask(caller, Task))
    return (
        select(Task, seen.c.mask, CaseFile.person_id)
        .join(CaseFile, CaseFile.id == Task.case_id)
        .join(of_case, true())
        .join(seen, true())
        .where(shows_case(of_case.c.mask), shows_row(seen.c.mask, Task))
    )
