"""Faults that cost the machine little, for runs of many: profile `storm`, the event path alone."""

import asyncio
import signal

from tests.chaos import faults, monitor, partners, plan

_UNDER_WAY = 4  # faults at once, each of another kind


async def nick(stage):
    """Ends one or two sessions of one database."""
    ended = await monitor.ask(
        stage.dice.choice(stage.world.databases()),
        "SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " ORDER BY random() LIMIT $1) AS chosen",
        stage.dice.choice((1, 2)),
    )
    if not ended:
        raise ConnectionError("nobody had a session")
    return f"{ended} sessions"


async def hang(stage):
    """Shorter than its lease: it goes on with what it has, late."""
    part = stage.any_part()
    part.signal(signal.SIGSTOP)
    await asyncio.sleep(stage.dice.uniform(0.1, plan.LEASE_S / 2))
    part.signal(signal.SIGCONT)
    return part.name


KINDS = {
    nick: 10,
    hang: 8,
    faults.repeat: 6,
    partners.gap: 6,
    partners.unknown_type: 3,
    faults.kill: 4,
    faults.stop: 2,
    faults.idle_writer: 1,
    faults.terminate: 1,
    faults.skew: 1,
    faults.cut: 1,
    faults.storm: 0.5,
    faults.immediate: 0.2,
}
ON_KAFKA = {faults.broker_kill: 0.2}


class UnderWay:
    """Lets faults go on beside the next ones: at most one of a kind, and a few in all."""

    def __init__(self):
        self._tasks = {}

    async def begin(self, stage, fault):
        while len(self._tasks) >= _UNDER_WAY:
            await asyncio.wait(self._tasks.values(), return_when=asyncio.FIRST_COMPLETED)
            self._forget()
        self._forget()
        if fault not in self._tasks:
            self._tasks[fault] = asyncio.create_task(stage.hurt(fault))

    def _forget(self):
        for fault in [fault for fault, task in self._tasks.items() if task.done()]:
            self._tasks.pop(fault).result()

    async def ended(self):
        await asyncio.gather(*self._tasks.values())
        self._tasks.clear()
