"""Needs and the assessments that find them."""

from typing import Any

from sharing import DataClass
from sharing.fields import told_by
from sharing.labels import Label
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.clock import now
from svckit.idempotency import check_version
from svckit.identity import Caller

from case_svc import events
from case_svc.actions.authority import in_case, require_custodian, touch
from case_svc.domain import needs as rules
from case_svc.domain.cases import require_open
from case_svc.domain.classes import of_need
from case_svc.domain.needs import NeedCommand, NeedStatus
from case_svc.domain.screening import Answer, Finding, compare, screen
from case_svc.domain.screening.instruments import RULES_VERSION
from case_svc.models import Assessment, CaseFile, Need
from case_svc.queries import cases, plan, rows
from case_svc.schemas.plan import AssessmentIn, NeedIn, NeedOut, NeedPatch


async def identify(tx: AsyncSession, caller: Caller, case_id: str, body: NeedIn) -> Need:
    """Add a need to the case. Raises NotFound, CaseClosed."""
    file = (await cases.lock_case(tx, caller, case_id)).row
    require_custodian(file, caller)
    require_open(file.status)
    return await add(tx, caller, file, body)


async def add(
    tx: AsyncSession, caller: Caller, file: CaseFile, body: NeedIn, found_by: str | None = None
) -> Need:
    """Add an open need to a case at hand; `found_by` is the assessment that found it."""
    fields = body.model_dump(mode="json", exclude={"identified_at"})
    need = Need(
        **in_case("nee", caller, file, of_need(body.category, body.labels)),
        **{**fields, "category": body.category, "confidentiality": body.confidentiality},
        status=NeedStatus.OPEN,
        assessment_id=found_by,
        identified_at=body.identified_at or now(),
    )
    tx.add(need)
    change = {"category": need.category, "status": need.status, "assessment_id": found_by}
    await events.of_row(tx, caller, file, "need.identified", need, change)
    return need


async def change(
    tx: AsyncSession, caller: Caller, case_id: str, need_id: str, body: NeedPatch, *, expected: int
) -> Need:
    """Change what describes a need. Raises NotFound, PreconditionFailed."""
    file, need = await _own(tx, caller, case_id, need_id, expected)
    changed = body.model_dump(mode="json", exclude_unset=True)
    for name, value in changed.items():
        setattr(need, name, value)
    touch(need)
    told = told_by(NeedOut, changed, need.classes)
    await _changed(tx, caller, file, need, {"fields": sorted(changed)}, told)
    return need


async def move(
    tx: AsyncSession,
    caller: Caller,
    case_id: str,
    need_id: str,
    command: NeedCommand,
    *,
    expected: int,
    reason: str | None = None,
) -> Need:
    """Start, meet, reopen or withdraw. Raises NotFound, PreconditionFailed, InvalidTransition."""
    file, need = await _own(tx, caller, case_id, need_id, expected)
    set_status(need, rules.move(need.status, command), reason)
    await _changed(tx, caller, file, need, {"command": command})
    return need


def set_status(need: Need, status: NeedStatus, reason: str | None) -> None:
    """Write a status that a rule has given."""
    need.status, need.status_reason = status, reason
    need.met_at = now() if status is NeedStatus.MET else None
    touch(need)


async def assess(tx: AsyncSession, caller: Caller, case_id: str, body: AssessmentIn) -> Assessment:
    """Screen: label the answers, derive findings, open a need for each new positive one.

    Raises NotFound, CaseClosed, Invalid with a pointer per unknown answer.
    """
    file = (await cases.lock_case(tx, caller, case_id)).row
    require_custodian(file, caller)
    require_open(file.status)
    result = screen(body.instrument, [Answer(each.question, each.answer) for each in body.answers])
    previous = await plan.last_assessment(tx, file.id, body.instrument)
    assessment = Assessment(
        **in_case("ass", caller, file, DataClass.NEEDS),
        instrument=body.instrument,
        instrument_version=body.instrument_version,
        rules_version=RULES_VERSION,
        performed_at=body.performed_at or now(),
        answers=[
            {"question": each.question, "answer": each.answer, "label": each.label}
            for each in result.answers
        ],
        findings=[],
        previous_id=previous.id if previous else None,
    )
    tx.add(assessment)
    change = {"instrument": body.instrument, "rules_version": RULES_VERSION}
    await events.of_row(tx, caller, file, "assessment.completed", assessment, change)
    needs = await _open_needs(tx, caller, file, assessment, result.needs())
    changes = compare(_findings(previous), result.findings)
    assessment.findings = [
        {
            "code": each.code,
            "positive": each.positive,
            "score": each.score,
            "label": each.label,
            "change": changes[each.code],
            "need_id": needs.get(each.code),
        }
        for each in result.findings
    ]
    return assessment


async def _open_needs(
    tx: AsyncSession,
    caller: Caller,
    file: CaseFile,
    assessment: Assessment,
    findings: tuple[Finding, ...],
) -> dict[str, str]:
    """Return the need of each positive finding: the one that is open already, or a new one."""
    known = await plan.unmet_needs(tx, file.id)
    for each in findings:
        if each.need and each.need not in known:
            body = NeedIn(
                category=each.need,
                labels=[each.label] if each.label else [],
                identified_at=assessment.performed_at,
            )
            need = await add(tx, caller, file, body, found_by=assessment.id)
            known[each.need] = need.id
    return {each.code: known[each.need] for each in findings if each.need}


def _findings(assessment: Assessment | None) -> list[Finding]:
    rows: list[dict[str, Any]] = assessment.findings if assessment else []
    return [
        Finding(row["code"], None, row["positive"], row["label"] and Label(row["label"]))
        for row in rows
    ]


async def _own(
    tx: AsyncSession, caller: Caller, case_id: str, need_id: str, expected: int
) -> tuple[CaseFile, Need]:
    file = (await cases.lock_case(tx, caller, case_id)).row
    require_custodian(file, caller)
    need = (await rows.row_of(tx, caller, Need, file, need_id)).row
    check_version(need.version, expected)
    return file, need


async def _changed(  # noqa: PLR0917  # in the order of a sentence
    tx: AsyncSession,
    caller: Caller,
    file: CaseFile,
    need: Need,
    what: dict[str, Any],
    told: DataClass | None = None,
) -> None:
    change = {**what, "category": need.category, "status": need.status}
    await events.of_row(tx, caller, file, "need.changed", need, change, classes=told)
