"""I11: while a fifth of the endpoints hold their requests, the others get theirs nearly as before.

`windows.jsonl` says when all answered and when some held, in turns, with no other fault meanwhile.
What a machine does beside a run slows one window and not the next: a violation is what every pair
of neighbours shows. A p99 under half a second is none, for on two busy cores it is noise.
"""

from bisect import bisect_left
from datetime import datetime

ENOUGH = 100  # deliveries of a window
MOST = 2.0
_NOISE_S = 0.25


def isolation(seen, found, figures):
    windows = seen.lines("windows")
    if not windows:
        return
    names = {row["url"].split("/")[4]: row["url"] for row in seen.rows("endpoints")}
    holding = {name for name, url in names.items() if url.endswith("/blackhole")}
    share = len(holding) / len(names)
    committed = {row["event_id"]: _seconds(row["at"]) for row in seen.rows("journal")}
    taken = [[] for _ in windows]
    begins = [window["begin"] for window in windows]
    first = set()
    for request in sorted(seen.lines("received"), key=lambda request: request["at"]):
        key = request["endpoint"], request["id"]
        if request["endpoint"] in holding or request["id"] not in committed or key in first:
            continue
        first.add(key)
        at = committed[request["id"]]
        index = bisect_left(begins, at) - 1
        if index >= 0 and at < windows[index]["end"]:
            taken[index].append(request["at"] - at)
    pairs = list(zip(taken[::2], taken[1::2], strict=True))
    if min(map(len, taken)) < ENOUGH:
        found.add("I11", f"only {min(map(len, taken))} deliveries of a window: not judged")
        return
    p99s = [(_p99(before), _p99(while_held)) for before, while_held in pairs]
    figures["p99 in s before and while some held"] = [
        [round(before, 3), round(held, 3)] for before, held in p99s
    ]
    if all(held > MOST * max(before, _NOISE_S) for before, held in p99s):
        before, held = min(p99s, key=lambda pair: pair[1] / pair[0])
        found.add("I11", f"with {share:.0%} holding p99 is {held:.2f} s, not {before:.2f} s")


def _p99(times):
    return sorted(times)[int(len(times) * 0.99)]


def _seconds(text):
    return datetime.fromisoformat(text).timestamp()
