"""What the harness runs with: sizes, short leases, and every place where a process may be struck."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import orjson

THING = "org.careloop.thing.changed.v1"
CASE = "org.careloop.case.changed.v1"
TOPIC = "case.v1"
LEDGER = "chaos-ledger"
NOTIFY = "notify-svc"

# Leases as short as a busy machine allows, by settings: the code is the one that runs in earnest.
LEASE_S = 4.0
TOTAL_S, CONNECT_S, MARGIN_S = 2.0, 1.0, 1.5
# requests of one deliver process: what a kill repeats at most
IN_FLIGHT = 64
DELIVER_LEASE_S = TOTAL_S + MARGIN_S
KAFKA_SESSION_S = 10.0
STALE_S = 30.0
VERIFY_S = (0.0, 0.3, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
SCHEDULE_S = (0.0, 0.3, 0.6, 1.0, 1.5, 2.0)
WINDOW = 16  # attempts in flight for one endpoint, as notify_svc.domain.attempts has it
BATCH = 500  # rows of one send, as svckit.relay has it
EXIT_S = 10.0
INTERRUPTED = "interrupted"
EXIT = "exit by itself"  # not our doing: what a supervisor is for

COLD, CASES = 400, 120
CASE_SHARE, ROLLED_BACK = 0.15, 0.06


@dataclass(frozen=True)
class Profile:
    """What a run is made of. `rate` in transactions a second, 0: what the machine gives."""

    roles: Mapping[str, int]
    hot: int  # aggregates that get half of the changes
    rate: float
    pause_s: tuple[float, float]  # between two faults
    several: float  # the share of transactions that change several aggregates,
    most: int  # and how many at most
    patience: int  # how much rarer than in PLACES a process meets its place


PATH = {"consume": 2, "relay": 2, "write": 1}
PARTNERS = {
    "receive": 1,
    "notify-api": 1,
    "notify-consume": 1,
    "notify-deliver": 2,
    "notify-relay": 1,
}
PROFILES = {
    "whole": Profile({**PARTNERS, **PATH}, 16, 50, (0.5, 4.0), several=0.1, most=3, patience=1),
    # the event path alone, for many events and many faults in an hour
    "storm": Profile({**PATH, "write": 2}, 512, 0, (0.3, 1.3), several=0.9, most=100, patience=10),
}

# Where each role may be ended or stopped, with how often a place is passed before it strikes.
PLACES = {
    "write": {"outbox.committed": 450, "relay.scanned": 120, "log.sent": 120, "relay.acked": 120},
    "relay": {
        "relay.scanned": 180,
        "log.sending": 1200,
        "log.sent": 180,
        "relay.acked": 180,
        "relay.deleted": 180,
    },
    "consume": {
        "consume.fetched": 240,
        "inbox.effect": 1200,
        "inbox.applied": 240,
        "consume.applied": 1,
        "consume.committed": 240,
    },
    "notify-consume": {
        "consume.fetched": 240,
        "inbox.effect": 900,
        "inbox.applied": 240,
        "fanout.numbered": 150,
        "consume.committed": 240,
    },
    "notify-deliver": {
        "deliver.claimed": 120,
        "deliver.answered": 180,
        "deliver.settled": 180,
    },
    "notify-relay": {"relay.scanned": 90, "log.sent": 90, "relay.acked": 90},
    "notify-api": {},
    "receive": {},
}
# A process that hangs here outlives its lease and acts on what it knew.
STOPS = (
    *("relay.scanned", "log.sent", "consume.fetched", "inbox.applied"),
    *("deliver.claimed", "deliver.answered"),
)
# only the Kafka producer passes record by record
KAFKA_ONLY = frozenset({"log.sending"})


def lease_s(role: str, log: str) -> float:
    """How long others wait for a process of this role that went silent."""
    if role == "notify-deliver":
        return DELIVER_LEASE_S
    if log == "kafka" and role in {"consume", "notify-consume"}:
        return KAFKA_SESSION_S
    return LEASE_S


@dataclass
class World:
    """Where everything of one run is; each process reads it from `world.json` in the folder."""

    folder: str
    log: str
    seed: int
    rate: float
    log_url: str = ""
    source_url: str = ""
    ledger_url: str = ""
    notify_url: str = ""
    receiver_port: int = 0
    tls_port: int = 0
    api_port: int = 0
    issuer_url: str = ""
    jwks_url: str = ""
    organisations: list[str] = field(default_factory=list)
    profile: str = "whole"
    # whether notify-svc and its partners take part
    partners: bool = True
    # who is a party of few cases only, because its receiver answers badly
    rare: list[str] = field(default_factory=list)

    @property
    def path(self) -> Path:
        return Path(self.folder)

    @property
    def made_of(self) -> Profile:
        return PROFILES[self.profile]

    def databases(self) -> list[str]:
        """Return those that somebody works with."""
        found = [self.source_url, self.ledger_url]
        if self.partners:
            found.append(self.notify_url)
        return [*found, self.log_url] if self.log == "postgres" else found

    def save(self) -> None:
        partial = self.path / "world.json.partial"
        partial.write_bytes(orjson.dumps(asdict(self)))
        partial.rename(self.path / "world.json")

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> "World":
        return cls(**orjson.loads((Path(folder) / "world.json").read_bytes()))
