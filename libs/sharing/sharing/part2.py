"""42 CFR Part 2 on the way out: the notice, and the consent that a disclosure rests on.

Every answer, entry and message that tells of a Part 2 record carries both (42 CFR 2.32). A thin event
carries the notice; what it links to carries the consent.
"""

from collections.abc import Collection, Iterable
from typing import NamedTuple

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


class Basis(NamedTuple):
    """What a disclosure rests on: the consent's address, and what the recipient may do with it."""

    consent: str
    rule: str


# 42 CFR 2.33(b): who is bound by HIPAA and got it for treatment, payment and operations may tell on
# as HIPAA permits, but not in proceedings against the person; anybody else as the consent says
AS_HIPAA = "as-hipaa-permits"
BY_CONSENT = "by-consent-only"
_BOUND_BY_HIPAA = frozenset({"clinic", "payer"})
_TPO = ("TREAT", "HPAYMT", "HOPERAT")


def rule_of(kind: str, purposes_permitted: int) -> str:
    """Return what a recipient of that kind may do with Part 2 data permitted for these purposes."""
    single = all(purposes.covers(purposes_permitted, code) for code in _TPO)
    return AS_HIPAA if single and kind in _BOUND_BY_HIPAA else BY_CONSENT


async def consents(
    tx: AsyncSession, reader: Reader, person_ids: Collection[str]
) -> dict[str, Basis]:
    """Return by person the newest permit that lets Part 2 data out to the reader.

    One in the name of 42 CFR Part 2 comes before any other: only such lets a program's records out.
    """
    if not person_ids:
        return {}
    consent = tables.consent
    covering = purposes.covering(reader.purpose)
    found = (
        select(consent.c.person_id, consent.c.id, consent.c.purposes)
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
        .order_by(consent.c.part2, consent.c.decided_at, consent.c.depth)
    )
    return {
        row.person_id: Basis(
            f"/v1/consents/{row.id.partition('.')[0]}", rule_of(reader.kind, row.purposes)
        )
        for row in await tx.execute(found)
    }
