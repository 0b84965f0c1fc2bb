"""Keeps the replica: handlers of the gateway's `sharing.v1` events, and readers of the tables.

Seals come from case-svc, as `case.sealed` and `case.unsealed` on `case.v1`; how confidential a case is
comes with every event of the case itself.

    HANDLERS = {**replica.handlers(on_grant=queries.open_to), ...}

An event's `change` carries columns of the record by their names, purposes and classes as lists of
names; `id`, `custodian_id`, `person_id` and `case_id` come from the event's own fields when
`change` does not repeat them. Every handler is an upsert: a repeat changes nothing.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, Protocol, TypeVar

from sqlalchemy import ColumnElement, Select, Table, and_, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession
from svckit import rights

from sharing import following, purposes, tables
from sharing.classes import ALL, mask_of
from sharing.confidentiality import CODES, HIGHEST, NORMAL, rank
from sharing.model import Agreement, Consent, Facts, Grant, Organisation, Seal

metadata = tables.metadata


class Received(Protocol):
    """What a handler needs of an event; `svckit.consume.Received` is one."""

    @property
    def type(self) -> str: ...
    @property
    def time(self) -> datetime: ...
    @property
    def data(self) -> Mapping[str, Any]: ...


Handler = Callable[[AsyncSession, Any], Awaitable[None]]
OnGrant = Callable[[AsyncSession, Grant], Awaitable[None]]
_Record = TypeVar("_Record", Agreement, Grant, Consent, Seal)

_TABLES: dict[str, Table] = {
    "organisation": tables.organisation,
    "agreement": tables.agreement,
    "grant": tables.grant,
    "consent": tables.consent,
    "policy": tables.policy,
}
_OPENING = {
    "organisation": ("registered", "changed"),
    "agreement": ("published",),
    "consent": ("recorded",),
    "grant": ("opened", "changed"),
    "policy": ("published",),
}
SEALED = "org.careloop.case.sealed.v1"
UNSEALED = "org.careloop.case.unsealed.v1"
OF_CASES = tuple(
    f"org.careloop.case.{verb}.v1"
    for verb in ("opened", "changed", "closed", "reopened", "sealed", "unsealed")
)
_CLOSING = {"agreement": "ended", "consent": "withdrawn", "grant": "ended"}


def handlers(on_grant: OnGrant | None = None, *, seals: bool = True) -> dict[str, Handler]:
    """Return the handlers by event type; `on_grant` is called after each change of a grant.

    `seals` False is for the service that keeps the cases, and seals them in its own commit.

    It runs in the event's transaction with the grant as it now is, also when it has ended, so
    that a service can keep its narrow table of readers. That table only ever needs to grow: it
    finds candidates, the mask decides.
    """
    made: dict[str, Handler] = {}
    for noun, verbs in _OPENING.items():
        for verb in verbs:
            made[f"org.careloop.{noun}.{verb}.v1"] = _opening(noun, on_grant)
    for noun, verb in _CLOSING.items():
        made[f"org.careloop.{noun}.{verb}.v1"] = _closing(noun, on_grant)
    of_cases = dict.fromkeys(OF_CASES, protect) | {SEALED: _sealed, UNSEALED: _unsealed}
    return {**made, **of_cases} if seals else made


async def protect(tx: AsyncSession, received: Received) -> None:
    """Note how confidential a case is, from an event of the case itself."""
    table, code = tables.protection, received.data.get("confidentiality", "N")
    # a code that is none is taken for the most protected
    level = rank(code) if code in CODES else HIGHEST
    if level == NORMAL:
        await tx.execute(delete(table).where(table.c.case_id == received.data["id"]))
        return
    statement = upsert(table).values(case_id=received.data["id"], confidentiality=level)
    values = {"confidentiality": level}
    await tx.execute(statement.on_conflict_do_update(index_elements=["case_id"], set_=values))


async def seal(tx: AsyncSession, case_id: str, custodian_id: str, *, at: datetime) -> None:
    """Close the case to everybody but its custodian from that instant."""
    values = {"custodian_id": custodian_id, "valid_from": at, "valid_to": None}
    statement = upsert(tables.seal).values(case_id=case_id, **values)
    await tx.execute(statement.on_conflict_do_update(index_elements=["case_id"], set_=values))


async def unseal(tx: AsyncSession, case_id: str, *, at: datetime) -> None:
    """Take the seal off at that instant; without one nothing changes."""
    table = tables.seal
    taken_off = update(table).where(table.c.case_id == case_id, table.c.valid_to.is_(None))
    await tx.execute(taken_off.values(valid_to=at))


async def _sealed(tx: AsyncSession, received: Received) -> None:
    await protect(tx, received)
    data = received.data
    await seal(tx, data["id"], data["custodian_id"], at=received.time)


async def _unsealed(tx: AsyncSession, received: Received) -> None:
    await protect(tx, received)
    await unseal(tx, received.data["id"], at=received.time)


def _opening(noun: str, on_grant: OnGrant | None) -> Handler:
    async def apply(tx: AsyncSession, received: Received) -> None:
        values = _columns(noun, received.data)
        if noun == "consent":
            values.setdefault("active", True)
            await _put_directives(tx, values, received.data)
            return
        await _put(tx, _TABLES[noun], values)
        if noun == "policy":
            # by the next event already; what other tasks know is read after the commit
            await following.of_replica().read(tx)
        await _told(tx, noun, values["id"], on_grant)

    return apply


def _closing(noun: str, on_grant: OnGrant | None) -> Handler:
    async def apply(tx: AsyncSession, received: Received) -> None:
        values = _columns(noun, received.data)
        if noun == "consent":
            values["active"] = False
        elif noun == "grant":
            values["valid_to"] = values.get("valid_to") or received.time
        else:
            values["valid_to"] = min(values.get("valid_to") or received.time, received.time)
        table = _TABLES[noun]
        which = table.c.id == values["id"]
        if noun == "consent":
            which = or_(which, _further(values["id"]))
            values = {"active": False}
        await tx.execute(update(table).where(which).values(values))
        await _told(tx, noun, received.data["id"], on_grant)

    return apply


def _further(consent_id: str) -> ColumnElement[bool]:
    """The directives of a consent after its first."""
    return tables.consent.c.id.startswith(f"{consent_id}.", autoescape=True)


async def _put_directives(
    tx: AsyncSession, values: dict[str, Any], data: Mapping[str, Any]
) -> None:
    """Write a consent as one record a directive, in place of all that it said before."""
    said = data["change"].get("directives") or [{}]
    await tx.execute(delete(tables.consent).where(_further(values["id"])))
    for place, directive in enumerate(said):
        own = _columns("consent", {"id": values["id"], "change": directive})
        name = {"id": f"{values['id']}.{place}"} if place else {}
        await _put(tx, tables.consent, {**values, **own, **name})


async def _told(tx: AsyncSession, noun: str, record_id: str, on_grant: OnGrant | None) -> None:
    if noun == "grant" and on_grant is not None:
        found = await find_grant(tx, record_id)
        if found is not None:
            await on_grant(tx, found)


HANDLERS = handlers()


def _columns(noun: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns an event carries. Raises UnknownClass, UnknownPurpose, ValueError."""
    known = {**data, **data.get("change", {}), "id": data["id"]}
    values = {name: known[name] for name in _TABLES[noun].c.keys() if name in known}  # noqa: SIM118 - columns, not names
    everything = noun == "consent" and values.get("decision") == "deny"
    for name, value in values.items():
        if name in ("classes", "consent_classes"):
            values[name] = int(mask_of(value)) or int(ALL) * everything
        elif name == "purposes":
            values[name] = purposes.mask_of(value) or purposes.ALL * everything
        elif name == "confidentiality" and isinstance(value, str):
            values[name] = rank(value)
        elif name == "version":
            values[name] = str(value)
        elif name in ("valid_from", "valid_to", "decided_at") and isinstance(value, str):
            values[name] = datetime.fromisoformat(value)
    return values


async def put(tx: AsyncSession, *records: Agreement | Grant | Consent) -> None:
    """Write records as they are, in place of what the replica had under their ids."""
    for record in records:
        await _put(tx, _TABLES[type(record).__name__.lower()], asdict(record))


async def _put(tx: AsyncSession, table: Table, values: dict[str, Any]) -> None:
    statement = upsert(table).values(values)
    rest = {name: statement.excluded[name] for name in values if name != "id"}
    await tx.execute(statement.on_conflict_do_update(index_elements=["id"], set_=rest))


async def find_grant(tx: AsyncSession, grant_id: str) -> Grant | None:
    """Return the grant as the replica knows it, in force or not."""
    found = select(tables.grant).where(tables.grant.c.id == grant_id)
    return next(iter(await _records(tx, Grant, found)), None)


async def facts(
    tx: AsyncSession,
    *,
    person_id: str | None,
    custodian_id: str,
    case_id: str | None,
    recipient_id: str | None = None,
) -> Facts:
    """Return what bears on decisions about one person of one custodian, for one or any recipient.

    Seals are those of the one case that the rows lie under. Holds also what is no longer in force,
    so that an explanation can say so.
    """
    granted = select(tables.grant).where(
        tables.grant.c.person_id == person_id, tables.grant.c.custodian_id == custodian_id
    )
    said = select(tables.consent).where(tables.consent.c.person_id == person_id)
    if recipient_id is not None:
        granted = granted.where(tables.grant.c.recipient_id == recipient_id)
    seals = await _records(tx, Seal, select(tables.seal).where(tables.seal.c.case_id == case_id))
    grants = await _records(tx, Grant, granted)
    if not grants:
        return Facts(seals=seals)
    wanted = {grant.agreement_id for grant in grants}
    agreed = select(tables.agreement).where(tables.agreement.c.id.in_(wanted))
    agreements = {found.id: found for found in await _records(tx, Agreement, agreed)}
    return Facts(agreements, grants, await _records(tx, Consent, said), seals)


async def recipients(
    tx: AsyncSession, *, person_id: str | None, custodian_id: str
) -> list[Organisation]:
    """Return the organisations that some grant about this person names: candidates, in id order.

    Whether each may really learn of something is for `visible_event` or the mask to say.
    """
    found = (
        select(tables.organisation.c.id, tables.organisation.c.kind)
        .join(tables.grant, tables.grant.c.recipient_id == tables.organisation.c.id)
        .where(tables.grant.c.person_id == person_id, tables.grant.c.custodian_id == custodian_id)
        .distinct()
        .order_by(tables.organisation.c.id)
    )
    return [Organisation(row.id, row.kind) for row in await tx.execute(found)]


async def agreement_in_force(
    tx: AsyncSession, *, custodian_id: str, recipient_id: str
) -> Agreement | None:
    """Return the agreement by which the custodian may share with the recipient now, if any.

    One that names the recipient comes before one with its kind, the newest first. Raises
    RightsStale.
    """
    rights.demand()
    agreement, recipient = tables.agreement, tables.organisation
    kind = select(recipient.c.kind).where(recipient.c.id == recipient_id).scalar_subquery()
    found = (
        select(agreement)
        .where(
            agreement.c.custodian_id == custodian_id,
            or_(
                agreement.c.recipient_id == recipient_id,
                and_(agreement.c.recipient_id.is_(None), agreement.c.recipient_kind == kind),
            ),
            agreement.c.valid_from <= func.now(),
            or_(agreement.c.valid_to.is_(None), func.now() < agreement.c.valid_to),
        )
        .order_by(agreement.c.recipient_id.is_(None), agreement.c.id.desc())
        .limit(1)
    )
    return next(iter(await _records(tx, Agreement, found)), None)


async def _records(
    tx: AsyncSession, record: type[_Record], statement: Select[Any]
) -> tuple[_Record, ...]:
    return tuple(record(**row) for row in (await tx.execute(statement)).mappings())
