"""PostgreSQL for one machine: a given server, or one of our own as a direct child.

The child listens on loopback only, asks for a password (SCRAM), never runs as root and ends with
this process. As root it runs as `postgres`, else `nobody`; its files belong to that account. They
lie in `<data directory>/postgres`, or, when that account cannot get there (a folder under /root),
in `/var/lib/careloop/` with a link left in their place.
"""

import asyncio
import contextlib
import os
import secrets
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict
from urllib.parse import quote, urlsplit

import asyncpg

from careloop.binaries import Programs, find
from careloop.errors import PostgresFailure
from careloop.ports import free_port
from careloop.process import Account, dies_with_parent, unprivileged

SUPERUSER = "careloop"
PRIVATE_FOLDERS = Path("/var/lib/careloop")
READY_WITHIN_S = 30.0
STOPPED_WITHIN_S = 20.0
# Five services with a pool each, the event log's connections and the operator's own.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "300",
    "shared_buffers": "64MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "jit": "off",  # compiling costs more than our short statements
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}
# For servers that hold nothing worth keeping.
THROWAWAY = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


@dataclass
class Postgres:
    """A running server; `url` is the superuser's on the database `postgres`."""

    url: str
    pid: int | None = None
    origin: str = "given"
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 5432

    def database_url(self, database: str, role: str = "", password: str = "") -> str:
        """Return the address of `database`, as `role` or as the superuser."""
        scheme, _, rest = self.url.partition("://")
        credentials, _, address = rest.rpartition("@")
        if role:
            credentials = f"{quote(role, safe='')}:{quote(password, safe='')}"
        host = address.partition("/")[0]
        return f"{scheme}://{credentials}@{host}/{database}"

    def died(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def take_over(self, again: "Postgres") -> None:
        """Become the server that was started in place of this one, on the same port."""
        self.pid, self.process = again.pid, again.process

    def stop(self) -> None:
        """End the server in order (fast shutdown); a given server is left alone."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(STOPPED_WITHIN_S)


def start(
    data_dir: Path,
    *,
    url: str | None = None,
    port: int | None = None,
    settings: Mapping[str, str] | None = None,
) -> Postgres:
    """Return the server at `url`, else start our own on the files under `data_dir`.

    Call it from the main thread and hold the data directory's lock: a server left behind by a
    killed predecessor is stopped, and its data taken over. Without `port` a free one is chosen.

    Raises:
        PostgresFailure: no programs, or the server did not become ready.
    """
    if url is not None:
        return Postgres(url)
    account = unprivileged()
    programs = find(account)
    home = _home(data_dir, account)
    password = _password(data_dir)
    data = home / "data"
    if not (data / "PG_VERSION").exists():
        _initialise(programs, home, password, account)
    _refuse_other_major(data, programs)
    _stop_left_behind(data)
    failure: PostgresFailure | None = None
    for _ in range(3):  # a port taken meanwhile; old backends still holding shared memory
        try:
            options = {**SETTINGS, **(settings or {}), "port": str(port or free_port())}
            return _launch(programs, home, password, account, options)
        except PostgresFailure as error:
            failure = error
            time.sleep(0.5)
    raise failure or PostgresFailure("PostgreSQL did not start")


def attach(data_dir: Path, port: int) -> Postgres:
    """Return our server that another process runs on `data_dir`; `stop` leaves it alone."""
    password = _password(data_dir)
    return Postgres(f"postgresql://{SUPERUSER}:{password}@127.0.0.1:{port}/postgres")


def _home(data_dir: Path, account: Account | None) -> Path:
    data_dir.mkdir(parents=True, exist_ok=True)
    home = data_dir.resolve() / "postgres"
    if account is not None:
        data_dir.chmod(data_dir.stat().st_mode | 0o011)
        if not home.exists() and not account.may_reach(home):
            PRIVATE_FOLDERS.mkdir(parents=True, exist_ok=True)
            PRIVATE_FOLDERS.chmod(0o711)
            home.unlink(missing_ok=True)
            home.symlink_to(tempfile.mkdtemp(prefix="postgres-", dir=PRIVATE_FOLDERS))
    home.mkdir(mode=0o700, exist_ok=True)
    if account is not None:
        account.own(home)
    return home.resolve()


def _password(data_dir: Path) -> str:
    folder = data_dir / "secrets"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / "postgres"
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(24))
    return path.read_text()


def _initialise(programs: Programs, home: Path, password: str, account: Account | None) -> None:
    """Create the cluster beside its place and move it there, so that half of one never counts."""
    partial = home / f"initialising-{secrets.token_hex(4)}"
    with tempfile.NamedTemporaryFile("w", dir=home) as pwfile:
        pwfile.write(password)
        pwfile.flush()
        if account is not None:
            account.own(Path(pwfile.name))
        command = [
            str(programs.folder / "initdb"),
            *("--no-sync", "--auth=scram-sha-256", f"--username={SUPERUSER}", "--encoding=UTF8"),
            *("--locale=C", "--no-instructions", f"--pwfile={pwfile.name}", f"--pgdata={partial}"),
        ]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, **_as_account(account, home)
        )
    if done.returncode != 0:
        raise PostgresFailure(f"initdb failed: {done.stderr.strip()[-500:]}")
    partial.rename(home / "data")


def _refuse_other_major(data: Path, programs: Programs) -> None:
    found = (data / "PG_VERSION").read_text().strip()
    if found != str(programs.major):
        raise PostgresFailure(
            f"the data was written by PostgreSQL {found}, the programs found are "
            f"{programs.version} ({programs.origin})"
        )


def _stop_left_behind(data: Path) -> None:
    """End the server that a killed predecessor left on our files, and only that.

    Its backends may outlive it for a moment. Once nobody works in the folder its lock file is
    stale, whoever carries the process id written there today.
    """
    for how in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        deadline = time.monotonic() + STOPPED_WITHIN_S / 2
        lines = _lock_lines(data)
        if lines and int(lines[0]) in _working_in(data):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(lines[0]), how)
        while _working_in(data) and time.monotonic() < deadline:
            time.sleep(0.02)
        if not _working_in(data):
            if Path("/proc/self/cwd").exists():
                (data / "postmaster.pid").unlink(missing_ok=True)
            return
    raise PostgresFailure(f"processes {sorted(_working_in(data))} still hold {data}")


def _working_in(data: Path) -> set[int]:
    """Return the processes whose working folder is `data`, as PostgreSQL's is."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            if link.readlink() == data:
                found.add(int(link.parent.name))
    return found


def _launch(
    programs: Programs,
    home: Path,
    password: str,
    account: Account | None,
    settings: Mapping[str, str],
) -> Postgres:
    data = home / "data"
    options = [f"--{name}={value}" for name, value in settings.items()]
    with (home / "postgres.log").open("ab") as log:
        process = subprocess.Popen(
            [programs.folder / "postgres", "-D", data, *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=dies_with_parent(signal.SIGINT),  # noqa: PLW1509 - prctl only, no locks taken
            start_new_session=True,  # a terminal's Ctrl-C is ours to pass on, services first
            **_as_account(account, home),
        )
    url = f"postgresql://{SUPERUSER}:{password}@127.0.0.1:{settings['port']}/postgres"
    server = Postgres(url, process.pid, f"{programs.version} ({programs.origin})", process)
    try:
        _wait_until_ready(process, data, home / "postgres.log")
        asyncio.run(_refuse_stranger(url, data))
    except BaseException:
        server.stop()
        raise
    return server


def _wait_until_ready(process: subprocess.Popen[bytes], data: Path, log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            tail = log.read_text(errors="replace").strip().splitlines()[-3:]
            raise PostgresFailure("PostgreSQL ended while starting: " + " | ".join(tail))
        lines = _lock_lines(data)
        pid, status = lines[:1], lines[7:8]  # "LOCK_FILE_LINE_PM_STATUS" is the eighth line
        if pid == [str(process.pid)] and [line.strip() for line in status] == ["ready"]:
            return
        time.sleep(0.005)
    raise PostgresFailure(f"PostgreSQL was not ready within {READY_WITHIN_S:.0f} s, see {log}")


async def _refuse_stranger(url: str, data: Path) -> None:
    """Compare the folder the server on our port serves with ours, before anyone writes to it."""
    connection = await asyncpg.connect(url)
    try:
        served = await connection.fetchval("SHOW data_directory")
    finally:
        await connection.close()
    if Path(served) != data:
        raise PostgresFailure(f"another server answers on our port: it serves {served}")


def _lock_lines(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


class _RunAs(TypedDict, total=False):
    env: dict[str, str]
    cwd: Path
    user: int
    group: int
    extra_groups: list[str | int]


def _as_account(account: Account | None, home: Path) -> _RunAs:
    environment = {"PATH": os.defpath, "LC_ALL": "C", "HOME": str(home)}
    if account is None:
        return {"env": environment, "cwd": home}
    return {
        "env": environment,
        "cwd": home,
        "user": account.uid,
        "group": account.gid,
        "extra_groups": [],
    }
