"""Sealing a case: nobody but its custodian sees it or anything under it, on any path.

Here from this statement on; in the other services when their replica of the seal has caught up.
"""

from collections.abc import Mapping
from typing import Any

from sharing import DataClass, replica
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.clock import now
from svckit.identity import Caller

from case_svc import events
from case_svc.actions.authority import own, touch
from case_svc.domain.cases import AlreadySealed, NotSealed, SealReason
from case_svc.models import CaseFile

# that it was sealed says something of the person's safety
_TELLS = DataClass.COORDINATION | DataClass.SAFETY


async def seal(
    tx: AsyncSession, caller: Caller, case_id: str, reason: SealReason, expected: int
) -> CaseFile:
    """Seal the caller's own case. Raises NotFound, PreconditionFailed, AlreadySealed."""
    file = await own(tx, caller, case_id, expected)
    if file.sealed:
        raise AlreadySealed("The case is sealed already.")
    file.sealed = True
    touch(file)
    await put_on(tx, caller, file, {"grounds": reason})
    return file


async def unseal(
    tx: AsyncSession, caller: Caller, case_id: str, reason: SealReason, expected: int
) -> CaseFile:
    """Open a sealed case again to whom grants open it. Raises NotFound, NotSealed."""
    file = await own(tx, caller, case_id, expected)
    if not file.sealed:
        raise NotSealed("The case is not sealed.")
    file.sealed = False
    touch(file)
    await replica.unseal(tx, file.id, at=now())
    change = {"grounds": reason}
    await events.of_case(tx, caller, file, "case.unsealed", change, classes=_TELLS)
    return file


async def put_on(
    tx: AsyncSession, caller: Caller, file: CaseFile, change: Mapping[str, Any]
) -> None:
    """Put the seal of a case that is marked sealed where every decision looks, and tell it."""
    await replica.seal(tx, file.id, file.custodian_id, at=now())
    await events.of_case(tx, caller, file, "case.sealed", change, classes=_TELLS)
