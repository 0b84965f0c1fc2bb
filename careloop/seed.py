"""Loads the sandbox's network through the public API, and tells programs outside how to use it.

Repeatable: what exists is found by its name and left as it is.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from careloop import network
from careloop.bootstrap import PRIVATE, FirstClient, key_file, key_of
from careloop.errors import SeedFailure
from careloop.keys import public_set
from careloop.layout import Layout, write_json
from careloop.network import CLINIC, COORDINATOR, MEMBERS, Agreement, Member
from careloop.partner import Partner, must
from careloop.services import Machine


@dataclass
class Seed:
    """One run; `ids` and `clients` by the member's slug."""

    machine: Machine
    http: httpx.Client = field(repr=False)
    first: FirstClient
    ids: dict[str, str] = field(default_factory=dict)
    clients: dict[str, str] = field(default_factory=dict)
    made: int = 0

    @property
    def layout(self) -> Layout:
        return self.machine.layout

    def run(self) -> dict[str, Any]:
        """Make what is missing, write `sandbox.json` and return its content."""
        self._bootstrap()
        admin = self._partner(COORDINATOR)
        self._organisations(admin)
        self._clients(admin)
        self._agreements(admin)
        self._directories()
        self._persons()
        content = self._sandbox(self._secret_client(admin))
        write_json(self.layout.sandbox_file, content, PRIVATE)
        return content

    def _partner(self, member: Member) -> Partner:
        return Partner(
            self.machine.issuer,
            self.ids[member.slug],
            member.name,
            member.kind,
            self.clients[member.slug],
            key_of(self.layout, member),
            member.alg,
            member.purposes[0],
            self.http,
        )

    def _bootstrap(self) -> None:
        known = self.first.result()
        self.ids[COORDINATOR.slug] = known["organisation_id"]
        self.clients[COORDINATOR.slug] = known["client_id"]

    def _organisations(self, admin: Partner) -> None:
        known = {item["name"]: item["id"] for item in admin.items("/v1/organisations")}
        for member in MEMBERS:
            if member.slug in self.ids:
                continue
            if member.name not in known:
                body = {"kind": member.kind, "name": member.name}
                known[member.name] = self._create(admin, "/v1/organisations", body)["id"]
            self.ids[member.slug] = known[member.name]

    def _clients(self, admin: Partner) -> None:
        known = {
            item["organisation_id"]: item
            for item in admin.items("/v1/clients")
            if item["active"] and not item["sandbox"]
        }
        for member in MEMBERS:
            if member.slug in self.clients:
                continue
            public = public_set(key_of(self.layout, member))
            entry = known.get(self.ids[member.slug])
            if entry is None:
                body = {
                    "organisation_id": self.ids[member.slug],
                    "name": f"{member.name} system",
                    "jwks": public,
                    "algorithms": [member.alg],
                    "scopes": list(member.scopes),
                    "purposes": list(member.purposes),
                }
                entry = self._create(admin, "/v1/clients", body)
            self.clients[member.slug] = entry["id"]

    def _agreements(self, admin: Partner) -> None:
        known = {
            (item["custodian_id"], item["recipient_id"])
            for item in admin.items("/v1/agreements")
            if item["ended_at"] is None
        }
        for agreement in network.AGREEMENTS:
            pair = self.ids[agreement.custodian.slug], self.ids[agreement.recipient.slug]
            if pair not in known:
                self._create(admin, "/v1/agreements", _agreement(agreement, *pair))

    def _directories(self) -> None:
        for member in MEMBERS:
            if member.directory is None:
                continue
            document = network.seed_data(member.directory)
            answer = self._partner(member).post("/v1/directory/import", document)
            refused = [item for item in must(answer).body["items"] if item["result"] == "refused"]
            if refused:
                raise SeedFailure(f"{member.name}: the directory is refused: {refused[:3]}")

    def _persons(self) -> None:
        clinic = self._partner(CLINIC)
        known = {
            record.get("number")
            for item in clinic.items("/v1/persons")
            for record in item["records"]
        }
        for person in network.persons():
            if person["number"] not in known:
                # a seed that was killed may have left its last request on the way
                self._create(clinic, "/v1/persons", person, unless="number-taken")

    def _secret_client(self, admin: Partner) -> dict[str, str]:
        """Return a client of the clinic that signs with a secret, for a first try by hand."""
        note = self.layout.secrets / "sandbox-client.json"
        if not note.exists():
            body = {
                "organisation_id": self.ids[CLINIC.slug],
                "name": "Sandbox",
                "scopes": list(CLINIC.scopes),
                "purposes": list(CLINIC.purposes),
                "sandbox": True,
            }
            made: dict[str, Any] = {}
            # a repeated answer does not repeat the secret: a client without one is left unused
            while "client_secret" not in made:
                made = self._create(admin, "/v1/clients", body)
            content = {"client_id": made["id"], "client_secret": made["client_secret"]}
            write_json(note, content, PRIVATE)
        found: dict[str, str] = json.loads(note.read_text())
        return found

    def _create(
        self, partner: Partner, path: str, body: Mapping[str, Any], unless: str | None = None
    ) -> dict[str, Any]:
        """Create it; a refusal with the code `unless` is fine. Raises SeedFailure."""
        answer = partner.post(path, body)
        self.made += answer.status < 400  # noqa: PLR2004
        if answer.status >= 400 and answer.code != unless:  # noqa: PLR2004
            raise SeedFailure(f"{path} is refused: {answer.status} {answer.body}")
        made: dict[str, Any] = answer.body
        return made

    def _sandbox(self, secret_client: Mapping[str, str]) -> dict[str, Any]:
        issuer = self.machine.issuer
        organisations = []
        for member in MEMBERS:
            entry: dict[str, Any] = {
                "name": member.name,
                "kind": member.kind,
                "id": self.ids[member.slug],
                "client_id": self.clients[member.slug],
                "key_file": str(key_file(self.layout, member)),
                "alg": member.alg,
                "kid": f"{member.slug}-1",
                "scopes": list(member.scopes),
                "purposes": list(member.purposes),
            }
            if member is CLINIC:
                entry["sandbox_client"] = dict(secret_client)
            organisations.append(entry)
        return {
            "gateway": issuer,
            "issuer": issuer,
            "token_url": f"{issuer}/oauth/token",
            "organisations": organisations,
        }


def _agreement(agreement: Agreement, custodian_id: str, recipient_id: str) -> dict[str, Any]:
    return {
        "custodian_id": custodian_id,
        "recipient_id": recipient_id,
        "purposes": list(agreement.purposes),
        "classes": list(agreement.classes),
        "consent_classes": list(agreement.consent_classes),
        "legal_basis": agreement.legal_basis,
    }
