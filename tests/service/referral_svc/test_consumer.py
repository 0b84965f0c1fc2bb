"""What the other services tell, and what this one tells in turn: contracts kept on both ends."""

import asyncio

import orjson
from referral_svc.consumer import HANDLERS
from sqlalchemy import text
from svckit import contracts
from svckit.clock import now
from svckit.cloudevents import Received
from svckit.ids import new_id

OURS = ("referral.", "service.", "message.")


async def test_a_case_told_twice_is_noted_once(world):
    case = new_id("cas")
    await world.case_opened(case)
    await world.case_opened(case)
    assert await world.scalar("SELECT count(*) FROM case_file WHERE id = :id", id=case) == 1


async def test_a_case_handed_over_has_its_new_custodian(world):
    other = await world.organisation("clinic")
    await world.tell(
        "case.changed", world.case, custodian_id=other, person_id=world.person, case_id=world.case
    )
    custodian = "SELECT custodian_id FROM case_file WHERE id = :id"
    assert await world.scalar(custodian, id=world.case) == other


async def test_a_grant_told_twice_opens_a_referral_once(world):
    made = await world.refer()
    network = await world.organisation("coordinator")
    await world.grant(network, ["coordination"])
    await world.grant(network, ["coordination", "outcome"])
    readers = "SELECT count(*) FROM referral_reader WHERE referral_id = :id"
    assert await world.scalar(readers, id=made["id"]) == 3


async def test_a_new_referral_and_a_new_grant_at_once_do_not_miss_each_other(world):
    for _ in range(5):
        network = await world.organisation("coordinator")
        _, made = await asyncio.gather(
            world.grant(network, ["coordination"]), world.refer(world.at_clinic)
        )
        listed = (await world.client(network).get("/v1/referrals?limit=1")).json()["items"]
        assert [item["id"] for item in listed] == [made["id"]]


async def test_every_handler_reads_its_example_and_reads_it_twice(world):
    for kind, handler in HANDLERS.items():
        name = kind.removeprefix(contracts.PREFIX)
        data = orjson.loads((contracts.events_dir() / f"{name}.example.json").read_bytes())
        received = Received(
            id=new_id("evt"),
            type=kind,
            source="careloop/test",
            subject=data["id"],
            version=data["version"],
            key=data["id"],
            time=now(),
            data=data,
        )
        async with world.db.begin() as tx:
            await handler(tx, received)
            await handler(tx, received)


async def test_every_published_event_keeps_its_contract(world):
    await world.service()
    made = await world.refer()
    await world.act(world.at_pantry, made["id"], "accept", 1)
    await world.post(world.at_clinic, f"/v1/referrals/{made['id']}/messages", {"text": "hello"})
    async with world.db.read() as session:
        rows = (await session.execute(text("SELECT type, value, headers FROM outbox"))).all()
    assert len(rows) == 4
    for row in rows:
        assert contracts.schema_of(row.type).fault(orjson.loads(row.value)) is None
        assert row.headers["ce_dataclassification"] == "phi"


def test_every_contract_of_ours_holds_its_example():
    found = [kind for kind in contracts.schemas() if kind.split(".")[2] + "." in OURS]
    assert len(found) == 15
    for kind in found:
        name = kind.removeprefix(contracts.PREFIX)
        example = orjson.loads((contracts.events_dir() / f"{name}.example.json").read_bytes())
        assert contracts.schema_of(kind).fault(example) is None, name
        assert contracts.schema_of(kind).fault(example | {"name": "x"}) is not None, name
