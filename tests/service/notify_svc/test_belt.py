"""The seat-belt of notify-svc: it hides nothing that the rule shows, and holds where no rule asks."""

import pytest
from notify_svc.queries import deliveries, endpoints, feed
from svckit.identity import Caller
from svckit.ids import new_id

from tests import belts
from tests.service.notify_svc.conftest import PURPOSE, key

FILLED = (
    *("message", "feed_head", "feed_item", "webhook_endpoint", "delivery", "delivery_attempt"),
    "sharing_grant",
)


async def told(session, caller):
    found = await feed.window(session, caller, after=0, limit=500)
    assert (await feed.head(session, caller.organisation_id)).seq == len(found.rows)
    return [(row.seq, row.message_id, row.visible) for row in found.rows]


async def own(session, caller):
    wanted = deliveries.Filters()
    sent = await deliveries.list_page(session, caller, wanted, limit=500, before=None)
    found = [(one.delivery.id, one.event_type) for one in sent]
    for one in sent:
        found += [attempt.id for attempt in await deliveries.attempts_of(session, one.delivery.id)]
    mine = await endpoints.list_page(session, caller, limit=500, before=None)
    return found + [endpoint.id for endpoint in mine]


READS = [told, own]


@pytest.fixture
async def network(world, receiver):
    """Events of a custodian, told to parties and by grants, later and until they end; webhooks."""
    kinds = ("clinic", "clinic", "social-service", "payer", "coordinator", "clinic")
    clinic, *readers, outsider = [await world.organisation(kind) for kind in kinds]
    for reader in (clinic, *readers[:2]):
        endpoint = await world.endpoint(reader, receiver.url)
        path = f"/v1/webhook-endpoints/{endpoint['id']}/test"
        assert (await world.client(reader).post(path, headers=key())).status_code == 202
    await world.grant(clinic, readers[0], ["coordination", "notes", "outcome"])
    await world.happened("case.opened", clinic, subject=world.case)
    await world.happened("note.added", clinic, classes=["notes", "clinical"])
    await world.happened("referral.requested", clinic, parties=[readers[1]])
    for reader in readers[1:]:
        await world.grant(clinic, reader, ["coordination", "outcome"], case=world.case)
    await world.happened("case.closed", clinic, classes=["outcome"], subject=world.case)
    await world.happened("person.changed", clinic, classes=["identity"], subject=world.person)
    ended = await world.grant(clinic, readers[3], ["coordination"])
    await world.happened("need.identified", clinic, case_id=new_id("cas"))
    await world.end(ended)
    await world.deliver()
    return [clinic, *readers, outsider]


async def test_the_belt_hides_nothing_that_the_rule_shows(world, network):
    callers = [
        Caller(reader, world.kinds[reader], "cli", "worker", purpose, frozenset(), "jti")
        for reader in network
        for purpose in (PURPOSE[world.kinds[reader]], "ETREAT")
    ]
    assert await belts.same_with_and_without(world.db, READS, callers) > 50


async def test_an_outsider_reads_no_row_where_no_rule_asks(world, network):
    await belts.is_outside(world.db, network[-1], filled=FILLED)


async def test_every_read_of_the_api_wears_it(world, network):
    client = world.client(network[0])
    endpoint = (await client.get("/v1/webhook-endpoints")).json()["items"][0]["id"]
    delivery = (await client.get("/v1/deliveries")).json()["items"][0]["id"]
    paths = ["/v1/events", "/v1/webhook-endpoints", f"/v1/webhook-endpoints/{endpoint}"]
    paths += ["/v1/deliveries", f"/v1/deliveries/{delivery}"]
    paths += [f"/v1/webhook-endpoints/{endpoint}/recoveries"]
    await belts.wears_it(world.db, client, paths)
