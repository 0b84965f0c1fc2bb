"""Agreements: the ceiling of what one custodian shares with others, as reviewed data.

draft -> published -> superseded | ended. What is published is what was seen: the caller names the
digest of the difference it makes over live data, and that difference is computed once more, from
the publication itself, before it commits.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sharing import purposes
from sharing.classes import NAMES
from sharing.confidentiality import rank
from sqlalchemy.ext.asyncio import AsyncSession
from svckit import audit
from svckit.clock import now, wire
from svckit.db import taken_back
from svckit.errors import FieldError, Invalid
from svckit.idempotency import check_version
from svckit.identity import Caller
from svckit.ids import new_id

from gateway import events, queries
from gateway.actions import grants
from gateway.actions.exposure import Difference, difference, exposure, purposes_of
from gateway.domain import AgreementEnded, DiffChanged, DiffRequired, DraftOver, Stage, digest
from gateway.models import Agreement, AgreementVersion
from gateway.queries import drafts, facts
from gateway.schemas import AgreementTerms

_PARTIES = ("custodian_id", "recipient_id", "recipient_kind")


async def draft(
    tx: AsyncSession, caller: Caller, body: AgreementTerms, agreement_id: str | None
) -> AgreementVersion:
    """Keep what an agreement may come to say; it has no effect.

    Raises Invalid: an organisation that is not there, other parties than the agreement revised.
    Raises NotFound, AgreementEnded.
    """
    await _check_parties(tx, body)
    base = 0
    if agreement_id is not None:
        revised = await queries.get_agreement(tx, caller, agreement_id)
        _check_revises(revised, body)
        base = revised.version
    content = content_of(body)
    row = AgreementVersion(
        id=new_id("agd"),
        agreement_id=agreement_id,
        base=base,
        content=content,
        sha256=digest(content),
        stage=Stage.DRAFT,
        drafted_by=caller.client_id,
        version=1,
        created_at=now(),
    )
    tx.add(row)
    await tx.flush()
    await audit.record(tx, caller, action="agreement.draft", resource=row.id, version=1)
    return row


def content_of(body: AgreementTerms) -> dict[str, Any]:
    """Return the canonical form: names in their own order, each once; times in UTC."""
    content = body.model_dump(mode="json", include=set(AgreementTerms.model_fields))
    for name, order in (
        ("purposes", purposes.CODES),
        ("classes", NAMES),
        ("consent_classes", NAMES),
    ):
        content[name] = sorted(set(content[name]), key=order.index)
    for name in ("valid_from", "valid_to"):
        found = getattr(body, name)
        content[name] = wire(found) if found else None
    return content


async def simulate(tx: AsyncSession, caller: Caller, row: AgreementVersion) -> Difference:
    """Return what publishing the draft would change, by publishing it and taking that back."""
    async with taken_back(tx):
        _, found = await _apply(tx, caller, row)
    return found


async def publish(
    tx: AsyncSession, caller: Caller, row: AgreementVersion, seen: str | None
) -> Agreement:
    """Put a draft in force if the difference it makes is the one that was seen.

    Raises DraftOver, DiffRequired, DiffChanged, AgreementEnded, PreconditionFailed (the agreement
    was revised meanwhile), Invalid.
    """
    if row.stage != Stage.DRAFT:
        raise DraftOver(f"The draft is {row.stage.value} already.")
    if seen is None:
        raise DiffRequired("Name the digest of the simulated difference.", extra=_at(row))
    agreement, found = await _apply(tx, caller, row)
    if found.digest != seen:
        raise DiffChanged("This is not the difference it makes now.", extra=_at(row))
    await _keep(tx, caller, row, agreement, found)
    return agreement


async def publish_at_once(
    tx: AsyncSession, caller: Caller, body: AgreementTerms, seen: str | None
) -> Agreement:
    """Draft and publish in one step; without a difference only what lets nobody see more.

    That is so for a first agreement between its parties while nothing stands between them that it
    would open. Raises as `draft` and `publish` do.
    """
    row = await draft(tx, caller, body, None)
    if seen is not None:
        return await publish(tx, caller, row, seen)
    agreement, found = await _apply(tx, caller, row)
    if found.gained or await drafts.is_beyond_others(tx, agreement):
        raise DiffRequired(
            "It lets somebody see more: simulate it and name the digest of the difference.",
            extra={"simulate": "/v1/access/simulate"},
        )
    await _keep(tx, caller, row, agreement, found)
    return agreement


async def end(tx: AsyncSession, caller: Caller, agreement_id: str, expected: int) -> Agreement:
    """End an agreement now; every grant under it stops with it.

    Raises NotFound, PreconditionFailed, AgreementEnded.
    """
    row = await queries.get_agreement(tx, caller, agreement_id, lock=True)
    check_version(row.version, expected)
    if row.ended_at is not None:
        raise AgreementEnded("The agreement has ended already.")
    row.ended_at = now()
    # one that has not begun keeps a period, of one microsecond
    row.valid_to = max(row.ended_at, row.valid_from + timedelta(microseconds=1))
    row.version += 1
    await tx.flush()
    await drafts.close(tx, row.id, Stage.ENDED, row.ended_at)
    await events.agreement(tx, "ended", row, caller)
    await audit.record(tx, caller, action="agreement.end", resource=row.id, version=row.version)
    return row


async def _apply(
    tx: AsyncSession, caller: Caller, row: AgreementVersion
) -> tuple[Agreement, Difference]:
    """Make the draft the agreement and return the difference that made."""
    body = AgreementTerms.model_validate(row.content)
    await _check_parties(tx, body)
    await drafts.one_at_a_time(tx, body.custodian_id)
    standing = None
    if row.agreement_id is not None:
        standing = await queries.get_agreement(tx, caller, row.agreement_id, lock=True)
        _check_revises(standing, body)
        check_version(standing.version, row.base)
    terms, widens = _terms(standing, row.content)
    readers = await recipients_of(tx, body)
    scope: dict[str, Any] = {
        "custodian_id": body.custodian_id,
        "recipient_ids": readers,
        "ends_after": now(),
    }
    before = await facts.load(tx, **scope)
    agreement = await _write(tx, standing, body, row.sha256)
    await events.agreement(tx, "published", agreement, caller)
    await grants.renew(tx, agreement, now())
    await tx.flush()
    after = await facts.load(tx, **scope)
    asked = purposes_of(before, after)
    # not before it takes effect, and after the grants it opened
    at = max(now(), agreement.valid_from)
    subject = {"agreement_id": row.agreement_id, "base": row.base, "sha256": row.sha256}
    made = difference(
        await exposure(before, asked, at),
        await exposure(after, asked, at),
        subject=subject,
        terms=terms,
        widens=widens,
    )
    return agreement, made


async def recipients_of(tx: AsyncSession, terms: AgreementTerms | Agreement) -> list[str]:
    """Return the organisations that an agreement speaks of."""
    return await drafts.recipients(tx, terms.recipient_id, terms.recipient_kind)


async def _write(
    tx: AsyncSession, standing: Agreement | None, body: AgreementTerms, sha256: str
) -> Agreement:
    at = now()
    starts = body.valid_from or (standing.valid_from if standing else at)
    if body.valid_to and body.valid_to <= max(starts, at):
        fault = FieldError("#/valid_to", "period", "The agreement would be over already.")
        raise Invalid("The agreement has no period.", errors=[fault])
    row = standing or Agreement(id=new_id("agr"), ended_at=None, version=0, created_at=at)
    for name, value in body.model_dump(include=set(AgreementTerms.model_fields)).items():
        setattr(row, name, value)
    row.valid_from = starts
    row.sha256 = sha256
    row.version += 1
    tx.add(row)
    await tx.flush()
    return row


async def _keep(
    tx: AsyncSession,
    caller: Caller,
    row: AgreementVersion,
    agreement: Agreement,
    found: Difference,
) -> None:
    """Note what was published, by whom, and with which difference seen."""
    at = now()
    await drafts.close(tx, agreement.id, Stage.SUPERSEDED, at)
    row.agreement_id = agreement.id
    row.stage = Stage.PUBLISHED
    row.diff = {"digest": found.digest, "gained": len(found.gained), "lost": len(found.lost)}
    row.published_by = caller.client_id
    row.published_at = at
    row.version += 1
    await tx.flush()
    await audit.record(
        tx, caller, action="agreement.publish", resource=agreement.id, version=agreement.version
    )


def _terms(
    standing: Agreement | None, content: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], bool]:
    """Return what the text itself changes, and whether any of it allows more."""
    before = content_of(AgreementTerms.model_validate(_said(standing))) if standing else {}
    if standing is not None and content["valid_from"] is None:
        content = {**content, "valid_from": before["valid_from"]}
    # in one order, whatever JSONB made of it: the digest depends on it
    names = [name for name in AgreementTerms.model_fields if name not in _PARTIES]
    changed = [
        {"field": name, "before": before.get(name), "after": content[name]}
        for name in names
        if before.get(name) != content[name]
    ]
    return changed, standing is None or _allows_more(before, content)


def _said(standing: Agreement) -> dict[str, Any]:
    return {name: getattr(standing, name) for name in AgreementTerms.model_fields}


def _allows_more(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    covered = purposes.mask_of(before["purposes"])
    return (
        not set(after["classes"]) <= set(before["classes"])
        or not set(before["consent_classes"]) <= set(after["consent_classes"])
        or not all(purposes.covers(covered, code) for code in after["purposes"])
        or rank(after["confidentiality"]) > rank(before["confidentiality"])
        or after["retention_days"] > before["retention_days"]
        or (after["valid_to"] or "9") > (before["valid_to"] or "9")
        or after["valid_from"] < before["valid_from"]
    )


async def _check_parties(tx: AsyncSession, body: AgreementTerms) -> None:
    for name in ("custodian_id", "recipient_id"):
        named = getattr(body, name)
        if named and await queries.find_organisation(tx, named) is None:
            fault = FieldError(f"#/{name}", "unknown-organisation", "No such organisation.")
            raise Invalid("The agreement names an unknown organisation.", errors=[fault])


def _check_revises(standing: Agreement, body: AgreementTerms) -> None:
    if standing.ended_at is not None:
        raise AgreementEnded("The agreement has ended already.")
    faults = [
        FieldError(f"#/{name}", "other-party", "A revision keeps the agreement's parties.")
        for name in _PARTIES
        if getattr(standing, name) != getattr(body, name)
    ]
    if faults:
        raise Invalid("This is no revision of the agreement.", errors=faults)


def _at(row: AgreementVersion) -> dict[str, Any]:
    return {"simulate": f"/v1/agreements/drafts/{row.id}/simulate"}
