"""The import contracts of pyproject.toml hold here, and break where they are violated."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLACES = [
    *("libs/svckit", "libs/sharing", "services/case-svc", "services/referral-svc"),
    *("services/document-svc", "services/notify-svc", "services/gateway", "."),
]
VIOLATIONS = [
    ("platform", "services/case-svc/case_svc/actions/stray.py", "import referral_svc.queries"),
    ("platform", "libs/sharing/sharing/stray.py", "from case_svc import domain"),
    ("platform", "libs/svckit/svckit/stray.py", "import sharing.classes"),
    ("rooms", "services/referral-svc/referral_svc/queries/stray.py", "import referral_svc.actions"),
    ("rooms", "services/document-svc/document_svc/helpers.py", ""),
    ("door", "services/gateway/gateway/models_stray.py", ""),
    ("pure", "services/case-svc/case_svc/domain/stray.py", "import sqlalchemy"),
    ("pure", "services/notify-svc/notify_svc/domain/stray.py", "import svckit.db"),
]


def broken(folder, *contracts):
    """Whether import-linter finds one of the contracts (of all) broken in a checkout."""
    chosen = [part for contract in contracts for part in ("--contract", contract)]
    places = os.pathsep.join(str(folder / place) for place in PLACES)
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", *chosen],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": places, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.search(r"Contracts: \d kept, \d broken", done.stdout), done.stdout + done.stderr
    return done.returncode != 0


@pytest.fixture
def checkout(tmp_path):
    ignored = shutil.ignore_patterns("__pycache__", "migrations", "*.md")
    for folder in ("libs", "services", "careloop"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("contract", "path", "line"), VIOLATIONS, ids=[f"{one[0]} {one[1]}" for one in VIOLATIONS]
)
def test_a_violation_breaks_its_contract(checkout, contract, path, line):
    (checkout / path).write_text(f"{line}\n")
    assert broken(checkout, contract)


def test_the_contracts_hold(checkout):
    """Else a violation above would prove nothing."""
    assert not broken(checkout)
