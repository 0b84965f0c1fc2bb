"""`python -m <package> parked …`: what an operator does with events that could not be applied."""

import asyncio
import getpass
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

import typer

from svckit import repair
from svckit.db import Database
from svckit.service import Service, reader_of, rights_of

_Actor = Annotated[str, typer.Option(help="Who decides; kept in the audit.")]


def commands(service: Service, database_url: Callable[[], str]) -> typer.Typer:
    """Return the commands; they work beside the running service."""
    app = typer.Typer(no_args_is_help=True, help="List, replay or skip parked events.")

    def within(work: Callable[[Database], Awaitable[None]]) -> None:
        asyncio.run(_with_database(database_url(), work))

    @app.command("list", help="Show the keys that wait, the longest waiting first.")
    def show() -> None:
        within(lambda db: _show(db, service.name))

    @app.command(help="Apply a key's events in order, as far as they go.")
    def replay(
        topic: str, key: str, *, accept_gaps: bool = False, actor: _Actor = getpass.getuser()
    ) -> None:
        async def work(db: Database) -> None:
            which = [(topic, key)]
            [done] = await replayed(service, db, which, accept_gaps=accept_gaps, actor=actor)
            typer.echo(done.told)
            if done.stopped_by:
                raise typer.Exit(1)

        within(work)

    @app.command(help="Give up one event, so that those behind it can be replayed.")
    def skip(message_id: int, actor: _Actor = getpass.getuser()) -> None:
        within(lambda db: _skip(service, db, message_id, actor))

    @app.command("skip-key", help="Give up all parked events of a key and free it.")
    def skip_key(topic: str, key: str, actor: _Actor = getpass.getuser()) -> None:
        async def work(db: Database) -> None:
            typer.echo(await skipped_key(service, db, topic, key, actor=actor))

        within(work)

    return app


async def _with_database(url: str, work: Callable[[Database], Awaitable[None]]) -> None:
    db = Database(url, 2)
    try:
        await work(db)
    finally:
        await db.dispose()


async def _show(db: Database, consumer: str) -> None:
    async with db.begin() as tx:
        found = await repair.blocked_keys(tx, consumer)
    for key in found:
        typer.echo(key.told)
    if not found:
        typer.echo("nothing is parked")


async def _skip(service: Service, db: Database, message_id: int, actor: str) -> None:
    if not await skipped(service, db, message_id, actor=actor):
        typer.echo("no such message")
        raise typer.Exit(1)
    typer.echo("skipped")


async def replayed(
    service: Service,
    db: Database,
    keys: Sequence[tuple[str, str]],
    *,
    accept_gaps: bool,
    actor: str,
) -> list[repair.Replayed]:
    """Apply the parked events of each key (with its topic) in order, as far as they go."""
    await rights_of(service, db).learn()
    reader = reader_of(service)
    return [
        await repair.replay(db, reader, *key, accept_gaps=accept_gaps, actor=actor) for key in keys
    ]


async def skipped(service: Service, db: Database, message_id: int, *, actor: str) -> bool:
    """Give up one parked event; tell if it was there."""
    await rights_of(service, db).learn()
    async with db.begin() as tx:
        return await repair.skip(tx, reader_of(service), message_id, actor=actor)


async def skipped_key(service: Service, db: Database, topic: str, key: str, *, actor: str) -> str:
    """Give up all parked events of a key, free it, and return how many they were, in words."""
    await rights_of(service, db).learn()
    async with db.begin() as tx:
        count = await repair.skip_key(tx, reader_of(service), topic, key, actor=actor)
    return f"{count} skipped; the key is free"
