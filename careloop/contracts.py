"""`python -m careloop.contracts` writes `contracts/openapi`, `contracts/asyncapi.yaml`, `fields.json`.

Event schemas are locked first: one that breaks what was published ends it.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from svckit.testing import environment

from careloop import asyncapi, compatibility, fields

FOLDER = Path(__file__).resolve().parent.parent / "contracts" / "openapi"
PACKAGES = {
    "case_svc": "case-svc",
    "referral_svc": "referral-svc",
    "document_svc": "document-svc",
    "notify_svc": "notify-svc",
    "gateway": "gateway",
}
_NOWHERE = "postgresql://nobody@127.0.0.1:1/none"


def document(package: str) -> bytes:
    """Return the OpenAPI 3.1 document of one service. Raises CalledProcessError."""
    done = subprocess.run(
        [sys.executable, "-m", package, "openapi"],
        env={**os.environ, **environment(package, _NOWHERE)},
        capture_output=True,
        check=True,
    )
    return done.stdout


def write() -> None:
    """Write every service's document."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(2) as pool:
        for name, found in zip(PACKAGES.values(), pool.map(document, PACKAGES), strict=True):
            (FOLDER / f"{name}.v1.json").write_bytes(found)
    fields.write(FOLDER)


if __name__ == "__main__":
    compatibility.write()
    write()
    asyncapi.write()
