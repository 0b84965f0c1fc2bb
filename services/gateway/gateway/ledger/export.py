"""The ledger as a file of JSON lines that can be checked without us: `careloop ledger verify`.

First what it is; then the sealed periods in order, each with its statement and key; then entries,
segment by segment; last an end that is signed over everything before it. Of the whole ledger the
entries are the chain itself, with what was entered since; of one custodian's part each entry comes
with its proof instead, since the entries between are nobody's business but their own custodians'.
"""

import hashlib
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson
from svckit.clock import now, wire
from svckit.db import Database
from svckit.identity import Caller
from svckit.merkle import Tree

from gateway.keys import KeyRing
from gateway.ledger.sealing import MOST, checkpoint, leaves_of, sign
from gateway.queries import ledger as queries
from gateway.queries.ledger import Kept, Range

FORMAT = "careloop-ledger/1"
_PAGE = 1000


async def lines(db: Database, ring: KeyRing, caller: Caller) -> AsyncIterator[bytes]:
    """Yield the file's lines; what is not sealed yet is sealed first."""
    async with db.begin() as tx:
        await checkpoint(tx, lambda: ring.access.signing(time.time()))
    whole = queries.sees_all(caller)
    about = {
        "format": FORMAT,
        "scope": "whole" if whole else "custodian",
        "custodian": None if whole else caller.organisation_id,
        "made_at": wire(now()),
    }
    digest, count = hashlib.sha256(), 0
    found = _whole(db) if whole else _custodian(db, caller.organisation_id)
    async for part in _after(about, found):
        line = orjson.dumps(part, option=orjson.OPT_SORT_KEYS) + b"\n"
        digest.update(line)
        count += "entry" in part
        yield line
    key = ring.access.signing(time.time())
    claims = {"entries": count, "sha256": digest.hexdigest(), "made_at": about["made_at"]}
    end = {"end": sign(claims, key), "key": key.as_dict(private=False)}
    yield orjson.dumps(end, option=orjson.OPT_SORT_KEYS) + b"\n"


async def _after(
    first: dict[str, Any], rest: AsyncIterator[dict[str, Any]]
) -> AsyncIterator[dict[str, Any]]:
    yield first
    async for part in rest:
        yield part


async def _whole(db: Database) -> AsyncIterator[dict[str, Any]]:
    async with db.read() as session:
        # periods first: what they seal has been committed before
        periods = await queries.all_periods(session)
        segments = await queries.ends(session)
    for period in periods:
        yield {"period": period.number, "statement": period.statement, "key": period.key}
    for segment in segments:
        async for entry in _run(db, segment):
            yield _line(entry)


async def _run(db: Database, run: Range) -> AsyncIterator[Kept]:
    first = run.first
    while first <= run.last:
        last = min(run.last, first + _PAGE - 1)
        async with db.read() as session:
            for entry in await queries.entries_of(
                session, [Range(run.segment, first, last)], _PAGE
            ):
                yield entry
        first = last + 1


async def _custodian(db: Database, custodian_id: str) -> AsyncIterator[dict[str, Any]]:
    async with db.read() as session:
        periods = await queries.all_periods(session)
    for period in periods:
        yield {"period": period.number, "statement": period.statement, "key": period.key}
    for period in periods:
        async with db.read() as session:
            entries = await queries.entries_of(
                session, await queries.ranges_of(session, period.number), MOST
            )
        tree = Tree(leaves_of(entries))
        for index, entry in _own(entries, custodian_id):
            path = [each.hex() for each in tree.path(index)]
            yield {**_line(entry), "in": period.number, "index": index, "path": path}


def _own(entries: Sequence[Kept], custodian_id: str) -> list[tuple[int, Kept]]:
    return [(n, each) for n, each in enumerate(entries) if each.custodian_id == custodian_id]


def _line(entry: Kept) -> dict[str, Any]:
    """The columns come along: whoever changes them hides an entry without touching its body."""
    return {"entry": entry.body, "custodian": entry.custodian_id, "person": entry.person_id}
