"""From a commit to a partner's 2xx: how long, how many, how well apart, and what each costs.

Everything runs on two cores here: the service that records, PostgreSQL with its log, notify-svc and
the partners' receivers. Figures are ratios within one run, or CPU time; nothing is asserted of time.
"""

import contextlib
import math
import os

import orjson
import pytest
from notify_svc.domain import signing
from svckit.clock import now

from tests.bench import deliveries
from tests.bench.deliveries import APPLIED, BLACK, ENDPOINTS, LOGGED, RECORDED, Process, cpu_s

RATE = int(os.environ.get("CARELOOP_BENCH_RATE", "300"))
SECONDS, WARM_S = 12, 3
QUEUED, QUEUED_S = RATE * 20, 8
_CATCH_UP_S = 25
CONCURRENCY = 64
_QUEUE = """
SELECT e.url, m.id, m.body FROM delivery d JOIN webhook_endpoint e ON e.id = d.endpoint_id
JOIN message m ON m.id = d.message_id WHERE d.status = 'pending'
"""
_BLACK_PATHS = [f"/hook/{number}" for number in range(BLACK)]


@pytest.fixture
def server():
    with deliveries.server() as found:
        yield found


@pytest.fixture
async def world(server, issuer):
    found = deliveries.World(server, issuer)
    try:
        await found.prepare()
        yield found
    finally:
        await found.close()


class Meter:
    """CPU and statements of each process since it was made."""

    def __init__(self, world):
        self._world = world

    async def read(self):
        pids = {name: self._world.processes[name].pid for name in ("case", "notify")}
        cpu = {name: cpu_s(pid) for name, pid in pids.items()}
        cpu["PostgreSQL"] = self._world.server.cpu_s()
        return cpu, await self._world.server.statements()

    async def start(self):
        self._cpu, self._statements = await self.read()
        return self

    async def each(self, events):
        """One line: what an event cost every process."""
        cpu, statements = await self.read()
        parts = []
        for name, spent in cpu.items():
            role = f"bench_{name}"
            asked = statements.get(role, 0) - self._statements.get(role, 0)
            told = f" and {asked / events:.1f} statements" if role in statements else ""
            parts.append(f"{name} {(spent - self._cpu[name]) / events * 1e6:,.0f} µs{told}")
        return ", ".join(parts)


async def phase(world, rate, seconds, ignore=()):
    """Record at the rate and wait a while for what is not ignored.

    Returns how many were recorded and when each arrived: not all, on a machine that cannot keep up.
    """
    arrived = {}
    count = await world.produce(rate, seconds)
    expected = count - count * len(ignore) // ENDPOINTS

    async def all_came():
        for event_id, path, at in await world.sink("/log"):
            if path not in ignore:
                arrived.setdefault(event_id, at)
        return len(arrived) >= expected

    with contextlib.suppress(TimeoutError):
        await world.until(all_came, _CATCH_UP_S)
    return count, arrived


async def times(world, url, statement, ids):
    rows = await world.server.rows(url, statement)
    return {event_id: at for event_id, at in rows if event_id in ids}


def spread(begun, ended):
    """`p50/p95/p99` in ms of those that have both ends."""
    took = sorted(ended[one] - begun[one] for one in ended if one in begun)
    return [
        took[min(len(took) - 1, math.ceil(len(took) * q) - 1)] * 1000 for q in (0.5, 0.95, 0.99)
    ]


async def delays(world, arrived):
    """The delays from each commit to the event log, to the effect, and to the partner's 2xx."""
    recorded = await times(world, world.case, RECORDED, arrived)
    assert len(recorded) == len(arrived)
    return {
        "event log": spread(recorded, await times(world, world.log, LOGGED, arrived)),
        "effect": spread(recorded, await times(world, world.notify, APPLIED, arrived)),
        "webhook 2xx": spread(recorded, arrived),
    }


def line(name, found):
    return f"commit to {name}: p50 {found[0]:.1f}, p95 {found[1]:.1f}, p99 {found[2]:.1f} ms"


async def test_from_a_commit_to_a_partners_2xx(world, capsys):
    await phase(world, RATE / 3, WARM_S)
    meter = await Meter(world).start()
    count, arrived = await phase(world, RATE, SECONDS)
    costs = await meter.each(count)
    healthy = await delays(world, arrived)
    apart = await isolation(world, arrived)
    with capsys.disabled():
        print(f"\n{RATE} events/s for {SECONDS} s, {len(arrived)} of {count} webhooks arrived")
        print("\n".join(line(name, found) for name, found in healthy.items()))
        print(f"each event cost: {costs}")
        print(apart)
        print(await sustained(world))


async def isolation(world, before):
    """How much later the healthy endpoints' 99th percentile is while others hold every request."""
    mine = {path for path in (f"/hook/{n}" for n in range(ENDPOINTS)) if path not in _BLACK_PATHS}
    await world.sink("/black", _BLACK_PATHS)
    _, arrived = await phase(world, RATE, SECONDS, ignore=_BLACK_PATHS)
    ids = {*before, *arrived}
    said = []
    for name, url, statement in (
        ("commit", world.case, RECORDED),
        # the deliver process's own part: what waits to be fanned out is not in it
        ("effect", world.notify, APPLIED),
    ):
        begun = await times(world, url, statement, ids)
        alone, beside = (spread(begun, each)[2] for each in (before, arrived))
        said.append(f"from the {name} {beside:.0f} ms, {beside / alone:.2f} times that without")
    return (
        f"{BLACK} of {ENDPOINTS} endpoints hold every request: p99 of the other {len(mine)} "
        + "; ".join(said)
    )


async def sustained(world):
    """How fast one deliver process works a queue off, beside aiohttp posting the same requests.

    Its CPU is counted from when it is seen to send: three seconds of imports are no delivery's.
    """
    await world.processes["notify"].end()
    await world.sink("/black", [])
    await world.server.rows(world.notify, "TRUNCATE delivery CASCADE")
    await world.start_notify("consume")
    await world.produce(QUEUED / QUEUED_S, QUEUED_S)

    async def queued():
        (row,) = await world.server.rows(world.notify, "SELECT count(*) FROM delivery")
        return row[0] >= QUEUED

    with contextlib.suppress(TimeoutError):
        await world.until(queued, _CATCH_UP_S)
    await world.processes["notify"].end()
    count, bare = await bare_posts(world)
    await world.sink("/log")
    await world.start_notify("deliver")
    came, looks = [], []

    async def all_sent():
        came.extend(await world.sink("/log"))
        if came:
            looks.append((len(came), cpu_s(world.processes["notify"].pid)))
        return len(came) >= count

    with contextlib.suppress(TimeoutError):
        await world.until(all_sent, _CATCH_UP_S)
    (before, idle), (after, spent) = looks[0], looks[-1]
    each = (spent - idle) / (after - before)
    took = max(at for *_, at in came) - min(at for *_, at in came)
    return (
        f"one deliver process: {len(came) / took:,.0f}/s ({each * 1e6:,.0f} µs of CPU each once it"
        f" sends), aiohttp alone {bare:,.0f}/s: {len(came) / took / bare:.0%} of it"
    )


async def bare_posts(world):
    """How many are queued, and how many a second a bare loop posts of them, signed."""
    secret, at = signing.new_secret(), int(now().timestamp())
    file = world.server.folder / "requests.jsonl"
    rows = await world.server.rows(world.notify, _QUEUE)
    with file.open("wb") as out:
        for url, message_id, body in rows:
            headers = {
                "content-type": "application/json",
                "webhook-id": message_id,
                "webhook-timestamp": str(at),
                "webhook-signature": signing.header([secret], message_id, at, bytes(body)),
            }
            out.write(orjson.dumps([url, headers, bytes(body).decode()]) + b"\n")
    process = await Process.start("tests.bench.bare", str(file), str(CONCURRENCY))
    wall_s, _ = map(float, (await process.output()).split())
    return len(rows), len(rows) / wall_s
