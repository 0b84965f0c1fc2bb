"""The coordinator's first client, which no client could make over HTTP.

`python -m gateway bootstrap` makes it in the gateway's database; it runs beside the services while
they start, because it takes as long as they do.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from careloop.errors import SeedFailure
from careloop.keys import Key, key_pair, public_set
from careloop.layout import Layout, write_json
from careloop.network import COORDINATOR, Member
from careloop.process import dies_with_parent
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

    note: Path
    process: subprocess.Popen[str] | None = None

    @classmethod
    def of(cls, machine: Machine) -> "FirstClient":
        """Begin to make the client, unless the data directory knows it already."""
        layout = machine.layout
        note = layout.secrets / "coordinator.json"
        if note.exists():
            return cls(note)
        jwks = layout.secrets / "coordinator.jwks.json"
        write_json(jwks, public_set(key_of(layout, COORDINATOR)), PRIVATE)
        command = ["bootstrap", "--name", COORDINATOR.name, "--jwks", str(jwks)]
        process = subprocess.Popen(
            [sys.executable, "-m", GATEWAY.package, *command],
            env={**os.environ, **machine.environment(GATEWAY)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=dies_with_parent(),  # noqa: PLW1509 - prctl only, no locks taken
        )
        return cls(note, process)

    def result(self) -> dict[str, str]:
        """Return the ids of the coordinator and its client.

        Raises:
            SeedFailure: the gateway's command failed.
        """
        if self.process is not None:
            output, errors = self.process.communicate()
            if self.process.returncode != 0:
                raise SeedFailure(f"the first client cannot be made: {errors.strip()[-500:]}")
            write_json(self.note, json.loads(output.strip().splitlines()[-1]), PRIVATE)
            self.process = None
        found: dict[str, str] = json.loads(self.note.read_text())
        return found
