"""`python -m careloop.asyncapi` writes `contracts/asyncapi.yaml` from the code of the services."""

from importlib import import_module
from pathlib import Path
from typing import Any

import orjson
import yaml
from svckit.asyncapi import Contract, Party, document
from svckit.contracts import PREFIX, events_dir, schemas

FILE = Path(__file__).resolve().parent.parent / "contracts" / "asyncapi.yaml"
PACKAGES = ("case_svc", "referral_svc", "document_svc", "notify_svc", "gateway")


def party(package: str) -> Party:
    """Return what the service declares: `PUBLISHES` of its events, its topics and handlers."""
    service: Any = import_module(f"{package}.app").SERVICE
    publishes = getattr(import_module(f"{package}.events"), "PUBLISHES", ())
    return Party(
        name=service.name,
        topic=service.publishes,
        publishes=tuple(f"{PREFIX}{kind}.v1" for kind in publishes),
        reads=tuple(service.topics),
        handles=tuple(service.handlers),
    )


def contracts() -> list[Contract]:
    """Return every contract with its example."""
    folder = events_dir()
    return [
        Contract(
            kind,
            schema.document,
            orjson.loads((folder / f"{kind.removeprefix(PREFIX)}.example.json").read_bytes()),
        )
        for kind, schema in schemas().items()
    ]


def text() -> str:
    """Return the document as YAML."""
    found = document([party(package) for package in PACKAGES], contracts())
    # Through JSON, so that equal parts are written out instead of becoming YAML anchors.
    plain = orjson.loads(orjson.dumps(found))
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100)


def write() -> None:
    """Write the committed document."""
    FILE.write_text(text())


if __name__ == "__main__":
    write()
