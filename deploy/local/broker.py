"""A real Apache Kafka broker for tests and laptops: jars from Maven, one KRaft node on loopback.

    python deploy/local/broker.py DIR [--port N]

Needs `java` (17 or newer) and `mvn`; jars are kept in the user's cache folder. `Broker` is what
tests use: start, stop, kill, wipe.
"""

import argparse
import base64
import os
import shutil
import signal
import socket
import string
import subprocess
import time
import uuid
from pathlib import Path

from careloop.ports import free_port
from careloop.process import dies_with_parent

HERE = Path(__file__).resolve().parent / "kafka"
VERSION = "4.3.1"
READY_WITHIN_S = 120.0
STOPPED_WITHIN_S = 20.0
_FETCH_S = 600
_STARTED = "Kafka Server started"


class BrokerFailure(Exception):
    """Kafka could not be fetched, formatted or started; the text says where its log is."""


def missing() -> str | None:
    """Return why no broker can be started here, or None."""
    absent = [program for program in ("java", "mvn") if shutil.which(program) is None]
    return f"{' and '.join(absent)} not installed: no Kafka broker" if absent else None


def fetch() -> Path:
    """Return the folder of the jars, fetched once. Raises BrokerFailure."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    jars = cache / "careloop" / f"kafka-{VERSION}"
    if jars.is_dir():
        return jars
    partial = jars.with_name(f"{jars.name}.{uuid.uuid4().hex[:8]}")
    done = subprocess.run(
        [
            *("mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), "dependency:copy-dependencies"),
            *(f"-Dkafka.version={VERSION}", f"-DoutputDirectory={partial}"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=_FETCH_S,
    )
    if done.returncode != 0 or not partial.is_dir():
        raise BrokerFailure(f"mvn could not fetch the jars: {done.stdout[-800:]}")
    try:
        partial.rename(jars)
    except OSError:  # another process was first
        shutil.rmtree(partial, ignore_errors=True)
    return jars


class Broker:
    """One node with its files in `folder`; the ports stay the same over restarts."""

    def __init__(self, folder: Path, port: int | None = None, heap: str = "512m") -> None:
        self.folder = folder
        self.port = port or free_port()
        self._controller_port = free_port()
        self._heap = heap
        self._begin = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The event log URL of this broker."""
        return f"kafka://127.0.0.1:{self.port}"

    @property
    def log_file(self) -> Path:
        return self.folder / "kafka.log"

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def start(self) -> None:
        """Start and wait until it answers. Raises BrokerFailure."""
        self.launch()
        self.await_ready()

    def launch(self) -> None:
        """Start the process from the main thread, formatting an empty folder first.

        The process ends with the thread that starts it. Raises BrokerFailure.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        jars = fetch()
        config = self._configure()
        if not (self._data / "meta.properties").exists():
            self._format(jars, config)
        with self.log_file.open("ab") as log:
            self._begin = log.tell()
            self._process = subprocess.Popen(
                self._java(jars, "kafka.Kafka", str(config)),
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=dies_with_parent(),  # noqa: PLW1509  # one prctl, no lock is taken
            )

    def _configure(self) -> Path:
        template = string.Template((HERE / "server.properties").read_text())
        config = self.folder / "server.properties"
        config.write_text(
            template.substitute(
                port=self.port, controller_port=self._controller_port, log_dir=self._data
            )
        )
        return config

    def _format(self, jars: Path, config: Path) -> None:
        cluster = "-"
        while cluster.startswith("-"):  # the tool would read it as an option
            cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        command = self._java(jars, "kafka.tools.StorageTool", "format", "--standalone")
        done = subprocess.run(
            [*command, "-t", cluster, "-c", str(config)],
            capture_output=True,
            text=True,
            check=False,
            timeout=READY_WITHIN_S,
        )
        if done.returncode != 0:
            raise BrokerFailure(f"format failed: {(done.stdout + done.stderr)[-800:]}")

    def _java(self, jars: Path, main: str, *arguments: str) -> list[str]:
        return [
            *("java", f"-Xmx{self._heap}", "-Xms256m", "-XX:+UseG1GC", "-XX:TieredStopAtLevel=1"),
            *("-cp", f"{jars}/*", main, *arguments),
        ]

    def await_ready(self) -> None:
        """Wait until the process launched answers. Raises BrokerFailure."""
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                break
            if _STARTED in self._since(self._begin) and self._answers():
                return
            time.sleep(0.1)
        said = self._since(self._begin)[-800:]
        self.kill()
        raise BrokerFailure(f"Kafka did not start, see {self.log_file}: {said}")

    def _since(self, begin: int) -> str:
        with self.log_file.open("rb") as log:
            log.seek(begin)
            return log.read().decode(errors="replace")

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False

    def stop(self) -> None:
        """End in order; kill what does not end in time."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """End as a power cut would (SIGKILL)."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(STOPPED_WITHIN_S)
        self._process = None

    def wipe(self) -> None:
        """Lose all data, as with a new disk; the next start makes another cluster."""
        self.kill()
        shutil.rmtree(self._data, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Run one Kafka broker until Ctrl-C.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int)
    options = parser.parse_args()
    if reason := missing():
        raise SystemExit(reason)
    broker = Broker(options.folder, options.port)
    broker.start()
    print(broker.url, flush=True)
    try:
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
    finally:
        broker.stop()


if __name__ == "__main__":
    main()
