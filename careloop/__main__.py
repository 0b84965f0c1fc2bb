"""The `careloop` command: start, seed, play, inspect and stop a Careloop on this machine."""

import contextlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from careloop import (
    access_cli,
    agreements_cli,
    events_cli,
    ledger_cli,
    operate,
    policy_cli,
    webhooks_cli,
)
from careloop.errors import CareloopFailure
from careloop.layout import Layout
from careloop.settings import OperatorSettings
from careloop.supervisor import Supervisor

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Operate a Careloop on this machine.",
)
app.add_typer(ledger_cli.app, name="ledger")
app.add_typer(access_cli.app, name="access")
app.add_typer(agreements_cli.app, name="agreements")
app.add_typer(policy_cli.app, name="policy")
app.add_typer(events_cli.app, name="events")
app.add_typer(webhooks_cli.app, name="webhooks")
console = Console(highlight=False)

DataDir = Annotated[Path, typer.Option("--data-dir", help="Where everything of it lies.")]
Port = Annotated[int, typer.Option("--port", help="The gateway's port on 127.0.0.1.")]
EventLog = Annotated[
    str | None, typer.Option("--event-log", help="kafka://host:port; default: PostgreSQL.")
]
DEFAULT_DATA_DIR = Path(".careloop")


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Turn a failure into one sentence and exit code 1, and a signal into an orderly end."""
    signal.signal(signal.SIGTERM, lambda *_: _interrupt())
    try:
        yield
    except CareloopFailure as failure:
        console.print(f"[bold red]careloop:[/] {failure}", soft_wrap=True)
        raise typer.Exit(1) from failure
    except KeyboardInterrupt:
        console.print("stopped")
        raise typer.Exit(130) from None


def _interrupt() -> None:
    raise KeyboardInterrupt


def supervisor(
    data_dir: Path, port: int, event_log: str | None, *, will_seed: bool = False
) -> Supervisor:
    settings = OperatorSettings()
    return Supervisor(
        Layout(data_dir.absolute()),
        port=port,
        event_log_url=event_log or settings.event_log_url,
        database_url=settings.database_url,
        report=lambda line: console.print(f"  [dim]{line}[/]"),
        will_seed=will_seed,
    )


@app.command()
def up(
    *,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    port: Port = 8080,
    event_log: EventLog = None,
    seed: Annotated[bool, typer.Option(help="Load the sandbox's network.")] = True,
    detach: Annotated[bool, typer.Option("--detach", help="Leave it running and return.")] = False,
) -> None:
    """Start PostgreSQL, the five services and the gateway, and keep them running."""
    with told():
        if detach:
            operate.detach(data_dir, sys.argv[1:])
            operate.show(console, Layout(data_dir.absolute()))
            return
        with supervisor(data_dir, port, event_log, will_seed=seed) as running:
            if seed:
                operate.seed(running)
            operate.show(console, running.layout)
            console.print("[dim]Ctrl-C stops everything.[/]")
            running.watch()
        console.print("stopped")


@app.command()
def down(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Stop the Careloop that runs on the data directory."""
    with told():
        operate.down(Layout(data_dir.absolute()))
        console.print("stopped")


@app.command()
def demo(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    port: Port = 8080,
    event_log: EventLog = None,
    against: Annotated[
        str | None, typer.Option("--against", help="Gateway URL of one that runs already.")
    ] = None,
) -> None:
    """Play the whole loop as each partner; exit 0 only if every step held."""
    with told():
        layout = Layout(data_dir.absolute())
        if against is not None:
            operate.play(console, layout, against)
            return
        with supervisor(data_dir, port, event_log, will_seed=True) as running:
            operate.seed(running)
            operate.play(console, layout, None, tend=running.tend)


@app.command()
def migrate(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Bring every service's database to its newest revision, without starting the services."""
    with told():
        operate.migrate(supervisor(data_dir, 8080, None))


@app.command()
def seed(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Load the sandbox's network into the Careloop that runs on the data directory."""
    with told():
        operate.seed_running(Layout(data_dir.absolute()), console)


@app.command()
def status(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Show the processes; exit 1 unless every one of them is ready."""
    with told():
        raise typer.Exit(0 if operate.status(console, Layout(data_dir.absolute())) else 1)


@app.command()
def doctor(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Check what this machine offers; exit 1 if something needed is missing."""
    with told():
        raise typer.Exit(0 if operate.doctor(console, Layout(data_dir.absolute())) else 1)


if __name__ == "__main__":
    app(prog_name="careloop")
