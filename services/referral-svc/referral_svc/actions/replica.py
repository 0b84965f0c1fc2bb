"""What other services tell: which cases exist, of which person, held by whom."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referral_svc.models import CaseFile


async def note_case(tx: AsyncSession, data: Mapping[str, Any]) -> None:
    """Note a case and who holds it now; a repeat changes nothing."""
    if data["person_id"] is None:
        return
    values = {
        "id": data["id"],
        "person_id": data["person_id"],
        "custodian_id": data["custodian_id"],
    }
    statement = insert(CaseFile).values(values)
    await tx.execute(statement.on_conflict_do_update(index_elements=["id"], set_=values))
