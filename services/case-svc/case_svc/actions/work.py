"""Notes and decisions: written once."""

from sharing import DataClass
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.clock import now
from svckit.errors import NotFound
from svckit.idempotency import check_version
from svckit.identity import Caller

from case_svc import events
from case_svc.actions.authority import (
    in_case,
    require_author,
    require_contributor,
    require_custodian,
    touch,
)
from case_svc.domain.classes import NoteKind, of_note
from case_svc.models import Decision, Note, TimelineEntry
from case_svc.queries import cases, rows
from case_svc.schemas.work import DecisionIn, LabelsIn, NoteIn


async def add_note(tx: AsyncSession, caller: Caller, case_id: str, body: NoteIn) -> Note:
    """Add a note, also to a closed case; a clinical note is the custodian's to write.

    Raises NotFound.
    """
    seen = await cases.lock_case(tx, caller, case_id)
    require_contributor(seen, caller)
    file = seen.row
    if body.kind is NoteKind.CLINICAL and file.custodian_id != caller.organisation_id:
        raise NotFound
    fields = body.model_dump(exclude={"kind", "occurred_at"})
    note = Note(
        **in_case("not", caller, file, of_note(body.kind, body.labels)),
        **fields,
        kind=body.kind,
        occurred_at=body.occurred_at or now(),
    )
    tx.add(note)
    await events.of_row(tx, caller, file, "note.added", note, {"kind": note.kind})
    return note


async def label_note(  # noqa: PLR0917 - in the order of a sentence
    tx: AsyncSession, caller: Caller, case_id: str, note_id: str, body: LabelsIn, expected: int
) -> Note:
    """Protect a note otherwise than before; its author may, or the case's custodian.

    Takes effect at once, also on what the timeline told of it. Raises NotFound, PreconditionFailed.
    """
    file = (await cases.lock_case(tx, caller, case_id)).row
    note = (await rows.row_of(tx, caller, Note, file, note_id)).row
    require_author(note, file, caller)
    check_version(note.version, expected)
    note.labels = [label.value for label in body.labels]
    note.confidentiality = body.confidentiality
    note.classes = int(of_note(note.kind, body.labels))
    touch(note)
    protected = {"classes": note.classes, "confidentiality": note.confidentiality}
    told = update(TimelineEntry).where(
        TimelineEntry.case_id == file.id, TimelineEntry.resource_id == note.id
    )
    await tx.execute(told.values(protected))
    change = {"fields": ["confidentiality", "labels"]}
    await events.of_row(tx, caller, file, "note.labelled", note, change)
    return note


async def decide(tx: AsyncSession, caller: Caller, case_id: str, body: DecisionIn) -> Decision:
    """Record a decision with its grounds. Raises NotFound."""
    file = (await cases.lock_case(tx, caller, case_id)).row
    require_custodian(file, caller)
    decision = Decision(
        **in_case("dec", caller, file, DataClass.COORDINATION),
        title=body.title,
        grounds=body.grounds,
        decided_by=body.decided_by or caller.actor,
        decided_at=body.decided_at or now(),
    )
    tx.add(decision)
    await events.of_row(tx, caller, file, "decision.recorded", decision, {})
    return decision
