"""What a change of an agreement or of the policy would change; nothing is."""

from dataclasses import replace

from sharing import policy, rule
from sharing.difference import widens
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.clock import now
from svckit.db import taken_back
from svckit.errors import FieldError, Invalid
from svckit.identity import Caller

from gateway import queries
from gateway.actions import agreements
from gateway.actions.exposure import Difference, difference, exposure, purposes_of
from gateway.queries import facts
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


async def of_policy(tx: AsyncSession, text: str) -> Difference:
    """Return what another policy would change for everybody. Raises Invalid."""
    try:
        other = policy.parse(text)
    except policy.PolicyRefused as error:
        fault = FieldError("#/policy", "policy-refused", str(error))
        raise Invalid("This is no policy.", errors=[fault]) from None
    at = now()
    world = await facts.load(tx, ends_after=at)
    asked = purposes_of(world, rules=(policy.current(), other))
    before = await exposure(world, asked, at)
    after = await exposure(world, asked, at, rule=rule.under(other))
    said, says = (one.model_dump(mode="json") for one in (policy.current(), other))
    terms = [
        {"field": name, "before": said[name], "after": says[name]}
        for name in says
        if said[name] != says[name]
    ]
    subject = {"policy": other.digest(), "base": policy.current().digest()}
    return difference(
        before, after, subject=subject, terms=terms, widens=widens(policy.current(), other)
    )
