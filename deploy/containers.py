"""Builds the images and runs them as a deployment would: `python deploy/containers.py`.

Each image must serve as uid 10001 with a read-only root, no capabilities and no new privileges,
and end within its grace on SIGTERM. Prints SKIP with the reason, and exits 0, where podman or a
base image cannot be had. `--base IMAGE` uses that base; else one is made with mmdebstrap.
"""

import argparse
import asyncio
import contextlib
import hashlib
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import asyncpg
from svckit.testing import environment

from careloop import postgres
from careloop.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
WHEELS = ROOT / "build" / "wheels"
BASE = "localhost/careloop-base:python3"
SERVICES = ("gateway", "case-svc", "referral-svc", "document-svc", "notify-svc")
STARTS_WITHIN_S = 60
ENDS_WITHIN_S = 15
HARDENED = (
    "--read-only",
    "--tmpfs=/tmp",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
    "--network=host",
)


class Skip(Exception):
    """Containers cannot run here; says why."""


class Failed(Exception):
    """An image does not do what it must."""


def podman(*arguments: str, timeout_s: float = 600) -> str:
    """Run podman and return what it printed. Raises Failed."""
    done = subprocess.run(
        ["podman", *arguments], capture_output=True, text=True, timeout=timeout_s, check=False
    )
    if done.returncode:
        raise Failed(f"podman {arguments[0]}: {done.stderr.strip()[-2000:]}")
    return done.stdout.strip()


def require_podman() -> None:
    """Raise Skip unless podman is there and can run containers."""
    if not shutil.which("podman"):
        raise Skip("podman is not installed")
    try:
        podman("info", timeout_s=60)
    except (Failed, subprocess.TimeoutExpired) as error:
        raise Skip(f"podman does not work here: {error}") from error


def base_image(given: str | None) -> str:
    """Return a base with python3: the one given, one made before, or one made now."""
    if given:
        return given
    with contextlib.suppress(Failed):
        podman("image", "exists", BASE)
        return BASE
    if not shutil.which("mmdebstrap"):
        raise Skip("no base image: give --base, or install mmdebstrap to make one")
    print("making a base image with mmdebstrap", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        tar = Path(folder) / "base.tar"
        packages = "--include=ca-certificates,python3,python3-venv"
        command = ["mmdebstrap", "--variant=minbase", packages, "bookworm", str(tar)]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode:
            raise Skip(f"mmdebstrap made no base image: {made.stderr.strip()[-300:]}")
        podman("import", str(tar), BASE)
    return BASE


def fetch_wheels(base: str) -> None:
    """Fetch what the image installs, outside of it: its build then needs no network."""
    show = "import sys; print('%d.%d' % sys.version_info[:2])"
    version = podman("run", "--rm", "--network=none", base, "python3", "-c", show)
    requirements = ROOT / "requirements" / "runtime.txt"
    stamp = WHEELS / hashlib.sha256(version.encode() + requirements.read_bytes()).hexdigest()
    if stamp.exists():
        return
    WHEELS.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes"]
    command += ["--only-binary=:all:", "--python-version", version, "--dest", str(WHEELS)]
    command += ["-r", str(requirements)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Skip(f"the wheels cannot be fetched: {done.stderr.strip()[-300:]}")
    stamp.touch()


def build(service: str, base: str) -> str:
    """Build one service's image and return its name."""
    image = f"localhost/careloop/{service}:ci"
    podman(
        "build",
        "--layers",
        "--isolation=chroot",
        f"--build-arg=BASE_IMAGE={base}",
        f"--build-arg=SERVICE={service}",
        "--build-arg=PIP_NO_INDEX=1",
        "--build-arg=PIP_FIND_LINKS=/wheels",
        f"--volume={WHEELS}:/wheels:ro",
        f"--file={ROOT / 'deploy' / 'Dockerfile'}",
        f"--tag={image}",
        str(ROOT),
        timeout_s=1200,
    )
    return image


def settings(service: str, database: str, port: int) -> list[str]:
    """Return the service's settings as podman's flags."""
    urls = {
        f"{name}_url": "http://127.0.0.1:9" for name in ("case", "referral", "document", "notify")
    }
    values = environment(
        service.replace("-", "_"),
        database,
        host="127.0.0.1",
        port=str(port),
        key_file="/state/keys.json",
        **(urls if service == "gateway" else {}),
        store_url="file:///state/documents",
    )
    return [f"--env={name}={value}" for name, value in values.items()]


def check(service: str, image: str, server: postgres.Postgres) -> str:
    """Run one image and return what was found. Raises Failed."""
    database, port = asyncio.run(_database(server.url)), free_port()
    flags = [*HARDENED, "--volume=/state", *settings(service, database, port)]
    podman("run", "--rm", *flags, image, "migrate")
    name = f"careloop-{service}-{secrets.token_hex(4)}"
    podman("run", "--detach", "--name", name, *flags, image)
    try:
        took = _answers(name, f"http://127.0.0.1:{port}/healthz")
        # not /readyz: a service alone never hears of anybody's rights, and says so there
        _answers(name, f"http://127.0.0.1:{port}/healthz")
        _confined(name)
        podman("stop", f"--time={ENDS_WITHIN_S}", name)
        code = podman("inspect", "--format={{.State.ExitCode}}", name)
        if code != "0":
            raise Failed(f"{service}: exit status {code} after SIGTERM")
    finally:
        with contextlib.suppress(Failed):
            podman("rm", "--force", name)
    size = int(podman("image", "inspect", "--format={{.Size}}", image)) // 10**6
    return f"{service}: answers after {took:.1f} s as uid 10001, root read-only, ends on SIGTERM, {size} MB"


async def _database(url: str) -> str:
    name = f"image_{secrets.token_hex(4)}"
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()
    return f"{url.rpartition('/')[0]}/{name}"


def _answers(name: str, url: str) -> float:
    """Return after how long the URL answers 200. Raises Failed with the container's last words."""
    started = time.monotonic()
    while time.monotonic() - started < STARTS_WITHIN_S:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - our own loopback
                return time.monotonic() - started
        except (urllib.error.URLError, OSError):
            if podman("inspect", "--format={{.State.Running}}", name) != "true":
                break
            time.sleep(0.1)
    logs = subprocess.run(["podman", "logs", name], capture_output=True, text=True, check=False)
    raise Failed(f"{url} does not answer: {(logs.stdout + logs.stderr)[-2000:]}")


def _confined(name: str) -> None:
    """Ask from inside: who am I, what may I, can I write? Raises Failed."""
    probe = (
        "import os; status = open('/proc/1/status').read();"
        "caps = [l.split()[1] for l in status.splitlines() if l.startswith('CapEff')][0];"
        "uid = [l.split()[1] for l in status.splitlines() if l.startswith('Uid')][0];"
        "print(uid, int(caps, 16), os.access('/app', os.W_OK), os.statvfs('/').f_flag & 1)"
    )
    found = podman("exec", name, "/venv/bin/python", "-c", probe)
    if found != "10001 0 False 1":
        raise Failed(f"{name}: uid, capabilities, writable, read-only root are {found}")


@contextlib.contextmanager
def database_server() -> Iterator[postgres.Postgres]:
    """Run a throwaway PostgreSQL beside the containers."""
    folder = Path(tempfile.mkdtemp(prefix="careloop-containers-"))
    folder.chmod(0o711)
    server = postgres.start(folder, url=None, settings=postgres.THROWAWAY)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--base", help="base image with python3 and its venv module")
    parser.add_argument("services", nargs="*", default=SERVICES, metavar="SERVICE")
    asked = parser.parse_args(arguments)
    try:
        require_podman()
        base = base_image(asked.base)
        fetch_wheels(base)
        with database_server() as server:
            for service in asked.services:
                print(check(service, build(service, base), server), flush=True)
    except Skip as reason:
        print(f"SKIP containers: {reason}")
    except Failed as reason:
        print(f"FAILED {reason}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
