"""Rows to responses: what goes out is always projected by the mask of its row."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import orjson
from fastapi import Response
from sharing import ENVELOPE, DataClass, may_show, part2, project
from sharing.classes import PART2, PART2_NOTICE
from sharing.confidentiality import Confidentiality
from sharing.fields import classes_in, tag, visible_names
from sharing.kept import columns
from sharing.labels import Label, of_labels
from sqlalchemy.ext.asyncio import AsyncSession
from svckit import disclosure
from svckit.http import Out
from svckit.idempotency import Reply
from svckit.identity import Caller

from case_svc import events
from case_svc.domain.cases import high_water
from case_svc.domain.classes import CHANGE_CLASS, OF_A_CASE
from case_svc.models import (
    Activity,
    Assessment,
    CaseFile,
    CasePhase,
    CaseType,
    ClientRecord,
    Decision,
    ExternalNumber,
    Goal,
    Need,
    Note,
    Party,
    Task,
    TeamMember,
    TimelineEntry,
)
from case_svc.models.base import InCase
from case_svc.queries import cases, persons, rows, tasks
from case_svc.queries.export import PHASES, Told
from case_svc.queries.visible import Seen
from case_svc.schemas.cases import CaseOut, CasePhaseOut, CaseTypeOut, CountsOut
from case_svc.schemas.fields import shown
from case_svc.schemas.people import MemberOut, NumberOut, PartyOut
from case_svc.schemas.persons import AddressOut, PersonOut, RecordOut
from case_svc.schemas.plan import ActivityOut, AssessmentOut, GoalOut, NeedOut
from case_svc.schemas.work import DecisionOut, EntryOut, NoteOut, TaskOut

_OUT: dict[type[InCase], type[Out]] = {
    Activity: ActivityOut,
    Assessment: AssessmentOut,
    Decision: DecisionOut,
    ExternalNumber: NumberOut,
    Goal: GoalOut,
    Need: NeedOut,
    Note: NoteOut,
    Party: PartyOut,
    Task: TaskOut,
    TeamMember: MemberOut,
}

# whose fields an entry of the timeline may name
_DESCRIBED: dict[str, type[Out]] = {"case": CaseOut, "need": NeedOut, "task": TaskOut}
_KIND = {CaseFile: "case", TeamMember: "care-team", TimelineEntry: "timeline"}  # else the table


def show(out: type[Out]) -> Callable[[Seen[Any]], dict[str, Any]]:
    """Return how to show a row of that shape."""

    def present(seen: Seen[Any]) -> dict[str, Any]:
        _disclose(seen, out)
        return shown(out, seen.row, seen.mask)

    return present


async def presenter(
    tx: AsyncSession, caller: Caller, found: Sequence[Seen[Any]]
) -> Callable[[Seen[Any]], dict[str, Any]]:
    """Return how to show these rows; Part 2 records of others with the consent that let them out."""
    people = {
        seen.person_id
        for seen in found
        if seen.person_id
        and seen.row.custodian_id != caller.organisation_id
        and (part2.notice(seen.row.classes) or isinstance(seen.row, Assessment))
    }
    links = await part2.consents(tx, caller, people)

    def present(seen: Seen[Any]) -> dict[str, Any]:
        body = entry(seen) if isinstance(seen.row, TimelineEntry) else row(seen)
        foreign = seen.row.custodian_id != caller.organisation_id
        if foreign and "redisclosure_notice" in body and seen.person_id in links:
            body["redisclosure_consent"], body["redisclosure_rule"] = links[seen.person_id]
        return body

    return present


def _disclose(seen: Seen[Any], out: type[Out], more: int = 0) -> None:
    """Note what the row shows: of the classes of its mask those that it has or is required by."""
    found = seen.row
    has = classes_in(out) | getattr(found, "classes", 0) | more
    disclosure.note(
        kind=_KIND.get(type(found), found.__tablename__.replace("_", "-")),
        custodian_id=found.custodian_id,
        person_id=seen.person_id or getattr(found, "person_id", None),
        classes=seen.mask & has,
    )


def row(seen: Seen[Any]) -> dict[str, Any]:
    """Show a row of a case, as confidential as row and case are."""
    if isinstance(seen.row, Assessment):
        return _assessment(seen)
    body = show(_OUT[type(seen.row)])(seen)
    if "confidentiality" in body:
        own = Confidentiality(body["confidentiality"])
        body["confidentiality"] = high_water(own, seen.protected).value
    return body


def _assessment(seen: Seen[Any]) -> dict[str, Any]:
    """Show an assessment: only the answers whose label the caller holds."""
    body = shown(AssessmentOut, seen.row, seen.mask)
    labelled = ENVELOPE
    for part in ("answers", "findings"):
        if part in body:
            body[part] = [each for each in body[part] if _holds(seen.mask, each.get("label"))]
            for each in body[part]:
                labelled |= of_labels(_labels(each))
    _disclose(seen, AssessmentOut, labelled)
    return body | ({"redisclosure_notice": PART2_NOTICE} if labelled & PART2 else {})


def entry(seen: Seen[TimelineEntry]) -> dict[str, Any]:
    """Show an entry of the timeline; of its change only what the caller holds the class of."""
    body = show(EntryOut)(seen)
    noun = seen.row.action.partition(".")[0]
    needed = {**CHANGE_CLASS, **OF_A_CASE} if noun == "case" else CHANGE_CLASS
    change = {
        key: value
        for key, value in body["change"].items()
        if may_show(seen.mask, needed.get(key, ENVELOPE))
    }
    if noun in _DESCRIBED and "fields" in change:
        change["fields"] = visible_names(_DESCRIBED[noun], change["fields"], seen.mask)
    return {**body, "change": change}


def case(seen: Seen[CaseFile], counts: dict[str, int] | None = None) -> dict[str, Any]:
    """Show a case; counts only where one case is asked for."""
    _disclose(seen, CaseOut)
    found = CaseOut.model_validate(columns(seen.row))
    if counts is not None:
        return project(found.model_copy(update={"counts": CountsOut(**counts)}), seen.mask)
    body = project(found, seen.mask)
    del body["counts"]
    return body


def record(seen: Seen[ClientRecord]) -> dict[str, Any]:
    """Show a client record; a confidential address looks like one that nobody wrote down.

    Those who see contact but not safety get the substitute, without a word that it is one.
    """
    body = show(RecordOut)(seen)
    if not seen.row.address_confidential or seen.mask & DataClass.SAFETY:
        return body
    given = seen.row.substitute_address
    instead = {"address": AddressOut.model_validate(given).model_dump() if given else None}
    hidden = {**instead, "phone": None, "email": None}
    return {name: hidden.get(name, value) for name, value in body.items()}


def person(person_id: str, created_at: Any, records: list[Seen[ClientRecord]]) -> dict[str, Any]:
    """Show a person as the records that the caller sees."""
    found = PersonOut(id=person_id, created_at=created_at, records=[])
    return {**found.model_dump(mode="json"), "records": [record(each) for each in records]}


def phases(seen: Seen[CaseFile], stays: Sequence[CasePhase]) -> dict[str, Any]:
    """Show a case's stays in phases."""
    if stays:
        _disclose(seen, CasePhaseOut, DataClass.COORDINATION)
    items = [CasePhaseOut.model_validate(each).model_dump(mode="json") for each in stays]
    return {"items": items, "next": None}


async def line_presenter(
    tx: AsyncSession, caller: Caller, told: Sequence[Told]
) -> Callable[[Told], dict[str, Any]]:
    """Return how to show lines of an export: each row as its own address shows it."""
    in_cases = [one.seen for one in told if isinstance(one.seen.row, InCase | TimelineEntry)]
    present = await presenter(tx, caller, in_cases)

    def row_of(one: Told) -> dict[str, Any]:
        if one.part == PHASES:
            return phases(one.seen, one.stays)
        if isinstance(one.seen.row, CaseFile):
            return case(one.seen)
        return record(one.seen) if isinstance(one.seen.row, ClientRecord) else present(one.seen)

    return lambda one: {"kind": one.part, "case_id": one.place.case_id, "row": row_of(one)}


def case_type(found: CaseType) -> dict[str, Any]:
    """Show a case type: a template says nothing about a person."""
    return CaseTypeOut.model_validate(found).model_dump(mode="json")


def tagged(body: dict[str, Any], version: int) -> Response:
    """Return a resource with its ETag."""
    headers = {"ETag": f'"{tag(body, version)}"', "Cache-Control": "no-store"}
    return Response(orjson.dumps(body), 200, headers, "application/json")


def plain(body: dict[str, Any]) -> Response:
    """Return a body that is no version of a resource."""
    return Response(orjson.dumps(body), 200, {"Cache-Control": "no-store"}, "application/json")


async def of_case(tx: AsyncSession, caller: Caller, file: CaseFile) -> Reply:
    """Answer a command on a case with the case as reading it would."""
    seen, counts = await cases.get_counted(tx, caller, file.id)
    body = case(seen, counts)
    return Reply(body, version=tag(body, file.version), location=events.href(file))


async def of_row(tx: AsyncSession, caller: Caller, changed: InCase) -> Reply:
    """Answer a command on a row of a case with the row as reading it would."""
    if isinstance(changed, Task):
        seen: Seen[Any] = await tasks.get_task(tx, caller, changed.id)
    else:
        seen = await rows.get_row(tx, caller, type(changed), changed.case_id, changed.id)
    body = (await presenter(tx, caller, [seen]))(seen)
    return Reply(body, version=tag(body, changed.version), location=events.row_href(changed))


async def of_record(tx: AsyncSession, caller: Caller, changed: ClientRecord) -> Reply:
    """Answer a command on a client record."""
    seen = await persons.get_record(tx, caller, changed.person_id, changed.id)
    where = f"/v1/persons/{changed.person_id}/records/{changed.id}"
    body = record(seen)
    return Reply(body, version=tag(body, changed.version), location=where)


async def of_person(tx: AsyncSession, caller: Caller, record: ClientRecord) -> Reply:
    """Answer a registration with the new person."""
    found, records = await persons.get_person(tx, caller, record.person_id)
    body = person(found.id, found.created_at, records)
    return Reply(body, location=f"/v1/persons/{found.id}")


async def of_type(_tx: AsyncSession, _caller: Caller, found: CaseType) -> Reply:
    """Answer a command on a case type."""
    return Reply(case_type(found), version=found.version, location=f"/v1/case-types/{found.id}")


def created(
    answer: Callable[[AsyncSession, Caller, Any], Awaitable[Reply]],
) -> Callable[[AsyncSession, Caller, Any], Awaitable[Reply]]:
    """Answer the same with 201."""

    async def reply(tx: AsyncSession, caller: Caller, result: Any) -> Reply:
        found = await answer(tx, caller, result)
        return Reply(found.body, 201, version=found.version, location=found.location)

    return reply


def _holds(mask: int, label: str | None) -> bool:
    needed = of_labels([Label(label)] if label else [])
    return mask & needed == needed


def _labels(part: dict[str, Any]) -> list[Label]:
    return [Label(part["label"])] if part.get("label") else []
