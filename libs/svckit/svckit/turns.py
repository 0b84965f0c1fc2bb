"""How a worker goes on until it is stopped, whatever becomes of its database meanwhile."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog

from svckit.errors import CareloopError
from svckit.faults import AWAY

_between = random.SystemRandom().uniform
_log = structlog.get_logger("turns")


async def run(
    turn: Callable[[], Awaitable[object]],
    stop: asyncio.Event,
    *,
    failed: str,
    idle_s: float,
    most_idle_s: float | None = None,
    again_s: float | None = None,
    wake: asyncio.Event | None = None,
    survives: tuple[type[Exception], ...] = (CareloopError, *AWAY),
) -> None:
    """Take turns until `stop`: at once while they return true, else after `idle_s`, or `wake`.

    The wait doubles up to `most_idle_s`. What a turn raises of `survives` is logged as `failed`, and
    tried again after `again_s`, by default the longest wait; anything else is raised.
    """
    most_s = most_idle_s or idle_s
    wait_s = idle_s
    while not stop.is_set():
        if wake:
            wake.clear()
        try:
            if await turn():
                wait_s = idle_s
                continue
        except survives as error:
            _log.warning(failed, error=type(error).__name__)
            wait_s = again_s or most_s
            if wake:
                wake.clear()
        await pause(stop, wait_s, wake)
        wait_s = min(wait_s * 2, most_s)


async def pause(stop: asyncio.Event, wait_s: float, wake: asyncio.Event | None = None) -> None:
    """Wait for the stop, for what wakes, or for the time to pass."""
    waiting = [asyncio.create_task(event.wait()) for event in (stop, wake) if event]
    try:
        await asyncio.wait(waiting, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()


def backoff(failures: int, most_s: float = 30.0) -> float:
    """Return what to wait after so many failures: doubling from 0.1 s, jitter in the upper half."""
    top = min(most_s, 0.1 * 2 ** min(failures, 10))
    return _between(top / 2, top)
