"""The partner guide does what it says: its blocks are taken from the page and run in their order."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from careloop.ports import free_port
from tests.world import Platform

GUIDE = Path(__file__).parents[2] / "docs" / "partner-guide.md"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"(?:#|//) (\S+\.(?:py|mjs))\n")
# programs that the reader copies: the table links to them
_COPIED = re.compile(r"\| \[\S+\]\((receivers/\S+)\)")
_NEEDS_NODE = "# needs: node\n"
_END = "trap 'kill $(jobs -p) 2> /dev/null || true' EXIT"


def blocks(language: str) -> list[str]:
    return [text for kind, text in _BLOCK.findall(GUIDE.read_text()) if kind == language]


def write_files(folder: Path) -> list[str]:
    """Write every block that names its file, and return the names."""
    named = [
        (_FILE.match(text), text) for kind in ("python", "javascript") for text in blocks(kind)
    ]
    assert all(found for found, _ in named), "a program without a file name"
    for found, text in named:
        if found:
            (folder / found[1]).write_text(text.removeprefix(found[0]))
    for copied in _COPIED.findall(GUIDE.read_text()):
        shutil.copy(GUIDE.parent / copied, folder)
    return [found[1] for found, _ in named if found]


def follow(platform: Platform, folder: Path, *, with_node: bool) -> str:
    """Run the shell blocks as one reader would, in one shell; return what they print."""
    shell = [text for text in blocks("bash") if with_node or not text.startswith(_NEEDS_NODE)]
    script = "\n".join(["set -euo pipefail", _END, *shell])
    environment: dict[str, Any] = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SANDBOX": str(platform.sandbox_file),
        "RECEIVER_PORT": str(free_port()),
        "NODE_PORT": str(free_port()),
        "no_proxy": "127.0.0.1",
    }
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def followed(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The whole page, followed once; the Node part too where there is Node."""
    if missing := [tool for tool in ("bash", "curl", "openssl") if shutil.which(tool) is None]:
        pytest.skip(f"not on this machine: {', '.join(missing)}")
    folder = tmp_path_factory.mktemp("partner")
    write_files(folder)
    return folder, follow(platform, folder, with_node=shutil.which("node") is not None)


def test_the_guide_is_followed_to_its_end(followed: tuple[Path, str]) -> None:
    folder, said = followed
    assert "verified msg_" in said
    assert "accepted" in said
    assert "whsec_…" in said
    received = (folder / "received.log").read_text().splitlines()
    assert [line.split()[0] for line in received][:2] == [
        "org.careloop.webhook.ping.v1",
        "org.careloop.referral.requested.v1",
    ]


def test_the_feed_and_the_delivery_log_tell_of_the_referral(followed: tuple[Path, str]) -> None:
    _, said = followed
    assert re.search(
        r"^\d+ org\.careloop\.referral\.requested\.v1 /v1/referrals/ref_", said, re.MULTILINE
    )
    assert "delivered org.careloop.referral.requested.v1 after 1 attempt(s)" in said


def test_node_verifies_with_its_built_in_crypto(followed: tuple[Path, str]) -> None:
    if shutil.which("node") is None:
        pytest.skip("node is not on this machine")
    folder, _ = followed
    assert "org.careloop.webhook.ping.v1" in (folder / "received-by-node.log").read_text()


def test_python_blocks_of_the_guide_compile() -> None:
    for text in blocks("python"):
        compile(text, "partner-guide.md", "exec")
