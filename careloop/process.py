"""Child processes that never outlive us and never run as root."""

import ctypes
import os
import pwd
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def dies_with_parent(with_signal: signal.Signals = signal.SIGTERM) -> Callable[[], None]:
    """Return a `preexec_fn` that sends the child `with_signal` when this process ends.

    Linux ties it to the thread that forks, so children are started from the main thread.
    Elsewhere it does nothing: a second start finds and stops what was left behind.
    """
    parent = os.getpid()
    return lambda: follow(parent, with_signal)


def follow(parent: int, with_signal: signal.Signals = signal.SIGTERM) -> None:
    """Be sent `with_signal` when our parent ends; end at once if it is not `parent` any more."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(with_signal), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)


def take_name(name: str) -> None:
    """Call this process `name` (15 characters at most) where the system lists processes."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)


def name_of(pid: int) -> str | None:
    """Return what the process calls itself; None where it ended or the system does not tell."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return None


@dataclass(frozen=True)
class Account:
    """The system account a child runs as."""

    name: str
    uid: int
    gid: int

    def own(self, path: Path) -> None:
        os.chown(path, self.uid, self.gid)

    def may_reach(self, path: Path) -> bool:
        """Tell whether every existing folder above `path` lets this account through."""
        for folder in path.resolve().parents:
            if not folder.exists():
                continue
            status = folder.stat()
            owner = status.st_uid == self.uid and status.st_mode & 0o100
            group = status.st_gid == self.gid and status.st_mode & 0o010
            if not (owner or group or status.st_mode & 0o001):
                return False
        return True


def unprivileged() -> Account | None:
    """Return whom to become: `postgres`, else `nobody`; None when we are not root anyway."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    return Account("65534", 65534, 65534)


def is_alive(pid: int) -> bool:
    """Tell whether `pid` runs; a zombie does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return not Path("/proc/self/stat").exists()
    return state != "Z"
