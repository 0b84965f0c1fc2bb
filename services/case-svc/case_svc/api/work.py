"""Notes and decisions of a case, and its tasks."""

from fastapi import APIRouter, Response
from svckit.db import Read
from svckit.idempotency import Act, Create
from svckit.paging import Paging
from svckit.problems import PROBLEMS

from case_svc import reply
from case_svc.actions import tasks, work
from case_svc.api.parts import AsOf, IdPath, MayRead, MayWrite, one_of, page_of
from case_svc.domain.classes import NoteKind
from case_svc.models import Decision, Note, Task
from case_svc.schemas.work import (
    DecisionIn,
    DecisionOut,
    DecisionPage,
    LabelsIn,
    NoteIn,
    NoteOut,
    NotePage,
    TaskIn,
    TaskOut,
    TaskPage,
)

router = APIRouter(prefix="/v1/cases/{case_id}", tags=["work"], responses=PROBLEMS)


@router.get("/tasks", response_model=TaskPage)
async def list_tasks_of_case(
    case_id: IdPath, caller: MayRead, session: Read, page: Paging, as_of: AsOf
) -> Response:
    """List the tasks of the case."""
    return await page_of(session, caller, page, Task, case_id, as_of=as_of)


@router.post("/tasks", status_code=201, response_model=TaskOut)
async def create_task(case_id: IdPath, body: TaskIn, caller: MayWrite, cmd: Create) -> Response:
    """Add a task."""
    return await cmd.run(
        caller, lambda tx: tasks.create(tx, caller, case_id, body), reply.created(reply.of_row)
    )


@router.get("/notes", response_model=NotePage)
async def list_notes(
    case_id: IdPath,
    caller: MayRead,
    session: Read,
    page: Paging,
    *,
    as_of: AsOf,
    kind: NoteKind | None = None,
) -> Response:
    """List the notes that the caller may know of."""
    return await page_of(session, caller, page, Note, case_id, as_of=as_of, kind=kind)


@router.post("/notes", status_code=201, response_model=NoteOut)
async def add_note(case_id: IdPath, body: NoteIn, caller: MayWrite, cmd: Create) -> Response:
    """Add a note."""
    return await cmd.run(
        caller, lambda tx: work.add_note(tx, caller, case_id, body), reply.created(reply.of_row)
    )


@router.get("/notes/{note_id}", response_model=NoteOut)
async def get_note(
    case_id: IdPath, note_id: IdPath, caller: MayRead, session: Read, as_of: AsOf
) -> Response:
    """Return one note."""
    return await one_of(session, caller, Note, case_id, note_id, as_of=as_of)


@router.post("/notes/{note_id}/label", response_model=NoteOut)
async def label_note(
    case_id: IdPath, note_id: IdPath, body: LabelsIn, caller: MayWrite, cmd: Act
) -> Response:
    """Change what protects a note; it takes effect at once."""
    return await cmd.run(
        caller,
        lambda tx: work.label_note(tx, caller, case_id, note_id, body, cmd.expected),
        reply.of_row,
    )


@router.get("/decisions", response_model=DecisionPage)
async def list_decisions(
    case_id: IdPath, caller: MayRead, session: Read, page: Paging, as_of: AsOf
) -> Response:
    """List the decisions of the case."""
    return await page_of(session, caller, page, Decision, case_id, as_of=as_of)


@router.post("/decisions", status_code=201, response_model=DecisionOut)
async def decide(case_id: IdPath, body: DecisionIn, caller: MayWrite, cmd: Create) -> Response:
    """Record a decision with its grounds."""
    return await cmd.run(
        caller, lambda tx: work.decide(tx, caller, case_id, body), reply.created(reply.of_row)
    )


@router.get("/decisions/{decision_id}", response_model=DecisionOut)
async def get_decision(
    case_id: IdPath, decision_id: IdPath, caller: MayRead, session: Read, as_of: AsOf
) -> Response:
    """Return one decision."""
    return await one_of(session, caller, Decision, case_id, decision_id, as_of=as_of)
