"""Starts PostgreSQL and the five services as separate processes and keeps them running.

Everything forks from the main thread: the kernel ties a child's death signal to that thread.
"""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from types import FrameType
from typing import IO, Self
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from careloop import databases, migrations, nursery, postgres
from careloop.bootstrap import FirstClient
from careloop.errors import AlreadyRunning, StartFailure
from careloop.layout import Layout, write_json
from careloop.ports import free_port, is_free
from careloop.process import is_alive, name_of
from careloop.services import GATEWAY, PARTS, Machine, Part

READY_WITHIN_S = 60.0
# The services drain for 8 s at most (svckit.service), then close what they hold.
STOPPED_WITHIN_S = 15.0
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 10.0
# A process that ran this long is taken for healthy: its next restart is immediate again.
HEALTHY_AFTER_S = 30.0

Report = Callable[[str], None]
_opener = build_opener(ProxyHandler({}))


@dataclass
class Child:
    """One service's process and how often it had to be started."""

    part: Part
    process: ForkServerProcess
    started: float
    restarts: int = 0
    pause_s: float = FIRST_PAUSE_S
    due: float | None = None


@dataclass
class Supervisor:
    """Owns a data directory while it runs; `with` starts everything and stops it again."""

    layout: Layout
    port: int = 8080
    event_log_url: str | None = None
    database_url: str | None = None
    report: Report = field(default=lambda _: None)
    will_seed: bool = False
    machine: Machine | None = None
    children: dict[str, Child] = field(default_factory=dict)
    first_client: FirstClient | None = None
    _lock: IO[str] | None = None
    _stopping: bool = False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start everything and wait until it answers.

        Raises:
            AlreadyRunning: the data directory or the gateway's port is taken.
            StartFailure: a service did not migrate or did not become ready.
        """
        self._lock = self.layout.lock()
        try:
            self._end_predecessor()
            self._refuse_taken_port()
            nursery.begin()
            machine = self.prepare()
            if self.will_seed:
                self.first_client = FirstClient.of(machine)
            for part in PARTS:
                self.children[part.name] = self._spawn(part)
            self._record(ready=False)
            self._wait_until_ready()
            self._record(ready=True)
        except BaseException:
            self.stop()
            raise

    def prepare(self) -> Machine:
        """Start PostgreSQL, provide the databases and migrate them."""
        server = postgres.start(self.layout.root, url=self.database_url)
        self.report(f"PostgreSQL {server.origin}")
        ports = {part.name: free_port() for part in PARTS} | {GATEWAY.name: self.port}
        self.machine = Machine(self.layout, server, ports, self.event_log_url)
        asyncio.run(databases.provide(server, self.machine.places()))
        migrated = migrations.upgrade(self.machine)
        self.report(f"migrated: {', '.join(migrated)}" if migrated else "databases are up to date")
        return self.machine

    @contextmanager
    def only_postgres(self) -> Iterator[Machine]:
        """Hold the data directory with migrated databases and no service, then stop again."""
        self._lock = self.layout.lock()
        try:
            self._end_predecessor()
            yield self.prepare()
        finally:
            self.stop()

    def watch(self) -> None:
        """Restart what dies, until SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        while not self._stopping:
            self.tend()
            time.sleep(0.1)

    def tend(self) -> None:
        """Look once at every process and start again what ended, after a growing pause."""
        machine = self._machine()
        if machine.postgres.died():
            self.report("PostgreSQL ended; starting it again")
            again = postgres.start(self.layout.root, port=machine.postgres.port)
            machine.postgres.take_over(again)
            self._record(ready=True)
        now = time.monotonic()
        for child in self.children.values():
            code = child.process.exitcode
            if code is None:
                continue
            if child.due is None:
                healthy = now - child.started > HEALTHY_AFTER_S
                child.pause_s = FIRST_PAUSE_S if healthy else child.pause_s
                child.due = now + child.pause_s
                self.report(f"{child.part.name} ended with {code}; starting it again")
            if now >= child.due:
                self._restart(child)

    def stop(self) -> None:
        """Stop the services, then PostgreSQL, and let go of the data directory."""
        alive = [child for child in self.children.values() if child.process.is_alive()]
        for child in alive:
            child.process.terminate()
        deadline = time.monotonic() + STOPPED_WITHIN_S
        for child in alive:
            child.process.join(max(0.0, deadline - time.monotonic()))
            if child.process.is_alive():
                self.report(f"{child.part.name} does not stop; killing it")
                child.process.kill()
                child.process.join()
        self.children.clear()
        if self.machine is not None:
            self.machine.postgres.stop()
        if self._lock is not None:
            self.layout.run_file.unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    def _machine(self) -> Machine:
        if self.machine is None:
            raise StartFailure("nothing has been started")
        return self.machine

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _refuse_taken_port(self) -> None:
        if not is_free(self.port):
            raise AlreadyRunning(f"port {self.port} is taken: choose another with --port")

    def _end_predecessor(self) -> None:
        """Wait for the services of a killed supervisor: they were told to stop when it died."""
        left = self.layout.running() or {}
        pids = {
            entry["pid"]: name
            for name, entry in left.get("processes", {}).items()
            if entry["pid"] and _runs(entry["pid"], name)
        }
        deadline = time.monotonic() + STOPPED_WITHIN_S
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
        while any(is_alive(pid) for pid in pids):
            if time.monotonic() > deadline:
                for pid, name in pids.items():
                    if _runs(pid, name):
                        os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)

    def _spawn(self, part: Part) -> Child:
        environment = self._machine().environment(part)
        process = nursery.start(part, ["serve"], environment, self.layout.log(part.name))
        return Child(part, process, time.monotonic())

    def _restart(self, child: Child) -> None:
        again = self._spawn(child.part)
        again.restarts = child.restarts + 1
        again.pause_s = min(child.pause_s * 2, LONGEST_PAUSE_S)
        self.children[child.part.name] = again
        self._record(ready=True)

    def _wait_until_ready(self) -> None:
        machine = self._machine()
        waiting = set(self.children)
        deadline = time.monotonic() + READY_WITHIN_S
        while waiting and time.monotonic() < deadline:
            for name in sorted(waiting):
                child = self.children[name]
                if not child.process.is_alive():
                    raise StartFailure(f"{name} ended while starting:\n{self.layout.tail(name)}")
                if answers(f"{machine.url(child.part)}/readyz"):
                    waiting.discard(name)
                    self.report(f"{name} is ready")
            time.sleep(0.03)
        if waiting:
            name = min(waiting)
            raise StartFailure(
                f"{name} is not ready after {READY_WITHIN_S:.0f} s:\n{self.layout.tail(name)}"
            )

    def _record(self, *, ready: bool) -> None:
        machine = self._machine()
        processes = {
            name: {
                "pid": child.process.pid,
                "port": machine.ports[name],
                "package": child.part.package,
                "restarts": child.restarts,
            }
            for name, child in self.children.items()
        }
        write_json(
            self.layout.run_file,
            {
                "supervisor": os.getpid(),
                "ready": ready,
                "gateway": machine.issuer,
                "event_log": "kafka" if self.event_log_url else "postgres",
                "event_log_url": self.event_log_url,
                "postgres": {
                    "pid": machine.postgres.pid,
                    "port": machine.postgres.port,
                    "version": machine.postgres.origin,
                },
                "processes": processes,
            },
        )


def answers(url: str) -> bool:
    """Tell whether a GET of `url` is answered with 200."""
    try:
        with _opener.open(url, timeout=2) as answer:
            return bool(answer.status == 200)  # noqa: PLR2004
    except (URLError, OSError):
        return False


def _runs(pid: int, name: str) -> bool:
    """Tell whether `pid` is still the service we started, not somebody who got its number."""
    return is_alive(pid) and name_of(pid) == name
