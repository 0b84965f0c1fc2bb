"""Who sees what and why; what somebody will get. Nothing is changed.

The custodian of a row and the coordinator are told everything. A partner is told of its own view
alone, of rows that it sees, and no more than what its view comes to.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import sharing
from sharing import policy, purposes
from sharing.classes import DataClass, mask_of, names_of
from sharing.confidentiality import rank
from sharing.explain import Explanation, explain, who_can_see
from sharing.fields import may_show
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.clock import now
from svckit.db import taken_back
from svckit.errors import FieldError, Invalid, NotFound
from svckit.identity import Caller
from svckit.ids import new_id

from gateway import queries
from gateway.actions import fields, grants
from gateway.actions.exposure import Exposure, exposure, purposes_of
from gateway.domain import ACCEPTED, ASKED, Basis
from gateway.queries import facts
from gateway.queries.facts import Named


@dataclass(frozen=True)
class Asked:
    """A row, as far as a decision depends on it: which, of what kind, how it is labelled."""

    row: Named
    resource: str
    labels: tuple[str, ...] = ()
    confidentiality: str = "N"
    # what a document was given
    data_class: str | None = None

    @property
    def required(self) -> int:
        """Return the classes that every reader of the row needs."""
        given = [self.data_class] if self.data_class else fields.required(self.resource)
        return int(mask_of(given) | _labelled(self.labels))

    def shown(self, mask: int) -> list[str]:
        """Return the fields that a mask shows; of a document all or none."""
        if not fields.is_in_parts(self.resource):
            return fields.all_of(self.resource) if may_show(mask, self.required) else []
        return fields.shown(names_of(mask)).get(self.resource, [])

    def hidden(self, mask: int) -> list[str]:
        """Return the fields that it does not show."""
        shown = self.shown(mask)
        return [name for name in fields.all_of(self.resource) if name not in shown]

    def as_row(self, world: facts.World) -> sharing.Row:
        return world.row(self.row, rank(self.confidentiality))


def _labelled(labels: Collection[str]) -> DataClass:
    # by the release: what a label demands is kept with the row it was put on
    return policy.carried().required_by(labels)


def may_know_all(caller: Caller, row: Named) -> bool:
    """Tell whether the caller is told reasons: it keeps the row, or runs the network."""
    return row.custodian_id == caller.organisation_id or queries.is_admin(caller)


async def why(
    tx: AsyncSession, caller: Caller, asked: Asked, recipient_id: str, purpose: str | None
) -> Explanation:
    """Return why an organisation sees of a row what it sees. Raises NotFound.

    Without a purpose it is the first that shows anything, else the first the kind may have.
    """
    own = recipient_id == caller.organisation_id
    if not (may_know_all(caller, asked.row) or own):
        raise NotFound
    recipient = await queries.get_organisation(tx, recipient_id)
    world = await _around(tx, asked.row)
    at, row = now(), asked.as_row(world)
    known = world.facts(recipient_id, *asked.row)
    codes = [purpose] if purpose else _purposes(recipient.kind)
    found = [
        explain(
            sharing.Organisation(recipient_id, recipient.kind, code),
            row,
            known,
            at=at,
            required=asked.required,
        )
        for code in codes
    ]
    best = next((one for one in found if shows(asked, one)), found[0])
    if not may_know_all(caller, asked.row) and not shows(asked, best):
        raise NotFound
    return best


def shows(asked: Asked, found: Explanation) -> bool:
    """Tell whether what is seen is enough to learn that such a row exists."""
    return found.visible and bool(asked.shown(found.mask))


async def who(tx: AsyncSession, caller: Caller, asked: Asked) -> list[dict[str, Any]]:
    """Return every organisation and purpose that sees anything of a row. Raises NotFound."""
    if not may_know_all(caller, asked.row):
        raise NotFound
    world = await _around(tx, asked.row)
    candidates = sorted({recipient_id for recipient_id, _, _ in world.grants})
    found = []
    for recipient_id in (asked.row.custodian_id, *candidates):
        reader = sharing.Organisation(recipient_id, world.kinds[recipient_id])
        known = world.facts(recipient_id, *asked.row)
        views = who_can_see(asked.as_row(world), known, [reader], at=now(), required=asked.required)
        found += [
            {
                "organisation_id": view.reader.organisation_id,
                "kind": view.reader.kind,
                "purpose": view.reader.purpose,
                "classes": names_of(view.mask),
                "fields": asked.shown(view.mask),
            }
            for view in views
            if asked.shown(view.mask)
        ]
    return found


async def what(tx: AsyncSession, caller: Caller, recipient_id: str) -> Exposure:
    """Return all that an organisation sees of the caller's records; the coordinator: of all.

    A partner asks about itself. Raises NotFound.
    """
    recipient = await queries.get_organisation(tx, recipient_id)
    own = recipient.id == caller.organisation_id
    custodian_id = None if own or queries.is_admin(caller) else caller.organisation_id
    at = now()
    world = await facts.load(
        tx, custodian_id=custodian_id, recipient_ids=[recipient.id], ends_after=at
    )
    return await exposure(world, purposes_of(world), at)


async def _around(tx: AsyncSession, row: Named) -> facts.World:
    return await facts.load(tx, custodian_id=row.custodian_id, person_id=row.person_id)


def _purposes(kind: str) -> list[str]:
    return [code for code in purposes.CODES if policy.current().ceiling(kind, code)]


async def preview(
    tx: AsyncSession, caller: Caller, row: Named, recipient_id: str, stage: str
) -> list[tuple[str, DataClass]]:
    """Return what a recipient will see of a person or case for each purpose.

    `stage`: once a referral is requested or accepted, whose grants are opened and taken back, or
    as things stand. Raises NotFound (not the caller's), Invalid.
    """
    if not may_know_all(caller, row):
        raise NotFound
    if recipient_id == row.custodian_id:
        fault = FieldError("#/recipient_id", "own-record", "The custodian sees all of its own.")
        raise Invalid("There is nothing to preview.", errors=[fault])
    recipient = await queries.get_organisation(tx, recipient_id)
    wanted = {"requested": ASKED, "accepted": ACCEPTED}.get(stage)
    async with taken_back(tx):
        if wanted is not None:
            reason = grants.Reason(Basis.REFERRAL, new_id("ref"), row.person_id, row.case_id)
            parties = row.custodian_id, recipient_id
            await grants.open_under(tx, *parties, wanted, reason, at=now())
            await tx.flush()
        world = await _around(tx, row)
    known = world.facts(recipient_id, *row)
    asked = Asked(row, "case" if row.case_id else "person").as_row(world)
    return [
        (code, sharing.evaluate(known, reader, asked, at=now()).mask)
        for code in _purposes(recipient.kind)
        for reader in [sharing.Organisation(recipient_id, recipient.kind, code)]
    ]
