"""Named places where a test ends or stops the process. Off unless CARELOOP_FAILPOINTS names one.

    CARELOOP_FAILPOINTS="relay.acked=17 deliver.answered=0.01 consume.fetched=3:stop"

A whole number is the passage that strikes, a fraction the chance of each. It strikes as a power cut
does (SIGKILL), or with `:stop` as a machine that hangs (SIGSTOP, until somebody lets it go on), and
says so on stderr first. The environment is read once, at import: production never sets it.
"""

import os
import random
import signal

VARIABLE = "CARELOOP_FAILPOINTS"


class _Armed:
    """One place: how often it was passed, and when it strikes."""

    def __init__(self, name: str, when: str) -> None:
        count, _, how = when.partition(":")
        if how not in {"", "stop"}:
            raise ValueError(f"{VARIABLE}: {how!r} is no way to strike")
        self._name = name
        self._signal = signal.SIGSTOP if how else signal.SIGKILL
        self._at = int(count) if count.isdigit() else 0
        self._chance = 0.0 if self._at else float(count)
        self._passed = 0
        self._random = random.SystemRandom()

    def passed(self) -> None:
        self._passed += 1
        if self._passed == self._at or self._random.random() < self._chance:
            self._chance = 0.0  # one that was stopped goes on in peace
            os.write(2, f"failpoint {self._name} {self._signal.name}\n".encode())
            os.kill(os.getpid(), self._signal)


def _read(text: str) -> dict[str, _Armed]:
    pairs = [each.partition("=") for each in text.split()]
    return {name: _Armed(name, when) for name, _, when in pairs}


_armed = _read(os.environ.get(VARIABLE, ""))


def failpoint(name: str) -> None:
    """Pass the place; in a test this may be the last thing the process does."""
    if _armed and name in _armed:
        _armed[name].passed()
