"""What a row of a case is, for whoever explains who sees it: no caller, no content."""

from collections.abc import Iterable

from sharing.classes import DataClass, names_of
from sharing.confidentiality import Confidentiality
from sharing.described import Described, Way, Within
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from case_svc.domain.cases import high_water
from case_svc.domain.classes import FILED
from case_svc.models import CaseFile
from case_svc.models.base import InCase
from case_svc.queries.owners import IN_CASE, PEOPLE


async def describe(session: AsyncSession, row_id: str) -> Described | None:
    """Return what decides about the row; None when there is none."""
    for resource, model in _kinds(row_id[:3]):
        statement = (
            select(model, CaseFile)
            .join(CaseFile, CaseFile.id == model.case_id)
            .where(model.id == row_id)
        )
        if found := (await session.execute(statement)).first():
            return _described(resource, *found)
    return None


def _kinds(prefix: str) -> Iterable[tuple[str, type[InCase]]]:
    if prefix == "ptm":
        return PEOPLE.items()
    return [IN_CASE[prefix]] if prefix in IN_CASE else []


def _described(resource: str, row: InCase, file: CaseFile) -> Described:
    own = getattr(row, "confidentiality", Confidentiality.NORMAL)
    return Described(
        resource=resource,
        custodian_id=row.custodian_id,
        person_id=file.person_id,
        required=tuple(names_of(DataClass(row.classes))),
        confidentiality=high_water(file.confidentiality, own).value,
        ways=(Way(case_id=file.id),),
        within=Within(
            case_id=file.id,
            custodian_id=file.custodian_id,
            confidentiality=file.confidentiality.value,
            filed=tuple(names_of(FILED)),
        ),
    )
