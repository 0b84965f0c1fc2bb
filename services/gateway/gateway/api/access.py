"""/v1/access: who sees what and why, what somebody will get, what a change would change."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from sharing import policy
from sharing.classes import mask_of, names_of
from sharing.described import Described, Way
from sharing.fields import may_show
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.db import Read
from svckit.errors import FieldError, Invalid
from svckit.idempotency import Reply
from svckit.identity import Caller
from svckit.problems import PROBLEMS

from gateway.actions import access, fields, rows, simulation
from gateway.actions.access import Asked
from gateway.actions.exposure import Difference
from gateway.api.common import Admin, MayRead
from gateway.api.shares import diff_body, shares
from gateway.describing import KEEPERS, Describing
from gateway.queries import facts
from gateway.queries.facts import Named
from gateway.schemas import AnyId, ClassName, PurposeCode
from gateway.schemas.access import (
    DiffOut,
    ExplainOut,
    Label,
    PreviewIn,
    PreviewOut,
    SimulateIn,
    WhatOut,
    WhoOut,
)

router = APIRouter(prefix="/v1/access", tags=["access"])
OneId = Annotated[AnyId | None, Query()]
Purpose = Annotated[PurposeCode | None, Query()]
# a side of a referral sees all of it
_SENT = {"referral": ("referral", "message"), "document": (), "current": ()}
_STAGES = {"referral": ("requested", "accepted"), "document": ("current",), "current": ("current",)}


class _Question:
    """What is asked about, as the query names it."""

    def __init__(  # noqa: PLR0917  # FastAPI reads a query's names off them
        self,
        request: Request,
        person_id: OneId = None,
        case_id: OneId = None,
        custodian_id: OneId = None,
        resource: Annotated[str | None, Query(max_length=40)] = None,
        labels: Annotated[list[Label] | None, Query(max_length=20)] = None,
        confidentiality: Annotated[str, Query(pattern="^[ULMNRV]$")] = "N",
        row_id: OneId = None,
        data_class: Annotated[ClassName | None, Query()] = None,
    ) -> None:
        self._describe: Describing = request.app.state.describing
        self._ids = person_id, case_id, custodian_id
        self.row_id = row_id
        self._more = {
            "resource": resource,
            "labels": labels,
            "custodian_id": custodian_id,
            "data_class": data_class,
        }
        self._data_class = data_class
        self._resource, self._labels = resource, tuple(labels or ())
        self._confidentiality = confidentiality

    async def asked(self, session: AsyncSession) -> Asked:
        """Return the row. Raises NotFound, Invalid."""
        row = await _named(session, *self._ids)
        resource = self._resource or ("case" if row.case_id else "person")
        if resource not in fields.resources():
            known = ", ".join(fields.resources())
            fault = FieldError("#/query/resource", "unknown-resource", f"One of: {known}.")
            raise Invalid("There is no such resource.", errors=[fault])
        if (self._data_class is None) == (not fields.is_in_parts(resource)):
            fault = FieldError("#/query/data_class", "of-a-document", "A document's, or none.")
            raise Invalid("A document is shown by the class it was given.", errors=[fault])
        return Asked(row, resource, self._labels, self._confidentiality, self._data_class)

    async def described(self) -> Described | None:
        """Return the one row that is asked about by its id, if so. Raises NotFound, Invalid."""
        if self.row_id is None:
            return None
        given = {"person_id": self._ids[0], "case_id": self._ids[1], **self._more}
        faults = [
            FieldError(f"#/query/{name}", "not-with-row-id", "The row says it itself.")
            for name, value in given.items()
            if value is not None
        ]
        if self.row_id[:3] not in KEEPERS:
            faults.append(FieldError("#/query/row_id", "unknown-kind", "No such row is explained."))
        if faults:
            raise Invalid("The row's id is enough, and of a kind that is explained.", errors=faults)
        return await self._describe(self.row_id)


async def _named(
    session: AsyncSession, person_id: str | None, case_id: str | None, custodian_id: str | None
) -> Named:
    if (person_id is None) == (case_id is None):
        fault = FieldError("#/query/person_id", "one-of", "Name a person or a case.")
        raise Invalid("Exactly one of person_id and case_id is needed.", errors=[fault])
    if case_id is not None:
        return await facts.case_file(session, case_id, custodian_id)
    return await facts.person(session, str(person_id), custodian_id)


Question = Annotated[_Question, Depends()]


@router.get("/explain", response_model=ExplainOut, responses=PROBLEMS)
async def explain_access(
    caller: MayRead,
    session: Read,
    question: Question,
    recipient_id: OneId = None,
    purpose: Purpose = None,
) -> Response:
    """Say why an organisation sees what it sees of a person, a case, a kind of row, or one row."""
    reader = recipient_id or caller.organisation_id
    if row := await question.described():
        view = await rows.why(session, caller, row, reader, purpose)
        return Reply(_explained(caller, question, row, view).model_dump(mode="json")).response()
    asked = await question.asked(session)
    found = await access.why(session, caller, asked, reader, purpose)
    full = access.may_know_all(caller, asked.row)
    body = ExplainOut(
        **asked.row._asdict(),
        resource=asked.resource,
        recipient_id=reader,
        purpose=found.reader.purpose,
        visible=access.shows(asked, found),
        outcome=found.outcome,
        classes=names_of(found.mask),
        fields=asked.shown(found.mask),
        hidden_fields=asked.hidden(found.mask) if full else None,
        reasons=found.as_json() if full else None,
    )
    return Reply(body.model_dump(mode="json")).response()


@router.get("/explain/who", response_model=WhoOut, responses=PROBLEMS)
async def explain_who(caller: MayRead, session: Read, question: Question) -> Response:
    """Say which organisations see a person, a case or a row, for which purposes; for its custodian."""
    if row := await question.described():
        seen_by = await rows.who(session, caller, row)
        body = WhoOut(**_named_row(question, row, row.ways[0]), seen_by=seen_by)
        return Reply(body.model_dump(mode="json")).response()
    asked = await question.asked(session)
    seen_by = await access.who(session, caller, asked)
    body = WhoOut(**asked.row._asdict(), resource=asked.resource, seen_by=seen_by)
    return Reply(body.model_dump(mode="json")).response()


def _explained(caller: Caller, question: _Question, row: Described, view: rows.View) -> ExplainOut:
    full = rows.may_know_all(caller, row)
    return ExplainOut(
        **_named_row(question, row, view.way),
        recipient_id=view.reader.organisation_id,
        purpose=view.reader.purpose,
        visible=view.visible,
        outcome=view.outcome,
        classes=view.classes,
        fields=rows.shown(row, view),
        hidden_fields=rows.hidden(row, view) if full else None,
        reasons=view.explained.as_json() if full else None,
    )


def _named_row(question: _Question, row: Described, way: Way) -> dict[str, Any]:
    names = row.model_dump(include={"custodian_id", "person_id", "resource"})
    return {**names, "case_id": way.case_id, "row_id": question.row_id}


@router.get("/explain/what", response_model=WhatOut, responses=PROBLEMS)
async def explain_what(caller: MayRead, session: Read, recipient_id: OneId = None) -> Response:
    """Sum up what an organisation sees: of the caller's records, or a caller all that it sees."""
    reader = recipient_id or caller.organisation_id
    found = await access.what(session, caller, reader)
    body = WhatOut(recipient_id=reader, sees=shares(found, fields.shown))
    return Reply(body.model_dump(mode="json")).response()


@router.post("/preview", response_model=PreviewOut, responses=PROBLEMS)
async def preview_access(request: Request, body: PreviewIn, caller: MayRead) -> Response:
    """Say exactly what a recipient will get before a referral or a document is sent."""
    gets: list[dict[str, Any]] = []
    async with request.app.state.db.begin() as tx:
        row = await _named(tx, body.person_id, body.case_id, body.custodian_id)
        for stage in _STAGES[body.sending]:
            found = await access.preview(tx, caller, row, body.recipient_id, stage)
            gets += [_got(body, stage, code, names_of(mask)) for code, mask in found]
    answer = PreviewOut(
        recipient_id=body.recipient_id,
        **row._asdict(),
        sent={resource: fields.all_of(resource) for resource in _SENT[body.sending]},
        gets=gets,
    )
    return Reply(answer.model_dump(mode="json")).response()


def _got(body: PreviewIn, stage: str, purpose: str, classes: list[str]) -> dict[str, Any]:
    resources = fields.shown(classes)
    if body.data_class is not None:
        needed = mask_of([body.data_class]) | policy.carried().required_by(body.labels)
        # a document is shown whole or not at all
        whole = may_show(mask_of(classes), needed)
        resources = {"document": fields.all_of("document")} if whole else {}
    elif body.case_id is None:
        resources = {name: found for name, found in resources.items() if name == "person"}
    return {"stage": stage, "purpose": purpose, "classes": classes, "resources": resources}


@router.post("/simulate", response_model=DiffOut, responses=PROBLEMS)
async def simulate_change(request: Request, body: SimulateIn, caller: Admin) -> Response:
    """Say who would gain and lose what if an agreement or the policy were changed now."""
    async with request.app.state.db.begin() as tx:
        found = await _difference(tx, caller, body)
    return Reply(diff_body(found)).response()


async def _difference(tx: AsyncSession, caller: Caller, body: SimulateIn) -> Difference:
    if body.agreement is not None:
        terms = body.agreement
        return await simulation.of_agreement(tx, caller, terms, terms.agreement_id)
    if body.end_agreement_id is not None:
        return await simulation.of_end(tx, caller, body.end_agreement_id)
    return await simulation.of_policy(tx, _policy(str(body.policy)))


def _policy(text: str) -> policy.Policy:
    """Return what the text says. Raises Invalid: the places are within the text."""
    try:
        found = policy.parse(text)
        policy.check_publishable(found)
    except policy.PolicyRefused as refused:
        faults = [FieldError("#/policy", fault.code, str(fault)) for fault in refused.faults]
        raise Invalid("This is no policy that can be published.", errors=faults) from None
    return found
