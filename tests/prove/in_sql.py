"""The same scenarios as rows of PostgreSQL, decided by the compiled rule: a statement a reader."""

from tests.prove import space
from tests.prove.compare import CLASSES, PLAIN, Count, names
from tests.service.sharing import probe
from tests.unit.sharing import matrix, oracle, worlds


def world(seed, count):
    """Drawn scenarios and as many mixtures, as one world of rows and records."""
    found = matrix.World(agreements=list(PLAIN.values()))
    facts = {}
    for number in space.drawn(seed, count):
        key = f"row_{number}"
        given = [one for kind in space.KINDS if (one := space.grant(key, number, kind))]
        facts[key] = given, space.consents(key, number), space.seals(key, number)
        found.rows.append(space.row(key, number))
    for number in range(count):
        row, *records = space.mixed(seed, number)
        key = row["id"]
        facts[key] = tuple(records)
        found.rows.append(row)
    for grants, consents, seals in facts.values():
        found.grants += grants
        found.consents += consents
        found.seals += seals
    return found, facts


async def compared(tx, known, readers=space.READERS, rule=None, enough=10):
    """Compare what SQL sees with what the oracle says, until `enough` cells differ."""
    found, facts = known
    cells, shown, differences = 0, 0, []
    for reader in readers:
        in_sql = await probe.seen_in_sql(tx, found, reader, with_rule=rule)
        for row in found.rows:
            grants, consents, seals = facts[row["id"]]
            said = oracle.sees(reader, row, PLAIN, grants, consents, seals=seals, now=worlds.NOW)
            mask, visible, _ = in_sql[row["id"]]
            needed = set(matrix.required_of(row))
            cells += CLASSES
            shown += len(said)
            if names(mask) != said or visible != (bool(said) and needed <= said):
                differences.append(
                    f"{row}: {reader} sees {sorted(names(mask))}, should {sorted(said)}"
                )
                if len(differences) == enough:
                    return Count(cells, shown, tuple(differences))
    return Count(cells, shown, tuple(differences))
