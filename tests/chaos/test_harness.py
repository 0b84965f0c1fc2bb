"""The harness itself, for half a minute: the whole of it is `make chaos`."""

import pytest

from tests.chaos.run import torment

pytestmark = pytest.mark.timeout(900)


async def test_half_a_minute_of_faults_shows_no_violation(tmp_path):
    found, figures, _ = await torment(tmp_path, log="postgres", seed=7, minutes=0.5, rate=20)
    assert found.words == []
    assert figures["faults"] >= 1
    assert figures["effects"] == figures["events"] > 100
    assert figures["requests"] > 0
