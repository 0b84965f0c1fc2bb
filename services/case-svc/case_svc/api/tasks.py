"""Tasks and worklists."""

from typing import Any

from fastapi import APIRouter, Response
from pydantic import AwareDatetime
from svckit.db import Read
from svckit.idempotency import Act, Change
from svckit.paging import Paging
from svckit.problems import PROBLEMS

from case_svc import reply
from case_svc.actions import tasks as actions
from case_svc.api.parts import IdPath, IdQuery, MayRead, MayWrite, Text, last
from case_svc.domain.tasks import TaskCommand, TaskStatus
from case_svc.queries import tasks
from case_svc.queries.tasks import TaskFilter
from case_svc.schemas.work import (
    AssignIn,
    ClaimIn,
    CompleteIn,
    TaskOut,
    TaskPage,
    TaskPatch,
    WaitIn,
)

router = APIRouter(prefix="/v1/tasks", tags=["tasks"], responses=PROBLEMS)


@router.get("", response_model=TaskPage)
async def list_tasks(
    caller: MayRead,
    session: Read,
    page: Paging,
    *,
    status: TaskStatus | None = None,
    organisation_id: IdQuery = None,
    worker: Text = None,
    case_id: IdQuery = None,
    due_before: AwareDatetime | None = None,
) -> Response:
    """List the tasks the caller sees: the worklist of an organisation, of a worker, of a case."""
    wanted = TaskFilter(
        status=status,
        organisation_id=organisation_id,
        worker=worker,
        case_id=case_id,
        due_before=due_before,
    )
    found = await tasks.list_tasks(session, caller, wanted, last(page, caller), page.limit + 1)
    return page.reply(
        caller.organisation_id,
        found,
        key=lambda seen: [seen.row.id],
        present=await reply.presenter(session, caller, found),
    )


@router.get("/{task_id}", response_model=TaskOut)
async def get_task(task_id: IdPath, caller: MayRead, session: Read) -> Response:
    """Return one task."""
    seen = await tasks.get_task(session, caller, task_id)
    present = await reply.presenter(session, caller, [seen])
    return reply.tagged(present(seen), seen.row.version)


@router.patch("/{task_id}", response_model=TaskOut)
async def change_task(task_id: IdPath, body: TaskPatch, caller: MayWrite, cmd: Change) -> Response:
    """Change what describes a task."""
    return await cmd.run(
        caller,
        lambda tx: actions.change(tx, caller, task_id, body, cmd.tag),
        reply.of_row,
    )


@router.post("/{task_id}/assign", response_model=TaskOut)
async def assign_task(task_id: IdPath, body: AssignIn, caller: MayWrite, cmd: Act) -> Response:
    """Give the task to an organisation or to a worker."""
    return await cmd.run(
        caller,
        lambda tx: actions.assign(tx, caller, task_id, body, cmd.tag),
        reply.of_row,
    )


@router.post("/{task_id}/claim", response_model=TaskOut)
async def claim_task(task_id: IdPath, body: ClaimIn, caller: MayWrite, cmd: Act) -> Response:
    """Take the task on."""
    return await cmd.run(
        caller,
        lambda tx: actions.claim(tx, caller, task_id, body.worker, cmd.tag),
        reply.of_row,
    )


@router.post("/{task_id}/wait", response_model=TaskOut)
async def wait_for(task_id: IdPath, body: WaitIn, caller: MayWrite, cmd: Act) -> Response:
    """Say on whom the task waits, since when and why."""
    return await cmd.run(
        caller, lambda tx: actions.wait(tx, caller, task_id, body, cmd.tag), reply.of_row
    )


@router.post("/{task_id}/resume", response_model=TaskOut)
async def resume_task(task_id: IdPath, caller: MayWrite, cmd: Act) -> Response:
    """Take the task up again."""
    return await _move(task_id, TaskCommand.RESUME, caller, cmd)


@router.post("/{task_id}/complete", response_model=TaskOut)
async def complete_task(task_id: IdPath, body: CompleteIn, caller: MayWrite, cmd: Act) -> Response:
    """Complete the task."""
    return await _move(task_id, TaskCommand.COMPLETE, caller, cmd, more={"outcome": body.outcome})


@router.post("/{task_id}/cancel", response_model=TaskOut)
async def cancel_task(task_id: IdPath, caller: MayWrite, cmd: Act) -> Response:
    """Drop the task."""
    return await _move(task_id, TaskCommand.CANCEL, caller, cmd)


async def _move(
    task_id: str,
    command: TaskCommand,
    caller: MayWrite,
    cmd: Act,
    *,
    more: dict[str, Any] | None = None,
) -> Response:
    return await cmd.run(
        caller,
        lambda tx: actions.move(tx, caller, task_id, command, expected=cmd.tag, more=more),
        reply.of_row,
    )
