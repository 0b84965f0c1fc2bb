"""A network in the service's own replica, a receiver that is really there, and the deliver loop."""

import asyncio
import contextlib
import json
from collections import deque
from datetime import timedelta
from types import SimpleNamespace

import httpx
import pytest
from aiohttp import web
from notify_svc.actions import ending
from notify_svc.app import SERVICE as WHOLE
from notify_svc.app import create_app
from notify_svc.consumer import HANDLERS
from notify_svc.deliver.keep import Keeper
from notify_svc.deliver.loop import Loop
from notify_svc.domain.verification import VERIFICATION
from notify_svc.settings import Settings
from sqlalchemy import text
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from svckit.clock import now
from svckit.cloudevents import Received
from svckit.ids import new_id
from svckit.service import _serve
from svckit.telemetry import traceparent

from careloop.ports import free_port
from tests.sse import Reader
from tests.statements import collected

SERVICE = "notify-svc"
PURPOSE = {"clinic": "TREAT", "social-service": "COC", "payer": "HOPERAT", "coordinator": "COC"}
QUICK = (0.0, 0.01, 0.01)


def match(version):
    return {"If-Match": f'"{version}"'}


def key():
    return {"Idempotency-Key": new_id("key")}


def is_genuine(secret, headers, body):
    try:
        Webhook(secret).verify(body, dict(headers))
    except WebhookVerificationError:
        return False
    return True


class Receiver:
    """A partner's server: answers as told, once each, then 204; keeps what it got.

    Who is asked whose it is answers as it should, once it trusts a secret; `asked` keeps the requests.
    """

    def __init__(self):
        self.got, self.asked, self.secrets = [], [], []
        self.answers = deque()
        self.arrived = asyncio.Event()
        self.release = asyncio.Event()
        self.release.set()

    def will_answer(self, *answers):
        self.answers.extend(answers)

    async def handle(self, request):
        body = await request.read()
        if json.loads(body)["type"] == VERIFICATION:
            return self.verify(request.headers, body)
        self.got.append(SimpleNamespace(path=request.path, headers=request.headers, body=body))
        self.arrived.set()
        await self.release.wait()
        status, headers = self.answers.popleft() if self.answers else (204, {})
        return web.Response(status=status, headers=headers)

    def trust(self, secret):
        self.secrets.append(secret)

    def verify(self, headers, body):
        self.asked.append(SimpleNamespace(headers=headers, body=body))
        if any(is_genuine(secret, headers, body) for secret in self.secrets):
            return web.json_response({"challenge": json.loads(body)["data"]["challenge"]})
        return web.Response(status=401)

    @contextlib.asynccontextmanager
    async def serve(self):
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self.port}/hook"
        try:
            yield self
        finally:
            self.release.set()
            await runner.cleanup()


async def answers(port):
    with contextlib.suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        return True
    return False


class Served:
    """The service at an address, and readers of its streams."""

    def __init__(self, world, port):
        self.world, self.url = world, f"http://127.0.0.1:{port}"

    def http(self, organisation):
        kind = self.world.kinds[organisation]
        values = {"org": organisation, "kind": kind, "purpose": PURPOSE[kind]}
        token = self.world._issuer.token("notify-svc", **values)
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.AsyncClient(base_url=self.url, headers=headers, trust_env=False, timeout=30)

    @contextlib.asynccontextmanager
    async def stream(self, organisation, reader=None, **params):
        """Read on in a task; yields the reader, and ends with the block or the stream."""
        reader = reader or Reader()
        async with (
            self.http(organisation) as http,
            http.stream("GET", "/v1/events", params=params, headers=reader.headers()) as answer,
        ):
            assert answer.status_code == 200, await answer.aread()
            assert answer.headers["content-type"].startswith("text/event-stream")
            reader.over = asyncio.create_task(read_all(answer, reader))
            try:
                yield reader
            finally:
                reader.over.cancel()
                await asyncio.wait({reader.over})


async def read_all(answer, reader):
    async for line in answer.aiter_lines():
        reader.take(line)


async def until(condition, within_s=20):
    """Wait until it holds."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)


class World:
    """What other services have announced, partners that call this one, and its deliver loop."""

    def __init__(self, app, issuer, client_for):
        self.app, self.db, self.settings = app, app.state.db, app.state.settings
        self._issuer, self._client_for = issuer, client_for
        self._versions, self._grants = {}, {}
        self.kinds = {}
        self.person, self.case = new_id("per"), new_id("cas")

    async def organisation(self, kind="clinic"):
        found = new_id("org")
        self.kinds[found] = kind
        await self.hear("organisation.registered", found, {"kind": kind, "name": "A partner"})
        return found

    async def hear(self, kind, subject, change=None, **data):
        """Let the consumer's handler take an event, as in the inbox transaction."""
        received = self.event(kind, subject, change, **data)
        async with self.db.begin() as tx:
            await HANDLERS[received.type](tx, received)
        return received

    def event(self, kind, subject, change=None, *, by="", **data):
        version = self._versions[subject] = self._versions.get(subject, 0) + 1
        body = {
            "id": subject,
            "version": version,
            "custodian_id": None,
            "person_id": None,
            "case_id": None,
            "parties": [],
            "classes": [],
            "href": f"/v1/things/{subject}",
            **data,
            "change": change or {},
        }
        return Received(
            id=new_id("evt"),
            type=f"org.careloop.{kind}.v1",
            source="careloop/test",
            subject=subject,
            version=version,
            key=subject,
            time=now(),
            data=body,
            traceparent=traceparent(),
            caused_by=by,
        )

    async def happened(self, kind, custodian, *, classes=("coordination",), **more):
        """Something about the person's case, told by its custodian."""
        about = {"person_id": self.person, "case_id": self.case, **more}
        subject = about.pop("subject", None) or new_id("ref")
        return await self.hear(
            kind, subject, custodian_id=custodian, classes=list(classes), **about
        )

    async def grant(self, custodian, recipient, classes, *, case=None, purposes=None):
        """An agreement and a grant under it; returns the grant's id."""
        agreement, grant = new_id("agr"), new_id("grt")
        common = {
            "recipient_id": recipient,
            "purposes": purposes or [PURPOSE[self.kinds[recipient]]],
            "classes": list(classes),
            "valid_from": (now() - timedelta(minutes=1)).isoformat(),
            "valid_to": None,
        }
        terms = {"recipient_kind": None, "consent_classes": [], "retention_days": 30}
        await self.hear("agreement.published", agreement, common | terms, custodian_id=custodian)
        basis = {"agreement_id": agreement, "basis": "consent", "basis_id": new_id("con")}
        about = {"custodian_id": custodian, "person_id": self.person, "case_id": case}
        await self.hear("grant.opened", grant, common | basis, **about)
        self._grants[grant] = {**about, "classes": list(classes)}
        return grant

    async def end(self, grant):
        await self.hear("grant.ended", grant, **self._grants[grant])

    def client(self, organisation, **more):
        kind = self.kinds[organisation]
        values = {"org": organisation, "kind": kind, "purpose": PURPOSE[kind], **more}
        return self._client_for(self.app, self._issuer.token(SERVICE, **values))

    def stranger(self):
        return self._client_for(self.app, None)

    async def feed(self, organisation, **params):
        answer = await self.client(organisation).get("/v1/events", params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def told(self, organisation):
        """The kinds in an organisation's feed, in order."""
        items = (await self.feed(organisation, limit=200))["items"]
        return [item["type"].removeprefix("org.careloop.")[:-3] for item in items]

    async def endpoint(self, organisation, url, **more):
        """An endpoint that was found to be its organisation's."""
        made = await self.register(organisation, url, **more)
        await self.sql(
            "UPDATE webhook_endpoint SET enabled = true, verify_at = NULL, verified_at = now(),"
            " enabled_at = now() WHERE id = :id",
            id=made["id"],
        )
        return await self.shown(organisation, made["id"]) | {"secret": made["secret"]}

    async def shown(self, organisation, endpoint_id):
        answer = await self.client(organisation).get(f"/v1/webhook-endpoints/{endpoint_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def register(self, organisation, url, **more):
        answer = await self.client(organisation).post(
            "/v1/webhook-endpoints", json={"url": url, **more}, headers=key()
        )
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def deliveries(self, organisation, **params):
        answer = await self.client(organisation).get("/v1/deliveries", params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()["items"]

    async def delivery(self, organisation, delivery_id=None):
        """One delivery with its attempts; the newest unless named."""
        delivery_id = delivery_id or (await self.deliveries(organisation))[0]["id"]
        answer = await self.client(organisation).get(f"/v1/deliveries/{delivery_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    @contextlib.asynccontextmanager
    async def sender(self, **settings):
        """A deliver loop, turned by hand: `step()` claims and starts, `idle()` waits for all."""
        loop = Loop(self.db, self.app.state.rights, self.settings.model_copy(update=settings))
        try:
            yield loop
        finally:
            await loop.close()

    async def deliver(self, **settings):
        """Send until nothing is due any more."""
        async with self.sender(**settings) as loop:
            for _ in range(200):
                moved = await loop.step()
                await loop.idle()
                if not moved and not await self.is_waiting():
                    return
                await asyncio.sleep(0.005)
            raise AssertionError("deliveries do not come to rest")

    @contextlib.asynccontextmanager
    async def keeper(self, **settings):
        found = Keeper(self.db, self.app.state.rights, self.settings.model_copy(update=settings))
        try:
            yield found
        finally:
            await found.close()

    async def keep(self, **settings):
        """Look after endpoints until there is nothing to do at once."""
        async with self.keeper(**settings) as keeper:
            for _ in range(200):
                moved = await keeper.turn()
                await keeper.idle()
                if not moved:
                    return
            raise AssertionError("the keeper does not come to rest")

    async def is_waiting(self):
        """Whether anything is to be tried again within a second."""
        async with self.db.read() as session:
            return await session.scalar(
                text(
                    "SELECT EXISTS (SELECT 1 FROM delivery WHERE status IN ('pending', 'sending')"
                    " AND next_at < now() + interval '1 second')"
                )
            )

    @contextlib.asynccontextmanager
    async def served(self):
        """The application on a port, as a gateway meets it: a stream needs a real connection."""
        port, stop = free_port(), self.app.state.running.stop
        settings = self.settings.model_copy(update={"port": port})
        serving = asyncio.create_task(_serve(self.app, WHOLE, settings, stop))
        async with asyncio.timeout(30):
            while not await answers(port):
                await asyncio.sleep(0.01)
        try:
            yield Served(self, port)
        finally:
            stop.set()
            await asyncio.wait_for(serving, 30)
            stop.clear()

    async def look_who_sees(self):
        """Let the worker look at whoever is due by now."""
        async with self.db.begin() as tx:
            await ending.step(tx, 0)

    async def sql(self, statement, **values):
        async with self.db.begin() as tx:
            return await tx.execute(text(statement), values)

    def statements(self):
        """Count what is sent to the database."""
        return collected(self.db)


@pytest.fixture
def settings(database_for, issuer):
    found = issuer.settings(database_for("notify_svc"), pool_size=8)
    return Settings(
        **found,
        allow_private_targets=True,
        schedule_s=QUICK,
        verify_schedule_s=QUICK,
        total_timeout_s=2,
        connect_timeout_s=1,
        lease_margin_s=0.5,
    )


@pytest.fixture
async def world(settings, issuer, client_for):
    found = World(create_app(settings), issuer, client_for)
    yield found
    await found.db.dispose()


@pytest.fixture
def receivers():
    """Another receiver where one is not enough: `async with receivers().serve() as other`."""
    return Receiver


@pytest.fixture
async def receiver():
    async with Receiver().serve() as found:
        yield found
