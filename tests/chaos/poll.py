"""A partner that reads its feed by long polls, through every restart: each number once, in order."""

import asyncio
import contextlib

import httpx

from tests.chaos.monitor import ask
from tests.chaos.receivers import History

_HEAD = "SELECT seq FROM feed_head WHERE organisation_id = $1"


class Poller:
    def __init__(self, world, partners):
        self._world, self._partners = world, partners
        self._followed = [*world.organisations[:2], world.rare[0]]
        self._after = dict.fromkeys(self._followed, 0)
        self._history = History(world.path / "polls.jsonl")
        self._tasks = []

    def start(self):
        self._tasks = [asyncio.create_task(self._follow(one)) for one in self._followed]

    async def _follow(self, organisation):
        while True:
            try:
                async with self._partners.http(organisation) as client:
                    await self._read(client, organisation)
            except httpx.TransportError:
                await asyncio.sleep(0.2)

    async def _read(self, client, organisation):
        while True:
            asked = {"after": self._after[organisation], "limit": 200, "wait": 2}
            answer = await client.get("/v1/events", params=asked)
            if answer.status_code != 200:
                await asyncio.sleep(0.2)
                return  # and come back with a new token
            found = answer.json()
            items = [[item["seq"], item["id"]] for item in found["items"]]
            if items:
                self._history.add({"organisation": organisation, "items": items})
            self._after[organisation] = found["next_after"]

    async def to_the_end(self, within_s=30.0):
        """Read on until every feed is read to its head, or for that long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                for organisation in self._followed:
                    head = await ask(self._world.notify_url, _HEAD, organisation) or 0
                    while self._after[organisation] < head:
                        await asyncio.sleep(0.1)

    async def close(self):
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
