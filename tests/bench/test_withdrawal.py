"""From a withdrawal's 2xx to the last byte a partner sees: API, feed and webhook, under load.

1,000 withdrawals on running services; fewer with CARELOOP_WITHDRAWALS. The aim is a p99 of 1 s.
Beside them, and a tenth as many, cases are sealed: how long referral, document and feed still show
what the case's own service no longer does.
"""

import asyncio
import json
import math
import os
import secrets
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import partial

import aiohttp
import pytest
from aiohttp import web
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tests import withdrawing, world

pytestmark = pytest.mark.timeout(900)

TIMES = int(os.environ.get("CARELOOP_WITHDRAWALS", "1000"))
SEALS = max(4, TIMES // 10)
PERSONS = 4
# what is on its way when the rights end must have time to show
GRACE_S = 1.1
POLL_S = 0.04
# beside them: others read, paced, so that a busy machine is measured and not a full one
READERS, LOAD_S = 2, 0.02


@dataclass
class Side:
    """One partner over one connection pool."""

    base: str
    partner: object
    session: aiohttp.ClientSession
    refused: Counter[str] = field(default_factory=Counter)

    async def send(self, method, path, body=None, **headers):
        headers["Authorization"] = f"Bearer {self.partner.token()}"
        if method == "POST":
            headers.setdefault("Idempotency-Key", secrets.token_hex(8))
        async with self.session.request(
            method, self.base + path, json=body, headers=headers
        ) as answer:
            found = answer.status, await answer.json(), answer.headers, time.monotonic()
        if found[0] == 503:
            self.refused[found[1]["code"]] += 1
        return found

    async def get(self, path):
        status, body, _, at = await self.send("GET", path)
        return status, body, at


@dataclass
class Seen:
    """When the partner last saw something, after when it could not have been allowed to."""

    api: list[float] = field(default_factory=list)
    feed: list[float] = field(default_factory=list)
    webhook: list[float] = field(default_factory=list)
    # the same of a sealed case, by what still showed
    sealed: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    requests: int = 0


@dataclass
class Bench:
    clinic: Side
    food: Side
    arrived: dict[str, list[float]]
    seen: Seen = field(default_factory=Seen)

    async def cycles(self, shared, count):
        """Let one person permit and withdraw, `count` times."""
        seq = 0
        for _ in range(count):
            body = withdrawing.permit_body(shared, self.food.partner.organisation_id)
            status, made, _, _ = await self.clinic.send("POST", "/v1/consents", body)
            assert status == 201, made
            await self._until(lambda: self._case(shared), shows=True)
            if not seq:
                await self._note(shared)
                seq = await self._number(shared)
            await self._until(partial(self._event, seq), shows=True)
            await self._withdraw(shared, made["id"], seq)

    async def _number(self, shared):
        """The number under which the partner's feed first tells of the case."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            after, more = 0, True
            while more:
                status, page, _ = await self.food.get(f"/v1/events?after={after}&limit=200")
                if status != 200:
                    break
                for item in page["items"]:
                    if item["data"].get("case_id") == shared.case_id and not is_end(item):
                        return item["seq"]
                after, more = page["next_after"], page["more"]
            await asyncio.sleep(POLL_S)
        raise AssertionError("the case is not in the feed")

    async def _case(self, shared):
        return await self._there(shared.path)

    async def _event(self, seq):
        status, page, at = await self.food.get(f"/v1/events?after={seq - 1}&limit=1")
        assert status in (200, 503), page
        return any(item["seq"] == seq for item in page.get("items", ())), at

    async def _until(self, look, *, shows):
        deadline = time.monotonic() + 30
        while (await look())[0] is not shows:
            assert time.monotonic() < deadline, shows
            await asyncio.sleep(POLL_S)

    async def _withdraw(self, shared, consent, seq):
        looks = {"api": lambda: self._case(shared), "feed": partial(self._event, seq)}
        act = self.clinic.send("POST", f"/v1/consents/{consent}/withdraw", **{"If-Match": '"1"'})
        done, took = await self._gone(looks, act, self._happen(shared))
        self.seen.api.append(took["api"])
        self.seen.feed.append(took["feed"])
        hooks = [at for at in self.arrived[shared.case_id] if at > done]
        self.seen.webhook.append(max(hooks) - done if hooks else 0.0)

    async def _gone(self, looks, act, *beside):
        """Do it, and return when it was answered and how long after each path still showed."""
        last = dict.fromkeys(looks, 0.0)
        watching = [
            asyncio.create_task(self._watch(last, path, look)) for path, look in looks.items()
        ]
        watching += [asyncio.create_task(each) for each in beside]
        status, body, _, done = await act
        assert status == 200, body
        await asyncio.gather(*watching)
        await asyncio.sleep(GRACE_S)
        return done, {path: max(0.0, at - done) for path, at in last.items()}

    async def seals(self, shared, document, referral, count):
        """Let one case be sealed and opened, `count` times."""
        looks = {
            "case": lambda: self._case(shared),
            "referral": partial(self._there, f"/v1/referrals/{referral}"),
            "document": partial(self._there, f"/v1/documents/{document}"),
        }
        await self._until(looks["case"], shows=True)
        await self._note(shared)
        looks["feed"] = partial(self._event, await self._number(shared))
        for _ in range(count):
            for look in looks.values():
                await self._until(look, shows=True)
            _, took = await self._gone(looks, await self._sealing(shared, "seal"))
            for path, seconds in took.items():
                self.seen.sealed[path].append(seconds)
            status, body, _, _ = await (await self._sealing(shared, "unseal"))
            assert status == 200, body

    async def _sealing(self, shared, verb):
        """The command, not yet sent, at the version that stands."""
        _, _, headers, _ = await self.clinic.send("GET", shared.path)
        guards = {"If-Match": headers["ETag"]}
        reason = {"reason": "person-request"}
        return self.clinic.send("POST", f"{shared.path}/{verb}", reason, **guards)

    async def _there(self, path):
        status, _, at = await self.food.get(path)
        assert status in (200, 404, 503), status
        return status == 200, at

    async def _watch(self, last, path, look):
        """Look until it shows nothing for a while; note when it showed something last."""
        quiet = 0
        while quiet < 5:
            shows, at = await look()
            quiet = 0 if shows else quiet + 1
            if shows:
                last[path] = at
            await asyncio.sleep(POLL_S)

    async def _happen(self, shared):
        """Things go on happening on the case while the rights end."""
        for _ in range(4):
            await self._note(shared)
            await asyncio.sleep(0.05)

    async def _note(self, shared):
        note = {"kind": "coordination", "text": "A visit"}
        status, body, _, _ = await self.clinic.send("POST", f"{shared.path}/notes", note)
        assert status == 201, body

    async def load(self, stop):
        """A partner that reads beside."""
        paths = ("/v1/cases?limit=50", "/v1/referrals?limit=50", "/v1/documents", "/v1/persons")
        while not stop.is_set():
            for path in paths:
                status, body, _ = await self.food.get(path)
                assert status in (200, 503), body
                self.seen.requests += status == 200
                await asyncio.sleep(LOAD_S)


def tell(path, seconds):
    found = sorted(seconds)
    p50, p99 = found[len(found) // 2], found[math.ceil(len(found) * 0.99) - 1]
    print(
        f"  {path:8} p50 {p50 * 1e3:4.0f} ms  p99 {p99 * 1e3:4.0f} ms  max {found[-1] * 1e3:4.0f} ms"
    )


def test_how_long_a_withdrawn_right_shows():
    with world.platform() as platform:
        platform.start()
        seen, took = asyncio.run(_run(platform))
    print(f"\n{len(seen.api)} withdrawals, beside {seen.requests / took:.0f} reads/s of others:")
    for path in ("api", "feed", "webhook"):
        tell(path, getattr(seen, path))
    print(f"{len(seen.sealed['case'])} seals, beside them:")
    for path, found in seen.sealed.items():
        tell(path, found)
    assert {len(found) for found in seen.sealed.values()} == {SEALS}
    assert any(seen.webhook), "no webhook was ever on its way: nothing was measured"


async def _run(platform):
    clinic, food = (platform.partner(n) for n in ("Lakeside Clinic", "Harbor Food Bank"))
    cases = [withdrawing.open_case(clinic) for _ in range(PERSONS)]
    for shared in cases:  # known at the gateway from here on
        withdrawing.withdraw(clinic, withdrawing.permit(clinic, shared, food))
    closed = withdrawing.open_case(clinic)
    withdrawing.permit(clinic, closed, food)
    seals = withdrawing.add_document(clinic, closed), withdrawing.refer(clinic, closed, food), SEALS
    arrived = defaultdict(list)
    trusted = []
    runner = await _receiver(arrived, trusted)
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    made = food.post("/v1/webhook-endpoints", {"url": url, "description": "bench"})
    assert made.status == 201
    trusted.append(made.body["secret"])
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64)) as session:
        sides = [Side(platform.url, one, session) for one in (clinic, food)]
        bench, stop = Bench(*sides, arrived), asyncio.Event()
        loads = [asyncio.create_task(bench.load(stop)) for _ in range(READERS)]
        began = time.monotonic()
        counts = [TIMES // PERSONS + (n < TIMES % PERSONS) for n in range(PERSONS)]
        try:
            async with asyncio.TaskGroup() as tasks:
                for shared, count in zip(cases, counts, strict=True):
                    tasks.create_task(bench.cycles(shared, count))
                tasks.create_task(bench.seals(closed, *seals))
        finally:
            stop.set()
            await asyncio.gather(*loads, return_exceptions=True)
            await runner.cleanup()
        print(f"\nrefused for now: {dict(bench.food.refused)}")
        return bench.seen, time.monotonic() - began


def is_end(message):
    """The one notice that tells of the withdrawal itself."""
    return message["type"] == "org.careloop.access.ended.v1"


async def _receiver(arrived, trusted):
    async def take(request):
        body = await request.read()
        message = json.loads(body)
        if message["type"] == "webhook.verification":
            try:
                Webhook(trusted[0]).verify(body, dict(request.headers))
            except (IndexError, WebhookVerificationError):
                return web.Response(status=401)
            return web.json_response({"challenge": message["data"]["challenge"]})
        if not is_end(message):
            arrived[message["data"].get("case_id")].append(time.monotonic())
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner
