"""python -m tests.chaos [--minutes 10] [--seed N] [--log postgres|kafka]
    [--profile whole|storm] [--rate 50] [--pause 0.5 4]

Ends with 1 on a violation. The histories stay in the folder it prints.
"""

import argparse
import asyncio
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

from deploy.local import broker
from tests.chaos import report
from tests.chaos.plan import PROFILES
from tests.chaos.run import torment

ROOT = Path(__file__).parents[2]


def commit():
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip() or "unknown"


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--log", choices=["postgres", "kafka"], default="postgres")
    parser.add_argument("--profile", choices=list(PROFILES), default="whole")
    parser.add_argument(
        "--rate", type=float, help="transactions a second; 0: what the machine gives"
    )
    parser.add_argument(
        "--pause", type=float, nargs=2, metavar=("LEAST", "MOST"), help="seconds between faults"
    )
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "chaos")
    options = parser.parse_args()
    if options.log == "kafka" and (reason := broker.missing()):
        sys.exit(reason)
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    folder = (options.folder / f"{options.profile}-{options.log}-{seed}").resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    print(f"seed {seed}, histories in {folder}", flush=True)
    at = commit()
    began = time.time()
    found, figures, stage = asyncio.run(
        torment(
            folder,
            log=options.log,
            seed=seed,
            minutes=options.minutes,
            profile=options.profile,
            rate=options.rate,
            pause_s=options.pause,
        )
    )
    report.show(stage.world, stage, found, figures, at)
    report.summary(stage.world, stage, found, figures, at)
    print(f"in all {time.time() - began:.0f} s; {folder / 'summary.json'}")
    sys.exit(1 if found.counts else 0)


if __name__ == "__main__":
    main()
