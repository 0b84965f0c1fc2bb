"""The event log stops: nobody is served by stale rights, and all goes on by itself afterwards."""

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

import asyncpg
import pytest

from careloop import postgres as embedded
from careloop.partner import must
from careloop.services import EVENTS
from deploy.local import broker as kafka
from tests import withdrawing, world

pytestmark = pytest.mark.timeout(400)
REFUSED_WITHIN_S = 6.0
BACK_WITHIN_S = 60.0
FEED = "/v1/events?limit=200"


class Embedded:
    """The log's database takes no connection, as when its server is down."""

    url = None

    def of(self, platform):
        server = embedded.attach(platform.data_dir, platform.run_file()["postgres"]["port"])
        self._server = server.url

    def stop(self):
        asyncio.run(self._allow("false"))

    def start(self):
        asyncio.run(self._allow("true"))

    async def _allow(self, allowed):
        connection = await asyncpg.connect(self._server)
        try:
            await connection.execute(f"ALTER DATABASE {EVENTS} WITH ALLOW_CONNECTIONS {allowed}")
            if allowed == "false":
                await connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1",
                    EVENTS,
                )
        finally:
            await connection.close()


class Kafka:
    """The broker's process is stopped and started again."""

    def __init__(self, broker):
        self._broker, self.url = broker, broker.url
        self.stop, self.start = broker.stop, broker.start

    def of(self, platform):
        pass


@contextlib.contextmanager
def running(kind):
    if kind == "postgres":
        yield Embedded()
        return
    if reason := kafka.missing():
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="careloop-kafka-"))
    broker = kafka.Broker(folder)
    broker.start()
    try:
        yield Kafka(broker)
    finally:
        broker.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module", params=["postgres", pytest.param("kafka", marks=pytest.mark.kafka)])
def stage(request):
    with running(request.param) as log, world.platform(log.url) as platform:
        platform.start()
        log.of(platform)
        yield platform, log


def status(partner, path):
    """One answer, without the patience of a partner's program."""
    headers = {"Authorization": f"Bearer {partner.token()}"}
    found = partner.http.get(f"{partner.gateway}{path}", headers=headers)
    return found.status_code, found


def until(look, wanted, within_s):
    """Return how long it took."""
    began = time.monotonic()
    while (found := look()) != wanted:
        assert time.monotonic() - began < within_s, found
        time.sleep(0.05)
    return time.monotonic() - began


def test_partners_are_refused_within_six_seconds_and_served_again_by_themselves(stage):
    platform, log = stage
    clinic, food = (platform.partner(n) for n in ("Lakeside Clinic", "Harbor Food Bank"))
    kept, withdrawn = withdrawing.open_case(clinic), withdrawing.open_case(clinic)
    withdrawing.permit(clinic, kept, food)
    consent = withdrawing.permit(clinic, withdrawn, food)
    until(lambda: [status(food, one.path)[0] for one in (kept, withdrawn)], [200, 200], 30)
    note = {"kind": "coordination", "text": "A visit"}
    must(clinic.post(f"{kept.path}/notes", note), 201)
    until(lambda: kept.case_id in status(food, FEED)[1].text, True, 30)
    own = withdrawing.open_case(clinic)

    log.stop()
    stopped = time.monotonic()
    withdrawing.withdraw(clinic, consent)
    try:
        until(lambda: status(food, kept.path)[0], 503, REFUSED_WITHIN_S)
        for path in (kept.path, "/v1/cases", "/v1/cases/count", FEED):
            left = max(0.1, REFUSED_WITHIN_S - (time.monotonic() - stopped))
            until(lambda: status(food, path)[0], 503, left)  # noqa: B023 - at once
        took = time.monotonic() - stopped
        print(f"\npartners refused after {took:.1f} s")
        _, answer = status(food, withdrawn.path)
        assert answer.json()["code"] == "rights-stale"
        assert answer.headers["retry-after"]
        assert status(clinic, own.path)[0] == 200
        assert withdrawing.open_case(clinic)
    finally:
        log.start()
    # the first answer after the refusals is already by what was withdrawn meanwhile
    seen = set()
    deadline = time.monotonic() + BACK_WITHIN_S
    while status(food, kept.path)[0] != 200 or 404 not in seen:
        seen.add(status(food, withdrawn.path)[0])
        assert time.monotonic() < deadline, seen
        time.sleep(0.05)
    assert seen <= {503, 404}
    print(f"served again {time.monotonic() - stopped - took:.1f} s after the log came back")


def test_a_stopped_gateway_leaves_the_services_refusing(stage):
    """Nobody could ask through it; whoever has a token of it still gets nothing."""
    platform, _ = stage
    entry = platform.run_file()["processes"]["notify-svc"]
    readyz = f"http://127.0.0.1:{entry['port']}/readyz"
    http = platform.http
    until(lambda: http.get(readyz).json()["rights"], "fresh", 10)
    os.kill(platform.pids()["gateway"], signal.SIGSTOP)
    try:
        until(lambda: http.get(readyz).json()["rights"], "stale", REFUSED_WITHIN_S + 0.5)
    finally:
        os.kill(platform.pids()["gateway"], signal.SIGCONT)
    until(lambda: http.get(readyz).json()["rights"], "fresh", BACK_WITHIN_S)
