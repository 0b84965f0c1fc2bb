"""What a change of the rules changes: who sees which classes of whose records, before and after.

Computed by the rule itself over what the gateway knows. A row here is a person's own record or one
of the person's cases; what lies under a case follows the case's classes.
"""

import asyncio
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import sharing
from sharing import policy
from sharing import purposes as tree
from sharing.algebra import Rule
from sharing.classes import names_of
from sharing.difference import Change

from gateway.domain import OrganisationKind, digest
from gateway.queries.facts import Named, World

SAMPLE = 20
# how many decisions are made before other requests get their turn: 10 take about 2 ms
_BREATH = 10


class Relation(NamedTuple):
    """One organisation's view of one row for one purpose."""

    recipient_id: str
    purpose: str
    custodian_id: str
    person_id: str
    # None: the person's own record
    case_id: str | None


Exposure = Mapping[Relation, int]


def relations(world: World, purposes: Mapping[str, Collection[str]]) -> Iterator[Relation]:
    """Yield every view that some grant could open, for each recipient's purposes."""
    for (recipient_id, custodian_id, person_id), grants in world.grants.items():
        known = world.cases.get((custodian_id, person_id), [])
        cases = sorted({*known, *(grant.case_id for grant in grants if grant.case_id)})
        for purpose in purposes[recipient_id]:
            for case_id in (None, *cases):
                yield Relation(recipient_id, purpose, custodian_id, person_id, case_id)


def purposes_of(
    *worlds: World, rules: Collection[policy.Policy] | None = None
) -> dict[str, set[str]]:
    """Return for each recipient of a grant the purposes a view may be for: those with a ceiling."""
    policies = rules or (policy.current(),)
    found: dict[str, set[str]] = {}
    for world in worlds:
        for (recipient_id, _, _), grants in world.grants.items():
            kind = world.kinds[recipient_id]
            codes = found.setdefault(recipient_id, _ceilinged(kind, policies))
            for grant in grants:
                codes |= set(tree.names_of(grant.purposes))
                if agreement := world.agreements.get(grant.agreement_id):
                    codes |= set(tree.names_of(agreement.purposes))
    kinds = {name: kind for world in worlds for name, kind in world.kinds.items()}
    return {
        recipient_id: {
            code for code in codes if any(p.ceiling(kinds[recipient_id], code) for p in policies)
        }
        for recipient_id, codes in found.items()
    }


def _ceilinged(kind: str, policies: Collection[policy.Policy]) -> set[str]:
    written = {
        code
        for one in policies
        for named, line in one.ceilings.items()
        if named == kind
        for code in line
    }
    return written | ({"BTG"} if kind == OrganisationKind.CLINIC else set())


async def exposure(
    world: World,
    purposes: Mapping[str, Collection[str]],
    at: datetime,
    *,
    rule: Rule | None = None,
) -> dict[Relation, int]:
    """Return the classes of every view that shows any, as masks; `rule`: of another policy."""
    found: dict[Relation, int] = {}
    for count, relation in enumerate(relations(world, purposes)):
        if mask := decide(world, relation, at, rule).mask:
            found[relation] = int(mask)
        if count % _BREATH == 0:
            await asyncio.sleep(0)
    return found


def decide(
    world: World,
    relation: Relation,
    at: datetime,
    rule: Rule | None = None,
) -> sharing.Decision:
    """Return what the view shows and why."""
    reader = sharing.Organisation(
        relation.recipient_id, world.kinds[relation.recipient_id], relation.purpose
    )
    row = world.row(Named(relation.custodian_id, relation.person_id, relation.case_id))
    known = world.facts(*_key(relation))
    return sharing.evaluate(known, reader, row, at=at, rule=rule)


def _key(relation: Relation) -> tuple[str, str, str, str | None]:
    return relation.recipient_id, relation.custodian_id, relation.person_id, relation.case_id


@dataclass(frozen=True)
class Difference:
    """What changes, whole; `digest` names it together with what it is the difference of."""

    subject: Mapping[str, Any]
    terms: list[dict[str, Any]]
    gained: Exposure
    lost: Exposure
    widens: bool
    # of a policy: what each kind may gain and lose, whoever there is
    may: tuple[Change, ...] = ()

    @property
    def digest(self) -> str:
        """Return the name of exactly this difference."""
        return digest(
            {
                "subject": dict(self.subject),
                "terms": self.terms,
                "gained": _listed(self.gained),
                "lost": _listed(self.lost),
            }
        )


def difference(
    before: Exposure,
    after: Exposure,
    *,
    subject: Mapping[str, Any],
    terms: list[dict[str, Any]],
    widens: bool,
) -> Difference:
    """Return who gains and who loses which classes of what."""
    gained, lost = _beyond(after, before), _beyond(before, after)
    return Difference(subject, terms, gained, lost, widens or bool(gained))


def _beyond(one: Exposure, other: Exposure) -> dict[Relation, int]:
    found = {relation: mask & ~other.get(relation, 0) for relation, mask in one.items()}
    return {relation: mask for relation, mask in sorted(found.items(), key=_order) if mask}


def _order(item: tuple[Relation, int]) -> tuple[str, ...]:
    return tuple(part or "" for part in item[0])


def _listed(found: Exposure) -> list[list[Any]]:
    return [[*relation, mask] for relation, mask in found.items()]


def summed(found: Exposure) -> list[dict[str, Any]]:
    """Return the sum for each recipient and purpose, with a sample of the rows by id."""
    by_reader: dict[tuple[str, str], list[tuple[Relation, int]]] = {}
    for relation, mask in found.items():
        key = relation.recipient_id, relation.purpose
        by_reader.setdefault(key, []).append((relation, mask))
    return [
        {"recipient_id": recipient_id, "purpose": purpose, **_sum(views)}
        for (recipient_id, purpose), views in by_reader.items()
    ]


def _sum(views: list[tuple[Relation, int]]) -> dict[str, Any]:
    counts: dict[str, int] = {}
    for _, mask in views:
        for name in names_of(mask):
            counts[name] = counts.get(name, 0) + 1
    return {
        "persons": len({relation.person_id for relation, _ in views}),
        "person_records": sum(relation.case_id is None for relation, _ in views),
        "cases": sum(relation.case_id is not None for relation, _ in views),
        "classes": counts,
        "sample": [
            {
                "custodian_id": relation.custodian_id,
                "person_id": relation.person_id,
                "case_id": relation.case_id,
                "classes": names_of(mask),
            }
            for relation, mask in views[:SAMPLE]
        ],
    }
