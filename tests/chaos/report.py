"""What a run prints, and the line it leaves for docs/evidence."""

import statistics
from collections import defaultdict

import orjson
from svckit.clock import now

from tests.chaos import skipped


def recoveries(stage):
    by_kind = defaultdict(list)
    for kind, took_s in stage.recoveries:
        by_kind[kind].append(took_s)
    return {
        kind: (len(times), statistics.median(times), max(times))
        for kind, times in sorted(by_kind.items())
    }


def show(world, stage, found, figures, commit):
    print(f"seed {world.seed}, log {world.log}, commit {commit}, {figures['seconds']} s")
    print(
        f"profile {world.profile}; events {figures['events']}, applied {figures['effects']}, told {figures.get('told', 0)},"
        f" requests {figures.get('requests', 0)}, deliveries {figures.get('deliveries', {})}"
    )
    print(f"faults {figures['faults']}:")
    for kind, count in figures["by kind"].items():
        print(f"  {count:5} {kind}")
    print("recovery until all from before the fault's end has arrived (s):")
    print("  count  median     max")
    for kind, (count, median, longest) in recoveries(stage).items():
        print(f"  {count:5} {median:7.1f} {longest:7.1f}  {kind}")
    print(f"duplicates in the log: {figures['duplicates per million']} per million events")
    print(
        f"requests repeated after a 2xx: {figures.get('repeated requests', 0)},"
        f" {figures.get('repeats per million requests', 0)} per million"
    )
    for what, why in skipped.SKIPPED.items():
        print(f"not injected: {what}: {why}")
    for words in found.words:
        print(f"VIOLATION {words}")
    print(f"violations {sum(found.counts.values())}  (seed {world.seed})")


def summary(world, stage, found, figures, commit):
    times = {
        kind: [count, round(m, 2), round(x, 2)] for kind, (count, m, x) in recoveries(stage).items()
    }
    told = {
        **figures,
        "seed": world.seed,
        "log": world.log,
        "commit": commit,
        "violations": dict(found.counts),
        "recovery": times,
    }
    (world.path / "summary.json").write_bytes(orjson.dumps(told, option=orjson.OPT_INDENT_2))
    cells = [
        *(f"{now():%Y-%m-%d}", commit, world.profile, world.log, world.seed, figures["seconds"]),
        *(figures["events"], figures.get("requests", 0), figures["faults"]),
        *(sum(found.counts.values()), figures["duplicates per million"]),
    ]
    line = f"| {' | '.join(map(str, cells))} |"
    (world.path / "summary.md").write_text(line + "\n")
    return line
