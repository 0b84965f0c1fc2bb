"""The seat-belt of document-svc: it hides nothing that the rule shows, and holds where no rule asks."""

import pytest
from document_svc import queries
from document_svc.models import Document
from document_svc.queries import Filters
from sqlalchemy import select
from svckit.identity import Caller

from tests import belts
from tests.service.document_svc.conftest import PURPOSE

FILLED = (
    *("document", "document_reader", "document_content", "document_link", "referral_ref"),
    *("sharing_grant", "sharing_agreement", "sharing_consent"),
)


async def listed(session, caller):
    found = []
    for filters in (Filters(), Filters(type="18776-5")):
        page = await queries.list_documents(session, caller, filters, limit=500, after=None)
        assert await queries.count(session, caller, filters) == len(page)
        found += [(seen.document.id, seen.mask) for seen in page]
    return found


async def below(session, caller):
    seen = await queries.list_documents(session, caller, Filters(), limit=500, after=None)
    links = await queries.links(session, caller, [one.document.id for one in seen])
    found = [(link.document_id, link.target_id) for each in links.values() for link, _ in each]
    for one in seen:
        contents = await queries.list_contents(session, one.document, limit=9, after=None)
        found += [content.object_key for content in contents]
        newest = await queries.contents(session, [one.document])
        found += [content.object_key for content in newest.values()]
    return found


READS = [listed, below]


@pytest.fixture
async def network(world):
    """Documents of cases and referrals, labelled and not, before and after the grants that open them."""
    clinic = world.client(world.clinic)
    kinds = ("clinic", "social-service", "payer", "coordinator")
    readers = [world.organisation(kind) for kind in kinds]
    second = await world.case_opened()
    referral = await world.referral(readers[1])
    classes = ["coordination", "plan", "clinical", "outcome", "substance-use", "safety"]
    for number, body in enumerate(
        (
            {"data_class": "plan"},
            {"data_class": "clinical", "labels": ["SUD"]},
            {"data_class": "outcome", "confidentiality": "R"},
            {"data_class": "coordination", "case_id": second},
            {"data_class": "plan", "referral_id": referral},
        )
    ):
        await world.shared(clinic, **body)
        reader = readers[number % len(readers)]
        await world.grant(reader, classes, case=[None, world.case, second][number % 3])
        if number == 1:
            await world.consent(reader, ["substance-use"])
    await world.grant(readers[1], classes, basis="referral", basis_id=referral)
    await world.end_grant(await world.grant(readers[2], classes))
    withdrawn = await world.shared(clinic, data_class="plan")
    await world.act(clinic, withdrawn["id"], "withdraw", 1, reason="superseded")
    await world.add(clinic, data_class="plan")
    return [*readers, world.clinic, world.organisation("clinic")]


async def test_the_belt_hides_nothing_that_the_rule_shows(world, network):
    callers = [
        Caller(reader, world.kinds[reader], "cli", "worker", purpose, frozenset(), "jti")
        for reader in network
        for purpose in (PURPOSE[world.kinds[reader]], "ETREAT")
    ]
    single = await belts.by_id(world.db, Document, queries.get)
    assert await belts.same_with_and_without(world.db, [single, *READS], callers) > 100


async def test_an_outsider_reads_no_row_where_no_rule_asks(world, network):
    await belts.is_outside(world.db, network[-1], filled=FILLED)


async def test_a_partner_reads_what_was_opened_to_it_and_nothing_beside(world):
    clinic, partner = world.client(world.clinic), world.organisation("clinic")
    case = await world.case_opened()
    await world.shared(clinic, data_class="plan")
    opened = await world.shared(clinic, case_id=case, data_class="plan")
    await world.grant(partner, ["outcome"], case=case)
    async with world.db.read_as(partner) as session:
        assert list(await session.scalars(select(Document.id))) == [opened["id"]]


async def test_every_read_of_the_api_wears_it(world):
    clinic = world.client(world.clinic)
    path = f"/v1/documents/{(await world.shared(clinic))['id']}"
    paths = [path, f"{path}/versions", f"{path}/content", "/v1/documents", "/v1/documents/count"]
    await belts.wears_it(world.db, clinic, paths)
