"""The command line every service has: `python -m <package> <role>`."""

import sys
from collections.abc import Callable

import orjson
import typer
import uvloop
from pydantic_settings import BaseSettings

from svckit import parked_cli, telemetry
from svckit.service import Service, openapi, run
from svckit.settings import ServiceSettings

_ROLES = {
    "serve": {"api", "relay", "consume", "worker"},
    "api": {"api"},
    "relay": {"relay"},
    "consume": {"consume"},
    "worker": {"worker"},
}


class _Database(BaseSettings):
    database_url: str


def _database_url(settings: type[ServiceSettings]) -> str:
    """Return the one setting a migration needs: its job holds no other secret."""
    prefix = settings.model_config.get("env_prefix", "")
    return _Database(_env_prefix=prefix).database_url


def main(service: Service, settings: type[ServiceSettings]) -> typer.Typer:
    """Return the service's command line; `settings` reads the environment when called."""
    app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

    def role_of(name: str) -> Callable[[], None]:
        def role() -> None:
            found = settings()
            telemetry.setup(service.name, trace_file=found.trace_file, log_level=found.log_level)
            uvloop.run(run(service, found, _ROLES[name]))

        return role

    for name, parts in _ROLES.items():
        app.command(name, help=f"Run {', '.join(sorted(parts))} until SIGTERM.")(role_of(name))

    @app.command("migrate", help="Bring the database to the newest revision.")
    def upgrade() -> None:
        from svckit import migrate  # noqa: PLC0415 - Alembic, which serving does not need

        migrate.upgrade(service.package, _database_url(settings))

    @app.command("revision", help="Write a new revision from the tables.")
    def revision(message: str) -> None:
        from svckit import migrate  # noqa: PLC0415 - Alembic, which serving does not need

        migrate.revision(service.package, _database_url(settings), message)

    @app.command("openapi", help="Print the OpenAPI document.")
    def document() -> None:
        flags = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS
        sys.stdout.buffer.write(orjson.dumps(openapi(service, settings()), option=flags) + b"\n")

    app.add_typer(parked_cli.commands(service, lambda: _database_url(settings)), name="parked")
    return app
