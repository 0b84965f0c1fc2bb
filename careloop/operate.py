"""What the commands do, apart from reading their options."""

import contextlib
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from careloop import binaries
from careloop.bootstrap import FirstClient
from careloop.demo import play as play_loop
from careloop.errors import NotRunning, PostgresFailure, StartFailure
from careloop.layout import Layout
from careloop.ports import is_free
from careloop.process import is_alive, unprivileged
from careloop.seed import Seed
from careloop.services import Machine
from careloop.settings import OperatorSettings
from careloop.supervisor import Supervisor, answers

_STARTED_WITHIN_S = 120.0
_STOPPED_WITHIN_S = 60.0
_NEWEST_TESTED = (3, 11)


def detach(data_dir: Path, arguments: Sequence[str]) -> None:
    """Start `careloop up` with these arguments apart from the terminal, and wait until it is up.

    Raises:
        StartFailure: it ended, or did not get ready in time.
    """
    layout = Layout(data_dir.absolute())
    layout.lock().close()
    again = [argument for argument in arguments if argument != "--detach"]
    log = layout.log("supervisor")
    began = time.time()
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "careloop", *again],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + _STARTED_WITHIN_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise StartFailure(f"it did not start:\n{layout.tail('supervisor')}")
        run = layout.running() or {}
        seeded = "--no-seed" in again or _newer(layout.sandbox_file, began)
        if run.get("supervisor") == process.pid and run.get("ready") and seeded:
            return
        time.sleep(0.1)
    process.terminate()
    raise StartFailure(f"not ready after {_STARTED_WITHIN_S:.0f} s, see {log}")


def _newer(path: Path, instant: float) -> bool:
    return path.exists() and path.stat().st_mtime >= instant - 1


def down(layout: Layout) -> None:
    """Stop the supervisor of the data directory and wait until everything ended.

    Raises:
        NotRunning: nobody holds the data directory.
    """
    run = layout.held()
    with contextlib.suppress(ProcessLookupError):
        os.kill(run["supervisor"], signal.SIGTERM)
    deadline = time.monotonic() + _STOPPED_WITHIN_S
    while layout.is_held():
        if time.monotonic() > deadline:
            raise NotRunning(f"process {run['supervisor']} does not stop")
        time.sleep(0.05)


def seed(running: Supervisor) -> None:
    if running.machine is None:
        raise NotRunning("nothing has been started")
    first = running.first_client or FirstClient.of(running.machine)
    with httpx.Client(timeout=30, trust_env=False) as http:
        work = Seed(running.machine, http, first)
        content = work.run()
    names = ", ".join(entry["name"] for entry in content["organisations"])
    running.report(f"network: {names} ({work.made} made)")


def seed_running(layout: Layout, console: Console) -> None:
    """Seed the platform that another process runs.

    Raises:
        NotRunning: nobody holds the data directory.
    """
    run = layout.held()
    machine = Machine.running(layout, run, OperatorSettings().database_url)
    with httpx.Client(timeout=30, trust_env=False) as http:
        work = Seed(machine, http, FirstClient.of(machine))
        work.run()
    console.print(f"{work.made} made; {layout.sandbox_file}")


def migrate(supervisor: Supervisor) -> None:
    """Migrate under the data directory's lock: nothing else runs on it meanwhile."""
    with supervisor.only_postgres():
        pass


def play(
    console: Console,
    layout: Layout,
    against: str | None,
    tend: Callable[[], None] | None = None,
) -> None:
    """Play the loop with the partners of `sandbox.json`.

    Raises:
        NotRunning: there is no `sandbox.json`, or it tells of another gateway.
        StepFailed: a step did not hold.
    """
    if not layout.sandbox_file.exists():
        raise NotRunning(f"{layout.sandbox_file} is missing: start with `careloop up`")
    play_loop(console, layout.sandbox_file, against, tend=tend)


def show(console: Console, layout: Layout) -> None:
    run = layout.running() or {}
    gateway = run.get("gateway", "")
    table = Table.grid(padding=(0, 2))
    for name, value in (
        ("gateway", gateway),
        ("tokens", f"{gateway}/oauth/token"),
        ("metadata", f"{gateway}/.well-known/oauth-authorization-server"),
        ("sandbox", str(layout.sandbox_file) if layout.sandbox_file.exists() else "not seeded"),
        ("logs", str(layout.logs)),
        ("event log", run.get("event_log", "")),
    ):
        table.add_row(f"[dim]{name}[/]", value)
    console.print("[bold green]Careloop is up.[/]")
    console.print(table, soft_wrap=True)


def status(console: Console, layout: Layout) -> bool:
    """Print the processes; return whether every one of them is there and ready."""
    run = layout.running()
    if run is None or not layout.is_held():
        console.print(f"no Careloop runs on {layout.root}")
        return False
    table = Table("process", "pid", "port", "restarts", "state", box=None)
    good = is_alive(run["supervisor"])
    table.add_row("supervisor", str(run["supervisor"]), "", "", _state(good))
    for name, entry in run["processes"].items():
        ready = answers(f"http://127.0.0.1:{entry['port']}/readyz")
        good = good and ready
        pid, port, restarts = (str(entry[key]) for key in ("pid", "port", "restarts"))
        table.add_row(name, pid, port, restarts, _state(ready))
    console.print(table)
    console.print(f"[dim]PostgreSQL {run['postgres']['version']}, event log {run['event_log']}[/]")
    return good


def _state(ready: bool) -> str:  # noqa: FBT001 - one word for one fact
    return "[green]ready[/]" if ready else "[red]not ready[/]"


def doctor(console: Console, layout: Layout) -> bool:
    """Print what this machine offers; return whether everything needed is there."""
    checks = [*_needed(layout), *_helpful(layout)]
    for ok, needed, name, detail in checks:
        mark = "[green]ok[/]" if ok else ("[red]missing[/]" if needed else "[yellow]absent[/]")
        console.print(f"  {mark:<20} {name:<16} [dim]{detail}[/]", soft_wrap=True)
    return all(ok for ok, needed, *_ in checks if needed)


Check = tuple[bool, bool, str, str]


def _needed(layout: Layout) -> list[Check]:
    account = unprivileged()
    try:
        programs: Any = binaries.find(account)
        found: Check = (True, True, "PostgreSQL", f"{programs.version} from the {programs.origin}")
    except PostgresFailure as failure:
        found = (False, True, "PostgreSQL", str(failure))
    parent = next(folder for folder in layout.root.parents if folder.exists())
    free_gb = shutil.disk_usage(parent).free / 1e9
    return [
        (sys.version_info >= _NEWEST_TESTED, True, "Python", platform.python_version()),
        found,
        (os.access(parent, os.W_OK), True, "data directory", str(layout.root)),
        (free_gb > 1, True, "disk", f"{free_gb:.0f} GB free"),
    ]


def _helpful(layout: Layout) -> list[Check]:
    account = unprivileged()
    who = "PostgreSQL runs as you" if account is None else f"PostgreSQL runs as {account.name}"
    return [
        (True, False, "account", who),
        (is_free(8080) or layout.is_held(), False, "port 8080", "the gateway's default"),
        (shutil.which("java") is not None, False, "Java", "only for Kafka in `make ci`"),
        (shutil.which("podman") is not None, False, "podman", "only for images in `make ci`"),
    ]
