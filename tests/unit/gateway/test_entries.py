"""An entry of the ledger is kept in one canonical form: whoever checks it needs nothing of ours."""

import json
from datetime import UTC, datetime

from gateway.entries import API, LAST, Answer, Bases, Chain, Told, encoded, entry_id, place
from svckit.disclosure import Disclosed

AT = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)


def test_a_body_has_sorted_keys_and_no_white_space_at_every_depth() -> None:
    item = Disclosed("case", "org_a", "per_b", 3, 2, rules="9f")
    answer = Answer("org_c", "cli_d", "äctor", "TREAT", API, "GET", 200, "0" * 32, (item,))
    bases = Bases(encoded([{"version": 1, "because": "consent"}]), encoded([{"id": "con_e"}]))
    [entry] = Chain("s" * 16).add([Told(answer, item, bases)], AT)
    found = json.loads(entry.body)
    plain = json.dumps(found, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert entry.body == plain
    assert found["id"] == entry.id
    assert found["grants"] == [{"because": "consent", "version": 1}]


def test_an_id_tells_segment_and_number_and_sorts_by_it() -> None:
    numbers = [1, 31, 32, 1023, 1024, 32**7, LAST]
    ids = [entry_id("s" * 16, number) for number in numbers]
    assert [place(each) for each in ids] == [("s" * 16, number) for number in numbers]
    assert ids == sorted(ids)
