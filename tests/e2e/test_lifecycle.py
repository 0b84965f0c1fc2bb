"""Starting, stopping, killing and starting again."""

import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests import world
from tests.world import Platform


@pytest.fixture
def platform() -> Iterator[Platform]:
    with world.platform() as found:
        yield found


def organisations(platform: Platform) -> list[tuple[str, str, str]]:
    return [(e["name"], e["id"], e["client_id"]) for e in platform.sandbox()["organisations"]]


def persons(platform: Platform) -> list[str]:
    return sorted(
        person["id"] for person in platform.partner("Lakeside Clinic").items("/v1/persons")
    )


def test_ctrl_c_leaves_no_process_and_the_next_start_takes_over(platform: Platform):
    platform.start()
    before = organisations(platform), persons(platform)
    pids = platform.pids()
    assert platform.end(signal.SIGINT) in (0, 130)
    world.until_gone(pids)
    assert not (platform.data_dir / "run.json").exists()

    platform.start()
    assert (organisations(platform), persons(platform)) == before


def test_a_killed_supervisor_takes_everything_along_and_the_data_stays(platform: Platform):
    platform.start()
    before = organisations(platform), persons(platform)
    pids = platform.pids()
    platform.end(signal.SIGKILL)
    # at once: the next start itself waits for what the killed one left behind
    platform.start()
    assert (organisations(platform), persons(platform)) == before
    world.until_gone(pids)


def test_a_second_up_on_the_same_data_is_refused(platform: Platform):
    platform.start()
    command = platform.command("up", "--port", str(platform.port + 1))
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "already runs" in done.stdout
    assert platform.is_ready()


def test_detached_it_answers_until_down(platform: Platform):
    up = platform.command("up", "--detach", "--port", str(platform.port))
    done = subprocess.run(up, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout
    pids = platform.pids()
    status = subprocess.run(
        platform.command("status"), capture_output=True, text=True, timeout=60, check=False
    )
    assert status.returncode == 0, status.stdout

    down = subprocess.run(
        platform.command("down"), capture_output=True, text=True, timeout=90, check=False
    )
    assert down.returncode == 0, down.stdout
    world.until_gone(pids)
    again = subprocess.run(
        platform.command("down"), capture_output=True, text=True, timeout=60, check=False
    )
    assert again.returncode == 1


def test_a_dead_postgres_is_started_again(platform: Platform):
    platform.start()
    before = persons(platform)
    old = platform.kill("postgres")
    assert persons(platform) == before
    assert platform.pids()["postgres"] != old
