"""Forks the services from one process that has imported them all.

Five fresh interpreters would each import the same libraries: 11 s of a core where one needs 4 s.
A forked service is a process of its own all the same, killed, restarted and named alone.
"""

import importlib
import os
import signal
from collections.abc import Mapping, Sequence
from functools import cache
from multiprocessing import forkserver, get_context
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

from careloop.process import follow, take_name
from careloop.services import PARTS, Part


@cache
def _context() -> ForkServerContext:
    context = get_context("forkserver")
    modules = [f"{part.package}.__main__" for part in PARTS]
    context.set_forkserver_preload(["__main__", *modules, "svckit.migrate", "careloop.preload"])
    return context


def begin() -> None:
    """Start importing, beside whatever else has to be done before the first service starts."""
    _context()
    ours = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited: Ctrl-C while it imports
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, ours)


def start(
    part: Part, arguments: Sequence[str], environment: Mapping[str, str], output: Path
) -> ForkServerProcess:
    """Run `python -m <package> <arguments>` as a forked process that writes to `output`."""
    begin()
    process = _context().Process(
        target=_run,
        args=(part, tuple(arguments), dict(environment), output),
        name=part.name,
        daemon=True,
    )
    process.start()
    return process


def _run(part: Part, arguments: tuple[str, ...], environment: dict[str, str], output: Path) -> None:
    follow(os.getppid())
    os.setsid()  # a terminal's Ctrl-C is the supervisor's to pass on, in order
    take_name(part.name)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with output.open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.environ.update(environment)
    main = importlib.import_module(f"{part.package}.__main__")
    main.app(list(arguments), prog_name=part.package)
