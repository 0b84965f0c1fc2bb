"""python -m gateway serve | api | relay | consume | migrate | revision | openapi | bootstrap."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import orjson
import typer
from pydantic import ValidationError
from svckit.cli import main
from svckit.db import Database
from svckit.errors import Invalid

from gateway.actions.bootstrap import bootstrap
from gateway.app import SERVICE
from gateway.schemas import JwkSet
from gateway.settings import Settings

app = main(SERVICE, Settings)


@app.command("bootstrap", help="Make the coordinator and its first admin client; repeatable.")
def bootstrap_command(
    jwks: Annotated[Path, typer.Option(help="JWK Set of the client's public keys")],
    name: Annotated[str, typer.Option()] = "County Care Network",
) -> None:
    try:
        keys = JwkSet.model_validate(orjson.loads(jwks.read_bytes()))
        found = asyncio.run(_bootstrap(Settings(), name, keys))
    except (OSError, orjson.JSONDecodeError, ValidationError, Invalid) as error:
        typer.echo(f"The key set cannot be used: {type(error).__name__}.", err=True)
        raise typer.Exit(2) from error
    sys.stdout.write(orjson.dumps(found).decode() + "\n")


async def _bootstrap(settings: Settings, name: str, keys: JwkSet) -> dict[str, str]:
    db = Database(settings.database_url, 2)
    try:
        async with db.begin() as tx:
            organisation, client = await bootstrap(tx, name, keys)
            return {"organisation_id": organisation.id, "client_id": client.id}
    finally:
        await db.dispose()


if __name__ == "__main__":
    app()
