"""One run: the parts under a supervisor, a nemesis beside them, then quiet, histories, the verdict."""

import asyncio
import contextlib
import random
import signal
import time
from collections import Counter

from svckit.eventlog import LogError
from svckit.faults import AWAY

from tests.chaos import faults, monitor, partners, plan, storm
from tests.chaos.poll import Poller
from tests.chaos.receivers import History
from tests.chaos.supervisor import Part, Supervisor
from tests.chaos.world import Partners, Stores, make, new_issuer

RECOVERS_S = 300.0
BASELINE_S = 15.0
BEHIND_S = 20.0


class Stage:
    """What faults act on; `tell` writes down each of them."""

    def __init__(self, world, *, mutant=None, given=None, roles=None):
        self.world, self.mutant = world, mutant
        self.roles = world.made_of.roles if roles is None else roles
        self.dice = random.Random(world.seed)
        self.stores = Stores(world, given)
        self.behaviours = None  # of the endpoints, when not all of them
        self.skewed = {}
        self.repeated = 0
        self.faults = Counter()
        self.recoveries = []
        self.violations = []
        self.usage = {}
        self.armed = True
        self._history = History(world.path / "faults.jsonl")
        self._watching = set()
        self.supervisor = self.partners = self.poller = self.arrivals = None

    def tell(self, kind, what, **more):
        self.faults[kind] += 1
        self._history.add({"at": time.time(), "kind": kind, "what": what, **more})

    def wrong(self, what):
        self.violations.append(what)
        self._history.add({"at": time.time(), "violation": what})

    def arm(self, part):
        """The one place that strikes the next life of a part, and how wrong its clock is."""
        skew_s = self.skewed.pop(part.name, 0.0)
        places = {
            place: often
            for place, often in plan.PLACES[part.role].items()
            if self.world.log == "kafka" or place not in plan.KAFKA_ONLY
        }
        if not places or not self.armed or self.dice.random() < 0.2:
            return "", skew_s
        place = self.dice.choice(sorted(places))
        how = ":stop" if place in plan.STOPS and self.dice.random() < 0.25 else ""
        often = places[place] * self.world.made_of.patience
        return f"{place}={self.dice.randint(1, 2 * often)}{how}", skew_s

    def any_part(self, *roles):
        """A part that lives, so that every fault strikes somebody."""
        living = [
            part
            for part in self.supervisor.parts.values()
            if (not roles or part.role in roles)
            and part.process.poll() is None
            and part.cause is None
            and not part.is_stopped()
            and part.handles_term()
        ]
        if not living:
            raise ConnectionError("nobody is there to be hurt")
        return self.dice.choice(sorted(living, key=lambda part: part.name))

    @contextlib.asynccontextmanager
    async def up(self, armed=True):
        """Everything runs, and ends with the block."""
        self.armed = armed
        with new_issuer() as issuer:
            try:
                await self.stores.start()
                await make(self.world, self.stores, issuer)
                self.arrivals = monitor.Arrivals(self.world)
                parts = [
                    Part(self.world, role, number, self.mutant)
                    for role, count in self.roles.items()
                    for number in range(count)
                ]
                self.supervisor = Supervisor(self.world, parts, self.arm, self.tell)
                self.supervisor.start()
                if "notify-api" in self.roles:
                    self.partners = Partners(self.world, issuer)
                    await self.partners.ready()
                    await self.partners.register_all(self.behaviours)
                    await self.partners.verified()
                    self.poller = Poller(self.world, self.partners)
                    self.poller.start()
                (self.world.path / "misbehave").touch()
                yield self
            finally:
                for beside in (self.poller, self.arrivals):
                    if beside:
                        await beside.close()
                for task in self._watching:
                    task.cancel()
                if self.supervisor:
                    self.supervisor.kill()
                await self.stores.stop()

    async def hurt(self, fault):
        """Inflict a fault, and see in the background how long it takes until all has arrived."""
        began = time.time()
        what = None
        try:
            what = await fault(self)
        except faults.Failed as error:
            self.wrong(str(error))
        except (*AWAY, LogError) as error:
            what = f"{plan.INTERRUPTED}: {type(error).__name__}"
        self.tell(fault.__name__, what, took_s=round(time.time() - began, 2))
        task = asyncio.create_task(self._recovery(fault.__name__))
        self._watching.add(task)
        task.add_done_callback(self._watching.discard)

    async def _recovery(self, kind):
        since = time.time()
        if await self.arrivals.caught_up(since, RECOVERS_S):
            self.recoveries.append((kind, time.time() - since))
        else:
            self.wrong(f"recovery: not within {RECOVERS_S:.0f} s after {kind}")

    async def torment(self, until, pause_s):
        """One fault after the other, by their weights, until that time."""
        baseline = asyncio.create_task(self._baseline())
        if self.world.profile == "storm":
            await self._storm(until, pause_s)
        else:
            kinds = {**faults.EVERYWHERE, **partners.ALL}
            if self.world.log == "kafka":
                kinds |= faults.ON_KAFKA
            while time.time() < until:
                await asyncio.sleep(self.dice.uniform(*pause_s))
                await self._started()
                await self.hurt(self._one_of(kinds))
        baseline.cancel()
        await asyncio.gather(baseline, return_exceptions=True)

    async def _storm(self, until, pause_s):
        """Nobody waits for the end of a fault; writers wait when readers cannot keep up."""
        kinds = {**storm.KINDS, **(storm.ON_KAFKA if self.world.log == "kafka" else {})}
        under_way, pacing = storm.UnderWay(), asyncio.create_task(self._pace())
        while time.time() < until:
            await asyncio.sleep(self.dice.uniform(*pause_s))
            await under_way.begin(self, self._one_of(kinds))
        await under_way.ended()
        pacing.cancel()
        await asyncio.gather(pacing, return_exceptions=True)

    def _one_of(self, kinds):
        [fault] = self.dice.choices(list(kinds), list(kinds.values()))
        return fault

    async def _pace(self):
        behind = self.world.path / "behind"
        while True:
            if self.arrivals.behind_s() > BEHIND_S:
                behind.touch()
            else:
                behind.unlink(missing_ok=True)
            await asyncio.sleep(0.5)

    async def _started(self, within_s=60):
        """Whoever was ended runs again: on a slow machine the next fault would hit nobody."""
        deadline = time.monotonic() + within_s
        for part in list(self.supervisor.parts.values()):
            while part.process.poll() is not None or not part.handles_term():
                if time.monotonic() > deadline:
                    return
                await asyncio.sleep(0.1)

    async def _baseline(self):
        """What a process of each role takes once it has run for a while."""
        ages = {}
        while True:
            await asyncio.sleep(1)
            for part in self.supervisor.parts.values():
                key = (part.name, part.starts)
                ages[key] = ages.get(key, 0) + 1
                if ages[key] >= BASELINE_S and part.role not in self.usage:
                    with contextlib.suppress(OSError, TypeError):
                        self.usage[part.role] = part.usage()

    async def calm(self, quiet_s=30.0):
        """No more faults; writers end, everything arrives; return what is left on the way."""
        self.armed = False
        self.supervisor.quiet = True
        for part in self.supervisor.parts.values():
            part.signal(signal.SIGCONT)
        while self._watching:
            await asyncio.wait(set(self._watching))
        # what waits for somebody who never answers would end by its schedule, in hours
        (self.world.path / "misbehave").unlink(missing_ok=True)
        if self.partners:
            await self.partners.bring_back()
        for part in self.supervisor.of("write"):
            await self._ends(part)
        left = await monitor.drained(self.world, quiet_s)
        if self.poller:
            await self.poller.to_the_end()
        return left

    async def _ends(self, part):
        code, took = await self.supervisor.take_away(part)
        if took is None or code not in {0, -signal.SIGKILL}:
            self.wrong(f"I15: {part.name} took {took} s to end with {code}")

    async def measure(self, settles_s=60.0):
        """I14: each process comes back to near what the first of its role took.

        Connections that are kept for the next message close by and by: a leak is what stays.
        """
        deadline = time.monotonic() + settles_s
        while (grown := self._grown()) and time.monotonic() < deadline:
            await asyncio.sleep(1)
        for line in grown:
            self.wrong(f"I14: {line}")

    def _grown(self):
        """Memory in MB, open files and threads, of whoever takes much more than at first."""
        found = []
        for part in self.supervisor.parts.values():
            if part.process.poll() is not None or part.role not in self.usage:
                continue
            (rss, files, threads), (rss_0, files_0, threads_0) = part.usage(), self.usage[part.role]
            if (
                rss > max(2 * rss_0, rss_0 + 100)
                or files > files_0 + 40
                or threads > threads_0 + 10
            ):
                found.append(
                    f"{part.name} {rss:.0f} MB, {files} files, {threads} threads;"
                    f" at first {rss_0:.0f} MB, {files_0}, {threads_0}"
                )
        return found

    async def end(self):
        """I15: asked to end, everybody does so within ten seconds."""
        for name, (code, took) in (await self.supervisor.end()).items():
            if took is None or code not in {0, -signal.SIGKILL}:
                self.wrong(f"I15: {name} took {took} s to end with {code}")
