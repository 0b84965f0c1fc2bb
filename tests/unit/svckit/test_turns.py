"""A worker goes on until it is stopped, and survives what it is to survive."""

import asyncio

import pytest
import structlog
from structlog.testing import LogCapture
from svckit import turns
from svckit.errors import Unavailable

LONG_S = 3600


def _script(stop, *answers):
    """A turn that answers, or raises, one after the other, and then stops."""
    left = list(answers)

    async def turn():
        if not left:
            stop.set()
            return False
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return turn, left


async def _run(turn, stop, **options):
    async with asyncio.timeout(20):
        await turns.run(turn, stop, failed="it failed", **options)


async def test_turns_follow_each_other_at_once_while_there_is_more():
    stop = asyncio.Event()
    turn, _ = _script(stop, True, True, True)
    await _run(turn, stop, idle_s=LONG_S)


async def test_what_is_away_is_told_and_tried_again(monkeypatch):
    told = LogCapture()
    # a logger of its own: the process's may have been used, or told to keep quiet, before
    log = structlog.wrap_logger(None, [told], structlog.BoundLogger)
    monkeypatch.setattr(turns, "_log", log)
    stop = asyncio.Event()
    turn, left = _script(stop, ConnectionError(), Unavailable("not now"), True)
    await _run(turn, stop, idle_s=LONG_S, again_s=0.001)
    assert left == []
    assert [(line["event"], line["error"]) for line in told.entries] == [
        ("it failed", "ConnectionError"),
        ("it failed", "Unavailable"),
    ]


async def test_a_fault_of_our_own_is_raised_unless_the_loop_outlives_it():
    stop = asyncio.Event()
    turn, _ = _script(stop, ValueError())
    with pytest.raises(ValueError):
        await _run(turn, stop, idle_s=0.001)
    turn, left = _script(stop, ValueError(), True)
    await _run(turn, stop, idle_s=0.001, survives=(Exception,))
    assert left == []


async def test_who_waits_is_woken_and_stopped():
    stop, wake = asyncio.Event(), asyncio.Event()
    taken = asyncio.Queue()

    async def turn():
        taken.put_nowait(wake.is_set())

    running = asyncio.create_task(_run(turn, stop, idle_s=LONG_S, wake=wake))
    await taken.get()
    wake.set()
    async with asyncio.timeout(10):
        assert await taken.get() is False
        stop.set()
        await running
    assert taken.empty()


def test_the_wait_after_failures_doubles_up_to_its_most():
    for failures, most_s, top_s in ((1, 30, 0.2), (5, 30, 3.2), (99, 30, 30), (99, 6.4, 6.4)):
        assert top_s / 2 <= turns.backoff(failures, most_s) <= top_s
