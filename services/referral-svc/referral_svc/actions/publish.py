"""Import of HSDS documents: a fixed number of statements, whatever the document's size.

Everything is written under the importing organisation, by HSDS id: the same document twice
changes nothing and tells nothing.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import delete, insert
from sqlalchemy.ext.asyncio import AsyncSession
from svckit import audit
from svckit.clock import now
from svckit.errors import FieldError
from svckit.identity import Caller
from svckit.ids import new_id

from referral_svc import events
from referral_svc.domain import hsds, rows
from referral_svc.domain.hsds import Item, Kind
from referral_svc.models import (
    Capacity,
    Classification,
    Language,
    Location,
    Organisation,
    Part,
    Schedule,
    Service,
    ServiceArea,
    ServiceAtLocation,
    TaxonomyTerm,
)
from referral_svc.queries import publishing
from referral_svc.schemas.directory import ImportOut, ItemError, ItemOut, Result

_COMMON: tuple[tuple[type[Part], str, Callable[[hsds.Node], dict[str, Any]]], ...] = (
    (Schedule, "schedules", rows.schedule),
    (Language, "languages", rows.language),
    (ServiceArea, "service_areas", rows.service_area),
    (Capacity, "capacities", rows.capacity),
    (Classification, "attributes", rows.classification),
)


async def publish(tx: AsyncSession, caller: Caller, payload: object) -> ImportOut:
    """Store an HSDS document and answer for every object in it; a bad one spoils no other.

    Raises NotHsds when the body is no HSDS document at all.
    """
    items = hsds.read(payload)
    await publishing.lock_publisher(tx, caller.organisation_id)
    work = _Import(tx, caller.organisation_id)
    good = [item for item in items if not item.errors]
    await work.organisations(_of(good, Kind.ORGANIZATION))
    await work.terms(_of(good, Kind.TAXONOMY) + _of(good, Kind.TAXONOMY_TERM))
    await work.locations(_of(good, Kind.LOCATION))
    await work.services(_of(good, Kind.SERVICE))
    await work.sites(_of(good, Kind.SERVICE_AT_LOCATION))
    await work.finish()
    for service in work.told.values():
        await events.service_told(tx, caller, service)
    await audit.record(tx, caller, action="directory.import", resource=caller.organisation_id)
    return _answer([work.answer(item) for item in items])


def _of(items: Sequence[Item], kind: Kind) -> list[Item]:
    return [item for item in items if item.kind is kind]


def _answer(answers: list[ItemOut]) -> ImportOut:
    totals = Counter(answer.result for answer in answers)
    return ImportOut(
        created=totals["created"],
        changed=totals["changed"],
        unchanged=totals["unchanged"],
        skipped=totals["skipped"],
        refused=totals["refused"],
        items=answers,
    )


class _Import:
    """One import under way: what each item became, what the others need to know of it."""

    def __init__(self, tx: AsyncSession, organisation_id: str) -> None:
        self._tx, self._organisation_id = tx, organisation_id
        self._results: dict[str, tuple[Result, str | None]] = {}
        self._errors: dict[str, FieldError] = {}
        # by parent: the same one twice in a document counts as it came last
        self._parts: dict[str, hsds.Node] = {}
        self._touched: set[str] = set()
        self.told: dict[str, Service] = {}

    def answer(self, item: Item) -> ItemOut:
        result, own_id = self._results.get(item.pointer, ("skipped", None))
        found = [
            *item.errors,
            *([self._errors[item.pointer]] if item.pointer in self._errors else []),
        ]
        return ItemOut(
            pointer=item.pointer,
            kind=item.kind.value,
            result="refused" if found else result,
            hsds_id=item.hsds_id,
            id=own_id,
            errors=[ItemError(pointer=e.pointer, code=e.code, detail=e.detail) for e in found],
        )

    async def organisations(self, items: Sequence[Item]) -> None:
        known = await self._known(Organisation, items)
        for item, hsds_id in _identified(items):
            row = known.get(hsds_id)
            document = rows.merged(row.document if row else None, item.document)
            self._note(item, row, document, None)
            if row is None:
                row = known[hsds_id] = Organisation(**self._own(hsds_id))
                self._tx.add(row)
            row.name = document["name"]
            row.document = document

    async def terms(self, items: Sequence[Item]) -> None:
        known = await self._known(TaxonomyTerm, items)
        for item, hsds_id in _identified(items):
            row = known.get(hsds_id)
            document = rows.merged(row.document if row else None, item.document)
            self._note(item, row, document, None)
            if row is None:
                row = known[hsds_id] = TaxonomyTerm(**self._own(hsds_id))
                self._tx.add(row)
            row.is_taxonomy = item.kind is Kind.TAXONOMY
            row.code, row.name = rows.text(document, "code"), document["name"]
            row.document = document

    async def locations(self, items: Sequence[Item]) -> None:
        known = await self._known(Location, items)
        for item, hsds_id in _identified(items):
            row = known.get(hsds_id)
            document = rows.merged(row.document if row else None, item.document)
            own_id = row.id if row else new_id("loc")
            changed = self._note(item, row, document, own_id)
            if row is None:
                row = known[hsds_id] = Location(id=own_id, **self._own(hsds_id))
                self._tx.add(row)
            row.location_type = document["location_type"]
            row.name = rows.text(document, "name")
            row.latitude = rows.number(document, "latitude")
            row.longitude = rows.number(document, "longitude")
            row.document = document
            if changed:
                self._parts[own_id] = document
        self._location_ids = {hsds_id: row.id for hsds_id, row in known.items()}

    async def services(self, items: Sequence[Item]) -> None:
        known = await self._known(Service, items)
        for item, hsds_id in _identified(items):
            row = known.get(hsds_id)
            document = rows.merged(row.document if row else None, item.document)
            own_id = row.id if row else new_id("svc")
            if not self._note(item, row, document, own_id):
                continue
            at = now()
            if row is None:
                row = known[hsds_id] = Service(
                    id=own_id, version=1, created_at=at, **self._own(hsds_id)
                )
                self._tx.add(row)
            elif own_id not in self.told:
                # twice in one document is still one version and one event
                row.version += 1
            self._fill(row, item, document)
            row.updated_at = at
            self.told[own_id] = row
            self._parts[own_id] = document
            self._touched.add(own_id)
        self._service_ids = {hsds_id: row.id for hsds_id, row in known.items()}

    def _fill(self, row: Service, item: Item, document: dict[str, Any]) -> None:
        for name in rows.SERVICE_COLUMNS:
            setattr(row, name, document.get(name))
        row.hsds_organization_id = item.refers.get("organization") or row.hsds_organization_id
        row.need_categories = rows.need_categories(document, row.declared_categories)
        if row.capacity_status is None:
            row.capacity_status = rows.capacity_status(document)
        row.document = document

    async def sites(self, items: Sequence[Item]) -> None:
        await self._tx.flush()
        known = await self._known(ServiceAtLocation, items)
        services = await self._ids(Service, self._service_ids, items, "service")
        places = await self._ids(Location, self._location_ids, items, "location")
        for item, hsds_id in _identified(items):
            service_id = services.get(item.refers.get("service", ""))
            location_id = places.get(item.refers.get("location", ""))
            if not service_id or not location_id:
                missing = "location_id" if service_id else "service_id"
                detail = "Import what this belongs to first, or with it."
                self._errors[item.pointer] = FieldError(
                    f"#{item.pointer}/{missing}", "unknown", detail
                )
                continue
            row = known.get(hsds_id)
            document = rows.merged(row.document if row else None, item.document)
            own_id = row.id if row else new_id("sal")
            changed = self._note(item, row, document, own_id)
            if row is None:
                row = known[hsds_id] = ServiceAtLocation(id=own_id, **self._own(hsds_id))
                self._tx.add(row)
            row.service_id, row.location_id = service_id, location_id
            row.description = rows.text(document, "description")
            row.document = document
            self._touched.add(service_id)
            if changed:
                self._parts[own_id] = document

    async def finish(self) -> None:
        """Write the parts anew and bring what the filters look at up to date."""
        await self._tx.flush()
        if self._parts:
            for kind, key, columns in _COMMON:
                await self._tx.execute(delete(kind).where(kind.parent_id.in_(self._parts)))
                if values := _values(self._parts, key, columns):
                    await self._tx.execute(insert(kind), values)
            self._touched.update(await publishing.services_at(self._tx, self._parts))
        if self._touched:
            await _refresh(self._tx, self._touched)
        await self._tx.flush()

    def _own(self, hsds_id: str) -> dict[str, str]:
        return {"organisation_id": self._organisation_id, "hsds_id": hsds_id}

    async def _known(self, kind: Any, items: Sequence[Item]) -> dict[str, Any]:
        wanted = {hsds_id for _, hsds_id in _identified(items)}
        return await publishing.published(self._tx, kind, self._organisation_id, wanted)

    async def _ids(
        self, kind: Any, known: Mapping[str, str], items: Sequence[Item], name: str
    ) -> dict[str, str]:
        wanted = {item.refers[name] for item in items if name in item.refers} - known.keys()
        rest = await publishing.published(self._tx, kind, self._organisation_id, wanted)
        return {**known, **{hsds_id: row.id for hsds_id, row in rest.items()}}

    def _note(self, item: Item, row: Any, document: dict[str, Any], own_id: str | None) -> bool:
        """Note what became of the item; tell whether anything is new in it."""
        same = row is not None and row.document == document
        result: Result = "unchanged" if same else "changed" if row is not None else "created"
        self._results[item.pointer] = (result, own_id)
        return not same


def _values(
    parents: Mapping[str, hsds.Node], key: str, columns: Callable[[hsds.Node], dict[str, Any]]
) -> list[dict[str, Any]]:
    return [
        {
            "parent_id": parent_id,
            "hsds_id": rows.text(node, "id"),
            "document": node,
            **columns(node),
        }
        for parent_id, document in parents.items()
        for node in rows.children(document, key)
    ]


def _identified(items: Sequence[Item]) -> list[tuple[Item, str]]:
    return [(item, item.hsds_id) for item in items if item.hsds_id is not None]


async def _refresh(tx: AsyncSession, service_ids: set[str]) -> None:
    """Recompute the languages and areas of services from their parts and their locations."""
    parents, locations = await publishing.reach_of(tx, service_ids)
    wanted = {parent for group in parents.values() for parent in group}
    languages = await publishing.documents_of(tx, Language, wanted)
    areas = await publishing.documents_of(tx, ServiceArea, wanted)
    for service in await publishing.services_by_id(tx, service_ids):
        own = set(parents[service.id])
        addresses = [
            address
            for document in locations[service.id]
            for address in rows.children(document, "addresses")
        ]
        service.languages = sorted(rows.spoken(doc for parent, doc in languages if parent in own))
        served = [doc for parent, doc in areas if parent in own]
        service.areas = sorted(rows.places(served, addresses))
