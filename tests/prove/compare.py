"""Evaluator and oracle side by side, cell by cell: one cell is one class of one decision."""

import dataclasses
from functools import cache
from typing import NamedTuple

from sharing import evaluate, names_of
from sharing.decide import Decider

from tests.prove import space
from tests.unit.sharing import oracle, worlds

CLASSES = 12
READERS = [(one, worlds.as_reader(one)) for one in space.READERS]
_BY_SORT = space.agreements()
PLAIN = {one["id"]: one for one in _BY_SORT.values()}
CODED = worlds.as_facts(list(PLAIN.values()), [], []).agreements


class Count(NamedTuple):
    """How many cells were compared, how many showed their class, and what differed."""

    cells: int
    shown: int
    differences: tuple[str, ...]

    def plus(self, other):
        return Count(
            self.cells + other.cells,
            self.shown + other.shown,
            (self.differences + other.differences)[:10],
        )


@cache
def names(mask):
    """The classes of a mask as a set; the masks that occur are few."""
    return frozenset(names_of(mask))


NOTHING = Count(0, 0, ())


def facts_of(grants, consents, seals):
    return dataclasses.replace(worlds.as_facts([], grants, consents, seals), agreements=CODED)


def scenarios(numbers):
    """The scenarios of these numbers, compared for every reader."""
    count = NOTHING
    for number in numbers:
        key = f"row_{number}"
        row = space.row(key, number)
        by_kind = {kind: space.grant(key, number, kind) for kind in space.KINDS}
        others = space.consents(key, number), space.seals(key, number)
        by_reader = {f"org_{kind}": [one] if one else [] for kind, one in by_kind.items()}
        count = count.plus(_compared(f"scenario {number}", row, by_reader, *others))
    return count


def mixtures(seed, numbers):
    """Scenarios of several grants and directives, compared for every reader."""
    count = NOTHING
    for number in numbers:
        row, grants, consents, seals = space.mixed(seed, number)
        everybody = {f"org_{kind}": grants for kind in space.KINDS}
        count = count.plus(_compared(f"mixture {number}", row, everybody, consents, seals))
    return count


def _compared(name, row, by_reader, consents, seals):
    asked = worlds.as_row(row)
    facts = {
        organisation: facts_of(grants, consents, seals)
        for organisation, grants in by_reader.items()
    }
    bare = facts_of([], consents, seals)
    shown, differences = 0, []
    for plain, reader in READERS:
        grants = by_reader.get(reader.organisation_id, [])
        known = facts.get(reader.organisation_id, bare)
        said = oracle.sees(plain, row, PLAIN, grants, consents, seals=seals, now=worlds.NOW)
        mask = evaluate(known, reader, asked, at=worlds.NOW).mask
        shown += len(said)
        if names(mask) != said:
            differences.append(f"{name}: {plain} sees {sorted(names(mask))}, should {sorted(said)}")
    return Count(CLASSES * len(READERS), shown, tuple(differences))


def decider(seed, count, readers=READERS):
    """Deciders, each made once for many rows, against the evaluator; a cell is a class, too."""
    drawn = space.drawn(seed, count)
    rows, grants, consents, seals = [], [], [], []
    for number in drawn:
        key = f"row_{number}"
        rows.append(space.row(key, number))
        grants += [one for kind in space.KINDS if (one := space.grant(key, number, kind))]
        consents += space.consents(key, number)
        seals += space.seals(key, number)
    facts = facts_of(grants, consents, seals)
    alone = [_alone(number) for number in drawn]
    asked = [worlds.as_row(row) for row in rows]
    shown, differences = 0, []
    for plain, reader in readers:
        decide = Decider(facts, reader, at=worlds.NOW)
        for row, known in zip(asked, alone, strict=True):
            mask = evaluate(known, reader, row, at=worlds.NOW).mask
            shown += mask.bit_count()
            if decide(row) != mask:
                differences.append(f"decider: {plain} on {row}: {decide(row)}, evaluator {mask}")
    return Count(CLASSES * len(readers) * len(rows), shown, tuple(differences[:10]))


def _alone(number):
    key = f"row_{number}"
    given = [one for kind in space.KINDS if (one := space.grant(key, number, kind))]
    return facts_of(given, space.consents(key, number), space.seals(key, number))
