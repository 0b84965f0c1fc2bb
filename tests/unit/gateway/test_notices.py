"""Which answers carry the notice of 42 CFR 2.32, by what the service says that they disclose."""

import pytest
from gateway import notices
from sharing.classes import PART2
from svckit.disclosure import Disclosed, encode

SUBSTANCE_USE = Disclosed("note", "org_1", "per_1", int(PART2))
OTHER = Disclosed("case", "org_1", "per_2", 1)


@pytest.mark.parametrize("rules", ["", "9f3c"])
@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ([OTHER], False),
        ([OTHER, SUBSTANCE_USE], True),
        ([OTHER, SUBSTANCE_USE._replace(denied=True)], False),
    ],
)
def test_an_answer_that_tells_of_substance_use_carries_the_notice(rules, told, expected):
    [line] = encode(told, rules)
    assert bool(notices.of(line, [])) is expected
    joined = b", ".join([*encode([OTHER], rules), line])
    assert bool(notices.of(joined, [])) is expected


def test_the_notice_is_put_on_once():
    [line] = encode([SUBSTANCE_USE])
    assert notices.of(line, notices.of(line, [])) == []
