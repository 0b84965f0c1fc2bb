"""Referrals and their commands; states and parties as Gravity's table has them."""

from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Query, Response
from sharing.fields import tag
from svckit.clock import now
from svckit.db import Read
from svckit.idempotency import Act, Change, Create
from svckit.paging import Paging
from svckit.problems import PROBLEMS

from referral_svc.actions import moves
from referral_svc.actions import referrals as actions
from referral_svc.api import present
from referral_svc.api.callers import Config, MayRead, MayWrite
from referral_svc.domain.needs import NeedCategory
from referral_svc.domain.referral import Party, Status
from referral_svc.queries import referrals as queries
from referral_svc.schemas.referrals import (
    CompleteIn,
    CountOut,
    MoveIn,
    ReferralChange,
    ReferralIn,
    ReferralOut,
    ReferralPage,
    TransitionPage,
)

router = APIRouter(prefix="/v1/referrals", tags=["referrals"], responses=PROBLEMS)
Given = Annotated[str | None, Query(max_length=40)]


async def _filters(
    *,
    role: Party | None = None,
    status: Annotated[list[Status], Query()] = [],  # noqa: B006  # FastAPI copies it
    person_id: Given = None,
    case_id: Given = None,
    service_id: Given = None,
    need_category: NeedCategory | None = None,
    overdue: bool | None = None,
) -> queries.Filters:
    return queries.Filters(
        role=role,
        status=status,
        person_id=person_id,
        case_id=case_id,
        service_id=service_id,
        need_category=need_category,
        overdue=overdue,
    )


Filtered = Annotated[queries.Filters, Depends(_filters)]


@router.post("", status_code=201, response_model=ReferralOut)
async def create(body: ReferralIn, caller: MayWrite, cmd: Create, config: Config) -> Response:
    """Refer a person to a directory service or to an organisation."""
    return await cmd.run(
        caller, lambda tx: actions.create(tx, caller, body, config), present.created
    )


@router.get("", response_model=ReferralPage)
async def list_referrals(
    caller: MayRead, session: Read, page: Paging, filters: Filtered
) -> Response:
    """List referrals the caller may see, newest first."""
    after = page.after(caller.organisation_id)
    rows = await queries.list_referrals(
        session,
        caller,
        filters,
        now=now(),
        limit=page.limit + 1,
        after=after[0] if after else None,
    )
    return page.reply(
        caller.organisation_id,
        rows,
        key=lambda seen: [seen.row.id],
        present=lambda seen: present.referral(seen.row, seen.mask),
    )


@router.get("/count", response_model=CountOut)
async def count_referrals(caller: MayRead, session: Read, filters: Filtered) -> Response:
    """Count what the list with the same filters holds."""
    count = await queries.count_referrals(session, caller, filters, now=now())
    return Response(orjson.dumps({"count": count}), 200, _FRESH, "application/json")


@router.get("/{referral_id}", response_model=ReferralOut)
async def get_referral(referral_id: str, caller: MayRead, session: Read) -> Response:
    """Return one referral; both parties see it whole, others what a grant shows."""
    row, mask = await queries.get_referral(session, caller, referral_id)
    body = present.referral(row, mask)
    headers = {**_FRESH, "ETag": f'"{tag(body, row.version)}"'}
    return Response(orjson.dumps(body), 200, headers, "application/json")


@router.patch("/{referral_id}", response_model=ReferralOut)
async def change(referral_id: str, body: ReferralChange, caller: MayWrite, cmd: Change) -> Response:
    """Set the caller's own number; the owner also the business status of visits."""
    return await cmd.run(
        caller,
        lambda tx: actions.change(tx, caller, referral_id, body, expected=cmd.expected),
        present.moved,
    )


@router.get("/{referral_id}/history", response_model=TransitionPage)
async def list_history(referral_id: str, caller: MayRead, session: Read) -> Response:
    """Return every move, oldest first: who, when, why."""
    row, mask = await queries.get_referral(session, caller, referral_id)
    moves = await queries.list_transitions(session, row.id)
    body = {"items": [present.transition(row, move, mask) for move in moves], "next": None}
    return Response(orjson.dumps(body), 200, _FRESH, "application/json")


_FRESH = {"Cache-Control": "no-store"}
_COMMANDS = {
    "request": (Status.REQUESTED, None, "Send a draft to its owner."),
    "accept": (Status.ACCEPTED, None, "Take it on."),
    "reject": (Status.REJECTED, None, "Refuse it, with a reason."),
    "cancel": (Status.CANCELLED, None, "Take it back, or end it; either party, with a reason."),
    "start": (Status.IN_PROGRESS, None, "Begin the work."),
    "hold": (Status.ON_HOLD, None, "Pause it, with a reason."),
    "resume": (Status.IN_PROGRESS, Status.ON_HOLD, "Go on after a pause."),
    "fail": (Status.FAILED, None, "End it without help given, with a reason."),
    "void": (Status.ENTERED_IN_ERROR, None, "Say it should never have been; requester only."),
}


@router.post("/{referral_id}/complete", response_model=ReferralOut)
async def complete(
    referral_id: str, body: CompleteIn, caller: MayWrite, cmd: Act, config: Config
) -> Response:
    """Close the loop: at least one outcome is told."""
    return await cmd.run(
        caller,
        lambda tx: moves.move(
            tx,
            caller,
            referral_id,
            Status.COMPLETED,
            expected=cmd.expected,
            settings=config,
            body=body,
        ),
        present.moved,
    )


def _command(name: str) -> None:
    to, only_from, summary = _COMMANDS[name]

    async def command(
        referral_id: str,
        caller: MayWrite,
        cmd: Act,
        config: Config,
        body: MoveIn | None = None,
    ) -> Response:
        return await cmd.run(
            caller,
            lambda tx: moves.move(
                tx,
                caller,
                referral_id,
                to,
                expected=cmd.expected,
                settings=config,
                body=body or MoveIn(),
                only_from=only_from,
            ),
            present.moved,
        )

    command.__doc__ = summary
    router.add_api_route(
        f"/{{referral_id}}/{name}",
        command,
        methods=["POST"],
        name=name,
        response_model=ReferralOut,
        responses=PROBLEMS,
    )


for _name in _COMMANDS:
    _command(_name)
