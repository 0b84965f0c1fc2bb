"""The ledger's statements: appended by a driver connection, read through sessions, never changed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import asyncpg
import orjson
from sharing import mask_of, names_of, purposes

from gateway.entries import Bases, Entry

# a service decides by rights that are at most this old: what ended since may be why it answered
_RIGHTS_MAY_BE_OLD = timedelta(seconds=6)


class Subject(NamedTuple):
    """Whose data of whom went to whom."""

    custodian_id: str
    organisation_id: str
    person_id: str


class _Reason(NamedTuple):
    purposes: int
    classes: int
    told: dict[str, Any]


@dataclass
class Known:
    """The grants and permits there are for one subject, for any purpose."""

    grants: list[_Reason] = field(default_factory=list)
    consents: list[_Reason] = field(default_factory=list)

    def bases(self, purpose: str, classes: int) -> tuple[Bases, bool]:
        """Return those that bear on the classes, and whether they account for all of them."""
        found = Bases(*(_bearing(each, purpose, classes) for each in (self.grants, self.consents)))
        covered = 0
        for reason in self.grants:
            if purposes.covers(reason.purposes, purpose):
                covered |= reason.classes
        return found, classes & ~covered == 0 and bool(found.grants)


def _bearing(reasons: Sequence[_Reason], purpose: str, classes: int) -> list[dict[str, Any]]:
    return [
        {**each.told, "classes": names_of(each.classes & classes)}
        for each in reasons
        if purposes.covers(each.purposes, purpose) and (each.classes & classes or not classes)
    ]


_KNOWN = """
SELECT w.n, TRUE AS grants, g.id, g.version, g.basis AS because, g.purposes::text, g.classes::text,
       a.id AS agreement, a.version AS agreement_version, a.legal_basis, FALSE AS general
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS w (custodian, recipient, person, n)
JOIN grant_ g ON g.person_id = w.person AND g.recipient_id = w.recipient
             AND g.custodian_id = w.custodian
JOIN agreement a ON a.id = g.agreement_id
WHERE g.valid_from <= $4 AND (g.valid_to IS NULL OR g.valid_to > $5)
UNION ALL
SELECT w.n, FALSE, c.id, c.version, c.decision, c.purposes::text, c.classes::text,
       NULL, NULL, NULL, c.recipient_id IS NULL
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS w (custodian, recipient, person, n)
JOIN consent c ON c.person_id = w.person AND (c.recipient_id IS NULL OR c.recipient_id = w.recipient)
WHERE c.active AND c.decision = 'permit' AND c.valid_from <= $4
  AND (c.valid_to IS NULL OR c.valid_to > $5)
ORDER BY 1, 3
"""
_APPEND = """
INSERT INTO ledger_entry
    (id, at, custodian_id, person_id, organisation_id, denied, classes, body)
SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::text[],
                     $6::boolean[], $7::integer[], $8::text[])
"""


async def known(
    connection: asyncpg.Connection, subjects: Sequence[Subject], at: datetime
) -> dict[Subject, Known]:
    """Return what stands between custodian and recipient about each person, in one statement."""
    columns = [list(column) for column in zip(*subjects, strict=True)]
    rows = await connection.fetch(_KNOWN, *columns, at, at - _RIGHTS_MAY_BE_OLD)
    found = {subject: Known() for subject in subjects}
    for row in rows:
        reason = _reason(row)
        of = found[subjects[row["n"] - 1]]
        (of.grants if row["grants"] else of.consents).append(reason)
    return found


def _reason(row: Any) -> _Reason:
    told = {"id": row["id"], "version": row["version"]}
    if row["grants"]:
        told["because"] = row["because"]
        told["agreement"] = row["agreement"]
        told["agreement_version"] = row["agreement_version"]
        told["legal_basis"] = row["legal_basis"]
    else:
        told["general"] = row["general"]
    return _Reason(
        purposes.mask_of(orjson.loads(row["purposes"])),
        int(mask_of(orjson.loads(row["classes"]))),
        told,
    )


async def open_segment(connection: asyncpg.Connection, segment: str, at: datetime) -> None:
    await connection.execute("INSERT INTO ledger_segment VALUES ($1, $2)", segment, at)


async def append(connection: asyncpg.Connection, entries: Sequence[Entry]) -> None:
    """Insert the entries in one statement, which is one commit outside of a transaction."""
    await connection.execute(_APPEND, *(list(column) for column in zip(*entries, strict=True)))
