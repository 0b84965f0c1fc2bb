"""Who may write into a case, and what a new row of it looks like.

The custodian writes everything. An organisation that sees coordination adds rows of its own and
changes those. For everybody else there is nothing to write to: NotFound.
"""

from datetime import datetime
from typing import Any

from sharing import DataClass
from sharing.fields import tag
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.clock import now
from svckit.errors import NotFound
from svckit.http import Out
from svckit.idempotency import Tag, check_version
from svckit.identity import Caller
from svckit.ids import new_id

from case_svc.models import CaseFile
from case_svc.models.base import InCase, Versioned
from case_svc.queries import cases
from case_svc.queries.visible import Seen
from case_svc.schemas.fields import shown


def require_custodian(file: CaseFile, caller: Caller) -> None:
    """Raises NotFound unless the case is the caller's own."""
    if file.custodian_id != caller.organisation_id:
        raise NotFound


async def own(tx: AsyncSession, caller: Caller, case_id: str, expected: int) -> CaseFile:
    """Return the caller's own case, locked, at that version. Raises NotFound, PreconditionFailed."""
    file = (await cases.lock_case(tx, caller, case_id)).row
    require_custodian(file, caller)
    check_version(file.version, expected)
    return file


def require_contributor(seen: Seen[CaseFile], caller: Caller) -> None:
    """Raises NotFound unless the caller may add rows of its own to the case."""
    own = seen.row.custodian_id == caller.organisation_id
    if not own and not seen.mask & DataClass.COORDINATION:
        raise NotFound


def require_author(row: InCase, file: CaseFile, caller: Caller) -> None:
    """Raises NotFound unless the caller wrote the row or is the case's custodian."""
    if caller.organisation_id not in (row.custodian_id, file.custodian_id):
        raise NotFound


def check_shown(seen: Seen[Any], out: type[Out], expected: Tag) -> None:
    """Raises PreconditionFailed unless the row is, as the caller sees it, what the caller read."""
    body = shown(out, seen.row, seen.mask)
    check_version(tag(body, seen.row.version), expected)


def authored(prefix: str, caller: Caller, at: datetime | None = None) -> dict[str, Any]:
    """Return the columns that every new resource of the caller's has."""
    at = at or now()
    return {
        "id": new_id(prefix),
        "version": 1,
        "custodian_id": caller.organisation_id,
        "created_at": at,
        "updated_at": at,
        "created_by": caller.actor,
    }


def in_case(prefix: str, caller: Caller, file: CaseFile, classes: DataClass) -> dict[str, Any]:
    """Return the columns that every new row of the case has."""
    return {**authored(prefix, caller), "case_id": file.id, "classes": int(classes)}


def touch(row: Versioned) -> None:
    """Raise the version: exactly once for each event of the row."""
    row.version += 1
    row.updated_at = now()
