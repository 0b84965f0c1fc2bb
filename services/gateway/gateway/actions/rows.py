"""Who sees one row that a service keeps, and why: a note, a task, a document, a referral.

The rule is read as the service reads it: over everything that the row is attached to, within a case
that the reader sees, and for a case's custodian also what others filed with it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

import sharing
from sharing import purposes
from sharing.classes import DataClass, mask_of, names_of
from sharing.confidentiality import rank
from sharing.described import Described, Way
from sharing.explain import Explanation, explain
from sharing.fields import may_show
from sharing.policy import current
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.clock import now
from svckit.errors import NotFound
from svckit.identity import Caller

from gateway import queries
from gateway.actions import fields
from gateway.queries import facts
from gateway.queries.facts import Named, World

# outcomes beside those of the rule
FILED, CASE_HIDDEN, NOT_A_PARTY, NOT_SHARED = "filed", "case-hidden", "not-a-party", "not-shared"
GRANTED = "granted"
# what one way alone comes to may be more with what the others show
_NOT_SEEN = ("not-enough", "no-grant", NOT_A_PARTY)


@dataclass(frozen=True)
class View:
    """What a reader sees of a row; `explained` is the way by which it sees most of it."""

    reader: sharing.Organisation
    mask: DataClass
    visible: bool
    outcome: str
    way: Way
    explained: Explanation

    @property
    def classes(self) -> list[str]:
        return names_of(self.mask)


def may_know_all(caller: Caller, row: Described) -> bool:
    """Tell whether the caller is told reasons: it keeps the row, or runs the network."""
    return row.custodian_id == caller.organisation_id or queries.is_admin(caller)


async def why(
    tx: AsyncSession, caller: Caller, row: Described, recipient_id: str, purpose: str | None
) -> View:
    """Return why an organisation sees of the row what it sees. Raises NotFound.

    Without a purpose it is the first that shows the row, else the first the kind may have.
    """
    if not may_know_all(caller, row) and recipient_id != caller.organisation_id:
        raise NotFound
    recipient = await queries.get_organisation(tx, recipient_id)
    world, at = await _around(tx, row), now()
    codes = [purpose] if purpose else _purposes(recipient.kind)
    found = [
        _view(world, sharing.Organisation(recipient.id, recipient.kind, code), row, at)
        for code in codes
    ]
    best = next((one for one in found if one.visible), found[0])
    if not (may_know_all(caller, row) or best.visible):
        raise NotFound
    return best


async def who(tx: AsyncSession, caller: Caller, row: Described) -> list[dict[str, Any]]:
    """Return every organisation and purpose that sees the row. Raises NotFound."""
    if not may_know_all(caller, row):
        raise NotFound
    world, at = await _around(tx, row), now()
    standing = {row.custodian_id, *row.parties, *([row.within.custodian_id] if row.within else [])}
    readers = sorted(standing | {recipient_id for recipient_id, _, _ in world.grants})
    return [
        {
            "organisation_id": view.reader.organisation_id,
            "kind": view.reader.kind,
            "purpose": view.reader.purpose,
            "classes": view.classes,
            "fields": shown(row, view),
        }
        for reader_id in readers
        for view in _views(world, reader_id, row, at)
        if view.visible
    ]


def shown(row: Described, view: View) -> list[str]:
    """Return the fields that the reader gets; of a document all or none."""
    if not view.visible:
        return []
    found = fields.shown(view.classes).get(row.resource, [])
    return found if fields.is_in_parts(row.resource) else fields.all_of(row.resource)


def hidden(row: Described, view: View) -> list[str]:
    """Return the fields that the reader does not get."""
    got = set(shown(row, view))
    return [name for name in fields.all_of(row.resource) if name not in got]


async def _around(tx: AsyncSession, row: Described) -> World:
    return await facts.load(tx, person_id=row.person_id)


def _purposes(kind: str) -> list[str]:
    return [code for code in purposes.CODES if current().ceiling(kind, code)]


def _views(world: World, reader_id: str, row: Described, at: datetime) -> Iterator[View]:
    """Yield the reader's views, one whatever its purpose where it needs none."""
    kind = world.kinds[reader_id]
    standing = _view(world, sharing.Organisation(reader_id, kind), row, at)
    if standing.visible:
        yield standing
        return
    for code in _purposes(kind):
        yield _view(world, sharing.Organisation(reader_id, kind, code), row, at)


def _view(world: World, reader: sharing.Organisation, row: Described, at: datetime) -> View:
    own = reader.organisation_id == row.custodian_id
    ways = [_explained(world, reader, row, way, at) for way in row.ways]
    mask = filed = _filed(reader, row)
    for one in ways:
        mask |= one.mask
    best = max(ways, key=lambda one: (one.is_open, one.found.visible, one.mask.bit_count()))
    outcome, visible = _outcome(best), _known(row, mask)
    if visible and not own and not row.shared:
        outcome, visible = NOT_SHARED, False
    elif visible and not own and not _sees_case(world, reader, row, at):
        outcome, visible = CASE_HIDDEN, False
    elif visible and outcome in _NOT_SEEN:
        outcome = FILED if filed else GRANTED
    return View(reader, mask, visible, outcome, best.way, best.found)


def _known(row: Described, mask: DataClass) -> bool:
    if not may_show(mask, mask_of(row.required)):
        return False
    return not fields.is_in_parts(row.resource) or fields.shown_any(row.resource, names_of(mask))


class _Way(NamedTuple):
    way: Way
    is_open: bool
    found: Explanation

    @property
    def mask(self) -> DataClass:
        return self.found.mask if self.is_open else DataClass(0)


def _explained(
    world: World, reader: sharing.Organisation, row: Described, way: Way, at: datetime
) -> _Way:
    named = Named(row.custodian_id, row.person_id, way.case_id)
    as_row = replace(
        world.row(named, rank(row.confidentiality)),
        about_person=False,
        referral_id=way.referral_id,
        parties=row.parties,
    )
    known = world.facts(reader.organisation_id, row.custodian_id, row.person_id, way.case_id)
    admitted = (row.custodian_id, *(way.only or ()))
    is_open = way.only is None or reader.organisation_id in admitted
    return _Way(way, is_open, explain(reader, as_row, known, at=at, required=mask_of(row.required)))


def _outcome(best: _Way) -> str:
    return best.found.outcome if best.is_open else NOT_A_PARTY


def _filed(reader: sharing.Organisation, row: Described) -> DataClass:
    """The custodian of a case sees what others filed with it."""
    if row.within and row.within.custodian_id == reader.organisation_id:
        return mask_of(row.within.filed)
    return DataClass(0)


def _sees_case(world: World, reader: sharing.Organisation, row: Described, at: datetime) -> bool:
    within = row.within
    if within is None:
        return True
    named = Named(within.custodian_id, row.person_id, within.case_id)
    as_row = world.row(named, rank(within.confidentiality))
    known = world.facts(reader.organisation_id, within.custodian_id, row.person_id, within.case_id)
    mask = sharing.evaluate(known, reader, as_row, at=at).mask
    return fields.shown_any("case", names_of(mask))
