"""The seat-belt of referral-svc: it hides nothing that the rule shows, and holds where no rule asks."""

import pytest
from referral_svc.models import Referral
from referral_svc.queries import directory
from referral_svc.queries import referrals as queries
from sqlalchemy import select
from svckit.clock import now
from svckit.identity import Caller
from svckit.ids import new_id

from tests import belts
from tests.service.referral_svc.conftest import PURPOSE
from tests.service.referral_svc.test_access import PATHS, closed_loop

FILLED = ("referral", "referral_reader", "referral_transition", "referral_message", "sharing_grant")


async def listed(session, caller):
    found = []
    for filters in (queries.Filters(), queries.Filters(need_category="food-insecurity")):
        page = await queries.list_referrals(
            session, caller, filters, now=now(), limit=500, after=None
        )
        assert await queries.count_referrals(session, caller, filters, now=now()) == len(page)
        found += [(row.id, mask) for row, mask in page]
    return found


async def below(session, caller):
    found = []
    for referral in dict(await listed(session, caller)):
        moves = await queries.list_transitions(session, referral)
        said = await queries.list_messages(session, referral, limit=500, after=None)
        found += [(referral, move.version) for move in moves]
        found += [(referral, message.id) for message in said]
    return found


async def published(session, _):
    search = directory.Search(q="pantry")
    found = [
        one.id for one in await directory.search_services(session, search, limit=9, after=None)
    ]
    sites = [len(await directory.sites_of(session, one)) for one in found]
    return [*found, *sites, *map(len, (await directory.parts_of(session, found)).values())]


READS = [listed, below, published]


@pytest.fixture
async def network(world):
    """Referrals in every state of being told, of two persons; readers by grants of all kinds."""
    await world.service(languages=[{"id": "1", "name": "Spanish", "code": "es"}])
    other, person = new_id("cas"), new_id("per")
    await world.case_opened(other, person=person)
    kinds = ("clinic", "social-service", "payer", "coordinator")
    readers = [await world.organisation(kind) for kind in kinds]
    early, ended = readers[0], readers[2]
    await world.grant(early, ["coordination", "needs", "outcome"])
    loop = await closed_loop(world)
    await world.post(world.at_pantry, f"/v1/referrals/{loop['id']}/messages", {"text": "as agreed"})
    await world.refer(status="draft")
    await world.refer(case_id=other, person_id=person)
    for reader in readers[1:]:
        await world.grant(reader, ["coordination", "outcome", "notes"])
    await world.grant(readers[3], ["coordination"], case=other, person=person)
    await world.end_grant(await world.grant(ended, ["needs"], case=world.case))
    await world.refer()
    return [*readers, world.clinic, world.pantry, await world.organisation("clinic")]


async def test_the_belt_hides_nothing_that_the_rule_shows(world, network):
    callers = [
        Caller(reader, world.kinds[reader], "cli", "worker", purpose, frozenset(), "jti")
        for reader in network
        for purpose in (PURPOSE[world.kinds[reader]], "ETREAT")
    ]
    single = await belts.by_id(world.db, Referral, queries.get_referral)
    assert await belts.same_with_and_without(world.db, [single, *READS], callers) > 100


async def test_an_outsider_reads_no_row_where_no_rule_asks(world, network):
    await belts.is_outside(world.db, network[-1], filled=FILLED)


async def test_an_owner_reads_no_draft_where_no_rule_asks(world):
    draft = await world.refer(status="draft")
    async with world.db.read_as(world.pantry) as session:
        assert list(await session.scalars(select(Referral.id))) == []
    async with world.db.read_as(world.clinic) as session:
        assert list(await session.scalars(select(Referral.id))) == [draft["id"]]


async def test_every_read_of_the_api_wears_it(world):
    done, service = await closed_loop(world), await world.service()
    paths = [f"/v1/referrals/{done['id']}{tail}" for tail in PATHS]
    paths += ["/v1/referrals", "/v1/referrals/count", "/v1/directory/services"]
    paths.append(f"/v1/directory/services/{service}")
    await belts.wears_it(world.db, world.at_pantry, paths)
