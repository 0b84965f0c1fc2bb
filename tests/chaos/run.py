"""Runs the harness once: minutes of faults, or one scenario; then quiet, histories and verdict."""

import time

import orjson

from tests.chaos import histories
from tests.chaos.checker import check
from tests.chaos.plan import PROFILES, World
from tests.chaos.stage import Stage


async def _judge(stage, left):
    world = stage.world
    run = {"left": left, "repeated": stage.repeated}
    (world.path / "run.json").write_bytes(orjson.dumps(run))
    await histories.dump(world)
    return check(world.folder)


async def torment(folder, *, log, seed, minutes, profile="whole", rate=None, pause_s=None):
    """Faults for that long; return violations, figures and the stage."""
    given = PROFILES[profile]
    rate = given.rate if rate is None else rate
    partners = "notify-api" in given.roles
    world = World(str(folder), log, seed, rate, profile=profile, partners=partners)
    stage = Stage(world)
    async with stage.up():
        assert await stage.arrivals.caught_up(time.time(), within_s=240), "nothing arrives"
        began = time.time()
        await stage.torment(began + minutes * 60, pause_s or given.pause_s)
        calm_at = time.time()
        left = await stage.calm()
        drained_s = time.time() - calm_at
        await stage.measure()
        await stage.end()
        found, figures = await _judge(stage, left)
    figures |= {"seconds": round(time.time() - began), "drained in s": round(drained_s)}
    return found, figures, stage


async def scenario(folder, mutant, name, postgres):
    """One fault, with the guard taken away (or `name` None: with it); return the violations."""
    world = World(str(folder), "postgres", 1, 25, partners="notify-api" in mutant.roles)
    stage = Stage(world, mutant=name, given=postgres, roles=mutant.roles)
    armed = dict(mutant.armed)
    stage.arm = lambda part: (armed.pop(part.name, ""), 0.0)
    stage.behaviours = mutant.behaviours
    async with stage.up():
        assert await stage.arrivals.caught_up(time.time(), within_s=120), "nothing arrives"
        await mutant.act(stage)
        left = await stage.calm()
        await stage.end()
        found, _ = await _judge(stage, left)
    return found
