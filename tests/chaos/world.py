"""Makes what one run stands on: a PostgreSQL of its own, databases, the log, partners' endpoints."""

import asyncio
import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import asyncpg
import httpx
from sqlalchemy import text
from svckit import tables, testing
from svckit.db import Database
from svckit.ids import new_id

from careloop import postgres as embedded
from careloop.ports import free_port
from deploy.local import broker
from tests.chaos import generator, receivers
from tests.chaos.monitor import ask

# 19 ways to answer badly; two for each partner that is a party of few cases
BAD = (
    *("slow", "late", "drip", "blackhole", "reset", "301", "400", "410", "500", "503", "flaky"),
    *("busy-seconds", "busy-date", "busy-absurd", "huge", "bomb", "hang", "tls", "dns"),
)
# what no answer shows: they are verified first and then moved
_ELSEWHERE = {"tls", "dns"}
_SOURCE = """
CREATE TABLE thing (id text PRIMARY KEY, version int NOT NULL);
CREATE TABLE journal (
  n bigint GENERATED ALWAYS AS IDENTITY, subject text COLLATE "C", version int, event_id text,
  amount bigint, kind text, at timestamptz NOT NULL DEFAULT clock_timestamp());
"""
_LEDGER = """
CREATE TABLE ledger (
  n bigint GENERATED ALWAYS AS IDENTITY, subject text COLLATE "C", version int, event_id text,
  amount bigint);
"""
# What happened to a row, kept by the database itself: nobody can forget to tell.
_OFFSETS = """
CREATE TABLE offset_move (n bigint GENERATED ALWAYS AS IDENTITY, consumer text, topic text,
  partition int, old_log text, old bigint, new_log text, new bigint);
CREATE FUNCTION offset_moved() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
  INSERT INTO offset_move (consumer, topic, partition, old_log, old, new_log, new)
  VALUES (NEW.consumer, NEW.topic, NEW.partition, OLD.log_id, OLD.next_offset,
          NEW.log_id, NEW.next_offset);
  RETURN NULL; END $$;
CREATE TRIGGER chaos AFTER UPDATE ON consumer_offset FOR EACH ROW EXECUTE FUNCTION offset_moved();
"""
_DELIVERIES = """
CREATE TABLE delivery_move (n bigint GENERATED ALWAYS AS IDENTITY, delivery_id text,
  old text, new text, at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE FUNCTION delivery_moved() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
  INSERT INTO delivery_move (delivery_id, old, new) VALUES (NEW.id, OLD.status, NEW.status);
  RETURN NULL; END $$;
CREATE TRIGGER chaos AFTER UPDATE ON delivery FOR EACH ROW
  WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION delivery_moved();
"""
# Rights arrive with the marks of the topic here, as in earnest; the other topic says nothing.
_RIGHTS = "DELETE FROM watermark WHERE topic = 'case.v1'"


_UNVERIFIED = "SELECT count(*) FROM webhook_endpoint WHERE verified_at IS NULL"


class Stores:
    """PostgreSQL and the broker, started from one thread that lives as long as they do."""

    def __init__(self, world, given=None):
        self._world = world
        self._thread = ThreadPoolExecutor(1)
        self._given = given  # somebody else's server, which no fault may touch
        self.postgres = None
        self.broker = None

    async def _there(self, work, *args, **more):
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: work(*args, **more))

    async def start(self):
        await self.start_postgres()
        if self._world.log == "kafka":
            self.broker = broker.Broker(self._world.path / "kafka")
            await self.start_broker()

    async def start_postgres(self):
        port = self.postgres.port if self.postgres else None
        self.postgres = await self._there(
            embedded.start,
            self._world.path / "pg",
            url=self._given,
            port=port,
            settings={"max_wal_size": "2GB", "shared_buffers": "128MB"},
        )

    async def start_broker(self):
        await self._there(self.broker.start)

    async def apart(self, work):
        return await asyncio.to_thread(work)

    async def stop(self):
        if self.broker:
            await self._there(self.broker.stop)
        if self.postgres:
            await self._there(self.postgres.stop)
        self._thread.shutdown()


async def make(world, stores, issuer):
    """Fill in the world: databases with their histories, ports, organisations."""
    databases = testing.Databases(stores.postgres.url)
    world.source_url, world.ledger_url = databases.empty(), databases.empty()
    world.notify_url = databases.migrated("notify_svc")
    world.log_url = stores.broker.url if stores.broker else databases.empty()
    world.receiver_port, world.tls_port, world.api_port = (free_port() for _ in range(3))
    world.issuer_url, world.jwks_url = issuer.url, issuer.jwks_url
    world.organisations = [new_id("org") for _ in range(4)]
    world.rare = [new_id("org") for _ in range(10)]
    for url, more in (
        (world.source_url, _SOURCE),
        (world.ledger_url, _LEDGER + _OFFSETS),
    ):
        db = Database(url, 1)
        async with db.engine.begin() as connection:
            await connection.run_sync(tables.metadata.create_all)
        await db.dispose()
        await execute(url, more)
    await execute(world.notify_url, _OFFSETS + _DELIVERIES + _RIGHTS)
    await _things(world)
    receivers.write_certificate(world.path / "expired.pem")
    world.save()


async def execute(url, statements):
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statements)
    finally:
        await connection.close()


async def _things(world):
    db = Database(world.source_url, 1)
    async with db.begin() as tx:
        await tx.execute(
            text("INSERT INTO thing SELECT unnest(CAST(:ids AS text[])), 0"),
            {"ids": generator.subjects(world.made_of.hot)},
        )
    await db.dispose()


class Partners:
    """The partners' side of the API, and the history of what they were told there."""

    def __init__(self, world, issuer):
        self._world, self._issuer = world, issuer
        self._history = receivers.History(world.path / "endpoints.jsonl")
        self._numbers = itertools.count()
        self.endpoints = {}

    def http(self, organisation):
        token = self._issuer.token("notify-svc", org=organisation)
        return httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self._world.api_port}",
            headers={"Authorization": f"Bearer {token}"},
            trust_env=False,
            timeout=10,
        )

    async def ready(self, within_s=240):
        async with asyncio.timeout(within_s):
            while True:
                try:
                    async with self.http(self._world.organisations[0]) as client:
                        # not /readyz: rights become fresh with the first marks
                        if (await client.get("/v1/webhook-endpoints")).status_code == 200:
                            return
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.1)

    def url(self, name, behaviour):
        if behaviour == "tls":
            return f"https://127.0.0.1:{self._world.tls_port}/e/{name}/200"
        if behaviour == "dns":
            return "http://receiver.invalid/e/none/200"
        return f"http://127.0.0.1:{self._world.receiver_port}/e/{name}/{behaviour}"

    async def register_all(self, behaviours=None):
        if behaviours:
            for organisation in self._world.organisations:
                for behaviour in behaviours:
                    await self.register(organisation, behaviour, "v1")
            return
        for organisation in self._world.organisations:
            for signature in ("v1", "v1a"):
                await self.register(organisation, "200", signature)
            await self.register(organisation, "flaky", "v1", ordering="fifo")
        for number, behaviour in enumerate(BAD):
            await self.register(self._world.rare[number % len(self._world.rare)], behaviour, "v1")

    async def verified(self, within_s=240):
        """Wait until every receiver has said whose it is; then some go where nobody answers."""
        async with asyncio.timeout(within_s):
            while await ask(self._world.notify_url, _UNVERIFIED):
                await asyncio.sleep(0.2)
        for endpoint_id, found in self.endpoints.items():
            if found["behaviour"] in _ELSEWHERE:
                await self.move(endpoint_id, self.url(found["name"], found["behaviour"]))

    async def register(self, organisation, behaviour, signature, **more):
        name = f"{behaviour}-{next(self._numbers)}"
        # `tls` and `dns` could not say that they want this: they are moved there later
        good = self.url(name, "200" if behaviour in _ELSEWHERE else behaviour)
        body = {"url": good, "signature": signature, **more}
        answer = await self.call(organisation, "POST", "/v1/webhook-endpoints", json=body)
        found = answer.json()
        self.endpoints[found["id"]] = {
            "organisation": organisation,
            "name": name,
            "behaviour": behaviour,
        }
        self.note("registered", found["id"], name=name, behaviour=behaviour, secret=found["secret"])
        return found["id"]

    async def bring_back(self):
        """Let those be reached again that were sent where nobody answers."""
        for endpoint_id, found in self.endpoints.items():
            if found["behaviour"] in _ELSEWHERE:
                await self.move(endpoint_id, self.url(found["name"], "200"))

    async def move(self, endpoint_id, url):
        await execute(
            self._world.notify_url,
            f"UPDATE webhook_endpoint SET url = '{url}' WHERE id = '{endpoint_id}'",
        )

    async def call(self, organisation, method, path, **more):
        headers = more.pop("headers", {}) | {"Idempotency-Key": new_id("key")}
        async with self.http(organisation) as client:
            answer = await client.request(method, path, headers=headers, **more)
        if answer.status_code >= 300:
            raise httpx.HTTPStatusError(answer.text, request=answer.request, response=answer)
        return answer

    async def changing(self, endpoint_id, method, path="", **more):
        """Change an endpoint at the version that it has now."""
        organisation = self.endpoints[endpoint_id]["organisation"]
        at = f"/v1/webhook-endpoints/{endpoint_id}"
        found = await self.call(organisation, "GET", at)
        headers = {"If-Match": found.headers["ETag"]}
        return await self.call(organisation, method, at + path, headers=headers, **more)

    def note(self, what, endpoint_id, **more):
        self._history.add({"at": time.time(), "what": what, "endpoint": endpoint_id, **more})


def new_issuer():
    return closing(testing.Issuer())
