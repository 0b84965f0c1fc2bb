"""A whole Careloop as its operator and its partners meet it: processes, addresses, key files."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from careloop.partner import Partner
from careloop.ports import free_port
from careloop.process import is_alive

UP_WITHIN_S = 150.0
SERVICES = ("gateway", "case-svc", "referral-svc", "document-svc", "notify-svc")


@dataclass
class Platform:
    """`careloop up` on a data directory of its own; each `start` is a process of its own."""

    data_dir: Path
    port: int = field(default_factory=free_port)
    event_log: str | None = None
    supervisor: subprocess.Popen[bytes] | None = None
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=30, trust_env=False))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def sandbox_file(self) -> Path:
        return self.data_dir / "sandbox.json"

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "careloop", *arguments, "--data-dir", str(self.data_dir)]

    def start(self) -> None:
        """Start and wait until it is seeded; a failure shows what the operator would see."""
        began = time.time()
        more = ("--event-log", self.event_log) if self.event_log else ()
        command = self.command("up", "--port", str(self.port), *more)
        with (self.data_dir / "up.log").open("wb") as output:
            self.supervisor = subprocess.Popen(command, stdout=output, stderr=output)
        deadline = time.monotonic() + UP_WITHIN_S
        while not (self.is_ready() and self.sandbox_file.stat().st_mtime >= began):
            if self.supervisor.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((self.data_dir / "up.log").read_text()[-3000:])
            time.sleep(0.05)

    def is_ready(self) -> bool:
        run = self.run_file()
        mine = run.get("supervisor") == (self.supervisor.pid if self.supervisor else None)
        return bool(mine and run.get("ready") and self.sandbox_file.exists())

    def run_file(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.data_dir / "run.json").read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return found

    def sandbox(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.sandbox_file.read_text())
        return found

    def partner(self, name: str) -> Partner:
        sandbox = self.sandbox()
        (entry,) = (each for each in sandbox["organisations"] if each["name"] == name)
        return Partner.of(sandbox["gateway"], entry, self.data_dir, self.http)

    def pids(self) -> dict[str, int]:
        """Return every process of the platform by its name, PostgreSQL's included."""
        run = self.run_file()
        found = {name: entry["pid"] for name, entry in run["processes"].items()}
        return found | {"postgres": run["postgres"]["pid"], "supervisor": run["supervisor"]}

    def kill(self, service: str) -> int:
        """Kill one service's process as hard as can be, and return its old process id."""
        pid = self.pids()[service]
        os.kill(pid, signal.SIGKILL)
        return pid

    def end(self, how: signal.Signals = signal.SIGINT) -> int:
        """Send the supervisor a signal, wait for its end and return its exit code."""
        assert self.supervisor is not None
        self.supervisor.send_signal(how)
        return self.supervisor.wait(60)


@contextlib.contextmanager
def platform(event_log: str | None = None) -> Iterator[Platform]:
    """A folder that PostgreSQL's account can reach, and nothing left of it afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="careloop-e2e-"))
    folder.chmod(0o711)
    found = Platform(folder, event_log=event_log)
    try:
        yield found
    finally:
        pids = found.pids() if found.run_file() else {}
        if found.supervisor is not None and found.supervisor.poll() is None:
            found.end(signal.SIGTERM)
        until_gone(pids)
        found.http.close()
        shutil.rmtree(folder, ignore_errors=True)


def until_gone(pids: dict[str, int], within_s: float = 30) -> None:
    """Wait until none of the processes runs any more."""
    deadline = time.monotonic() + within_s
    while left := sorted(name for name, pid in pids.items() if is_alive(pid)):
        assert time.monotonic() < deadline, f"still running: {', '.join(left)}"
        time.sleep(0.05)
