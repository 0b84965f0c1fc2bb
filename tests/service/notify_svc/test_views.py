"""Page, long poll, stream and webhook are views of one feed: whatever happens, they tell the same.

Drawn at random from a seed; what should be told is worked out here, without the code that tells it.
"""

import asyncio
import json
import random
from dataclasses import dataclass, field

import pytest
from svckit.ids import new_id

from tests.service.notify_svc.conftest import until

FOOD, HOUSING = "food-insecurity", "housing-instability"
STEPS = 24
VERBS = {"requested": "requested", "accepted": "accepted", "started": "in-progress"}
CLASSES = ("coordination", "needs", "outcome")


@dataclass
class Asked:
    """A filter as the feed takes it, and as an endpoint does."""

    type: tuple = ()
    case_id: tuple = ()
    referral_id: tuple = ()
    need_category: tuple = ()
    transition: tuple = ()

    def params(self):
        return {name: list(values) for name, values in vars(self).items() if values}

    def endpoint(self):
        names = ("case_ids", "referral_ids", "need_categories", "transitions")
        lists = (self.case_id, self.referral_id, self.need_category, self.transition)
        return {
            "event_types": list(self.type),
            "filters": {name: list(values) for name, values in zip(names, lists, strict=True)},
        }

    def matches(self, event, shown):
        """Naively: every list is empty or holds the value, and a class field must be shown."""
        return (
            (not self.type or any(event.is_of(kind) for kind in self.type))
            and (not self.case_id or event.case in self.case_id)
            and (not self.referral_id or event.referral in self.referral_id)
            and (
                not self.need_category
                or (event.category in self.need_category and "needs" in shown)
            )
            and (
                not self.transition
                or (event.transition in self.transition and event.status_class in shown)
            )
        )


@dataclass
class Event:
    id: str
    kind: str
    case: str | None = None
    referral: str | None = None
    category: str | None = None
    transition: str | None = None
    status_class: str = "outcome"

    def is_of(self, kind):
        return kind == self.kind or kind == f"{self.kind.split('.')[0]}.*"


@dataclass
class Views:
    """What one filter's readers were told, while it happened."""

    asked: Asked
    expected: list = field(default_factory=list)
    polled: list = field(default_factory=list)
    streamed: object = None
    path: str = ""
    stop: bool = False


async def long_poll(world, organisation, views):
    after = 0
    while not views.stop:
        page = await world.feed(
            organisation, after=after, wait=0.3, limit=7, **views.asked.params()
        )
        views.polled += page["items"]
        after = page["next_after"]


class Story:
    """A clinic, what happens there, and what a food bank may see of it."""

    def __init__(self, world, seed):
        self.world, self.random = world, random.Random(seed)
        self.cases = [world.case, new_id("cas")]
        self.referrals = [new_id("ref") for _ in range(3)]
        self.grants = {}
        self.untold = []

    async def begin(self):
        self.clinic = await self.world.organisation()
        self.pantry = await self.world.organisation("social-service")
        first = await self.world.grant(self.clinic, self.pantry, ["coordination"])
        self.grants[first] = "coordination"

    def shown(self, organisation):
        return {*CLASSES} if organisation == self.clinic else {*self.grants.values()}

    def told(self, organisation):
        """Events that it is told by now and was not told before: a grant tells of its past as well."""
        if organisation == self.clinic or "coordination" in self.shown(organisation):
            found, self.untold = self.untold, []
            return found
        return []

    async def step(self):
        """Something happens, to a case or to rights."""
        draw = self.random
        if draw.random() < 0.2:
            name = draw.choice(CLASSES)
            grant = await self.world.grant(self.clinic, self.pantry, [name])
            self.grants[grant] = name
            return
        if self.grants and draw.random() < 0.2:
            # never the last: that would be told as well, and is a matter of its own
            if len(self.grants) > 1:
                grant = draw.choice(sorted(self.grants))
                del self.grants[grant]
                await self.world.end(grant)
            return
        case = draw.choice(self.cases)
        if draw.random() < 0.3:
            event = await self.world.happened(
                "case.changed", self.clinic, subject=case, case_id=case
            )
            self.untold.append(Event(event.id, "case.changed", case))
            return
        verb, category = draw.choice(sorted(VERBS)), draw.choice((FOOD, HOUSING))
        referral = draw.choice(self.referrals)
        change = {
            "requester_id": self.clinic,
            "recipient_id": self.pantry,
            "need_category": category,
            "status": VERBS[verb],
            "previous_status": None,
        }
        event = await self.world.happened(
            f"referral.{verb}", self.clinic, subject=referral, case_id=case, change=change
        )
        told = Event(event.id, f"referral.{verb}", case, referral, category, VERBS[verb])
        self.untold.append(told)

    def filters(self):
        draw = self.random
        return [
            Asked(),
            Asked(type=("referral.*",)),
            Asked(case_id=(self.cases[0],), need_category=(FOOD,)),
            Asked(referral_id=tuple(self.referrals[:2]), transition=("accepted", "requested")),
            Asked(need_category=(draw.choice((FOOD, HOUSING)),)),
        ]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("whose", ["clinic", "pantry"])
async def test_all_views_tell_the_same(world, receivers, seed, whose):
    story = Story(world, f"{whose} {seed}")
    await story.begin()
    who = getattr(story, whose)
    every = [Views(asked) for asked in story.filters()]
    async with receivers().serve() as receiver, world.served() as served:
        world.app.state.streams._settings = world.settings.model_copy(
            update={"feed_heartbeat_s": 0.2}
        )
        streams = []
        for number, views in enumerate(every):
            views.path = f"/{number}"
            url = f"http://127.0.0.1:{receiver.port}{views.path}"
            await world.endpoint(who, url, **views.asked.endpoint())
            stream = served.stream(who, **views.asked.params())
            views.streamed = await stream.__aenter__()
            streams.append(stream)
        polls = [asyncio.create_task(long_poll(world, who, views)) for views in every]
        for _ in range(STEPS):
            await story.step()
            shown, told = story.shown(who), story.told(who)
            for views in every:
                views.expected += [one.id for one in told if views.asked.matches(one, shown)]
            await world.deliver()
            # rights change only when all have seen what came before
            for views in every:
                await until(lambda v=views: len(v.polled) >= len(v.expected))
                await until(lambda v=views: len(v.streamed.items) >= len(v.expected))
        for views in every:
            views.stop = True
        await asyncio.gather(*polls)
        for stream in streams:
            await stream.__aexit__(None, None, None)
        assert any(views.expected for views in every)
        for views in every:
            assert [item["id"] for item in views.polled] == views.expected
            assert views.streamed.items == views.polled
            got = [one for one in receiver.got if one.path == views.path]
            assert sorted(one.headers["webhook-id"] for one in got) == sorted(views.expected)
            told = {item["id"]: item for item in views.polled}
            for one in got:
                item = told[one.headers["webhook-id"]]
                assert json.loads(one.body) == {k: item[k] for k in ("type", "timestamp", "data")}
        await replayed(world, served, who, every)


async def replayed(world, served, who, every):
    """From the beginning, by the rights of now: page by page and as a stream the same."""
    for views in every:
        pages, after, more = [], 0, True
        while more:
            page = await world.feed(who, after=after, limit=3, **views.asked.params())
            pages += page["items"]
            after, more = page["next_after"], page["more"]
        async with served.stream(who, **views.asked.params()) as reader:
            await until(lambda r=reader: int(r.last_id or 0) >= after)  # noqa: B023
        assert reader.items == pages
        if not (views.asked.need_category or views.asked.transition):
            # by a field that is shown by now older events are found, too
            assert {item["id"] for item in pages} <= {item["id"] for item in views.polled}
