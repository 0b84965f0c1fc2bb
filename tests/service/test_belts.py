"""The seat-belt of each service: every table has one, or a reason; nobody gets around it."""

import asyncio
import secrets
from dataclasses import replace
from pathlib import Path

import asyncpg
import notify_svc
import pytest
from alembic import command
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, ProgrammingError
from svckit import migrate
from svckit.db import ORGANISATION, Database
from svckit.ids import new_id

from careloop.databases import Place, provide
from careloop.postgres import Postgres
from tests.belts import covered
from tests.statements import collected

# why a partner's connection reads nothing of a table at all
CLOSED = {
    "alembic_version": "the schema's own",
    "outbox": "what is on its way, for the relay",
    "consumer_offset": "the consumer's",
    "watermark": "the consumer's",
    "inbox": "the consumer's",
    "aggregate_version": "the consumer's",
    "parked_message": "the operator's",
    "case_svc blocked_key": "the operator's; it keeps the cases itself",
    "idempotency": "answers of commands, found by whoever gave the key, in the command",
    "audit": "written only",
    "sharing_policy": "the process reads by which rules it decides",
    "case_svc case_number": "counts on, in the command that opens a case",
    "case_svc referral_state": "what events said, for the next of them",
    "referral_svc hsds_organization": "asked when a publisher imports",
    "referral_svc taxonomy_term": "asked when a publisher imports",
    "referral_svc case_file": "asked when somebody refers",
    "document_svc case_ref": "asked when a document is attached",
    "notify_svc webhook_secret": "signs; told once, by the command that made it",
    "notify_svc access": "what was told of whom, for the worker that looks whether it still may be",
    "notify_svc access_check": "the same worker's notes",
    "notify_svc inbox_duty": "the clock's",
    "notify_svc mail": "on its way to a worker's own address",
    "notify_svc mail_attempt": "on its way to a worker's own address",
}
# why every partner may read all of a table
OPEN = {
    "sharing_organisation": "the network's members; no person is in it",
    "sharing_seal": "ids of cases; a seal that is not seen would not seal",
    "blocked_key": "ids of cases, and why; one that is not seen would not be closed",
    "sharing_protection": "ids of cases with a rank; one that is not seen would not protect",
    **dict.fromkeys(
        (
            *("service", "location", "service_at_location", "schedule", "language"),
            *("service_area", "service_capacity", "classification"),
        ),
        "the directory is published to every partner",
    ),
}
NOTIFY = Path(notify_svc.__file__).parent
PACKAGES = ("case_svc", "referral_svc", "document_svc", "notify_svc")
TABLES = """
    SELECT c.relname AS name, c.relrowsecurity AND c.relforcerowsecurity AS forced,
        has_table_privilege(:role, c.oid, 'SELECT')
            OR has_any_column_privilege(:role, c.oid, 'SELECT') AS read,
        has_table_privilege(:role, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
            AS written,
        ARRAY(SELECT p.polname::text || ' ' || p.polcmd::text || ' ' || r.rolname
              FROM pg_policy p JOIN pg_roles r ON r.oid = ANY(p.polroles)
              WHERE p.polrelid = c.oid ORDER BY 1) AS policies
    FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
"""


@pytest.fixture(params=PACKAGES)
async def belted(request, database_for):
    role = f"{request.param}_partner"
    found = Database(database_for(request.param), 2, role)
    yield found, role
    await found.dispose()


async def tables(db, role):
    async with db.read() as session:
        return {row.name: row for row in await session.execute(text(TABLES), {"role": role})}


async def test_every_table_has_a_policy_or_a_reason_to_have_none(belted):
    db, role = belted
    found, conditions = await tables(db, role), await covered(db)
    assert len(conditions) >= 10
    for name, table in found.items():
        assert not table.written, name
        assert table.read == (name in conditions), name
        if name not in conditions:
            said = {name, f"{role.removesuffix('_partner')} {name}"} & set(CLOSED)
            assert said, f"{name}: give it a row in a revision's belt, or say here why not"
            continue
        assert table.forced, name
        assert [one.split()[0] for one in table.policies] == ["owner", "partner"], name
        assert table.policies[1] == f"partner r {role}", name
        if conditions[name] == "true":
            assert name in OPEN, name
        else:
            assert f"current_setting('{ORGANISATION}'::text, true)" in conditions[name]
            assert "SELECT current_setting" in conditions[name], "asked anew for every row"


async def test_a_new_table_shows_nothing_until_it_has_a_policy(belted):
    db, role = belted
    async with db.begin() as tx:
        await tx.execute(text("CREATE TABLE newcomer AS SELECT 1 AS id"))
    with pytest.raises(ProgrammingError, match="permission denied"):
        async with db.read_as(new_id("org")) as session:
            await session.execute(text("SELECT * FROM newcomer"))
    assert not (await tables(db, role))["newcomer"].read
    async with db.begin() as tx:
        await tx.execute(text("ALTER TABLE newcomer ENABLE ROW LEVEL SECURITY"))
        await tx.execute(text(f"GRANT SELECT ON newcomer TO {role}"))
    async with db.read_as(new_id("org")) as session:
        assert (await session.execute(text("SELECT * FROM newcomer"))).all() == []


async def test_the_role_reads_and_can_do_nothing_else(belted):
    db, role = belted
    asked = text(
        "SELECT rolsuper OR rolbypassrls OR rolcanlogin OR rolcreaterole OR rolcreatedb"
        " OR EXISTS (SELECT FROM pg_auth_members m WHERE m.member = r.oid) AS may"
        " FROM pg_roles r WHERE rolname = :role"
    )
    async with db.read() as session:
        assert await session.scalar(asked, {"role": role}) is False
    async with db.read_as(new_id("org")) as session:
        assert await session.scalar(text("SELECT current_user")) == role
        with pytest.raises(ProgrammingError, match="permission denied"):
            await session.execute(text("DELETE FROM sharing_grant"))


# one connection


@pytest.fixture
async def one(database_for):
    """A service's database with a single connection, so that whoever comes next gets that one."""
    found = Database(database_for("case_svc"), 1, "case_svc_partner")
    yield found
    await found.dispose()


async def told(db, organisation):
    async with db.read_as(organisation) as session:
        return await session.scalar(text(f"SELECT current_setting('{ORGANISATION}', true)"))


async def test_a_connection_reads_for_whoever_has_it_now(one):
    here, there = new_id("org"), new_id("org")
    for organisation in (here, there, there, here):
        assert await told(one, organisation) == organisation


async def test_a_connection_is_told_only_what_it_does_not_know(one):
    here, sent = new_id("org"), []
    await told(one, here)
    with collected(one) as seen:
        await told(one, here)
    sent += seen
    assert len(sent) == 1


async def test_a_new_connection_in_place_of_a_broken_one_is_told_again(one):
    here = new_id("org")
    async with one.read_as(here) as session:
        number = await session.scalar(text("SELECT pg_backend_pid()"))
    async with one.read() as session:
        await session.execute(text("SELECT pg_terminate_backend(:n, 5000)"), {"n": number})
    with pytest.raises(DBAPIError):
        await told(one, here)
    assert await told(one, here) == here


async def test_a_request_cut_off_while_the_connection_is_told_leaves_nothing_behind(one):
    here, there = new_id("org"), new_id("org")
    await told(one, here)
    for turns in range(12):
        cut = asyncio.create_task(told(one, there))
        for _ in range(turns):
            await asyncio.sleep(0)
        cut.cancel()
        await asyncio.gather(cut, return_exceptions=True)
        assert await told(one, here) == here


# an older database

BEFORE = "635240a6a3e4"
TOLD = """
INSERT INTO message (id, type, kind, subject, version, custodian_id, parties, classes, body,
    occurred_at, expires_at)
VALUES ('evt_1', 'x', 'x', 'cas_1', 1, 'org_1', '{}', 0, '', now(), now())
"""


@pytest.fixture
async def older(postgres):
    """A database as it was before the belt, of an owner that may make no roles; and its server."""
    server, name = Postgres(postgres), f"test_{secrets.token_hex(8)}"
    place = Place(name, "secret")
    await provide(server, [place])
    url = server.database_url(name, name, "secret")
    await asyncio.to_thread(command.upgrade, migrate._config(NOTIFY, url), BEFORE)
    yield server, place, url
    connection = await asyncpg.connect(postgres)
    await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await connection.execute(f"DROP ROLE {name}")
    await connection.close()


async def counts(url, organisation):
    db = Database(url, 2, "notify_svc_partner")
    counted = text("SELECT count(*) FROM message")
    async with db.read() as owner, db.read_as(organisation) as partner:
        found = await owner.scalar(counted), await partner.scalar(counted)
    await db.dispose()
    return found


async def test_an_older_database_gets_its_belt_from_an_owner_that_may_make_no_roles(
    older, database_for
):
    server, place, url = older
    database_for("notify_svc")  # the role is there already, of another database on the server
    connection = await asyncpg.connect(url)
    await connection.execute(TOLD)
    with pytest.raises(DBAPIError, match=f"GRANT notify_svc_partner TO {place.name}"):
        await asyncio.to_thread(migrate.upgrade, NOTIFY, url)
    await provide(server, [replace(place, partner="notify_svc_partner")])
    await asyncio.to_thread(migrate.upgrade, NOTIFY, url)
    assert await counts(url, "org_1") == (1, 1)
    assert await counts(url, "org_2") == (1, 0)
    await connection.execute("DROP POLICY owner ON message")
    assert await counts(url, "org_1") == (0, 1)
    await connection.close()
