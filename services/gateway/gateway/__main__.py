"""python -m gateway serve | api | relay | consume | migrate | openapi | bootstrap | keys."""

import asyncio
import sys
import time
from pathlib import Path
from typing import Annotated

import orjson
import typer
from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from svckit.cli import main
from svckit.db import Database
from svckit.errors import Invalid

from gateway import keys
from gateway.actions.bootstrap import bootstrap
from gateway.app import SERVICE
from gateway.schemas import JwkSet
from gateway.settings import Settings
from gateway.tokens import LIFETIME_S

app = main(SERVICE, Settings)
# a token that was signed in the last second, by a clock that is a little off
_MARGIN_S = 60


@app.command("bootstrap", help="Make the coordinator and its first admin client; repeatable.")
def bootstrap_command(
    jwks: Annotated[Path, typer.Option(help="JWK Set of the client's public keys")],
    name: Annotated[str, typer.Option()] = "County Care Network",
) -> None:
    try:
        found_keys = JwkSet.model_validate(orjson.loads(jwks.read_bytes()))
        found = asyncio.run(_bootstrap(Settings(), name, found_keys))
    except (OSError, orjson.JSONDecodeError, ValidationError, Invalid) as error:
        typer.echo(f"The key set cannot be used: {type(error).__name__}.", err=True)
        raise typer.Exit(2) from error
    sys.stdout.write(orjson.dumps(found).decode() + "\n")


class _KeyFile(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="GATEWAY_")

    key_file: Path


keys_app = typer.Typer(no_args_is_help=True, help="The signing keys in GATEWAY_KEY_FILE.")
app.add_typer(keys_app, name="keys")


@keys_app.command("rotate", help="Publish new keys; they sign after the wait, on every replica.")
def rotate_command(
    wait_s: Annotated[float, typer.Option(min=1, help="longer than any copy of the key set")] = 600,
) -> None:
    lives_s = LIFETIME_S + _MARGIN_S
    fresh = keys.rotate(_KeyFile().key_file, wait_s=wait_s, lives_s=lives_s, at=time.time())
    sys.stdout.write(orjson.dumps({"signs_in_s": wait_s, **fresh}).decode() + "\n")


@keys_app.command(
    "retire",
    help="End one key and all it signed, now: for a key that leaked.",
    # a key's id may begin with a dash: it is a thumbprint in base64url
    context_settings={"ignore_unknown_options": True},
)
def retire_command(kid: str) -> None:
    try:
        keys.retire(_KeyFile().key_file, kid, at=time.time())
    except keys.KeyNotRetired as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error


@keys_app.command("list", help="Show the keys: from when they sign, until when they are published.")
def list_command() -> None:
    ring = keys.load(_KeyFile().key_file)
    for name in keys.LINES:
        for entry in getattr(ring, name).keys:
            shown = {"use": name, "kid": entry.kid}
            times = {"signs_from": entry.signs_from, "ends_at": entry.ends_at}
            sys.stdout.write(orjson.dumps({**shown, **times}).decode() + "\n")


async def _bootstrap(settings: Settings, name: str, jwks: JwkSet) -> dict[str, str]:
    db = Database(settings.database_url, 2)
    try:
        async with db.begin() as tx:
            organisation, client = await bootstrap(tx, name, jwks)
            return {"organisation_id": organisation.id, "client_id": client.id}
    finally:
        await db.dispose()


if __name__ == "__main__":
    app()
