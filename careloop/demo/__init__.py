"""Plays the whole loop against a running Careloop, as each partner, and checks every step."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from careloop.demo import views
from careloop.demo.journey import Journey
from careloop.demo.receiver import Receiver
from careloop.demo.steps import STEPS
from careloop.errors import NotRunning, StepFailed
from careloop.network import CLINIC, FOOD, HOUSING, PAYER
from careloop.partner import Partner


@contextmanager
def stage(sandbox: Mapping[str, Any], base: Path) -> Iterator[Journey]:
    """Yield a journey with the partners that `sandbox.json` (in `base`) describes."""
    with Receiver() as receiver, httpx.Client(timeout=30, trust_env=False) as http:
        partners = {
            entry["name"]: Partner.of(sandbox["gateway"], entry, base, http)
            for entry in sandbox["organisations"]
        }
        yield Journey(
            clinic=partners[CLINIC.name],
            food=partners[FOOD.name],
            housing=partners[HOUSING.name],
            payer=partners[PAYER.name],
            receiver=receiver,
        )


def play(
    console: Console,
    sandbox_file: Path,
    against: str | None = None,
    *,
    tend: Callable[[], None] | None = None,
) -> None:
    """Play every step, tell it, and show what each partner sees in the end.

    Raises:
        NotRunning: the sandbox tells of another gateway than `against`.
        StepFailed: a step did not hold; its name is in the message.
    """
    sandbox = json.loads(sandbox_file.read_text())
    if against is not None and against.rstrip("/") != sandbox["gateway"]:
        raise NotRunning(f"{sandbox_file} is of {sandbox['gateway']}, not of {against}")
    began = time.monotonic()
    with stage(sandbox, sandbox_file.parent) as played:
        _steps(console, played, tend or (lambda: None))
        views.show(console, played)
        played.leave()
    console.print(
        f"[bold green]The loop is closed.[/] {len(STEPS)} steps held "
        f"in {time.monotonic() - began:.1f} s."
    )


def _steps(console: Console, played: Journey, tend: Callable[[], None]) -> None:
    columns = (BarColumn(20), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(STEPS))
        for who, what, step in STEPS:
            progress.update(task, description=f"{who} {what}")
            tend()
            began = time.monotonic()
            try:
                step(played)
            except (StepFailed, KeyError, IndexError, httpx.HTTPError) as failure:
                reason = failure if isinstance(failure, StepFailed) else repr(failure)
                raise StepFailed(f"“{who} {what}” did not hold: {reason}") from failure
            took = f"[dim]{(time.monotonic() - began) * 1000:5.0f} ms[/]"
            console.print(f"{took} [green]✓[/] [bold]{who}[/] {what}")
            for line in played.said:
                console.print(f"           [dim]{line}[/]", soft_wrap=True)
            played.said.clear()
            progress.advance(task)
