"""The harness itself, for half a minute: the whole of it is `make chaos`."""

from tests.chaos.run import torment


async def test_half_a_minute_of_faults_shows_no_violation(tmp_path):
    found, figures, stage = await torment(tmp_path, log="postgres", seed=7, minutes=0.5, rate=60)
    assert found.words == []
    assert figures["faults"] >= 5
    assert figures["events"] > 200
    assert figures["effects"] == figures["events"]
    assert figures["requests"] > 50
    assert stage.recoveries
