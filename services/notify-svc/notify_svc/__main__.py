"""`python -m notify_svc serve | api | consume | deliver | migrate | reseal | openapi`."""

import asyncio

import typer
from svckit.cli import main
from svckit.db import Database

from notify_svc.actions.resealing import reseal
from notify_svc.app import SERVICE
from notify_svc.settings import Settings

app = main(SERVICE, Settings)
worker = next(command for command in app.registered_commands if command.name == "worker")
assert worker.callback is not None
app.command("deliver", help="Send webhooks until SIGTERM.")(worker.callback)


@app.command("reseal", help="Seal partners' secrets under the first key of NOTIFY_SEALING_KEYS.")
def _reseal() -> None:
    typer.echo(f"sealed anew: {asyncio.run(_resealed(Settings()))}")


async def _resealed(settings: Settings) -> int:
    db = Database(settings.database_url, 2)
    try:
        async with db.begin() as tx:
            return await reseal(tx, settings.sealer())
    finally:
        await db.dispose()


if __name__ == "__main__":
    app()
