"""A read that is kept: built once for all readers of a kind, run for each of them."""

from collections.abc import AsyncIterator
from enum import StrEnum

import pytest
from sharing import Organisation, Reader, mask_of, policy, purposes, replica, sql
from sharing.kept import Kept, at_least, columns, given, kept
from sqlalchemy import Enum, Select, Text, and_, select, text, true
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, aliased, mapped_column
from svckit import rights
from svckit.db import Database, Id

CLASSES, PURPOSES = int(mask_of(["notes"])), purposes.mask_of(["TREAT"])
AGREEMENT = """
INSERT INTO sharing_agreement VALUES ('agr', 'org_clinic', NULL, 'clinic', {purposes}, {classes}, 0,
    30, now(), NULL)
"""
GRANT = """
INSERT INTO sharing_grant VALUES ('grt_{n}', 'org_clinic', 'org_{n}', 'per_{n}', NULL, 'agr', {classes},
    {purposes}, 'care-team', 'bas', now(), NULL)
"""


class Base(DeclarativeBase):
    pass


class Kind(StrEnum):
    LETTER = "a letter"


# by value, as `svckit.db.Base` keeps them
Codes = Enum(Kind, native_enum=False, values_callable=lambda kinds: [one.value for one in kinds])


class Paper(Base):
    __tablename__ = "paper"

    # not first: what an outer join did not find is told by the key
    title: Mapped[str | None] = mapped_column(Text)
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    custodian_id: Mapped[str] = mapped_column(Id)
    person_id: Mapped[str] = mapped_column(Id)
    kind: Mapped[Kind | None] = mapped_column(Codes)


def papers(reader: Reader) -> Select:
    seen = sql.seen(reader, custodian=Paper.custodian_id, person=Paper.person_id, case=Paper.id)
    return (
        select(Paper, seen.c.mask).join(seen, true()).where(sql.may_see_any(seen.c.mask, "notes"))
    )


@pytest.fixture(scope="module")
def url(empty_database):
    return empty_database()


@pytest.fixture
async def db(url) -> AsyncIterator[Database]:
    database = Database(url, pool_size=1)
    async with database.engine.begin() as connection:
        await connection.run_sync(replica.metadata.drop_all)
        await connection.run_sync(Base.metadata.drop_all)
        await connection.run_sync(replica.metadata.create_all)
        await connection.run_sync(Base.metadata.create_all)
        await connection.execute(text(AGREEMENT.format(purposes=PURPOSES, classes=CLASSES)))
        for n in "ab":
            grant = GRANT.format(n=n, purposes=PURPOSES, classes=CLASSES)
            await connection.execute(text(grant))
            paper = f"INSERT INTO paper VALUES (NULL, 'pap_{n}', 'org_clinic', 'per_{n}', NULL)"
            await connection.execute(text(paper))
    yield database
    await database.dispose()


@pytest.fixture
def stale():
    def say(*, stale):
        rights._stale.set(stale)

    yield say
    rights._stale.set(False)


def clinic(name):
    return Organisation(f"org_{name}", "clinic", "TREAT")


async def test_readers_of_a_kind_share_what_was_built_and_each_sees_its_own(db):
    built = []

    @kept
    def page(reader: Reader) -> Select:
        built.append(reader)
        return papers(reader)

    async with db.read() as session:
        found = {
            name: [row.id for row, _ in await page.rows(session, clinic(name), {})] for name in "ab"
        }
    assert found == {"a": ["pap_a"], "b": ["pap_b"]}
    assert len(built) == 1


async def test_another_purpose_is_another_statement(db):
    page = kept(papers)
    async with db.read() as session:
        assert await page.rows(session, clinic("a"), {})
        for_payment = Organisation("org_a", "clinic", "HPAYMT")
        assert await page.rows(session, for_payment, {}) == []


async def test_nothing_built_before_is_used_while_rights_are_stale_nor_the_other_way(db, stale):
    page = kept(papers)
    async with db.read() as session:
        for _ in range(2):
            stale(stale=False)
            assert len(await page.rows(session, clinic("a"), {})) == 1
            stale(stale=True)
            with pytest.raises(DBAPIError, match=rights.REFUSAL):
                await page.rows(session, clinic("a"), {})
            own = await page.rows(session, clinic("clinic"), {})
            assert {row.id for row, _ in own} == {"pap_a", "pap_b"}


async def test_another_policy_is_another_statement(db):
    page = kept(papers)
    own = policy.own()
    shut = own.policy.model_copy(update={"ceilings": {}})
    try:
        async with db.read() as session:
            assert len(await page.rows(session, clinic("a"), {})) == 1
            policy.decide_by(policy.InForce("another", shut))
            assert await page.rows(session, clinic("a"), {}) == []
            policy.decide_by(own)
            assert len(await page.rows(session, clinic("a"), {})) == 1
    finally:
        policy.decide_by(own)


async def test_values_are_given_as_it_runs_and_never_part_of_the_text(db):
    @kept
    def one(reader: Reader) -> Select:
        return papers(reader).where(Paper.id == given("paper_id"))

    async with db.read() as session:
        for value, number in (("pap_a", 1), ("pap_b", 0), ("' OR true --", 0)):
            assert len(await one.rows(session, clinic("a"), {"paper_id": value})) == number
        with pytest.raises(KeyError):
            await one.rows(session, clinic("a"), {})


async def test_what_was_read_cannot_be_changed_and_what_was_locked_can(db):
    page: Kept = kept(papers)
    async with db.begin() as tx:
        read, mask = await page.first(tx, clinic("a"), {})
        assert (read.title, mask) == (None, CLASSES)
        with pytest.raises((AttributeError, SQLAlchemyError)):
            read.title = "changed"
        locked, _ = await page.locked(tx, clinic("a"), {})
        locked.title = "changed"
        # what the session holds back is written before anything is read
        assert (await page.first(tx, clinic("a"), {}))[0].title == "changed"


async def test_a_row_is_what_the_orm_would_have_made_of_it(db):
    page: Kept = kept(papers)
    other = aliased(Paper)

    @kept
    def pairs(reader: Reader) -> Select:
        beside = and_(other.id > Paper.id, other.kind == Kind.LETTER)
        others = Paper.custodian_id != reader.organisation_id
        beside_it = select(Paper, Paper.kind, other).outerjoin(other, beside)
        return beside_it.where(others, Paper.id == "pap_a")

    async with db.begin() as tx:
        mine = await tx.get_one(Paper, "pap_a")
        assert columns(mine) is mine
        for kind in (None, Kind.LETTER):
            mine.kind = kind
            read, mask = await page.first(tx, clinic("a"), {})
            assert columns(read) == {name: getattr(mine, name) for name in columns(read)}
            assert (mask, len(columns(read))) == (CLASSES, 5)
            first, code, missing = await pairs.first(tx, clinic("a"), {})
            assert (first.id, code, type(code), missing) == ("pap_a", kind, type(kind), None)


def test_a_page_asks_for_one_of_few_numbers_of_rows():
    assert [at_least(wanted) for wanted in (1, 51, 52, 201, 900)] == [11, 51, 101, 201, 900]
