"""What a process takes is judged once it has settled."""

import asyncio
from types import SimpleNamespace

import pytest

from tests.chaos.stage import Stage


class Running:
    """A process that is asked, again and again, what it takes."""

    name, role, poll = "receive-0", "receive", staticmethod(lambda: None)

    def __init__(self, *readings):
        self.process, self._readings = self, list(readings)

    def usage(self):
        return self._readings.pop(0) if len(self._readings) > 1 else self._readings[0]


@pytest.mark.parametrize(
    ("readings", "found"),
    [
        ([(82, 96, 1), (82, 12, 1)], 0),
        ([(82, 96, 1)], 1),
        ([(190, 11, 1)], 1),
        ([(77, 11, 12)], 1),
        ([(77, 11, 1)], 0),
    ],
    ids=["closes by and by", "files stay", "memory", "threads", "as at first"],
)
def test_what_stays_is_a_leak(readings, found):
    wrong = []
    stage = Stage.__new__(Stage)
    stage.supervisor = SimpleNamespace(parts={"receive-0": Running(*readings)})
    stage.usage, stage.wrong = {"receive": (77, 11, 1)}, wrong.append
    asyncio.run(stage.measure(settles_s=1.5))
    assert len(wrong) == found, wrong
