"""A network in the service's own replica: a clinic with a case, partners, agreements; clients."""

from datetime import timedelta
from types import SimpleNamespace
from uuid import uuid4

import orjson
import pytest
from referral_svc.app import create_app
from referral_svc.consumer import HANDLERS
from referral_svc.settings import Settings
from sqlalchemy import text
from svckit.clock import now
from svckit.cloudevents import Received
from svckit.ids import new_id

from tests.statements import collected

SERVICE = "referral-svc"
PURPOSE = {"clinic": "TREAT", "social-service": "COC", "payer": "HOPERAT", "coordinator": "COC"}
ALL_PURPOSES = ["TREAT", "COC", "HOPERAT"]
COORDINATION = ["identity", "contact", "coordination", "needs", "plan", "notes", "outcome"]


class World:
    """What the other services have announced, and partners who call this one."""

    def __init__(self, app, issuer, client_for):
        self.app, self.db = app, app.state.db
        self._issuer, self._client_for = issuer, client_for
        self.kinds = {}
        self.person, self.case = new_id("per"), new_id("cas")

    async def set_up(self):
        self.clinic = await self.organisation("clinic")
        self.pantry = await self.organisation("social-service")
        await self.case_opened(self.case)
        await self.agreement(self.clinic, self.pantry)
        self.at_clinic = self.client(self.clinic)
        self.at_pantry = self.client(self.pantry)
        return self

    async def organisation(self, kind):
        found = new_id("org")
        self.kinds[found] = kind
        await self.tell(
            "organisation.registered", found, custodian_id=found, change={"kind": kind, "name": "x"}
        )
        return found

    async def tell(self, kind, subject, *, change=None, **data):
        known = {"person_id": None, "case_id": None, "parties": [], "classes": []}
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
                **known,
                **data,
                "href": "/",
                "change": change or {},
            },
        )
        async with self.db.begin() as tx:
            await HANDLERS[received.type](tx, received)

    async def case_opened(self, case, custodian=None, person=None):
        await self.tell(
            "case.opened",
            case,
            custodian_id=custodian or self.clinic,
            person_id=person or self.person,
            case_id=case,
        )

    async def agreement(self, custodian, recipient, classes=COORDINATION, **more):
        found = new_id("agr")
        change = {
            "recipient_id": recipient,
            "recipient_kind": None,
            "purposes": ALL_PURPOSES,
            "classes": list(classes),
            "consent_classes": [],
            "retention_days": 30,
            "valid_from": (now() - timedelta(minutes=1)).isoformat(),
            "valid_to": None,
            **more,
        }
        await self.tell("agreement.published", found, custodian_id=custodian, change=change)
        return found

    async def grant(self, recipient, classes, *, case=None, person=None, custodian=None):
        """An agreement and a grant under it; returns the grant's id."""
        custodian = custodian or self.clinic
        agreement = await self.agreement(custodian, recipient, classes)
        found = new_id("grt")
        change = {
            "recipient_id": recipient,
            "agreement_id": agreement,
            "classes": list(classes),
            "purposes": ALL_PURPOSES,
            "basis": "consent",
            "basis_id": new_id("con"),
            "valid_from": (now() - timedelta(minutes=1)).isoformat(),
            "valid_to": None,
        }
        await self.tell(
            "grant.opened",
            found,
            custodian_id=custodian,
            person_id=person or self.person,
            case_id=case,
            change=change,
        )
        return found

    async def end_grant(self, grant):
        await self.tell("grant.ended", grant, custodian_id=self.clinic, person_id=self.person)

    def client(self, organisation, **more):
        kind = self.kinds[organisation]
        values = {"org": organisation, "kind": kind, "purpose": PURPOSE[kind], **more}
        return self._client_for(self.app, self._issuer.token(SERVICE, **values))

    def stranger(self):
        return self._client_for(self.app, None)

    def body(self, **more):
        return {
            "owner_id": self.pantry,
            "case_id": self.case,
            "person_id": self.person,
            "need_category": "food-insecurity",
            "reason": "No food in the house at the end of the month",
            **more,
        }

    async def post(self, client, path, body=None, *, version=None, key=None):
        headers = {"Idempotency-Key": key or new_id("key")}
        if version is not None:
            headers["If-Match"] = f'"{version}"'
        return await client.post(path, json=body, headers=headers)

    async def refer(self, client=None, **more):
        """Refer as the clinic; return what was answered."""
        answer = await self.post(client or self.at_clinic, "/v1/referrals", self.body(**more))
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def act(self, client, referral, verb, version, **body):
        path = f"/v1/referrals/{referral}/{verb}"
        return await self.post(client, path, body or None, version=version)

    async def upload(self, client, document):
        return await self.post(client, "/v1/directory/import", document)

    async def service(self, client=None, **more):
        """Import one service as the pantry; return its own id."""
        document = {"id": str(uuid4()), "name": "Pantry", "status": "active", **more}
        answer = await self.upload(client or self.at_pantry, document)
        assert answer.json()["created"] == 1, answer.text
        return answer.json()["items"][0]["id"]

    async def events(self, subject=None):
        statement = text(
            "SELECT type, version, key, value FROM outbox"
            " WHERE CAST(:s AS text) IS NULL OR subject = :s ORDER BY seq"
        )
        async with self.db.read() as session:
            rows = await session.execute(statement, {"s": subject})
            return [
                SimpleNamespace(
                    type=row.type.removeprefix("org.careloop.").removesuffix(".v1"),
                    version=row.version,
                    key=row.key,
                    data=orjson.loads(row.value),
                )
                for row in rows
            ]

    async def scalar(self, statement, **values):
        async with self.db.read() as session:
            return await session.scalar(text(statement), values)

    def statements(self):
        """Collect the SQL that runs within."""
        return collected(self.db)


@pytest.fixture
def settings(database_for, issuer):
    return Settings(**issuer.settings(database_for("referral_svc"), replica_wait_s=0.2))


@pytest.fixture
async def world(settings, issuer, client_for):
    return await World(create_app(settings), issuer, client_for).set_up()
