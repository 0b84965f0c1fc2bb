"""Grants: one per agreement in force, opened and ended with the reason they rest on.

Every function is safe to repeat: an event that comes twice changes nothing twice.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sharing import purposes as tree
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.clock import now
from svckit.ids import new_id

from gateway import events, queries
from gateway.domain import ACCEPTED, ASKED, RETURNED, Basis
from gateway.fhir import named_recipients
from gateway.models import Agreement, Consent, Grant


@dataclass(frozen=True)
class Reason:
    """Why grants exist; `purposes` None takes the agreement's."""

    basis: Basis
    basis_id: str
    person_id: str
    case_id: str | None = None
    purposes: Collection[str] | None = None
    valid_to: datetime | None = None


async def open_under(
    tx: AsyncSession,
    custodian_id: str,
    recipient_id: str,
    classes: Iterable[str] | None,
    reason: Reason,
    *,
    at: datetime,
) -> None:
    """Open, or widen to `classes` (None: all agreed), one grant per agreement.

    Under one that begins later the grant begins with it. Without an agreement, or with nothing
    agreed of what is wanted, nothing opens.
    """
    recipient = await queries.find_organisation(tx, recipient_id)
    if recipient is None or custodian_id == recipient_id:
        return
    standing = {
        (g.agreement_id, g.recipient_id): g
        for g in await queries.grants_of(tx, reason.basis, reason.basis_id)
    }
    for agreement in await queries.agreements_from(tx, custodian_id, recipient, at):
        wanted = None if classes is None else sorted(classes)
        shown = [name for name in agreement.classes if wanted is None or name in wanted]
        purposes = purposes_of(agreement, reason.purposes)
        found = standing.get((agreement.id, recipient_id))
        if found is not None:
            await _widen(tx, found, shown, purposes, wanted)
        elif shown and purposes and _outlasts(reason, starts := max(at, agreement.valid_from)):
            what = {"classes": shown, "purposes": purposes, "wanted": wanted}
            await _open(tx, agreement, reason, recipient_id, at=starts, what=what)


async def end(tx: AsyncSession, basis: Basis, basis_id: str, *, at: datetime) -> None:
    """End every grant with that reason at the instant."""
    for grant in await queries.grants_of(tx, basis, basis_id):
        await _end(tx, grant, at)


async def renew(tx: AsyncSession, agreement: Agreement, at: datetime) -> None:
    """Open, under a new agreement, what standing reasons between its parties call for."""
    starts = max(at, agreement.valid_from)
    for grant in await queries.standing_grants(tx, agreement, at):
        reason = Reason(
            grant.basis, grant.basis_id, grant.person_id, grant.case_id, valid_to=grant.valid_to
        )
        classes = None if grant.basis == Basis.CARE_TEAM else grant.wanted or grant.classes
        await open_under(tx, grant.custodian_id, grant.recipient_id, classes, reason, at=starts)
    for consent in await queries.standing_permits(tx, agreement, at):
        await permitted(tx, consent, max(starts, consent.valid_from))


async def permitted(tx: AsyncSession, consent: Consent, at: datetime) -> None:
    """Let whom a consent permits by name see what it names for it; one grant a recipient.

    The grant reaches as far as all its permits together. What lies between them the consent itself
    denies: a second permit for the same recipient is an exception to a deny.
    """
    said = events.directives_of(consent)
    for recipient_id in named_recipients(said):
        permits = [
            one for one in said if one.decision == "permit" and one.recipient_id == recipient_id
        ]
        ends = [one.valid_to for one in permits]
        starts = [one.valid_from or consent.decided_at for one in permits]
        reason = Reason(
            Basis.CONSENT,
            consent.id,
            consent.person_id,
            # one case for all permits of a recipient, or none: see `fhir.consent`
            permits[0].case_id,
            purposes=sorted({code for one in permits for code in one.purposes}),
            valid_to=None if None in ends else max(filter(None, ends)),
        )
        classes = {name for one in permits for name in one.classes}
        await open_under(
            tx, consent.custodian_id, recipient_id, classes, reason, at=max(at, min(starts))
        )


async def referral_requested(tx: AsyncSession, referral: "Referral", at: datetime) -> None:
    """Let the recipient see what it is asked for."""
    await open_under(
        tx, referral.requester_id, referral.recipient_id, ASKED, referral.reason, at=at
    )


async def referral_accepted(tx: AsyncSession, referral: "Referral", at: datetime) -> None:
    """Let the recipient see whom it serves, and the requester what comes of it."""
    there, back = referral.recipient_id, referral.requester_id
    await open_under(tx, back, there, ACCEPTED, referral.reason, at=at)
    await open_under(tx, there, back, RETURNED, referral.reason, at=at)


async def referral_completed(tx: AsyncSession, referral_id: str, at: datetime) -> None:
    """Keep what was shared readable for as long as each agreement says, then end it."""
    for grant in await queries.grants_of(tx, Basis.REFERRAL, referral_id):
        agreement = await tx.get_one(Agreement, grant.agreement_id)  # unscoped: an event asks
        ends = at + timedelta(days=agreement.retention_days)
        if grant.valid_to is None or grant.valid_to > ends:
            grant.valid_to = ends
            await _changed(tx, grant, "changed")


@dataclass(frozen=True)
class Referral:
    """What events tell of a referral."""

    id: str
    requester_id: str
    recipient_id: str
    person_id: str
    case_id: str | None

    @property
    def reason(self) -> Reason:
        return Reason(Basis.REFERRAL, self.id, self.person_id, self.case_id)


def purposes_of(agreement: Agreement, asked: Collection[str] | None) -> list[str]:
    """Return the purposes both name; a narrower one passes under a wider one of the other side."""
    if asked is None:
        return agreement.purposes
    agreed, wanted = tree.mask_of(agreement.purposes), tree.mask_of(asked)
    return [
        code
        for code in tree.CODES
        if tree.bit(code) & (agreed | wanted)
        and tree.covers(agreed, code)
        and tree.covers(wanted, code)
    ]


async def _open(
    tx: AsyncSession,
    agreement: Agreement,
    reason: Reason,
    recipient_id: str,
    *,
    at: datetime,
    what: dict[str, list[str] | None],
) -> None:
    row = Grant(
        id=new_id("grt"),
        custodian_id=agreement.custodian_id,
        recipient_id=recipient_id,
        person_id=reason.person_id,
        case_id=reason.case_id,
        agreement_id=agreement.id,
        **what,
        basis=reason.basis,
        basis_id=reason.basis_id,
        valid_from=at,
        valid_to=reason.valid_to,
        version=1,
        created_at=now(),
    )
    tx.add(row)
    await tx.flush()
    await events.grant(tx, "opened", row, None)


def _outlasts(reason: Reason, at: datetime) -> bool:
    return reason.valid_to is None or reason.valid_to > at


async def _widen(
    tx: AsyncSession,
    grant: Grant,
    classes: list[str],
    purposes: list[str],
    wanted: list[str] | None,
) -> None:
    if wanted is not None:
        grant.wanted = sorted({*(grant.wanted or grant.classes), *wanted})
    classes = [name for name in classes if name not in grant.classes]
    purposes = [code for code in purposes if code not in grant.purposes]
    if classes or purposes:
        grant.classes = [*grant.classes, *classes]
        grant.purposes = [*grant.purposes, *purposes]
        await _changed(tx, grant, "changed")


async def _end(tx: AsyncSession, grant: Grant, at: datetime) -> None:
    if grant.valid_to is None or grant.valid_to > at:
        grant.valid_to = at
        await _changed(tx, grant, "ended")


async def _changed(tx: AsyncSession, grant: Grant, verb: str) -> None:
    grant.version += 1
    await tx.flush()
    await events.grant(tx, verb, grant, None)
