"""Keeps the parts running: starts again what died, lets go on what was stopped, tells of both."""

import asyncio
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from careloop.process import dies_with_parent
from tests.chaos import plan

_STRUCK = re.compile(rb"^failpoint (\S+) (SIG\w+)$", re.MULTILINE)
_TAIL = 4096
_BEAT_S = 0.05


class Part:
    """One process, started as often as it ends; `number` from 10 on comes and goes."""

    def __init__(self, world, role, number, mutant=None):
        self.role, self.number = role, number
        self.name = f"{role}-{number}"
        self.log = world.path / f"{self.name}.log"
        self.starts = 0
        self.process = None
        self.cause = None  # of the end that is expected next
        self.stopped_until = None
        self._world, self._mutant = world, mutant
        self._begin = 0

    def start(self, failpoints="", skew_s=0.0):
        variables = {
            "CARELOOP_FAILPOINTS": failpoints,
            "CHAOS_SKEW_S": str(skew_s),
            "CHAOS_MUTANT": self._mutant or "",
            "PYTHONUNBUFFERED": "1",
        }
        with self.log.open("ab") as log:
            self._begin = log.seek(0, os.SEEK_END)
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.chaos.part"),
                    *(self._world.folder, self.role, str(self.number)),
                ],
                env={**os.environ, **variables},
                cwd=Path(__file__).parents[2],
                stdout=log,
                stderr=log,
                preexec_fn=dies_with_parent(signal.SIGKILL),  # noqa: PLW1509  # prctl alone
            )
        self.starts += 1
        self.cause = self.stopped_until = None

    def signal(self, number, cause=None):
        self.cause = cause or self.cause
        if self.process.poll() is None:
            self.process.send_signal(number)

    def struck(self):
        """The places that struck this process, as it said itself."""
        with self.log.open("rb") as log:
            log.seek(max(self._begin, log.seek(0, os.SEEK_END) - _TAIL))
            return _STRUCK.findall(log.read())

    def heard(self):
        """What it said up to here is known."""
        self._begin = self.log.stat().st_size

    def is_stopped(self):
        try:
            stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        except OSError:
            return False
        return stat.rpartition(")")[2].split()[0] == "T"

    def usage(self):
        """Resident memory in MB, open files, threads."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        rss = int(re.search(r"VmRSS:\s*(\d+)", status)[1]) / 1024
        threads = int(re.search(r"Threads:\s*(\d+)", status)[1])
        return rss, len(list(Path(f"/proc/{self.process.pid}/fd").iterdir())), threads

    def waited_s(self):
        """How long it was ready to run and others ran."""
        try:
            return int(Path(f"/proc/{self.process.pid}/schedstat").read_text().split()[1]) / 1e9
        except (OSError, ValueError):
            return 0.0

    def handles_term(self):
        """One that was started just now handles SIGTERM only when its imports are done."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        caught = int(re.search(r"SigCgt:\s*([0-9a-f]+)", status)[1], 16)
        return bool(caught >> (signal.SIGTERM - 1) & 1)


class Supervisor:
    """Watches the parts; `arm` names the failpoints of the next start, `tell` hears of faults."""

    def __init__(self, world, parts, arm, tell):
        self.parts = {part.name: part for part in parts}
        self._world, self._arm, self._tell = world, arm, tell
        self._watching = None
        self.quiet = False  # nothing is armed any more
        self.holds = False  # who stopped at a place goes on when it is told, not by the clock

    def start(self):
        for part in self.parts.values():
            self.revive(part)
        self._watching = asyncio.create_task(self._watch())

    def revive(self, part):
        part.start(*(("", 0.0) if self.quiet else self._arm(part)))

    def of(self, *roles):
        return [part for part in self.parts.values() if part.role in roles]

    async def _watch(self):
        while True:
            for part in list(self.parts.values()):
                self._look(part)
            await asyncio.sleep(_BEAT_S)

    def _look(self, part):
        code = part.process.poll()
        if code is None:
            self._stopped(part)
            return
        if part.cause == "gone":
            return
        struck = part.struck()
        if part.cause is None:
            if code == -signal.SIGKILL and struck:
                self._tell(f"failpoint {struck[-1][0].decode()}", part.name)
            else:
                self._tell(plan.EXIT, part.name, code=code)
        self.revive(part)

    def _stopped(self, part):
        """A place with `:stop` strikes: others take over, then it may go on."""
        now = time.monotonic()
        if part.stopped_until is None:
            struck = part.struck() if part.is_stopped() else []
            if struck and struck[-1][1] == b"SIGSTOP":
                part.heard()
                wait_s = 2 * plan.lease_s(part.role, self._world.log)
                part.stopped_until = now + (math.inf if self.holds else wait_s)
                self._tell(f"stop at {struck[-1][0].decode()}", part.name)
        elif part.stopped_until < now:
            part.stopped_until = None
            part.process.send_signal(signal.SIGCONT)

    async def add(self, part):
        self.parts[part.name] = part
        self.revive(part)

    async def take_away(self, part):
        """End a part for good; return its exit code and how long that took (None: too long).

        What it waited for a processor does not count, for itself and as much again for the two
        databases that it has to say goodbye to.
        """
        part.cause = "gone"
        await self.term_handled(part)
        began, waited = time.monotonic(), part.waited_s()
        part.signal(signal.SIGTERM)
        while (code := part.process.poll()) is None:
            if part.is_stopped():  # by a place it was armed for: that is not its fault
                part.signal(signal.SIGCONT)
            if time.monotonic() - began > plan.EXIT_S + 3 * (part.waited_s() - waited):
                part.process.kill()
                return await asyncio.to_thread(part.process.wait), None
            await asyncio.sleep(_BEAT_S)
        return code, time.monotonic() - began

    async def term_handled(self, part, within_s=60):
        deadline = time.monotonic() + within_s
        while part.process.poll() is None and time.monotonic() < deadline:
            if part.handles_term():
                return
            await asyncio.sleep(0.05)

    async def end(self):
        """Ask everybody to end; return by name how long it took and the exit code."""
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)
        living = [part for part in self.parts.values() if part.process.poll() is None]
        ended = await asyncio.gather(*(self.take_away(part) for part in living))
        return {part.name: how for part, how in zip(living, ended, strict=True)}

    def kill(self):
        if self._watching:
            self._watching.cancel()
        for part in self.parts.values():
            if part.process and part.process.poll() is None:
                part.process.kill()
                part.process.wait()
