"""The policy of who may see what: drafted, looked at, published, and an older one published again.

What is published is what was seen: the caller names the digest of the difference over the live
network, and that difference is computed once more before it commits, from what it would replace.
"""

import json
from typing import Any

from sharing import policy
from sharing.policy import PolicyRefused
from sqlalchemy.ext.asyncio import AsyncSession
from svckit import audit
from svckit.clock import now
from svckit.errors import FieldError, Invalid
from svckit.identity import Caller
from svckit.ids import new_id
from svckit.problems import pointer

from gateway import events
from gateway.actions import simulation
from gateway.actions.exposure import Difference
from gateway.domain import DiffChanged, DiffRequired, PolicyInForce
from gateway.models import Policy, PolicyPublication
from gateway.queries import policies as queries


async def draft(tx: AsyncSession, caller: Caller, plain: Any) -> Policy:
    """Keep a policy that may be published; it has no effect. Raises Invalid, with every place."""
    found = read(plain)
    row = Policy(
        id=new_id("pol"),
        text=found.text,
        sha256=found.digest(),
        drafted_by=caller.client_id,
        created_at=now(),
    )
    tx.add(row)
    await tx.flush()
    await audit.record(tx, caller, action="policy.draft", resource=row.id, version=1)
    return row


def read(plain: Any) -> policy.Policy:
    """Return what may be published. Raises Invalid, with every place."""
    try:
        found = policy.read(plain)
        policy.check_publishable(found)
    except PolicyRefused as refused:
        faults = [
            FieldError(pointer(("body", *fault.path)), fault.code, fault.detail)
            for fault in refused.faults
        ]
        raise Invalid("This is no policy that can be published.", errors=faults) from None
    return found


async def simulate(tx: AsyncSession, policy_id: str) -> Difference:
    """Return what publishing the policy now would change. Raises NotFound, Invalid."""
    row = await queries.get(tx, policy_id)
    return await simulation.of_policy(tx, read(json.loads(row.text)))


async def publish(
    tx: AsyncSession, caller: Caller, policy_id: str, seen: str | None
) -> PolicyPublication:
    """Put the policy in force if the difference it makes is the one that was seen.

    Raises NotFound, DiffRequired, DiffChanged, PolicyInForce, Invalid (this release takes it no more).
    """
    row = await queries.get(tx, policy_id)
    await queries.one_at_a_time(tx)
    standing = await queries.last(tx)
    if standing is not None and standing.sha256 == row.sha256:
        raise PolicyInForce("The policy is in force already.")
    at = {"simulate": f"/v1/access/policies/{row.id}/simulate"}
    if seen is None:
        raise DiffRequired("Name the digest of the simulated difference.", extra=at)
    found = await simulation.of_policy(tx, read(json.loads(row.text)))
    if found.digest != seen:
        raise DiffChanged("This is not the difference it makes now.", extra=at)
    return await _put_in_force(tx, caller, row, standing, found)


async def _put_in_force(
    tx: AsyncSession,
    caller: Caller,
    row: Policy,
    standing: PolicyPublication | None,
    found: Difference,
) -> PolicyPublication:
    made = PolicyPublication(
        number=standing.number + 1 if standing else 1,
        policy_id=row.id,
        sha256=row.sha256,
        diff={
            "digest": found.digest,
            "widens": found.widens,
            "gained": len(found.gained),
            "lost": len(found.lost),
        },
        published_by=caller.client_id,
        published_at=now(),
    )
    tx.add(made)
    await tx.flush()
    await events.policy(tx, made, row.text, standing.sha256 if standing else None, caller)
    await audit.record(tx, caller, action="policy.publish", resource=row.id, version=made.number)
    return made
