"""A network in the service's own replica: a clinic with a case, partners, grants; and clients."""

import base64
import hashlib
from datetime import timedelta
from types import SimpleNamespace

import pytest
from document_svc.app import create_app
from document_svc.consumer import HANDLERS
from document_svc.settings import Settings
from sqlalchemy import text
from svckit.clock import now
from svckit.cloudevents import Received
from svckit.ids import new_id

from tests.statements import collected

SERVICE = "document-svc"
PURPOSE = {"clinic": "TREAT", "social-service": "COC", "payer": "HOPERAT", "coordinator": "COC"}
CONTENT = b"%PDF-1.7 care plan, visit of the second week\n" * 40


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def content_digest(content):
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    return {"Content-Digest": f"sha-256=:{digest}:"}


class World:
    """What the other services have announced, and partners who call this one."""

    def __init__(self, app, issuer, client_for):
        self.app, self.db = app, app.state.db
        self._issuer, self._client_for = issuer, client_for
        self.kinds = {}
        self.clinic = self.organisation("clinic")
        self.person = new_id("per")
        self.case = new_id("cas")

    def organisation(self, kind):
        found = new_id("org")
        self.kinds[found] = kind
        return found

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
                "href": "/",
                "classes": [],
                **data,
                "change": change,
            },
        )
        async with self.db.begin() as tx:
            await HANDLERS[received.type](tx, received)

    def about(self, custodian=None, case=None, person=None, parties=()):
        return {
            "custodian_id": custodian or self.clinic,
            "person_id": person or self.person,
            "case_id": case,
            "parties": list(parties),
        }

    async def case_opened(self, case=None, custodian=None, person=None):
        case = case or new_id("cas")
        await self.tell("case.opened", case, self.about(custodian, case, person))
        return case

    async def referral(self, recipient, verb="requested", referral=None, case=None):
        referral = referral or new_id("ref")
        data = self.about(case=case or self.case, parties=[self.clinic, recipient])
        await self.tell(f"referral.{verb}", referral, data)
        return referral

    async def grant(
        self,
        recipient,
        classes,
        *,
        custodian=None,
        case=None,
        basis="care-team",
        confidentiality="V",
        basis_id=None,
    ):
        """An agreement and a grant under it; returns the grant's id."""
        custodian = custodian or self.clinic
        kind = self.kinds[recipient]
        since = (now() - timedelta(minutes=1)).isoformat()
        agreement, grant = new_id("agr"), new_id("grt")
        common = {"purposes": [PURPOSE[kind]], "classes": classes, "valid_from": since}
        await self.tell("organisation.registered", recipient, self.about(), kind=kind, name="x")
        await self.tell(
            "agreement.published",
            agreement,
            {**self.about(custodian), "person_id": None},
            recipient_id=recipient,
            recipient_kind=None,
            consent_classes=[],
            confidentiality=confidentiality,
            retention_days=30,
            valid_to=None,
            **common,
        )
        await self.tell(
            "grant.opened",
            grant,
            self.about(custodian, case),
            recipient_id=recipient,
            agreement_id=agreement,
            basis=basis,
            basis_id=basis_id or new_id("bas"),
            valid_to=None,
            **common,
        )
        return grant

    async def end_grant(self, grant):
        await self.tell("grant.ended", grant, self.about())

    async def consent(self, recipient, classes, decision="permit"):
        kind = self.kinds[recipient]
        await self.tell(
            "consent.recorded",
            new_id("con"),
            self.about(),
            recipient_id=recipient,
            decision=decision,
            classes=classes,
            purposes=[PURPOSE[kind]],
            valid_from=(now() - timedelta(minutes=1)).isoformat(),
            valid_to=None,
            decided_at=now().isoformat(),
        )

    def token(self, organisation, **more):
        kind = self.kinds[organisation]
        values = {"org": organisation, "kind": kind, "purpose": PURPOSE[kind], **more}
        return self._issuer.token(SERVICE, **values)

    def client(self, organisation, **more):
        return self._client_for(self.app, self.token(organisation, **more))

    def stranger(self):
        return self._client_for(self.app, None)

    async def add(self, client, *, content=None, **body):
        """Declare a document, of the case unless the body names a referral."""
        if "referral_id" not in body:
            body.setdefault("case_id", self.case)
        metadata = {
            "title": "Care plan",
            "type": "18776-5",
            "data_class": "plan",
            "content_type": "application/pdf",
            **body,
        }
        if content is not None:
            metadata |= {"sha256": sha256(content), "size_bytes": len(content)}
        key = {"Idempotency-Key": new_id("key")}
        return await client.post("/v1/documents", json=metadata, headers=key)

    async def put(self, client, document, content=CONTENT, *, version=0, **headers):
        return await client.put(
            f"/v1/documents/{document}/content",
            content=content,
            headers={"If-Match": f'"{version}"', **content_digest(content), **headers},
        )

    async def shared(self, client, content=CONTENT, **body):
        """Add a document with its content; return what the upload answered."""
        declared = await self.add(client, **body)
        assert declared.status_code == 201, declared.text
        stored = await self.put(client, declared.json()["id"], content)
        assert stored.status_code == 200, stored.text
        return stored.json()

    async def act(self, client, document, verb, version, **body):
        return await client.post(
            f"/v1/documents/{document}/{verb}",
            json=body,
            headers={"If-Match": f'"{version}"', "Idempotency-Key": new_id("key")},
        )

    async def events(self, document):
        statement = text("SELECT type, version, value FROM outbox WHERE subject = :s ORDER BY seq")
        async with self.db.read() as session:
            rows = await session.execute(statement, {"s": document})
            return [
                SimpleNamespace(type=row.type, version=row.version, value=row.value) for row in rows
            ]

    async def scalar(self, statement, **values):
        async with self.db.read() as session:
            return await session.scalar(text(statement), values)

    def statements(self):
        """Collect the SQL that runs within."""
        return collected(self.db)


@pytest.fixture
def settings(database_for, issuer, tmp_path):
    return Settings(
        **issuer.settings(
            database_for("document_svc"),
            store_url=f"file://{tmp_path}/store",
            replica_wait_s=0.2,
            max_content_bytes=80 * 1024 * 1024,
        )
    )


@pytest.fixture
async def world(settings, issuer, client_for):
    found = World(create_app(settings), issuer, client_for)
    await found.case_opened(found.case)
    yield found
    await found.db.dispose()
