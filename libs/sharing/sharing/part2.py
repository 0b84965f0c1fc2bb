"""42 CFR Part 2 on the way out: the notice, and the consent that a disclosure rests on.

Every answer, entry and message that tells of a Part 2 record carries both (42 CFR 2.32). A thin event
carries the notice; what it links to carries the consent.
"""

from collections.abc import Collection, Iterable

from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from sharing import purposes, tables
from sharing.classes import PART2, PART2_NOTICE, names_of
from sharing.model import Reader


def notice(classes: int) -> str | None:
    """Return the notice that goes with a row that needs these classes; None: it needs none."""
    return PART2_NOTICE if classes & PART2 else None


def notice_of(classes: Iterable[str]) -> str | None:
    """Return the same for classes by their names; a name that is not known is nothing here."""
    return None if _PART2.isdisjoint(classes) else PART2_NOTICE


_PART2 = frozenset(names_of(PART2))


async def consents(tx: AsyncSession, reader: Reader, person_ids: Collection[str]) -> dict[str, str]:
    """Return by person the address of the newest permit that lets Part 2 data out to the reader."""
    if not person_ids:
        return {}
    consent = tables.consent
    covering = purposes.covering(reader.purpose)
    found = (
        select(consent.c.person_id, consent.c.id)
        .where(
            consent.c.person_id.in_(sorted(person_ids)),
            consent.c.active,
            consent.c.decision == "permit",
            consent.c.classes.op("&")(int(PART2)) != 0,
            consent.c.purposes.op("&")(covering) != 0,
            or_(
                consent.c.recipient_id.is_(None),
                consent.c.recipient_id == reader.organisation_id,
            ),
            consent.c.valid_from <= func.now(),
            or_(consent.c.valid_to.is_(None), func.now() < consent.c.valid_to),
        )
        # the last one of a person stays
        .order_by(consent.c.decided_at, consent.c.depth)
    )
    return {
        row.person_id: f"/v1/consents/{row.id.partition('.')[0]}" for row in await tx.execute(found)
    }
