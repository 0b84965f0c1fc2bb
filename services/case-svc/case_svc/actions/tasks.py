"""Tasks: created, assigned, claimed, waited on, completed."""

from collections.abc import Mapping
from typing import Any

from sharing import DataClass
from sharing.fields import told_by
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.clock import now, wire
from svckit.errors import NotFound
from svckit.idempotency import Tag
from svckit.identity import Caller, worker_key

from case_svc import events
from case_svc.actions import readers
from case_svc.actions.authority import check_shown, in_case, require_contributor, touch
from case_svc.actions.plan import require_on_case
from case_svc.domain import tasks as rules
from case_svc.domain.cases import require_open
from case_svc.domain.tasks import TaskCommand, TaskStatus
from case_svc.models import CaseFile, Task
from case_svc.queries import cases, rows, tasks
from case_svc.queries.visible import Seen
from case_svc.schemas.work import AssignIn, TaskIn, TaskOut, TaskPatch, WaitIn


async def create(tx: AsyncSession, caller: Caller, case_id: str, body: TaskIn) -> Task:
    """Add a task for an organisation on the case, or nobody's yet.

    Raises NotFound, CaseClosed, Invalid.
    """
    seen = await cases.lock_case(tx, caller, case_id)
    require_contributor(seen, caller)
    file = seen.row
    require_open(file.status)
    if body.organisation_id:
        await require_on_case(tx, file, body.organisation_id)
    task = Task(
        **in_case("tsk", caller, file, DataClass.COORDINATION),
        **body.model_dump(),
        status=TaskStatus.READY,
    )
    tx.add(task)
    await tx.flush()
    await readers.of_task(tx, task)
    await events.of_row(tx, caller, file, "task.created", task, _change(task))
    return task


async def change(
    tx: AsyncSession, caller: Caller, task_id: str, body: TaskPatch, expected: Tag
) -> Task:
    """Change what describes a task. Raises NotFound, PreconditionFailed."""
    file, task = await _mine(tx, caller, task_id, expected)
    changed = body.model_dump(exclude_unset=True)
    await _written(tx, caller, file, task, changed, what={"fields": sorted(changed)})
    return task


async def assign(
    tx: AsyncSession, caller: Caller, task_id: str, body: AssignIn, expected: Tag
) -> Task:
    """Give the task to an organisation on the case or to a worker; null takes it back.

    Raises NotFound, PreconditionFailed, InvalidTransition, Invalid.
    """
    file, task = await _mine(tx, caller, task_id, expected)
    rules.move(task.status, TaskCommand.ASSIGN)
    if body.organisation_id:
        await require_on_case(tx, file, body.organisation_id)
    changed = body.model_dump(exclude_unset=True)
    await _written(tx, caller, file, task, changed, what={"command": TaskCommand.ASSIGN})
    return task


async def claim(tx: AsyncSession, caller: Caller, task_id: str, worker: str, expected: Tag) -> Task:
    """Take a task that is nobody's, or the organisation's own, for a worker of the caller.

    Raises NotFound, PreconditionFailed, InvalidTransition.
    """
    file, seen = await _find(tx, caller, task_id)
    task = seen.row
    if task.organisation_id not in (None, caller.organisation_id):
        raise NotFound
    check_shown(seen, TaskOut, expected)
    status = rules.move(task.status, TaskCommand.CLAIM)
    changed = {"status": status, "organisation_id": caller.organisation_id, "worker": worker}
    await _written(tx, caller, file, task, changed, what={"command": TaskCommand.CLAIM})
    return task


async def wait(tx: AsyncSession, caller: Caller, task_id: str, body: WaitIn, expected: Tag) -> Task:
    """Say on whom the task waits, since when and why. Raises as `move`."""
    waiting = {
        "waiting_on": body.on,
        "waiting_why": body.why,
        "waiting_since": body.since or now(),
    }
    return await move(tx, caller, task_id, TaskCommand.WAIT, expected=expected, more=waiting)


async def move(
    tx: AsyncSession,
    caller: Caller,
    task_id: str,
    command: TaskCommand,
    *,
    expected: Tag,
    more: Mapping[str, Any] | None = None,
) -> Task:
    """Wait, resume, complete or cancel. Raises NotFound, PreconditionFailed, InvalidTransition."""
    file, task = await _mine(tx, caller, task_id, expected)
    status = rules.move(task.status, command)
    changed = {
        "status": status,
        "waiting_on": None,
        "waiting_why": None,
        "waiting_since": None,
        **(more or {}),
    }
    if status is TaskStatus.COMPLETED:
        changed["completed_at"] = now()
    await _written(tx, caller, file, task, changed, what={"command": command})
    return task


async def _find(tx: AsyncSession, caller: Caller, task_id: str) -> tuple[CaseFile, Seen[Task]]:
    """Return the task with its case locked, and its caller seeing what it needs to act."""
    case_id = await tasks.case_of(tx, task_id)
    seen = await cases.lock_case(tx, caller, case_id)
    require_contributor(seen, caller)
    return seen.row, await rows.row_of(tx, caller, Task, seen.row, task_id)


async def _mine(
    tx: AsyncSession, caller: Caller, task_id: str, expected: Tag
) -> tuple[CaseFile, Task]:
    """The same for those who may act: who gave the task, who holds it, whose case it is.

    Who holds it may see a part of it: what it does not see may have changed meanwhile.
    """
    file, seen = await _find(tx, caller, task_id)
    task = seen.row
    holders = (task.custodian_id, task.organisation_id, file.custodian_id)
    if caller.organisation_id not in holders:
        raise NotFound
    check_shown(seen, TaskOut, expected)
    return file, task


async def _written(
    tx: AsyncSession,
    caller: Caller,
    file: CaseFile,
    task: Task,
    changed: Mapping[str, Any],
    *,
    what: Mapping[str, Any],
) -> None:
    for name, value in changed.items():
        setattr(task, name, value)
    touch(task)
    told = told_by(TaskOut, changed, task.classes)
    change = {**what, **_change(task)}
    await events.of_row(tx, caller, file, "task.changed", task, change, classes=told)


def _change(task: Task) -> dict[str, Any]:
    holder, worker = task.organisation_id, task.worker
    return {
        "status": task.status,
        "organisation_id": holder,
        "worker_key": worker_key(holder, worker) if holder and worker else None,
        "due_at": wire(task.due_at) if task.due_at else None,
    }
