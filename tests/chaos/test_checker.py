"""Histories that are wrong in one thing each: the checker names the invariant."""

import csv

import orjson
import pytest

from tests.chaos.check_webhooks import ordered
from tests.chaos.checker import Histories, Violations, check
from tests.chaos.plan import World

GOOD = [("a", 1, "e1", 5), ("a", 2, "e2", 6), ("b", 1, "e3", 7)]


@pytest.fixture
def run(tmp_path):
    """Write a run down: what was committed, what was applied, and the rest as it should be."""
    World(str(tmp_path), "postgres", 1, 1.0, partners=False).save()

    def write(ledger=GOOD, *, records=3, left=None, offsets=(), faults=()):
        table(tmp_path, "journal", "subject,version,event_id,amount", GOOD)
        table(tmp_path, "ledger", "subject,version,event_id,amount", ledger)
        table(tmp_path, "offsets-ledger", "topic,partition,old_log,old,new_log,new", offsets)
        dump(tmp_path / "log.json", {"records": records, "distinct": 3})
        dump(tmp_path / "run.json", {"left": left or {"outbox": 0}, "repeated": 0})
        (tmp_path / "faults.jsonl").write_bytes(b"".join(orjson.dumps(f) + b"\n" for f in faults))
        return check(tmp_path)[0]

    return write


def table(folder, name, head, rows):
    with (folder / f"{name}.csv").open("w", newline="") as file:
        csv.writer(file).writerows([head.split(","), *rows])


def dump(path, value):
    path.write_bytes(orjson.dumps(value))


def test_a_run_in_which_all_is_well_has_no_violation(run):
    assert run().words == []


@pytest.mark.parametrize(
    ("ledger", "invariants"),
    [
        (GOOD[:2], {"I1", "I4"}),
        ([*GOOD, ("c", 1, "e9", 0)], {"I2"}),
        ([GOOD[1], GOOD[0], GOOD[2]], {"I3"}),
        ([GOOD[0], *GOOD], {"I3", "I4"}),
        ([GOOD[0], ("a", 2, "e2", 7), GOOD[2]], {"I4"}),
        ([], {"I1", "I4"}),
    ],
)
def test_a_ledger_that_is_not_the_journal_is_found(run, ledger, invariants):
    assert set(run(ledger).counts) == invariants


@pytest.mark.parametrize(
    ("wrong", "invariant"),
    [
        ({"records": 4}, "I6"),
        ({"left": {"outbox": 1}}, "I14"),
        ({"left": {"ledger parked": 1}}, "I12"),
        ({"offsets": [("t", 0, "x", 9, "x", 8)]}, "fence"),
        ({"faults": [{"violation": "I15: relay-0 took 11 s"}]}, "I15"),
    ],
)
def test_what_else_is_wrong_is_found(run, wrong, invariant):
    assert set(run(**wrong).counts) == {invariant}


def test_repeats_in_the_log_are_allowed_as_far_as_faults_explain_them(run):
    assert run(records=4, faults=[{"kind": "kill", "what": "relay-0"}]).words == []


def test_an_offset_that_begins_again_in_a_log_made_anew_is_well(run):
    assert run(offsets=[("t", 0, "x", 9, "y", 0)]).words == []


@pytest.mark.parametrize(
    ("requests", "invariants"),
    [
        ([("m1", 500), ("m1", 200), ("m2", 200)], set()),
        ([("m1", 500), ("m2", 200)], set()),  # given up: the next need not wait
        ([("m1", 500), ("m2", 200), ("m1", 200)], {"I10"}),
        ([("m2", 500), ("m1", 200), ("m2", 200)], {"I10"}),
        ([("m1", 200), ("m2", 200), ("m1", 200)], set()),  # sent again after an answer was lost
    ],
)
def test_an_ordered_endpoint_that_was_told_out_of_order_is_found(tmp_path, requests, invariants):
    World(str(tmp_path), "postgres", 1, 1.0).save()
    table(tmp_path, "told", "id,subject,version", [("m1", "cas_1", 1), ("m2", "cas_1", 2)])
    endpoints = {"whe_1": {"ordering": "fifo", "url": "http://receiver/e/flaky-1/flaky"}}
    received = [
        {"endpoint_id": "whe_1", "id": message, "status": status, "at": at}
        for at, (message, status) in enumerate(requests)
    ]
    found = Violations()
    ordered(Histories(tmp_path), found, endpoints, received)
    assert set(found.counts) == invariants
