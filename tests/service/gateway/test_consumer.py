"""What events of the others do to grants: state and announcements, once, whatever is repeated."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from gateway import models
from gateway.consumer import HANDLERS
from sqlalchemy import select, text
from svckit.cloudevents import Received
from svckit.db import Database
from svckit.ids import new_id

CONTRACTS = Path(__file__).parents[3] / "contracts" / "events"
AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
CLINIC, PANTRY, STRANGER = (new_id("org") for _ in range(3))
PERSON, CASE, REFERRAL, MEMBER = new_id("per"), new_id("cas"), new_id("ref"), new_id("ptm")


class World:
    def __init__(self, db: Database) -> None:
        self.db = db
        self.versions: dict[str, int] = {}

    async def tell(self, kind: str, subject: str, at: datetime = AT, **change: Any) -> None:
        version = self.versions[subject] = self.versions.get(subject, 0) + 1
        received = Received(
            id=new_id("evt"),
            type=f"org.careloop.{kind}.v1",
            source="careloop/test",
            subject=subject,
            version=version,
            key=subject,
            time=at,
            data={
                "id": subject,
                "version": version,
                "custodian_id": CLINIC,
                "person_id": PERSON,
                "case_id": CASE,
                "parties": [],
                "classes": [],
                "href": "/v1/x",
                "change": change,
            },
        )
        async with self.db.begin() as tx:
            await HANDLERS[received.type](tx, received)

    async def referral(self, verb: str, at: datetime = AT, **change: Any) -> None:
        parties = {
            "requester_id": CLINIC,
            "recipient_id": PANTRY,
            "case_id": CASE,
            "person_id": PERSON,
        }
        await self.tell(f"referral.{verb}", REFERRAL, at, **{**parties, **change})

    async def grants(self) -> dict[tuple[str, str], models.Grant]:
        async with self.db.read() as session:
            rows = (await session.scalars(select(models.Grant))).all()
        return {(row.custodian_id, row.recipient_id): row for row in rows}

    async def told(self) -> list[str]:
        async with self.db.read() as session:
            rows = await session.execute(text("SELECT type, value FROM outbox ORDER BY seq"))
        found = [(row.type.removeprefix("org.careloop."), orjson.loads(row.value)) for row in rows]
        return [
            f"{kind.removesuffix('.v1')} {data['change']['recipient_id']}" for kind, data in found
        ]


@pytest.fixture
async def world(database_for: Callable[[str], str]) -> AsyncIterator[World]:
    db = Database(database_for("gateway"), 2)
    async with db.begin() as tx:
        for organisation_id, kind in (
            (CLINIC, "clinic"),
            (PANTRY, "social-service"),
            (STRANGER, "clinic"),
        ):
            row = {
                "id": organisation_id,
                "kind": kind,
                "name": kind,
                "version": 1,
                "created_at": AT,
            }
            tx.add(models.Organisation(**{**row, "kind": models.OrganisationKind(kind)}))
        await tx.flush()
        there = ["identity", "contact", "coordination", "needs", "plan", "notes"]
        tx.add(agreed(CLINIC, PANTRY, ["COC"], there))
        tx.add(agreed(PANTRY, CLINIC, ["TREAT"], ["coordination", "plan", "notes", "outcome"], 7))
    yield World(db)
    await db.dispose()


def agreed(
    custodian: str, recipient: str, purposes: list[str], classes: list[str], days: int = 30
) -> models.Agreement:
    return models.Agreement(
        id=new_id("agr"),
        custodian_id=custodian,
        recipient_id=recipient,
        recipient_kind=None,
        purposes=purposes,
        classes=classes,
        consent_classes=[],
        legal_basis="",
        retention_days=days,
        valid_from=AT - timedelta(days=1),
        valid_to=None,
        ended_at=None,
        version=1,
        created_at=AT,
    )


async def test_a_request_opens_what_is_asked_for(world: World) -> None:
    await world.referral("requested")
    ((parties, grant),) = (await world.grants()).items()
    assert parties == (CLINIC, PANTRY)
    assert grant.classes == ["coordination", "needs"]
    assert grant.purposes == ["COC"]
    assert (grant.basis, grant.basis_id) == ("referral", REFERRAL)
    assert (grant.person_id, grant.case_id) == (PERSON, CASE)
    assert grant.valid_from == AT
    assert grant.valid_to is None


async def test_an_acceptance_widens_it_and_opens_the_way_back(world: World) -> None:
    await world.referral("requested")
    await world.referral("accepted")
    grants = await world.grants()
    assert set(grants[CLINIC, PANTRY].classes) == {
        "coordination",
        "needs",
        "identity",
        "contact",
        "plan",
    }
    assert set(grants[PANTRY, CLINIC].classes) == {"coordination", "plan", "notes", "outcome"}
    assert grants[PANTRY, CLINIC].purposes == ["TREAT"]
    assert await world.told() == [
        f"grant.opened {PANTRY}", f"grant.changed {PANTRY}", f"grant.opened {CLINIC}"
    ]  # fmt: skip


@pytest.mark.parametrize("verb", ["rejected", "cancelled", "failed", "voided"])
async def test_a_referral_that_is_over_ends_its_grants_at_once(world: World, verb: str) -> None:
    await world.referral("requested")
    await world.referral("accepted")
    over = AT + timedelta(hours=1)
    await world.referral(verb, over)
    assert {grant.valid_to for grant in (await world.grants()).values()} == {over}
    assert (await world.told())[3:] == [f"grant.ended {PANTRY}", f"grant.ended {CLINIC}"]


async def test_a_completed_referral_stays_readable_for_the_agreed_days(world: World) -> None:
    await world.referral("requested")
    await world.referral("accepted")
    done = AT + timedelta(days=3)
    await world.referral("completed", done)
    grants = await world.grants()
    assert grants[CLINIC, PANTRY].valid_to == done + timedelta(days=30)
    assert grants[PANTRY, CLINIC].valid_to == done + timedelta(days=7)


async def test_every_repeat_changes_nothing(world: World) -> None:
    for verb in ("requested", "accepted", "completed"):
        await world.referral(verb)
    told, grants = await world.told(), await world.grants()
    for verb in ("requested", "accepted", "completed"):
        await world.referral(verb)
    assert await world.told() == told
    assert {g.id: g.version for g in (await world.grants()).values()} == {
        g.id: g.version for g in grants.values()
    }


async def test_without_an_agreement_nothing_opens(world: World) -> None:
    await world.referral("requested", recipient_id=STRANGER)
    await world.referral("accepted", recipient_id=STRANGER)
    await world.referral("requested", recipient_id=new_id("org"))
    await world.referral("requested", recipient_id=CLINIC)
    assert await world.grants() == {}


async def test_an_agreement_that_is_over_opens_nothing(world: World) -> None:
    over = agreed(CLINIC, STRANGER, ["COC"], ["coordination", "needs"])
    over.valid_to = AT
    async with world.db.begin() as tx:
        tx.add(over)
    await world.referral("requested", recipient_id=STRANGER)
    assert await world.grants() == {}
    await world.referral("requested", AT - timedelta(hours=1), recipient_id=STRANGER)
    assert (await world.grants())[CLINIC, STRANGER].agreement_id == over.id


async def test_under_an_agreement_that_begins_later_grants_begin_with_it(world: World) -> None:
    """Whatever came between its publication and its beginning: nothing is renewed then."""
    later = AT + timedelta(days=5)
    coming = agreed(CLINIC, STRANGER, ["COC"], ["coordination", "needs"])
    coming.valid_from = later
    async with world.db.begin() as tx:
        tx.add(coming)
    await world.referral("requested", recipient_id=STRANGER)
    grant = (await world.grants())[CLINIC, STRANGER]
    assert (grant.agreement_id, grant.valid_from) == (coming.id, later)
    await world.tell("care-team.joined", new_id("ptm"), organisation_id=STRANGER)
    async with world.db.read() as session:
        found = (await session.scalars(select(models.Grant))).all()
    both = {("referral", later), ("care-team", later)}
    assert {(one.basis, one.valid_from) for one in found} == both


async def test_a_member_of_the_care_team_sees_all_that_is_agreed_until_it_leaves(
    world: World,
) -> None:
    await world.tell("care-team.joined", MEMBER, organisation_id=PANTRY)
    grant = (await world.grants())[CLINIC, PANTRY]
    assert grant.classes == ["identity", "contact", "coordination", "needs", "plan", "notes"]
    assert (grant.basis, grant.basis_id) == ("care-team", MEMBER)
    left = AT + timedelta(days=1)
    await world.tell("care-team.left", MEMBER, left, organisation_id=PANTRY)
    assert (await world.grants())[CLINIC, PANTRY].valid_to == left


async def test_a_registered_person_is_known_with_its_custodian(world: World) -> None:
    await world.tell("person.registered", PERSON)
    await world.tell("person.registered", PERSON)
    async with world.db.read() as session:
        (person,) = (await session.scalars(select(models.Person))).all()
    assert (person.id, person.custodian_id) == (PERSON, CLINIC)


@pytest.mark.parametrize("kind", HANDLERS)
async def test_every_example_of_a_contract_is_understood(world: World, kind: str) -> None:
    example = CONTRACTS / f"{kind.removeprefix('org.careloop.')}.example.json"
    data = orjson.loads(example.read_bytes())
    received = Received("evt_1", kind, "careloop/test", data["id"], data["version"], "k", AT, data)
    async with world.db.begin() as tx:
        await HANDLERS[kind](tx, received)
