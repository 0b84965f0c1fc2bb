"""notify-svc as a process of its own, fed over the real event log, killed at any moment."""

import asyncio
import contextlib
import json
import os
import signal
import sys

import httpx
import pytest
from svckit import testing
from svckit.contracts import events_dir
from svckit.db import Database
from svckit.eventlog import connect
from svckit.ids import new_id
from svckit.outbox import Event, record
from svckit.relay import Relay

from careloop.ports import free_port

EVENTS = events_dir()
WITHIN_S = 60
KILLS = 3
WINDOW = 16  # at most, for an endpoint that answers


class Service:
    """`python -m notify_svc serve`, started as often as it is killed."""

    def __init__(self, databases, issuer, log_url):
        self.port = free_port()
        self._environment = testing.environment(
            "notify_svc",
            databases.migrated("notify_svc"),
            event_log_url=log_url,
            issuer=issuer.url,
            internal_jwks_url=issuer.jwks_url,
            port=str(self.port),
            allow_private_targets="true",
            schedule_s="[0, 0.05, 0.1, 0.2, 0.2, 0.2, 0.2]",
            verify_schedule_s="[0, 0.05, 0.1, 0.2, 0.5, 1, 2, 4, 8, 16]",
            total_timeout_s="2",
            connect_timeout_s="1",
            lease_margin_s="0.5",
            log_level="error",
        )
        self._process = None

    async def start(self):
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "notify_svc", "serve", env={**os.environ, **self._environment}
        )
        async with httpx.AsyncClient(trust_env=False) as client:
            async with asyncio.timeout(WITHIN_S):
                while not await self._is_ready(client):
                    assert self._process.returncode is None, "it does not start"
                    await asyncio.sleep(0.05)

    async def _is_ready(self, client):
        with contextlib.suppress(httpx.TransportError):
            answer = await client.get(f"http://127.0.0.1:{self.port}/readyz")
            return answer.status_code == 200
        return False

    async def end(self, how):
        self._process.send_signal(how)
        return await asyncio.wait_for(self._process.wait(), WITHIN_S)

    def is_running(self):
        return self._process is not None and self._process.returncode is None


class Clinic:
    """The custodian: its events come from another service's outbox, its calls over HTTP."""

    def __init__(self, service, issuer, producer):
        self.id = new_id("org")
        self._service, self._issuer, self._producer = service, issuer, producer
        self.case, self.version = new_id("cas"), 0

    @contextlib.asynccontextmanager
    async def http(self):
        token = self._issuer.token("notify-svc", org=self.id)
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self._service.port}",
            headers={"Authorization": f"Bearer {token}"},
            trust_env=False,
            timeout=10,
        ) as client:
            yield client

    async def listen(self, receiver):
        async with self.http() as client:
            path = "/v1/webhook-endpoints"
            answer = await client.post(
                path, json={"url": receiver.url}, headers={"Idempotency-Key": "one"}
            )
            assert answer.status_code == 201, answer.text
            receiver.trust(answer.json()["secret"])

            async def verified():
                shown = await client.get(f"{path}/{answer.json()['id']}")
                return shown.json()["state"] == "enabled"

            await until(verified)

    async def change_a_case(self):
        self.version += 1
        kind = "opened" if self.version == 1 else "changed"
        data = {
            **json.loads((EVENTS / f"case.{kind}.v1.example.json").read_text()),
            "id": self.case,
            "version": self.version,
            "custodian_id": self.id,
            "case_id": self.case,
            "parties": [],
        }
        event = Event(f"org.careloop.case.{kind}.v1", self.case, self.version, self.case, data)
        async with self._producer.begin() as tx:
            return await record(tx, event)

    async def feed(self):
        async with self.http() as client:
            answer = await client.get("/v1/events", params={"limit": 200})
            assert answer.status_code == 200, answer.text
            return [item["id"] for item in answer.json()["items"]]

    async def deliveries(self):
        async with self.http() as client:
            answer = await client.get("/v1/deliveries", params={"limit": 200})
            assert answer.status_code == 200, answer.text
            return answer.json()["items"]

    async def lost_attempts(self):
        """How many attempts had a sender that did not live to see the answer."""
        async with self.http() as client:
            paths = [f"/v1/deliveries/{one['id']}" for one in await self.deliveries()]
            shown = [(await client.get(path)).json()["attempts"] for path in paths]
        return sum(each["outcome"] == "unknown" for attempts in shown for each in attempts)


@pytest.fixture
async def service(databases, issuer):
    found = Service(databases, issuer, databases.empty())
    await found.start()
    yield found
    if found.is_running():
        await found.end(signal.SIGKILL)


@pytest.fixture
async def clinic(service, issuer, databases):
    """The producer's outbox and relay run here; the log is the one the service reads."""
    url = databases.migrated("notify_svc")
    producer, stop = Database(url, 2), asyncio.Event()
    log = await connect(service._environment["NOTIFY_EVENT_LOG_URL"])
    relaying = asyncio.create_task(Relay(url, log, "case.v1").run(stop))
    yield Clinic(service, issuer, producer)
    stop.set()
    await asyncio.wait_for(relaying, WITHIN_S)
    await log.close()
    await producer.dispose()


async def until(condition):
    async with asyncio.timeout(WITHIN_S):
        while not await condition():
            await asyncio.sleep(0.05)


def ids_at(receiver):
    return [got.headers["webhook-id"] for got in receiver.got]


async def test_an_event_travels_from_an_outbox_over_the_log_to_feed_and_webhook(clinic, receiver):
    await clinic.listen(receiver)
    event_id = await clinic.change_a_case()
    await asyncio.wait_for(receiver.arrived.wait(), WITHIN_S)
    assert ids_at(receiver) == [event_id]
    assert await clinic.feed() == [event_id]


async def test_killed_while_a_partner_is_answering_it_sends_again_and_says_so(
    service, clinic, receiver
):
    await clinic.listen(receiver)
    receiver.release.clear()
    event_id = await clinic.change_a_case()
    await asyncio.wait_for(receiver.arrived.wait(), WITHIN_S)
    await service.end(signal.SIGKILL)
    receiver.release.set()
    await service.start()

    async def delivered():
        return [d["status"] for d in await clinic.deliveries()] == ["delivered"]

    await until(delivered)
    assert ids_at(receiver) == [event_id] * 2
    [delivery] = await clinic.deliveries()
    async with clinic.http() as client:
        shown = (await client.get(f"/v1/deliveries/{delivery['id']}")).json()
    assert [attempt["outcome"] for attempt in shown["attempts"]] == ["unknown", "delivered"]


async def test_killed_again_and_again_it_loses_nothing_and_repeats_only_what_was_in_flight(
    service, clinic, receiver
):
    await clinic.listen(receiver)
    recorded = []
    for _ in range(KILLS):
        recorded += [await clinic.change_a_case() for _ in range(12)]

        async def under_way(least=len(recorded) - 9):
            return len(set(ids_at(receiver))) >= least

        await until(under_way)
        await service.end(signal.SIGKILL)
        await service.start()

    async def all_delivered():
        found = await clinic.deliveries()
        return len(found) == len(recorded) and {d["status"] for d in found} == {"delivered"}

    await until(all_delivered)
    assert await clinic.feed() == recorded
    assert set(ids_at(receiver)) == set(recorded)
    lost = await clinic.lost_attempts()
    assert len(receiver.got) - len(recorded) <= lost <= KILLS * WINDOW


async def test_asked_to_stop_it_ends_in_time_with_nothing_in_flight(service, clinic, receiver):
    await clinic.listen(receiver)
    receiver.release.clear()
    await clinic.change_a_case()
    await asyncio.wait_for(receiver.arrived.wait(), WITHIN_S)
    asyncio.get_running_loop().call_later(0.3, receiver.release.set)
    began = asyncio.get_running_loop().time()
    assert await service.end(signal.SIGTERM) == 0
    assert asyncio.get_running_loop().time() - began < 10
    await service.start()
    assert [d["status"] for d in await clinic.deliveries()] == ["delivered"]
