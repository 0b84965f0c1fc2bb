"""The directory: open to every partner, so no caller narrows these reads."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, func, literal, or_, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import Text
from svckit.errors import NotFound

from referral_svc.domain.needs import CapacityStatus, NeedCategory
from referral_svc.models import (
    Capacity,
    Classification,
    Language,
    Location,
    Part,
    Schedule,
    Service,
    ServiceArea,
    ServiceAtLocation,
)


@dataclass(frozen=True)
class Search:
    """Everything given must hold (HSDS: parameters combine with AND)."""

    q: str | None = None
    need_category: NeedCategory | None = None
    area: str | None = None
    language: str | None = None
    status: str | None = None
    age: float | None = None
    organisation_id: str | None = None
    capacity_status: CapacityStatus | None = None


async def search_services(
    session: AsyncSession, search: Search, *, limit: int, after: str | None
) -> Sequence[Service]:
    """Return up to `limit` services, newest first."""
    statement = select(Service).where(*_conditions(search))
    if after is not None:
        statement = statement.where(Service.id < after)
    return (await session.scalars(statement.order_by(Service.id.desc()).limit(limit))).all()


def _conditions(search: Search) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if search.q:
        found.append(Service.search.op("@@")(func.websearch_to_tsquery("english", search.q)))
    if search.need_category:
        found.append(_holds(Service.need_categories, search.need_category.value))
    if search.language:
        found.append(_holds(Service.languages, search.language.strip().lower()))
    if search.area:
        area = func.unnest(Service.areas).column_valued("area")
        wanted = area.contains(search.area.strip().lower(), autoescape=True)
        found.append(select(area).where(wanted).exists())
    if search.status:
        found.append(Service.status == search.status)
    if search.age is not None:
        found.append(or_(Service.minimum_age.is_(None), Service.minimum_age <= search.age))
        found.append(or_(Service.maximum_age.is_(None), Service.maximum_age >= search.age))
    if search.organisation_id:
        found.append(Service.organisation_id == search.organisation_id)
    if search.capacity_status:
        found.append(Service.capacity_status == search.capacity_status)
    return found


def _holds(column: Any, value: str) -> ColumnElement[bool]:
    contained: ColumnElement[bool] = column.contains(literal([value], ARRAY(Text)))
    return contained


async def get_service(session: AsyncSession, service_id: str) -> Service:
    """Return the service. Raises NotFound."""
    service = await find_service(session, service_id)
    if service is None:
        raise NotFound
    return service


async def find_service(session: AsyncSession, service_id: str) -> Service | None:
    return (await session.scalars(select(Service).where(Service.id == service_id))).first()


async def get_own_for_update(tx: AsyncSession, organisation_id: str, service_id: str) -> Service:
    """Return the organisation's own service, locked until the commit. Raises NotFound."""
    statement = select(Service).where(
        Service.id == service_id, Service.organisation_id == organisation_id
    )
    service = (await tx.scalars(statement.with_for_update(key_share=True))).first()
    if service is None:
        raise NotFound
    return service


Site = Row[ServiceAtLocation, Location]


async def sites_of(session: AsyncSession, service_id: str) -> Sequence[Site]:
    """Return where the service is given, each with its location."""
    statement = (
        select(ServiceAtLocation, Location)
        .join(Location, Location.id == ServiceAtLocation.location_id)
        .where(ServiceAtLocation.service_id == service_id)
        .order_by(ServiceAtLocation.id)
    )
    return (await session.execute(statement)).all()


PARTS: tuple[type[Part], ...] = (Schedule, Language, ServiceArea, Capacity, Classification)


async def parts_of(
    session: AsyncSession, parent_ids: Iterable[str]
) -> dict[type[Part], list[dict[str, Any]]]:
    """Return the parts of these parents by kind, as published; one statement a kind."""
    parents = list(parent_ids)
    found: dict[type[Part], list[dict[str, Any]]] = {}
    for kind in PARTS:
        statement = select(kind.document).where(kind.parent_id.in_(parents)).order_by(kind.id)
        found[kind] = list((await session.scalars(statement)).all())
    return found
