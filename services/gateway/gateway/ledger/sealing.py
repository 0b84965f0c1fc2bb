"""Seals the ledger, period by period: a Merkle root over entries, signed, chained to the one before.

A period takes whatever of each segment has been committed and not been sealed. One writer commits a
segment in order, so that is always a run without gaps, and no clock has to agree with another.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from itertools import groupby

from joserfc import jwt
from joserfc.jwk import ECKey
from joserfc.jws import JWSRegistry
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession
from svckit import turns
from svckit.clock import now, wire
from svckit.merkle import Tree, leaf_hash
from svckit.service import Running

from gateway.entries import place
from gateway.keys import KeyFile
from gateway.models import LedgerPeriod, LedgerRange
from gateway.queries import ledger as queries
from gateway.queries.ledger import Kept, Range
from gateway.settings import Settings

STATEMENT_TYPE = "careloop-ledger+jwt"
# a proof hashes a whole period again: small enough for that, large enough to keep up
MOST = 4096
_TURN = 7_412_102
_REGISTRY = JWSRegistry(algorithms=["ES256"])
NO_PERIOD = "0" * 64
Key = Callable[[], ECKey]


async def watch(running: Running, stop: asyncio.Event) -> None:
    """Seal what has gathered, again and again; any number of replicas may do it."""
    settings: Settings = running.settings
    ring = KeyFile(settings.key_file)

    async def turn() -> bool:
        async with running.db.begin() as tx:
            sealed = await seal(tx, lambda: ring().access.signing(time.time()))
        return sealed is not None and sealed.size == MOST

    failed = "the ledger is not sealed this time"
    await turns.run(turn, stop, failed=failed, idle_s=settings.ledger_seal_s)


async def seal(tx: AsyncSession, key: Key) -> LedgerPeriod | None:
    """Seal one period; None when there is nothing new, or another replica is at it."""
    if not await queries.take_turn(tx, _TURN):
        return None
    entries = await queries.entries_of(tx, await queries.unsealed(tx), MOST)
    if not entries:
        return None
    before = await queries.last_period(tx)
    number = before.number + 1 if before else 1
    ranges = _ranges(entries)
    head = Tree(leaves_of(entries)).head.hex()
    at, signer = now(), key()
    claims = {
        "number": number,
        "sealed_at": wire(at),
        "size": len(entries),
        "root": head,
        "prev": digest(before.statement) if before else NO_PERIOD,
        "ranges": [[each.segment, each.first, each.last] for each in ranges],
    }
    period = LedgerPeriod(
        number=number,
        sealed_at=at,
        size=len(entries),
        root=head,
        statement=sign(claims, signer),
        key=dict(signer.as_dict(private=False)),
    )
    tx.add(period)
    await tx.flush()
    rows = [{**each._asdict(), "period": number} for each in ranges]
    await tx.execute(insert(LedgerRange), rows)
    return period


async def checkpoint(tx: AsyncSession, key: Key) -> LedgerPeriod | None:
    """Seal all that has been committed; return the newest period, None while there is none.

    What is entered while this waits for its turn is in it, too: its transaction sees what others
    commit.
    """
    await queries.await_turn(tx, _TURN)
    sealed = await seal(tx, key)
    while sealed is not None and sealed.size == MOST:
        sealed = await seal(tx, key)
    return await queries.last_period(tx)


def sign(claims: dict[str, object], key: ECKey) -> str:
    """Return the claims as a compact JWS that is no token of any other kind."""
    header = {"alg": "ES256", "typ": STATEMENT_TYPE, "kid": key.kid}
    return jwt.encode(header, claims, key, registry=_REGISTRY)


def digest(statement: str) -> str:
    return hashlib.sha256(statement.encode()).hexdigest()


def leaves_of(entries: Sequence[Kept]) -> list[bytes]:
    return [leaf_hash(each.body.encode()) for each in entries]


async def inclusion(tx: AsyncSession, entry: Kept) -> dict[str, object] | None:
    """Return the proof that a sealed period holds the entry; None while none does."""
    found = await queries.range_with(tx, entry.id)
    if found is None:
        return None
    period = await queries.get_period(tx, found.period)
    leaves = leaves_of(
        await queries.entries_of(tx, await queries.ranges_of(tx, period.number), MOST)
    )
    index = found.first_leaf + place(entry.id)[1] - found.first
    return {
        "entry": entry.body,
        "leaf_index": index,
        "tree_size": period.size,
        "audit_path": [each.hex() for each in Tree(leaves).path(index)],
        "root": period.root,
        "period": period.number,
        "statement": period.statement,
        "key": period.key,
    }


def _ranges(entries: Sequence[Kept]) -> list[Range]:
    ranges: list[Range] = []
    first_leaf = 0
    for segment, group in groupby((place(each.id) for each in entries), key=lambda at: at[0]):
        numbers = [seq for _, seq in group]
        ranges.append(Range(segment, numbers[0], numbers[-1], first_leaf))
        first_leaf += len(numbers)
    return ranges
