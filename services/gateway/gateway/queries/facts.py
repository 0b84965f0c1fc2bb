"""What the gateway knows of who may see what, as the values that `libs/sharing` decides from."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import sharing
from sharing import model
from sharing import purposes as tree
from sharing.classes import ALL, mask_of
from sharing.confidentiality import HIGHEST, NORMAL, code_of, rank
from sqlalchemy import ColumnElement, exists, or_, select, true, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.errors import NotFound

from gateway import part2
from gateway.models import Agreement, CaseFile, Consent, Grant, Organisation, Person


@dataclass
class World:
    """Grants by (recipient, custodian, person); the rest by what it is about."""

    kinds: dict[str, str] = field(default_factory=dict)
    agreements: dict[str, model.Agreement] = field(default_factory=dict)
    grants: dict[tuple[str, str, str], list[model.Grant]] = field(default_factory=dict)
    consents: dict[str, list[model.Consent]] = field(default_factory=dict)
    # custodian and person -> the cases known
    cases: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    seals: dict[str, model.Seal] = field(default_factory=dict)
    # how confidential a case is, as a rank
    protected: dict[str, int] = field(default_factory=dict)
    # the organisations that are Part 2 programs
    programs: set[str] = field(default_factory=set)

    def facts(
        self, recipient_id: str, custodian_id: str, person_id: str, case_id: str | None
    ) -> sharing.Facts:
        """Return what bears on one recipient's view of one row."""
        granted = tuple(self.grants.get((recipient_id, custodian_id, person_id), ()))
        said = tuple(self.consents.get(person_id, ()))
        seal = self.seals.get(case_id or "")
        return sharing.Facts(self.agreements, granted, said, (seal,) if seal else ())

    def row(self, of: "Named", confidentiality: int = NORMAL) -> sharing.Row:
        """Return a row as a decision looks at it: at least as confidential as its case."""
        return sharing.Row(
            *of,
            about_person=of.case_id is None,
            confidentiality=max(confidentiality, self.protected.get(of.case_id or "", 0)),
            program=of.custodian_id if of.custodian_id in self.programs else None,
        )


class Named(NamedTuple):
    """A row as it is asked about: whose, about whom, under which case; None: the person's own."""

    custodian_id: str
    person_id: str
    case_id: str | None


async def person(tx: AsyncSession, person_id: str, custodian_id: str | None) -> Named:
    """Return a person's own record, its registrar's unless another is named. Raises NotFound."""
    registrar = await tx.scalar(select(Person.custodian_id).where(Person.id == person_id))
    if registrar is None:
        raise NotFound
    return await _kept(tx, Named(registrar, person_id, None), custodian_id)


async def case_file(tx: AsyncSession, case_id: str, custodian_id: str | None) -> Named:
    """Return a case, or what another custodian keeps under it. Raises NotFound."""
    found = await tx.get(CaseFile, case_id)
    if found is None:
        raise NotFound
    return await _kept(tx, Named(found.custodian_id, found.person_id, case_id), custodian_id)


async def is_case_of(tx: AsyncSession, case_id: str, person_id: str) -> bool:
    """Tell whether such a case of the person is known, whosever it is."""
    found = exists().where(CaseFile.id == case_id, CaseFile.person_id == person_id)
    return bool(await tx.scalar(select(found)))


async def _kept(tx: AsyncSession, row: Named, custodian_id: str | None) -> Named:
    """Return the row as the named custodian's, if it keeps anything of the person.

    Else whoever names itself would be told a custodian's reasons.
    """
    if custodian_id in (None, row.custodian_id):
        return row
    kept = exists().where(Grant.custodian_id == custodian_id, Grant.person_id == row.person_id)
    if not await tx.scalar(select(kept)):
        raise NotFound
    return row._replace(custodian_id=custodian_id)


async def put_case(tx: AsyncSession, case_id: str, custodian_id: str, person_id: str) -> None:
    """Note whose case it is and about whom; the first word stands."""
    values = {"id": case_id, "custodian_id": custodian_id, "person_id": person_id}
    await tx.execute(insert(CaseFile).values(values).on_conflict_do_nothing())


async def protect_case(tx: AsyncSession, case_id: str, confidentiality: str) -> None:
    """Note how confidential a case is."""
    changed = update(CaseFile).where(CaseFile.id == case_id)
    await tx.execute(changed.values(confidentiality=confidentiality))


async def seal_case(
    tx: AsyncSession, case_id: str, custodian_id: str, person_id: str, sealed_at: datetime | None
) -> None:
    """Note that a case is sealed from that instant, or no longer."""
    values = {"id": case_id, "custodian_id": custodian_id, "person_id": person_id}
    statement = insert(CaseFile).values(**values, sealed_at=sealed_at)
    changed = statement.on_conflict_do_update(
        index_elements=[CaseFile.id], set_={"sealed_at": sealed_at}
    )
    await tx.execute(changed)


async def load(
    tx: AsyncSession,
    *,
    custodian_id: str | None = None,
    recipient_ids: Collection[str] | None = None,
    person_id: str | None = None,
    ends_after: datetime | None = None,
) -> World:
    """Return what is known of the grants that these name, ended ones only without `ends_after`."""
    which = _which(custodian_id, recipient_ids, person_id, ends_after)
    persons = select(Grant.person_id).where(which)
    # columns, not entities: the session's identity map would hand out what it saw before
    grants = (await tx.execute(select(*Grant.__table__.c).where(which).order_by(Grant.id))).all()
    agreements = await tx.execute(select(*Agreement.__table__.c))
    about = or_(Consent.person_id.in_(persons), Consent.person_id == person_id)
    consents = await tx.execute(select(*Consent.__table__.c).where(about).order_by(Consent.id))
    of = or_(CaseFile.person_id.in_(persons), CaseFile.person_id == person_id)
    cases = await tx.execute(select(*CaseFile.__table__.c).where(of).order_by(CaseFile.id))
    kinds = await tx.execute(select(Organisation.id, Organisation.kind, Organisation.part2_program))
    return _world(grants, agreements, consents, cases, kinds)


def _which(
    custodian_id: str | None,
    recipient_ids: Collection[str] | None,
    person_id: str | None,
    ends_after: datetime | None,
) -> ColumnElement[bool]:
    found: ColumnElement[bool] = true()
    if custodian_id is not None:
        found &= Grant.custodian_id == custodian_id
    if recipient_ids is not None:
        found &= Grant.recipient_id.in_(recipient_ids)
    if person_id is not None:
        found &= Grant.person_id == person_id
    if ends_after is not None:
        found &= or_(Grant.valid_to.is_(None), Grant.valid_to > ends_after)
    return found


def _world(
    grants: Iterable[Any],
    agreements: Iterable[Any],
    consents: Iterable[Any],
    cases: Iterable[Any],
    kinds: Iterable[Any],
) -> World:
    world = World()
    by_reader: dict[tuple[str, str, str], list[model.Grant]] = defaultdict(list)
    by_person: dict[str, list[model.Consent]] = defaultdict(list)
    for row in grants:
        grant = _grant(row)
        by_reader[grant.recipient_id, grant.custodian_id, grant.person_id].append(grant)
    for row in consents:
        by_person[row.person_id].extend(_consents(row))
    for row in cases:
        world.cases.setdefault((row.custodian_id, row.person_id), []).append(row.id)
        world.protected[row.id] = rank(row.confidentiality)
        if row.sealed_at is not None:
            world.seals[row.id] = model.Seal(row.id, row.custodian_id, row.sealed_at)
    world.grants, world.consents = dict(by_reader), dict(by_person)
    world.agreements = {found.id: found for found in map(_agreement, agreements)}
    for row in kinds:
        world.kinds[row.id] = row.kind.value
        if row.part2_program:
            world.programs.add(row.id)
    return world


def _agreement(row: Any) -> model.Agreement:
    return model.Agreement(
        id=row.id,
        custodian_id=row.custodian_id,
        recipient_id=row.recipient_id,
        recipient_kind=row.recipient_kind,
        purposes=tree.mask_of(row.purposes),
        classes=mask_of(row.classes),
        consent_classes=mask_of(row.consent_classes),
        retention_days=row.retention_days,
        valid_from=row.valid_from,
        valid_to=row.valid_to,
        confidentiality=rank(row.confidentiality),
        legal_basis=row.legal_basis,
        version=row.sha256 or str(row.version),
    )


def _grant(row: Any) -> model.Grant:
    return model.Grant(
        id=row.id,
        custodian_id=row.custodian_id,
        recipient_id=row.recipient_id,
        person_id=row.person_id,
        case_id=row.case_id,
        agreement_id=row.agreement_id,
        classes=mask_of(row.classes),
        purposes=tree.mask_of(row.purposes),
        basis=row.basis.value,
        basis_id=row.basis_id,
        valid_from=row.valid_from,
        valid_to=row.valid_to,
        version=str(row.version),
    )


def _consents(row: Any) -> Iterator[model.Consent]:
    """Yield a consent as the replicas have it: one record a directive."""
    for place, said in enumerate(row.directives or [_only(row)]):
        # a deny that names nothing denies everything
        everything = said["decision"] == "deny"
        yield model.Consent(
            id=f"{row.id}.{place}" if place else row.id,
            person_id=row.person_id,
            recipient_id=said["recipient_id"],
            decision=said["decision"],
            classes=mask_of(said["classes"]) or (ALL if everything else 0),
            purposes=tree.mask_of(said["purposes"]) or (tree.ALL if everything else 0),
            valid_from=_instant(said["valid_from"]) or row.decided_at,
            valid_to=_instant(said["valid_to"]),
            decided_at=row.decided_at,
            active=row.active,
            version=str(row.version),
            depth=said["depth"],
            confidentiality=rank(said["confidentiality"]),
            case_id=said.get("case_id"),
            part2=row.legal_basis == part2.LEGAL_BASIS,
        )


def _only(row: Any) -> dict[str, Any]:
    """Return the one directive of a consent that has no others: it is in the columns."""
    names = ("recipient_id", "classes", "purposes", "valid_from", "valid_to")
    only = {name: getattr(row, name) for name in names}
    highest = code_of(HIGHEST)
    return {**only, "decision": row.decision.value, "depth": 0, "confidentiality": highest}


def _instant(value: datetime | str | None) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else value
