"""/v1/access/policy and /v1/access/policies: the policy in force, and what may come to be it."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from sharing import policy
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.db import Read
from svckit.idempotency import Create, Reply
from svckit.identity import Caller, requires
from svckit.paging import Paging
from svckit.problems import PROBLEMS

from gateway.actions import policies
from gateway.api import written
from gateway.api.common import Admin, MayRead, after_of
from gateway.api.shares import diff_body
from gateway.domain import Scope
from gateway.models import Policy, PolicyPublication
from gateway.queries import policies as queries
from gateway.schemas import PageOut
from gateway.schemas.access import (
    DiffOut,
    InForceOut,
    PolicyOut,
    PublicationOut,
    PublishIn,
)

router = APIRouter(prefix="/v1/access", tags=["access"])
MayPublish = Annotated[Caller, Depends(requires(Scope.POLICY_PUBLISH))]
_BODY = written.described(
    {"type": "object", "description": "libs/sharing/sharing/policy.yaml is one"}
)
Written = Annotated[Any, Depends(written.value)]


@router.get("/policy", response_model=InForceOut, responses=PROBLEMS)
async def policy_in_force(_: MayRead, session: Read) -> Response:
    """Read the policy in force: what it says, its version, since when and by whom."""
    last = await queries.last(session)
    if last is None:
        own = policy.carried()
        body = InForceOut(sha256=own.digest(), content=json.loads(own.text), publication=None)
    else:
        said = json.loads((await queries.get(session, last.policy_id)).text)
        made = PublicationOut.model_validate(last)
        body = InForceOut(sha256=last.sha256, content=said, publication=made)
    return Reply(body.model_dump(mode="json")).response()


@router.get("/policy/versions", response_model=PageOut[PublicationOut], responses=PROBLEMS)
async def list_policy_versions(caller: MayRead, session: Read, page: Paging) -> Response:
    """List what was put in force, newest first: each counted until the next."""
    after = page.after(caller.organisation_id)
    rows = await queries.publications(session, int(after[0]) if after else None, page.limit)
    return page.reply(
        caller.organisation_id, rows, key=lambda row: [row.number], present=_publication
    )


@router.post(
    "/policies", status_code=201, response_model=PolicyOut, responses=PROBLEMS, openapi_extra=_BODY
)
async def draft_policy(caller: Admin, cmd: Create, body: Written) -> Response:
    """Keep a policy, as JSON or YAML, that may be published; it has no effect yet."""
    return await cmd.run(caller, lambda tx: policies.draft(tx, caller, body), _created)


@router.get("/policies", response_model=PageOut[PolicyOut], responses=PROBLEMS)
async def list_policies(caller: Admin, session: Read, page: Paging) -> Response:
    """List policies that were drafted, published or not."""
    rows = await queries.page(session, after_of(page, caller), page.limit)
    return page.reply(caller.organisation_id, rows, key=lambda row: [row.id], present=_body)


@router.get("/policies/{policy_id}", response_model=PolicyOut, responses=PROBLEMS)
async def get_policy(policy_id: str, _: Admin, session: Read) -> Response:
    """Read a policy that was drafted."""
    return Reply(_body(await queries.get(session, policy_id))).response()


@router.post("/policies/{policy_id}/simulate", response_model=DiffOut, responses=PROBLEMS)
async def simulate_policy(policy_id: str, request: Request, _: Admin) -> Response:
    """Say who would gain and lose what if the policy were published now; nothing is changed."""
    async with request.app.state.db.begin() as tx:
        found = await policies.simulate(tx, policy_id)
    return Reply(diff_body(found)).response()


@router.post("/policies/{policy_id}/publish", response_model=PublicationOut, responses=PROBLEMS)
async def publish_policy(
    policy_id: str, body: PublishIn, caller: MayPublish, cmd: Create
) -> Response:
    """Put the policy in force, an older one again too, if the difference is the one seen."""
    return await cmd.run(
        caller, lambda tx: policies.publish(tx, caller, policy_id, body.diff), _published
    )


def _body(row: Policy) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in PolicyOut.model_fields if name != "content"}
    return PolicyOut(**values, content=json.loads(row.text)).model_dump(mode="json")


def _publication(row: PolicyPublication) -> dict[str, Any]:
    return PublicationOut.model_validate(row).model_dump(mode="json")


async def _created(_: AsyncSession, __: Caller, row: Policy) -> Reply:
    return Reply(_body(row), 201, location=f"/v1/access/policies/{row.id}")


async def _published(_: AsyncSession, __: Caller, row: PolicyPublication) -> Reply:
    return Reply(_publication(row))
