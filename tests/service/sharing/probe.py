"""A table of rows to decide about, with the facts of a world beside it."""

from sharing import mask_of, replica, sql, tables
from sqlalchemy import Column, Integer, MetaData, Table, Text, delete, insert, select, text

from tests.unit.sharing import matrix, oracle, worlds

probe = Table(
    "probe",
    MetaData(),
    Column("id", Text(collation="C"), primary_key=True),
    Column("custodian_id", Text(collation="C")),
    Column("person_id", Text(collation="C")),
    Column("case_id", Text(collation="C")),
    Column("referral_id", Text(collation="C")),
    Column("confidentiality", Text, nullable=False),
    Column("party_a", Text(collation="C")),
    Column("party_b", Text(collation="C")),
    Column("required", Integer, nullable=False),
)

FACTS = (tables.organisation, tables.agreement, tables.grant, tables.consent, tables.seal)
NAMED = ("id", "custodian_id", "person_id", "case_id", "referral_id", "confidentiality")


async def create(database):
    async with database.engine.begin() as connection:
        await connection.run_sync(replica.metadata.create_all)
        await connection.run_sync(probe.metadata.create_all)


async def analyze(tx):
    """Let the planner know what was loaded."""
    for table in (*FACTS, probe):
        await tx.execute(text(f"ANALYZE {table.name}"))


async def load(tx, world):
    for table in (*FACTS, probe):
        await tx.execute(delete(table))
    programs = [
        {"id": one, "kind": "clinic", "name": one, "part2_program": True} for one in worlds.PROGRAMS
    ]
    await tx.execute(insert(tables.organisation), programs)
    for table, records in (
        (tables.agreement, world.agreements),
        (tables.grant, world.grants),
        (tables.consent, world.consents),
    ):
        if records:
            await tx.execute(insert(table), [worlds.coded(record) for record in records])
    if world.seals:
        await tx.execute(insert(tables.seal), world.seals)
    rows = [
        {name: row[name] for name in NAMED}
        | dict(zip(("party_a", "party_b"), [*row["parties"], None, None], strict=False))
        | {"required": int(mask_of(matrix.required_of(row)))}
        for row in world.rows
    ]
    await tx.execute(insert(probe), rows)


async def seen_in_sql(tx, world, reader, with_rule=None):
    """{row id: (mask, visible, visible by any class)} as the compiled rule has it."""
    found = {}
    own_records = [row["id"] for row in world.rows if row["about_person"]]
    for case_column, here in (
        (probe.c.case_id, probe.c.id.not_in(own_records)),
        (None, probe.c.id.in_(own_records)),
    ):
        mask = sql.shared(
            worlds.as_reader(reader),
            custodian=probe.c.custodian_id,
            person=probe.c.person_id,
            case=case_column,
            parties=(probe.c.party_a, probe.c.party_b),
            referral=probe.c.referral_id,
            confidentiality=probe.c.confidentiality,
            at=worlds.NOW,
            rule=with_rule,
        )
        inner = select(probe.c.id, probe.c.required, mask.label("mask")).where(here).subquery()
        outer = select(
            inner.c.id,
            inner.c.mask,
            sql.may_see(inner.c.mask, inner.c.required),
            sql.may_see_any(inner.c.mask, inner.c.required),
        )
        for row_id, seen, visible, by_any in await tx.execute(outer):
            found[row_id] = (seen, visible, by_any)
    return found


def expected(world, reader):
    agreements = {one["id"]: one for one in world.agreements}
    for row, facts in world.scenarios():
        seen = oracle.sees(
            reader,
            row,
            agreements,
            facts["grants"],
            facts["consents"],
            seals=facts["seals"],
            now=worlds.NOW,
        )
        needed = set(matrix.required_of(row))
        yield row, facts, seen, bool(seen) and needed <= seen, bool(needed & seen)
