"""The coordinator's first client, which no client could make over HTTP.

`python -m gateway bootstrap` makes it in the gateway's database; it runs beside the services while
they start, because it takes as long as they do.
"""

import json
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from careloop import nursery
from careloop.errors import SeedFailure
from careloop.keys import Key, key_pair, public_set
from careloop.layout import Layout, write_json
from careloop.network import COORDINATOR, Member
from careloop.services import GATEWAY, Machine

PRIVATE = 0o600


def key_file(layout: Layout, member: Member) -> Path:
    return layout.secrets / "clients" / f"{member.slug}.pem"


def key_of(layout: Layout, member: Member) -> Key:
    """Return the member's key pair, made at first use."""
    return key_pair(key_file(layout, member), member.alg, f"{member.slug}-1")


@dataclass
class FirstClient:
    """The work in progress; `result` waits for it."""

    layout: Layout
    process: ForkServerProcess | None = None

    @property
    def note(self) -> Path:
        return self.layout.secrets / "coordinator.json"

    @classmethod
    def of(cls, machine: Machine) -> "FirstClient":
        """Begin to make the client, unless the data directory knows it already."""
        work = cls(machine.layout)
        if not work.note.exists():
            jwks = machine.layout.secrets / "coordinator.jwks.json"
            write_json(jwks, public_set(key_of(machine.layout, COORDINATOR)), PRIVATE)
            command = ["bootstrap", "--name", COORDINATOR.name, "--jwks", str(jwks)]
            output = machine.layout.log("bootstrap")
            work.process = nursery.start(GATEWAY, command, machine.environment(GATEWAY), output)
        return work

    def result(self) -> dict[str, str]:
        """Return the ids of the coordinator and its client.

        Raises:
            SeedFailure: the gateway's command failed.
        """
        if self.process is not None:
            self.process.join()
            output = self.layout.tail("bootstrap")
            if self.process.exitcode != 0:
                raise SeedFailure(f"the first client cannot be made: {output[-500:]}")
            write_json(self.note, json.loads(output.splitlines()[-1]), PRIVATE)
            self.process = None
        found: dict[str, str] = json.loads(self.note.read_text())
        return found
