"""The five services on one machine: which settings each process gets."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from careloop.databases import Place
from careloop.layout import Layout
from careloop.postgres import Postgres, attach

EVENTS = "careloop_events"


@dataclass(frozen=True)
class Part:
    """One service: its name outside, its package, and the prefix of its settings."""

    name: str
    package: str
    prefix: str

    @property
    def database(self) -> str:
        return f"careloop_{self.prefix.lower()}"

    @property
    def partner(self) -> str | None:
        """Return the role that its partners' reads run as; the gateway keeps no partner's rows."""
        return None if self.prefix == "GATEWAY" else f"{self.package}_partner"


CASE = Part("case-svc", "case_svc", "CASE")
REFERRAL = Part("referral-svc", "referral_svc", "REFERRAL")
DOCUMENT = Part("document-svc", "document_svc", "DOCUMENT")
NOTIFY = Part("notify-svc", "notify_svc", "NOTIFY")
GATEWAY = Part("gateway", "gateway", "GATEWAY")
PARTS = (GATEWAY, CASE, REFERRAL, DOCUMENT, NOTIFY)


@dataclass(frozen=True)
class Machine:
    """Where everything is in this run; `ports` by service name."""

    layout: Layout
    postgres: Postgres
    ports: dict[str, int]
    event_log_url: str | None = None

    @classmethod
    def running(cls, layout: Layout, run: Mapping[str, Any], database_url: str | None) -> Self:
        """Return the machine that another process runs, from its `run.json`."""
        server = (
            Postgres(database_url) if database_url else attach(layout.root, run["postgres"]["port"])
        )
        ports = {name: entry["port"] for name, entry in run["processes"].items()}
        return cls(layout, server, ports, run.get("event_log_url"))

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.ports[GATEWAY.name]}"

    def url(self, part: Part) -> str:
        return f"http://127.0.0.1:{self.ports[part.name]}"

    def places(self) -> list[Place]:
        """Return the databases to provide: one per service, and the event log's."""
        names: list[tuple[str, str | None]] = [(part.database, part.partner) for part in PARTS]
        if self.event_log_url is None:
            names.append((EVENTS, None))
        return [
            Place(name, self.layout.secret(f"database-{name}"), partner) for name, partner in names
        ]

    def database_url(self, name: str) -> str:
        return self.postgres.database_url(name, name, self.layout.secret(f"database-{name}"))

    def event_log(self) -> str:
        """Return the log's address as the operator's own commands reach it."""
        return self.event_log_url or self.database_url(EVENTS)

    def _members_log(self) -> str:
        """Return the log's address for a service; on Kafka each service is one named member of its group.

        So a killed one has its partitions back at once, not after the broker's session timeout.
        """
        if self.event_log_url is None:
            return self.event_log()
        if "instance=" in self.event_log_url:
            return self.event_log_url
        return f"{self.event_log_url}{'&' if '?' in self.event_log_url else '?'}instance=0"

    def environment(self, part: Part) -> dict[str, str]:
        """Return the service's settings as environment variables."""
        settings = {
            "database_url": self.database_url(part.database),
            "event_log_url": self._members_log(),
            "issuer": self.issuer,
            "internal_jwks_url": f"{self.issuer}/.well-known/internal-jwks.json",
            "cursor_key": self.layout.secret(f"cursor-{part.name}"),
            "port": str(self.ports[part.name]),
            "trace_file": str(self.layout.logs / f"{part.name}.traces.jsonl"),
            **self._own(part),
        }
        return {f"{part.prefix}_{name.upper()}": value for name, value in settings.items()}

    def _own(self, part: Part) -> dict[str, str]:
        if part == GATEWAY:
            return {
                "key_file": str(self.layout.secrets / "gateway-keys.json"),
                "case_url": self.url(CASE),
                "referral_url": self.url(REFERRAL),
                "document_url": self.url(DOCUMENT),
                "notify_url": self.url(NOTIFY),
            }
        if part == DOCUMENT:
            return {"store_url": self.layout.documents.absolute().as_uri()}
        if part == NOTIFY:
            # partners of a sandbox receive on this machine
            key = self.layout.secret("sealing-notify-svc")
            return {"allow_private_targets": "true", "sealing_keys": key}
        return {}


def migrations(part: Part) -> Path:
    """Return the folder of the service's migrations, without importing the service."""
    spec = find_spec(part.package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(part.package)
    return Path(spec.origin).parent / "migrations"
