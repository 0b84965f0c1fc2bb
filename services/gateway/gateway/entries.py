"""One entry of the ledger: its canonical form, its place in a segment, its hash. Pure.

An entry's body is JSON with sorted keys and no white space, and is kept as these bytes. It names the
hash of the entry before it in its segment, so the bodies are the chain; the hash is that of a leaf
of RFC 6962, so the chain's links are the tree's leaves as well. A segment is what one writer writes
between its start and its end or its first failure: writers never wait for one another.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

import orjson
from sharing.classes import names_of
from svckit import ids
from svckit.clock import wire
from svckit.disclosure import Disclosed
from svckit.merkle import leaf_hash

_SEGMENT = 16
_SEQ = 10
# no segment grows longer
LAST = 32**_SEQ - 1
API, WEBHOOK, TOKEN, MAIL = "api", "webhook", "token", "e-mail"
# writers of events take turns in one segment of their own: see `ledger.events`
EVENTS_SEGMENT = "00000000webh00ks"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, attempt or refusal: who asked, how and why, and what it tells of whom."""

    organisation_id: str
    client_id: str
    actor: str
    purpose: str
    channel: str
    method: str
    status: int
    trace_id: str
    items: tuple[Disclosed, ...]


class Bases(NamedTuple):
    """Why it could be told: grants with their agreements, and the person's permits; as `encoded`."""

    grants: orjson.Fragment
    consents: orjson.Fragment


def encoded(value: object) -> orjson.Fragment:
    """Return a value as it stands in every body that holds it: it is serialised once."""
    return orjson.Fragment(orjson.dumps(value, option=orjson.OPT_SORT_KEYS))


NONE = Bases(encoded([]), encoded([]))


@lru_cache(maxsize=4096)
def named(classes: int) -> orjson.Fragment:
    """Return the names of the classes, likewise encoded."""
    return encoded(names_of(classes))


class Told(NamedTuple):
    """One item of an answer, and why it could be told."""

    answer: Answer
    item: Disclosed
    bases: Bases


class Entry(NamedTuple):
    """A row of the table; the columns beside the body only find it."""

    at: datetime
    id: str
    custodian_id: str | None
    person_id: str | None
    organisation_id: str
    denied: bool
    classes: int
    body: str


def new_segment() -> str:
    """Return a segment that no other writer has."""
    return ids.new_id("seg")[4 : 4 + _SEGMENT]


def entry_id(segment: str, seq: int) -> str:
    """Return the id of a segment's entry; ids of a segment sort as its entries do."""
    return f"led_{segment}{ids.digits(seq, _SEQ)}"


def place(entry: str) -> tuple[str, int]:
    """Return segment and number of an entry's id."""
    return entry[4 : 4 + _SEGMENT], ids.number(entry[4 + _SEGMENT :])


def genesis(segment: str) -> str:
    """Return what the first entry of a segment names as the one before it."""
    return hashlib.sha256(f"careloop-ledger {segment}".encode()).hexdigest()


class Chain:
    """The end of one segment; entries are added in the order in which they will be committed."""

    def __init__(self, segment: str, seq: int = 0, head: str | None = None) -> None:
        self.segment = segment
        self._seq = seq
        self._head = head or genesis(segment)

    def add(self, told: Iterable[Told], at: datetime) -> list[Entry]:
        """Return the next entries, all of that instant."""
        instant = wire(at)
        return [self._next(each, at, instant) for each in told]

    def _next(self, told: Told, at: datetime, instant: str) -> Entry:
        answer, item, bases = told
        self._seq += 1
        found = entry_id(self.segment, self._seq)
        # in the order of the keys, which is the canonical one: to sort them takes as long as the rest
        body = orjson.dumps(
            {
                "actor": answer.actor,
                "at": instant,
                "channel": answer.channel,
                "classes": named(item.classes),
                "client": answer.client_id,
                "consents": bases.consents,
                "custodian": item.custodian_id,
                "grants": bases.grants,
                "id": found,
                "kind": item.kind,
                "method": answer.method,
                "organisation": answer.organisation_id,
                "outcome": "denied" if item.denied else "disclosed",
                "person": item.person_id,
                "policy": item.rules or None,
                "prev": self._head,
                "purpose": answer.purpose,
                "rows": item.rows,
                "status": answer.status,
                "trace": answer.trace_id,
            }
        )
        self._head = leaf_hash(body).hex()
        return Entry(
            at,
            found,
            item.custodian_id,
            item.person_id,
            answer.organisation_id,
            item.denied,
            item.classes,
            body.decode(),
        )
