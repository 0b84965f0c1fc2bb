"""Judges a run by its histories alone: python -m tests.chaos.checker FOLDER

I1 no loss, I2 no ghost, I3 versions one by one, I4 effects once, I5 every delivery ends in a visible
state, I6 what is called delivered arrived, repeats are bounded by the faults, I7 same bytes, valid
signatures, I8 every request has an attempt, I9 none that must not be, I10 cases in order where that
was asked for, I12 nothing
stays parked, I13 the poll client misses and repeats nothing, I14 what is under way goes to zero.
`fence`: no offset goes back within one log; `end`: what has ended stays so.
"""

import csv
import sys
from collections import Counter
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import orjson

from tests.chaos import plan
from tests.chaos.check_webhooks import webhooks
from tests.chaos.plan import EXIT

_SHOWN = 5


class Histories:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.world = plan.World.load(folder)

    def rows(self, name):
        with (self.folder / f"{name}.csv").open(newline="") as file:
            yield from csv.DictReader(file)

    def lines(self, name):
        path = self.folder / f"{name}.jsonl"
        return [orjson.loads(line) for line in path.open("rb")] if path.exists() else []

    def json(self, name):
        return orjson.loads((self.folder / f"{name}.json").read_bytes())


class Violations:
    """Counts by invariant, with the first few of each in words."""

    def __init__(self):
        self.counts = Counter()
        self.words = []

    def add(self, invariant, words):
        self.counts[invariant] += 1
        if self.counts[invariant] <= _SHOWN:
            self.words.append(f"{invariant}: {words}")


def check(folder):
    """Return the violations and the figures of a run."""
    seen = Histories(folder)
    found, figures = Violations(), {}
    faults = seen.lines("faults")
    for line in faults:
        if "violation" in line:
            invariant, _, words = line["violation"].partition(": ")
            found.add(invariant, words)
    struck = [line for line in faults if line.get("kind", EXIT) != EXIT]
    figures["ends by themselves"] = sum(line.get("kind") == EXIT for line in faults)
    _ledger(seen, found, figures)
    _offsets(seen, found)
    _log(seen, found, figures, len(struck))
    _left(seen, found)
    if (seen.folder / "told.csv").exists():
        _feed(seen, found, figures)
        webhooks(seen, found, figures, struck)
    # who was cut off by another fault before it did its own is no fault of its own
    done = [line for line in struck if not str(line.get("what")).startswith(plan.INTERRUPTED)]
    figures["faults"], figures["interrupted"] = len(done), len(struck) - len(done)
    figures["by kind"] = dict(Counter(line["kind"] for line in done).most_common())
    return found, figures


def _by_subject(rows):
    """What was done to one subject at a time: no more than that is in memory."""
    for subject, group in groupby(rows, key=itemgetter("subject")):
        yield (
            subject,
            [(int(row["version"]), row["event_id"], int(row["amount"])) for row in group],
        )


def _ledger(seen, found, figures):
    """The ledger of effects beside the journal of commits, subject by subject in the same order."""
    figures["events"] = figures["effects"] = 0
    journal, ledger = _by_subject(seen.rows("journal")), _by_subject(seen.rows("ledger"))
    wanted, applied = next(journal, None), next(ledger, None)
    while wanted or applied:
        if not applied or (wanted and wanted[0] < applied[0]):
            subject, commits, effects = wanted[0], wanted[1], []
        elif not wanted or applied[0] < wanted[0]:
            subject, commits, effects = applied[0], [], applied[1]
        else:
            subject, commits, effects = wanted[0], wanted[1], applied[1]
        wanted = next(journal, None) if commits else wanted
        applied = next(ledger, None) if effects else applied
        figures["events"] += len(commits)
        figures["effects"] += len(effects)
        _subject(found, subject, commits, effects)


def _subject(found, subject, commits, effects):
    committed = {event_id for _, event_id, _ in commits}
    times = Counter(event_id for _, event_id, _ in effects)
    for event_id in committed - set(times):
        found.add("I1", f"{subject}: {event_id} was committed and not applied")
    for event_id in set(times) - committed:
        found.add("I2", f"{subject}: {event_id} was applied and never committed")
    for event_id, count in times.items():
        if count > 1:
            found.add("I4", f"{subject}: {event_id} was applied {count} times")
    if [version for version, _, _ in effects] != list(range(1, len(effects) + 1)):
        found.add("I3", f"{subject}: {len(effects)} effects not in the order of their versions")
    sums = [sum(amount for _, _, amount in rows) for rows in (commits, effects)]
    if sums[0] != sums[1]:
        found.add("I4", f"{subject}: the sum is {sums[1]}, not {sums[0]}")


def _offsets(seen, found):
    for name in ("offsets-ledger", "offsets-notify"):
        if not (seen.folder / f"{name}.csv").exists():
            continue
        for row in seen.rows(name):
            if row["old_log"] == row["new_log"] and int(row["new"]) < int(row["old"]):
                found.add("fence", f"{row['topic']}/{row['partition']} went back from {row['old']}")


def _log(seen, found, figures, faults):
    log, run = seen.json("log"), seen.json("run")
    twice = log["records"] - log["distinct"] - run["repeated"]
    figures["records in the log"] = log["records"]
    figures["duplicates per million"] = round(max(twice, 0) * 1e6 / max(log["distinct"], 1))
    if twice > faults * plan.BATCH:
        found.add("I6", f"{twice} records are twice in the log after {faults} faults")


def _left(seen, found):
    left = seen.json("run")["left"]
    for what, count in left.items():
        if count and what not in {"journal", "ledger"}:
            found.add("I12" if "parked" in what else "I14", f"{count} {what}")


def _feed(seen, found, figures):
    """Feeds: everybody who is to be told, of everything, once, in order, without a gap."""
    from tests.chaos.generator import audience

    told = {row["id"]: (row["subject"], int(row["version"])) for row in seen.rows("told")}
    expected = {}
    for row in seen.rows("journal"):
        if row["subject"].startswith("cas_"):
            for organisation in audience(seen.world, row["subject"]):
                expected.setdefault(organisation, set()).add(row["event_id"])
    feeds = {
        organisation: [(int(row["seq"]), row["message_id"]) for row in rows]
        for organisation, rows in groupby(seen.rows("feed"), key=itemgetter("organisation_id"))
    }
    for organisation in expected | feeds:
        items = feeds.get(organisation, [])
        ours = [message_id for _, message_id in items if message_id in told]
        if [seq for seq, _ in items] != list(range(1, len(items) + 1)):
            found.add("I13", f"the feed of {organisation} has a gap")
        for missing in expected.get(organisation, set()) - set(ours):
            found.add("I1", f"{organisation} was not told of {missing}")
        for ghost in set(ours) - expected.get(organisation, set()):
            found.add("I2", f"{organisation} was told of {ghost}")
        last = {}
        for subject, version in map(told.__getitem__, ours):
            if version != last.get(subject, 0) + 1:
                found.add("I3", f"{organisation} was told of {subject} version {version} too early")
            last[subject] = version
    figures["told"] = sum(len(items) for items in feeds.values())
    _polls(seen, found, feeds)


def _polls(seen, found, feeds):
    read = {}
    for line in seen.lines("polls"):
        read.setdefault(line["organisation"], []).extend(map(tuple, line["items"]))
    for organisation, items in read.items():
        if items != feeds.get(organisation, []):
            found.add("I13", f"{organisation} did not read its feed as it is")


def main(folder):
    found, figures = check(folder)
    print(orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode())
    print("\n".join(found.words) or "no violation")
    sys.exit(1 if found.counts else 0)


if __name__ == "__main__":
    main(sys.argv[1])
