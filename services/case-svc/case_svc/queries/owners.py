"""Whose row an id names: for the ledger, which enters whom a refusal was about."""

from sqlalchemy import Select, literal, select
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.disclosure import Owner

from case_svc.models import (
    Activity,
    Assessment,
    CaseFile,
    ClientRecord,
    Decision,
    ExternalNumber,
    Goal,
    Need,
    Note,
    Party,
    Task,
    TeamMember,
)
from case_svc.models.base import InCase

# parties and members of the team share their letters: to the ledger the case that their path names
# stands for them
PEOPLE: dict[str, type[InCase]] = {"care-team": TeamMember, "party": Party}
IN_CASE: dict[str, tuple[str, type[InCase]]] = {
    "act": ("activity", Activity),
    "ass": ("assessment", Assessment),
    "dec": ("decision", Decision),
    "gol": ("goal", Goal),
    "nee": ("need", Need),
    "not": ("note", Note),
    "num": ("number", ExternalNumber),
    "tsk": ("task", Task),
}


async def owner_of(session: AsyncSession, row_id: str) -> Owner | None:
    """Return the custodian and the person of the row, whoever asks; None when there is none."""
    statement = _statement(row_id)
    row = (await session.execute(statement)).first() if statement is not None else None
    return Owner(row[0], row[1], row[2]) if row else None


def _statement(row_id: str) -> Select[str, str, str] | None:
    prefix = row_id[:3]
    if prefix == "cas":
        return select(literal("case"), CaseFile.custodian_id, CaseFile.person_id).where(
            CaseFile.id == row_id
        )
    if prefix in {"per", "rec"}:
        which = ClientRecord.person_id if prefix == "per" else ClientRecord.id
        return (
            # of a person known to several, who registered it first
            select(literal("client-record"), ClientRecord.custodian_id, ClientRecord.person_id)
            .where(which == row_id)
            .order_by(ClientRecord.id)
            .limit(1)
        )
    if prefix in IN_CASE:
        kind, model = IN_CASE[prefix]
        return (
            select(literal(kind), model.custodian_id, CaseFile.person_id)
            .join(CaseFile, CaseFile.id == model.case_id)
            .where(model.id == row_id)
        )
    return None
