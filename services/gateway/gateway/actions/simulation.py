"""What a change of an agreement or of the policy would change; nothing is."""

from dataclasses import replace

from sharing import policy, rule
from sharing.difference import diff, widens
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.clock import now
from svckit.db import taken_back
from svckit.identity import Caller

from gateway import queries
from gateway.actions import agreements
from gateway.actions.exposure import Difference, difference, exposure, purposes_of
from gateway.queries import facts, policies
from gateway.schemas import AgreementTerms


async def of_agreement(
    tx: AsyncSession, caller: Caller, terms: AgreementTerms, agreement_id: str | None
) -> Difference:
    """Return what publishing an agreement would change; the digest is that of its draft."""
    async with taken_back(tx):
        row = await agreements.draft(tx, caller, terms, agreement_id)
        return await agreements.simulate(tx, caller, row)


async def of_end(tx: AsyncSession, caller: Caller, agreement_id: str) -> Difference:
    """Return what ending an agreement now would change."""
    standing = await queries.get_agreement(tx, caller, agreement_id)
    at = now()
    readers = await agreements.recipients_of(tx, standing)
    world = await facts.load(
        tx, custodian_id=standing.custodian_id, recipient_ids=readers, ends_after=at
    )
    without = replace(world, agreements={**world.agreements})
    del without.agreements[agreement_id]
    asked = purposes_of(world)
    subject = {"end": agreement_id, "base": standing.version}
    views = await exposure(world, asked, at), await exposure(without, asked, at)
    return difference(*views, subject=subject, terms=[], widens=False)


async def of_policy(tx: AsyncSession, other: policy.Policy) -> Difference:
    """Return what another policy would change for everybody. Raises PolicyUnreadable."""
    standing = await _standing(tx)
    at = now()
    world = await facts.load(tx, ends_after=at)
    asked = purposes_of(world, rules=(standing, other))
    before = await exposure(world, asked, at, rule=rule.under(standing))
    after = await exposure(world, asked, at, rule=rule.under(other))
    said, says = (one.model_dump(mode="json") for one in (standing, other))
    terms = [
        {"field": name, "before": said[name], "after": says[name]}
        for name in says
        if said[name] != says[name]
    ]
    found = difference(
        before,
        after,
        subject={"policy": other.digest(), "base": standing.digest()},
        terms=terms,
        widens=widens(standing, other),
    )
    return replace(found, may=tuple(diff(standing, other)))


async def _standing(tx: AsyncSession) -> policy.Policy:
    """Return the policy in force by the database itself, not by what was read of it before."""
    found = await policies.in_force(tx, "")
    if found is None or found.text is None:
        return policy.carried()
    return policy.Policy.of_publication(found.text, found.version)
