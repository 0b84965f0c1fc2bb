"""A path, a make target or a command named in a document is there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TRACKED = subprocess.run(
    ["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
).stdout.split()
DOCUMENTS = [path for path in TRACKED if (ROOT / path).exists()]
PLACES = r"(?:services|libs|deploy|contracts|tests|docs|careloop|requirements)/[\w./*<>{}-]+"
TARGETS = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_there_are_documents():
    assert {"README.md", "docs/architecture.md", "docs/partner-guide.md"} <= set(DOCUMENTS)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_path_named_in_a_document_exists(document):
    text = (ROOT / document).read_text()
    named = {found.rstrip("./") for found in re.findall(rf"`({PLACES})`", text)}
    named = {name for name in named if not set(name) & set("<>{}*")}
    base = (ROOT / document).parent
    missing = [n for n in named if not (ROOT / n).exists() and not (base / n).exists()]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_between_documents_leads_somewhere(document):
    text = (ROOT / document).read_text()
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text)
    base = (ROOT / document).parent
    assert [link for link in links if not (base / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_make_target_named_in_a_document_exists(document):
    named = set(re.findall(r"`make ([a-z][\w-]*)", (ROOT / document).read_text()))
    assert named - TARGETS == set()


def test_every_careloop_command_named_in_a_document_exists():
    named = set()
    for document in DOCUMENTS:
        named |= set(re.findall(r"`careloop ([a-z]+)", (ROOT / document).read_text()))
    assert named
    for name in named:
        command = [sys.executable, "-m", "careloop", name, "--help"]
        done = subprocess.run(command, capture_output=True, check=False)
        assert done.returncode == 0, name
