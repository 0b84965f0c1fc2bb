"""The data directory: where everything of one Careloop lies, and who holds it.

postgres/         the database files, owned by the account PostgreSQL runs as
secrets/          passwords and private keys, made once, 0600
documents/        the object store's folder
logs/             one log and one trace file per process
run.json          processes, ports and addresses while it runs
sandbox.json      addresses, organisations, clients and key files for programs outside
lock              held by the supervisor
"""

import contextlib
import fcntl
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from careloop.errors import AlreadyRunning, NotRunning


@dataclass(frozen=True)
class Layout:
    root: Path

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    def log(self, name: str) -> Path:
        """Return where the process of that name writes."""
        return self.logs / f"{name}.log"

    def tail(self, name: str) -> str:
        """Return the last lines that the process of that name wrote."""
        lines = self.log(name).read_text(errors="replace").splitlines()
        return "\n".join(lines[-15:])

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def documents(self) -> Path:
        return self.root / "documents"

    @property
    def run_file(self) -> Path:
        return self.root / "run.json"

    @property
    def sandbox_file(self) -> Path:
        return self.root / "sandbox.json"

    def create(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(exist_ok=True)
        self.documents.mkdir(mode=0o700, exist_ok=True)
        self.secrets.mkdir(mode=0o700, exist_ok=True)

    def secret(self, name: str) -> str:
        """Return the secret of that name, made at first use."""
        path = self.secrets / name
        with contextlib.suppress(FileExistsError):
            write_private(path, secrets.token_hex(32))
        return path.read_text()

    def lock(self) -> IO[str]:
        """Take the data directory; it is free again when the file closes or the process ends.

        Raises:
            AlreadyRunning: somebody else holds it.
        """
        self.create()
        file = (self.root / "lock").open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise AlreadyRunning(f"a Careloop already runs on {self.root}") from None
        return file

    def is_held(self) -> bool:
        if not (self.root / "lock").exists():
            return False
        try:
            self.lock().close()
        except AlreadyRunning:
            return True
        return False

    def running(self) -> dict[str, Any] | None:
        """Return what `run.json` says; it may be left over from a killed process."""
        try:
            found: dict[str, Any] = json.loads(self.run_file.read_text())
        except (FileNotFoundError, ValueError):
            return None
        return found

    def held(self) -> dict[str, Any]:
        """Return what `run.json` says of the Careloop that runs here. Raises NotRunning."""
        run = self.running()
        if run is None or not self.is_held():
            raise NotRunning(f"no Careloop runs on {self.root}")
        return run


def write_private(path: Path, text: str) -> None:
    """Create the file, readable by its owner alone. Raises FileExistsError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def write_json(path: Path, content: object, mode: int = 0o644) -> None:
    """Replace the file in one step: a reader sees the old content or the new."""
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(content, indent=2) + "\n")
    partial.chmod(mode)
    partial.replace(path)
