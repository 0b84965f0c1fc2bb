"""Starting, stopping, killing and starting again."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from careloop.demo.checks import eventually
from tests import world
from tests.world import Platform


@pytest.fixture(scope="module")
def data() -> Iterator[Platform]:
    with world.platform() as found:
        yield found


@pytest.fixture
def platform(data: Platform) -> Platform:
    """A Careloop that runs: the one the test before left, else a new start on the same data."""
    if data.supervisor is None or data.supervisor.poll() is not None:
        data.start()
    return data


def organisations(platform: Platform) -> list[tuple[str, str, str]]:
    return [(e["name"], e["id"], e["client_id"]) for e in platform.sandbox()["organisations"]]


def persons(platform: Platform) -> list[str]:
    return sorted(
        person["id"] for person in platform.partner("Lakeside Clinic").items("/v1/persons")
    )


def test_a_second_up_on_the_same_data_is_refused(platform: Platform):
    done = careloop(platform, "up", "--port", str(platform.port + 1))
    assert done.returncode == 1
    assert "already runs" in done.stdout
    assert platform.is_ready()


def test_a_dead_postgres_is_started_again(platform: Platform):
    before = persons(platform)
    old = platform.kill("postgres")
    assert persons(platform) == before
    assert platform.pids()["postgres"] != old


def test_a_killed_nursery_takes_the_services_along_and_they_come_back(platform: Platform):
    before = platform.pids()
    services = {name: before[name] for name in world.SERVICES}
    (nursery,) = {parent_of(pid) for pid in services.values()}
    assert nursery != before["supervisor"]
    os.kill(nursery, signal.SIGKILL)
    eventually(lambda: not set(services.values()) & set(platform.pids().values()), "no new start")
    eventually(lambda: careloop(platform, "status").returncode == 0, "not ready again")
    assert persons(platform)
    world.until_gone(services)


def test_a_killed_supervisor_takes_everything_along_and_the_data_stays(platform: Platform):
    before = organisations(platform), persons(platform)
    pids = platform.pids()
    platform.end(signal.SIGKILL)
    # at once: the next start itself waits for what the killed one left behind
    platform.start()
    assert (organisations(platform), persons(platform)) == before
    world.until_gone(pids)


def test_ctrl_c_leaves_no_process_and_down_has_nothing_to_stop(platform: Platform):
    pids = platform.pids()
    assert platform.end(signal.SIGINT) in (0, 130)
    world.until_gone(pids)
    assert not (platform.data_dir / "run.json").exists()
    assert careloop(platform, "down").returncode == 1


def test_detached_it_answers_until_down(platform: Platform):
    before = organisations(platform), persons(platform)
    assert careloop(platform, "down").returncode == 0

    up = careloop(platform, "up", "--detach", "--port", str(platform.port))
    assert up.returncode == 0, up.stdout
    pids = platform.pids()
    assert careloop(platform, "status").returncode == 0
    assert (organisations(platform), persons(platform)) == before

    assert careloop(platform, "down").returncode == 0
    world.until_gone(pids)


def parent_of(pid: int) -> int:
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(words[1])


def careloop(platform: Platform, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = platform.command(*arguments)
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
