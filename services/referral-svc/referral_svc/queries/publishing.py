"""What a publisher's import starts from: its own rows, by HSDS id."""

from collections.abc import Collection, Sequence
from typing import TypeVar

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from referral_svc.models import (
    Language,
    Location,
    Organisation,
    Service,
    ServiceArea,
    ServiceAtLocation,
    TaxonomyTerm,
)

Published = TypeVar("Published", Organisation, Service, Location, ServiceAtLocation, TaxonomyTerm)


async def lock_publisher(tx: AsyncSession, organisation_id: str) -> None:
    """Let one import of an organisation run at a time, until the commit."""
    key = func.hashtextextended(f"directory {organisation_id}", 0)
    await tx.execute(select(func.pg_advisory_xact_lock(key)))


async def published(
    tx: AsyncSession, kind: type[Published], organisation_id: str, hsds_ids: Collection[str]
) -> dict[str, Published]:
    """Return the organisation's rows of one kind by HSDS id, locked until the commit."""
    statement = select(kind).where(
        kind.organisation_id == organisation_id, kind.hsds_id.in_(hsds_ids)
    )
    found = (await tx.scalars(statement.with_for_update(key_share=True))).all()
    return {row.hsds_id: row for row in found}


async def services_at(tx: AsyncSession, location_ids: Collection[str]) -> Sequence[str]:
    """Return the ids of services given at one of the locations."""
    statement = select(ServiceAtLocation.service_id).where(
        ServiceAtLocation.location_id.in_(location_ids)
    )
    return (await tx.scalars(statement.distinct())).all()


async def reach_of(
    tx: AsyncSession, service_ids: Collection[str]
) -> tuple[dict[str, list[str]], dict[str, list[dict[str, object]]]]:
    """Return by service the parents of its parts, and the documents of its locations.

    The parents are the service itself, its sites and its locations.
    """
    statement = (
        select(ServiceAtLocation.service_id, ServiceAtLocation.id, Location.id, Location.document)
        .join(Location, Location.id == ServiceAtLocation.location_id)
        .where(ServiceAtLocation.service_id.in_(service_ids))
    )
    parents = {service_id: [service_id] for service_id in service_ids}
    documents: dict[str, list[dict[str, object]]] = {key: [] for key in service_ids}
    for service_id, site_id, location_id, document in await tx.execute(statement):
        parents[service_id] += [site_id, location_id]
        documents[service_id].append(document)
    return parents, documents


async def documents_of(
    tx: AsyncSession, kind: type[Language] | type[ServiceArea], parent_ids: Collection[str]
) -> list[tuple[str, dict[str, object]]]:
    """Return the parts of one kind as (parent, document)."""
    statement = select(kind.parent_id, kind.document).where(kind.parent_id.in_(parent_ids))
    return [(parent, document) for parent, document in await tx.execute(statement)]


async def services_by_id(tx: AsyncSession, service_ids: Collection[str]) -> Sequence[Service]:
    return (await tx.scalars(select(Service).where(Service.id.in_(service_ids)))).all()
