"""`careloop events`: how far the event path is, and what to do with events that were parked."""

import asyncio
import dataclasses
import getpass
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text
from svckit.clock import now

from careloop.asking import DEFAULT_DATA_DIR, AsJson, DataDir, console, failures
from careloop.layout import Layout

if TYPE_CHECKING:
    from careloop.event_path import Backlog, Lag, Parked, Places

app = typer.Typer(no_args_is_help=True, help="Lag and backlog; parked events: replay or skip them.")

Services = Annotated[str, typer.Argument(help="notify-svc, case-svc …")]
Only = Annotated[str | None, typer.Option("--service", help="This one alone.")]
Actor = Annotated[
    str,
    typer.Option(
        "--actor", default_factory=getpass.getuser, help="Who decides; kept in the audit."
    ),
]
Topic = Annotated[str | None, typer.Option("--topic", help="Of the key.")]
Key = Annotated[str | None, typer.Option("--key", help="As `parked` shows it.")]
FromEnvironment = Annotated[
    bool,
    typer.Option("--from-environment", help="Take each service's <PREFIX>_DATABASE_URL instead."),
]


def _places(data_dir: "DataDir", *, from_environment: bool) -> "Places":
    from careloop.event_path import Places  # noqa: PLC0415 - the services, which `up` does not need

    if from_environment:
        return Places.of_environment()
    return Places.of(Layout(data_dir.absolute()))


@app.command("lag")
def lag_command(
    *,
    partitions: Annotated[bool, typer.Option(help="One line per partition.")] = False,
    as_json: AsJson = False,
    from_environment: FromEnvironment = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """How far each reader is behind, and what each service has not sent yet.

    On Kafka the marks that say how fresh rights are count as records: a few of them are no lag.
    """
    with failures():
        places = _places(data_dir, from_environment=from_environment)
        from careloop import event_path  # noqa: PLC0415 - the services, which `up` does not need

        picture = asyncio.run(event_path.look(places))
    if as_json:
        console.print_json(data=dataclasses.asdict(picture), default=str)
        return
    console.print(_lag_table(picture.lags, each=partitions))
    console.print(_backlog_table(picture.backlogs))
    _show_parked(picture.parked)


@app.command("parked")
def parked_command(
    *,
    service: Only = None,
    as_json: AsJson = False,
    from_environment: FromEnvironment = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """The keys that wait for you, the longest waiting first; other keys flow."""
    with failures():
        places = _places(data_dir, from_environment=from_environment)
        from careloop import event_path  # noqa: PLC0415 - the services, which `up` does not need

        found = asyncio.run(event_path.parked(places, service))
    if as_json:
        console.print_json(data=[dataclasses.asdict(each) for each in found], default=str)
    else:
        _show_parked(found)


@app.command("replay")
def replay_command(
    service: Services,
    *,
    topic: Topic = None,
    key: Key = None,
    accept_gaps: Annotated[
        bool, typer.Option("--accept-gaps", help="Take a missing version as never to come.")
    ] = False,
    actor: Actor,
    from_environment: FromEnvironment = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Apply parked events in order: of one key, or of all; exit 1 while one still fails."""
    which = _which(topic, key)
    with failures():
        places = _places(data_dir, from_environment=from_environment)
        from careloop import event_path  # noqa: PLC0415 - the services, which `up` does not need

        found = asyncio.run(
            event_path.replay(places, service, which, accept_gaps=accept_gaps, actor=actor)
        )
    for (of_topic, of_key), done in found.items():
        console.print(Text(f"{of_topic} {of_key}: {done.told}"), soft_wrap=True)
    if not found:
        console.print("nothing is parked")
    raise typer.Exit(1 if any(done.stopped_by for done in found.values()) else 0)


@app.command("skip")
def skip_command(
    service: Services,
    message: Annotated[int | None, typer.Argument(help="As `parked` shows it.")] = None,
    *,
    topic: Topic = None,
    key: Key = None,
    actor: Actor,
    from_environment: FromEnvironment = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Give up one event (by its number) or a whole key (--topic, --key); audited one by one."""
    which = _which(topic, key)
    if (message is None) == (which is None):
        raise typer.BadParameter("give a message's number, or --topic and --key")
    with failures():
        places = _places(data_dir, from_environment=from_environment)
        from careloop import event_path  # noqa: PLC0415 - the services, which `up` does not need

        if which:
            console.print(asyncio.run(event_path.skip_key(places, service, *which, actor=actor)))
        elif message is not None:
            asyncio.run(event_path.skip(places, service, message, actor=actor))
            console.print("skipped")


def _which(topic: str | None, key: str | None) -> tuple[str, str] | None:
    if (topic is None) != (key is None):
        raise typer.BadParameter("--topic and --key go together")
    return (topic, key) if topic is not None and key is not None else None


def _lag_table(lags: Sequence["Lag"], *, each: bool) -> Table:
    table = Table("reader", "topic", "partition", "behind", "moved", "", box=None)
    for (consumer, topic), group in groupby(lags, key=lambda lag: (lag.consumer, lag.topic)):
        rows = list(group)
        for lag in rows if each else [row for row in rows if row.behind] or rows[:1]:
            whole = not each and not lag.behind
            moved = max((row.moved_at for row in rows if row.moved_at), default=None)
            at = moved if whole else lag.moved_at
            table.add_row(
                consumer,
                topic,
                "all" if whole else str(lag.partition),
                f"[yellow]{lag.behind}[/]" if lag.behind else "0",
                f"{(now() - at).total_seconds():.0f} s ago" if at else "",
                lag.note,
            )
    return table


def _backlog_table(backlogs: Sequence["Backlog"]) -> Table:
    table = Table("outbox of", "topic", "not sent", "oldest", box=None)
    for each in backlogs:
        table.add_row(each.service, each.topic, str(each.waiting), f"{each.oldest_s:.1f} s")
    return table


def _show_parked(found: Sequence["Parked"]) -> None:
    for each in found:
        console.print(Text(f"{each.service} {each.key.told}"), soft_wrap=True)
    if not found:
        console.print("nothing is parked")
