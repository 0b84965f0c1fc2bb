"""A clinic with a person and a case, partners with grants, and everybody's client."""

from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from case_svc.app import create_app
from case_svc.consumer import HANDLERS
from case_svc.settings import Settings
from sqlalchemy import text
from svckit import testing
from svckit.clock import now
from svckit.cloudevents import Received
from svckit.ids import new_id

from tests.statements import collected

SERVICE = "case-svc"
PURPOSE = {"clinic": "TREAT", "social-service": "COC", "payer": "HOPERAT", "coordinator": "COC"}


class Partner:
    """One organisation, calling the service with keys and versions as the API asks."""

    def __init__(self, id_, kind, client):
        self.id, self.kind, self.http = id_, kind, client

    async def get(self, path, **params):
        return await self.http.get(path, params=params)

    async def read(self, path, **params):
        answer = await self.get(path, **params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path, **body):
        return await self.http.post(path, json=body, headers={"Idempotency-Key": new_id("key")})

    async def make(self, path, **body):
        answer = await self.post(path, **body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def act(self, path, version, **body):
        headers = {"Idempotency-Key": new_id("key"), "If-Match": f'"{version}"'}
        return await self.http.post(path, json=body or None, headers=headers)

    async def move(self, path, version, **body):
        answer = await self.act(path, version, **body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def patch(self, path, version, **body):
        return await self.http.patch(path, json=body, headers={"If-Match": f'"{version}"'})


class World:
    def __init__(self, app, issuer):
        self.app, self.db = app, app.state.db
        self._issuer = issuer

    def partner(self, kind="clinic", purpose=None, **more):
        id_ = new_id("org")
        return Partner(id_, kind, self._client(id_, kind, purpose, more))

    def acting(self, partner, *, purpose=None, **more):
        """The same organisation with other claims."""
        return Partner(
            partner.id, partner.kind, self._client(partner.id, partner.kind, purpose, more)
        )

    def stranger(self):
        return Partner("", "", testing.client_for(self.app))

    def _client(self, id_, kind, purpose, more):
        token = self._issuer.token(
            SERVICE, org=id_, kind=kind, purpose=purpose or PURPOSE[kind], actor="worker-7", **more
        )
        return testing.client_for(self.app, token)

    async def tell(self, kind, subject, data, /, **change):
        received = Received(
            id=new_id("evt"),
            type=f"org.careloop.{kind}.v1",
            source="careloop/test",
            subject=subject,
            version=1,
            key=subject,
            time=now(),
            data={
                "id": subject,
                "version": 1,
                "href": f"/v1/{kind.partition('.')[0]}s/{subject}",
                "person_id": None,
                "case_id": None,
                "parties": [],
                "classes": [],
                **data,
                "change": change,
            },
        )
        async with self.db.begin() as tx:
            await HANDLERS[received.type](tx, received)

    async def know(self, *partners):
        for each in partners:
            await self.tell(
                "organisation.registered",
                each.id,
                {"custodian_id": each.id},
                kind=each.kind,
                name="x",
            )

    async def grant(
        self,
        custodian,
        recipient,
        person,
        classes,
        *,
        case=None,
        basis="care-team",
        confidentiality="N",
    ):
        """Open classes of the custodian's data on the person; returns the grant's id."""
        await self.know(custodian, recipient)
        purposes = [PURPOSE[recipient.kind]]
        since = (now() - timedelta(minutes=1)).isoformat()
        agreement, grant = new_id("agr"), new_id("grt")
        await self.tell(
            "agreement.published",
            agreement,
            {"custodian_id": custodian.id},
            recipient_id=recipient.id,
            recipient_kind=None,
            purposes=purposes,
            classes=classes,
            consent_classes=[],
            confidentiality=confidentiality,
            retention_days=30,
            valid_from=since,
            valid_to=None,
        )
        await self.tell(
            "grant.opened",
            grant,
            {"custodian_id": custodian.id, "person_id": person, "case_id": case},
            recipient_id=recipient.id,
            agreement_id=agreement,
            classes=classes,
            purposes=purposes,
            basis=basis,
            basis_id=new_id("ptm"),
            valid_from=since,
            valid_to=None,
        )
        return grant

    async def end(self, grant, custodian, person):
        await self.tell("grant.ended", grant, {"custodian_id": custodian.id, "person_id": person})

    async def permit(self, recipient, person, classes, **more):
        await self.tell(
            "consent.recorded",
            new_id("con"),
            {"custodian_id": recipient.id, "person_id": person},
            **{
                "recipient_id": recipient.id,
                "decision": "permit",
                "classes": classes,
                "purposes": [PURPOSE[recipient.kind]],
                "valid_from": (now() - timedelta(minutes=1)).isoformat(),
                "valid_to": None,
                "decided_at": now().isoformat(),
                **more,
            },
        )

    async def referral(self, verb, case, requester, recipient, *, referral=None, need=None, **more):
        """Tell what happened to a referral made for a need of the case."""
        referral = referral or new_id("ref")
        await self.tell(
            f"referral.{verb}",
            referral,
            {
                "custodian_id": requester.id,
                "person_id": case["person_id"],
                "case_id": case["id"],
                "classes": ["outcome" if verb == "completed" else "coordination"],
            },
            requester_id=requester.id,
            recipient_id=recipient.id,
            need_id=need,
            **{"need_category": "food-insecurity", **more},
        )
        return referral

    async def person(self, partner, **record):
        return await partner.make("/v1/persons", **{"family_name": "Abbas", **record})

    async def case(self, partner, person=None, **body):
        person = person or (await self.person(partner))["id"]
        return await partner.make("/v1/cases", person_id=person, worker="worker-7", **body)

    async def events(self, subject):
        statement = text(
            "SELECT type, version, convert_from(value, 'UTF8')::jsonb AS data "
            "FROM outbox WHERE subject = :s ORDER BY seq"
        )
        async with self.db.read() as session:
            return (await session.execute(statement, {"s": subject})).all()

    async def rows(self, statement, **values):
        async with self.db.read() as session:
            return (await session.execute(text(statement), values)).all()

    def statements(self):
        """Collect the SQL that runs within."""
        return collected(self.db)


def pytest_collection_modifyitems(items):
    """One loop for these tests: the app, its pool and its compiled statements are then shared."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def world(database_for, issuer):
    """One for all tests: every test has organisations of its own, which is what tenancy means."""
    app = create_app(Settings(**issuer.settings(database_for("case_svc"), replica_wait_s=0.2)))
    yield World(app, issuer)
    await app.state.db.dispose()


@pytest.fixture
def clinic(world):
    return world.partner("clinic")


@pytest.fixture
def pantry(world):
    return world.partner("social-service")


@pytest.fixture
def payer(world):
    return world.partner("payer")


@pytest.fixture
def outsider(world):
    return world.partner("clinic")
