"""Content comes in whole and verified, or not at all."""

import asyncio
import os
import resource
from datetime import timedelta
from pathlib import Path

import pytest
from document_svc import actions
from svckit.clock import now

from .conftest import CONTENT, content_digest, sha256


def files(settings):
    root = Path(settings.store_url.removeprefix("file://"))
    return sorted(path for path in root.rglob("*") if path.is_file())


async def test_a_document_is_pending_until_its_content_is_verified(world):
    clinic = world.client(world.clinic)
    declared = await world.add(clinic, content=CONTENT)
    assert declared.status_code == 201
    assert declared.headers["etag"] == '"0"'
    body = declared.json()
    assert (body["status"], body["version"], body["content"]) == ("pending", 0, None)
    assert declared.headers["location"] == f"/v1/documents/{body['id']}"
    assert await world.events(body["id"]) == []

    stored = await clinic.put(
        f"/v1/documents/{body['id']}/content", content=CONTENT, headers={"If-Match": '"0"'}
    )
    assert stored.status_code == 200, stored.text
    assert stored.headers["etag"] == '"1"'
    assert stored.json()["status"] == "current"
    content = stored.json()["content"]
    assert content["sha256"] == sha256(CONTENT)
    assert (content["number"], content["size_bytes"]) == (1, len(CONTENT))
    [event] = await world.events(body["id"])
    assert (event.type, event.version) == ("org.careloop.document.added.v1", 1)


async def test_what_was_stored_comes_back_byte_for_byte(world):
    clinic = world.client(world.clinic)
    document = await world.shared(clinic)
    answer = await clinic.get(f"/v1/documents/{document['id']}/content")
    assert answer.status_code == 200
    assert answer.content == CONTENT
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["etag"] == f'"{sha256(CONTENT)}"'
    assert answer.headers["repr-digest"] == content_digest(CONTENT)["Content-Digest"]
    assert answer.headers["content-disposition"] == "attachment"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("declared", "sent", "pointer"),
    [
        (CONTENT, CONTENT[:-1] + b"?", "#/sha256"),
        (CONTENT, CONTENT + b"?", "#/size_bytes"),
        (CONTENT, b"", "#/size_bytes"),
    ],
    ids=["another byte", "one byte more", "nothing"],
)
async def test_content_that_is_not_what_was_declared_is_refused_and_not_kept(
    world, settings, declared, sent, pointer
):
    clinic = world.client(world.clinic)
    document = (await world.add(clinic, content=declared)).json()["id"]
    answer = await clinic.put(
        f"/v1/documents/{document}/content", content=sent, headers={"If-Match": '"0"'}
    )
    assert answer.status_code == 422
    assert answer.json()["code"] == "content-mismatch"
    assert pointer in {error["pointer"] for error in answer.json()["errors"]}
    assert files(settings) == []
    assert (await clinic.get(f"/v1/documents/{document}")).json()["status"] == "pending"
    assert await world.events(document) == []


async def test_a_streamed_mismatch_is_found_at_its_end_and_not_kept(world, settings):
    async def chunks():
        for _ in range(200):
            yield b"x" * 65536

    clinic = world.client(world.clinic)
    document = (await world.add(clinic)).json()["id"]
    answer = await clinic.put(
        f"/v1/documents/{document}/content",
        content=chunks(),
        headers={"If-Match": '"0"', **content_digest(b"something else")},
    )
    assert answer.status_code == 422
    assert files(settings) == []


async def test_a_digest_is_demanded_and_must_be_well_formed(world):
    clinic = world.client(world.clinic)
    document = (await world.add(clinic)).json()["id"]
    path = f"/v1/documents/{document}/content"
    without = await clinic.put(path, content=CONTENT, headers={"If-Match": '"0"'})
    assert (without.status_code, without.json()["code"]) == (400, "digest-missing")
    malformed = await clinic.put(
        path, content=CONTENT, headers={"If-Match": '"0"', "Content-Digest": "sha-256=:abc:"}
    )
    assert (malformed.status_code, malformed.json()["code"]) == (400, "digest-malformed")
    encoded = await world.put(clinic, document, **{"Content-Encoding": "gzip"})
    assert encoded.status_code == 415


async def test_content_above_the_limit_is_refused_declared_or_streamed(world, settings):
    clinic = world.client(world.clinic)
    limit = settings.max_content_bytes
    declared = await clinic.post(
        "/v1/documents",
        json={
            "case_id": world.case,
            "title": "Scan",
            "type": "18842-5",
            "data_class": "clinical",
            "content_type": "image/tiff",
            "size_bytes": limit + 1,
        },
        headers={"Idempotency-Key": "too-large"},
    )
    assert (declared.status_code, declared.json()["code"]) == (413, "payload-too-large")

    document = (await world.add(clinic)).json()["id"]
    path = f"/v1/documents/{document}/content"
    headers = {"If-Match": '"0"', **content_digest(b"")}
    stated = await clinic.put(
        path, content=b"x", headers={**headers, "Content-Length": str(limit + 1)}
    )
    assert stated.status_code == 413

    async def endless():
        while True:
            yield b"x" * 1024 * 1024

    streamed = await clinic.put(path, content=endless(), headers=headers)
    assert streamed.status_code == 413
    assert files(settings) == []


async def test_64_mib_stream_through_in_bounded_memory(world):
    size, chunk = 64 * 1024 * 1024, bytes(range(256)) * 256

    async def chunks():
        for _ in range(size // len(chunk)):
            yield chunk

    whole = chunk * (size // len(chunk))
    digest = content_digest(whole)
    del whole
    clinic = world.client(world.clinic)
    document = (await world.add(clinic)).json()["id"]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    stored = await clinic.put(
        f"/v1/documents/{document}/content", content=chunks(), headers={"If-Match": '"0"', **digest}
    )
    assert stored.status_code == 200, stored.text
    assert stored.json()["content"]["size_bytes"] == size
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 32 * 1024, f"{grown} KiB more"


async def test_a_sender_that_breaks_off_leaves_nothing(world, settings):
    clinic = world.client(world.clinic)
    document = (await world.add(clinic)).json()["id"]
    path = f"/v1/documents/{document}/content"
    headers = {
        "authorization": clinic.headers["authorization"],
        "if-match": '"0"',
        **content_digest(CONTENT),
    }
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "PUT",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
        "server": ("service.test", 80),
        "client": ("127.0.0.1", 1),
    }
    arriving = iter(
        [
            {"type": "http.request", "body": b"x" * 6_000_000, "more_body": True},
            {"type": "http.disconnect"},
        ]
    )
    sent = []

    async def receive():
        return next(arriving)

    async def send(message):
        sent.append(message)

    await world.app(scope, receive, send)
    assert sent[0]["status"] == 400
    assert files(settings) == []
    assert (await clinic.get(f"/v1/documents/{document}")).json()["version"] == 0


async def test_a_further_content_is_a_version_and_the_first_stays_as_it_was(world):
    clinic = world.client(world.clinic)
    document = (await world.shared(clinic))["id"]
    second = b"the second week\n"
    answer = await world.put(clinic, document, second, version=1, **{"Content-Type": "text/plain"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["version"] == 2
    path = f"/v1/documents/{document}"
    versions = (await clinic.get(f"{path}/versions")).json()["items"]
    assert [(v["number"], v["content_type"]) for v in versions] == [
        (2, "text/plain"),
        (1, "application/pdf"),
    ]
    assert (await clinic.get(f"{path}/content")).content == second
    assert (await clinic.get(f"{path}/content?version=1")).content == CONTENT
    assert (await clinic.get(f"{path}/content?version=3")).status_code == 404
    assert [e.type.split(".")[3] for e in await world.events(document)] == ["added", "revised"]


async def test_a_stale_etag_is_refused_and_the_bytes_are_not_kept(world, settings):
    clinic = world.client(world.clinic)
    document = (await world.shared(clinic))["id"]
    stale = await world.put(clinic, document, b"other bytes", version=0)
    assert stale.status_code == 412
    assert stale.json()["current_version"] == 1
    missing = await clinic.put(f"/v1/documents/{document}/content", content=b"x")
    assert missing.status_code == 428
    assert len(files(settings)) == 1


async def test_an_upload_whose_answer_was_lost_may_be_sent_again(world):
    clinic = world.client(world.clinic)
    document = (await world.shared(clinic))["id"]
    again = await world.put(clinic, document, CONTENT, version=0)
    assert again.status_code == 200
    assert again.json()["version"] == 1
    assert len(await world.events(document)) == 1


async def test_of_two_uploads_at_once_one_wins(world):
    clinic = world.client(world.clinic)
    document = (await world.shared(clinic))["id"]
    answers = await asyncio.gather(
        *(world.put(clinic, document, f"draft {n}".encode(), version=1) for n in range(5))
    )
    assert sorted(a.status_code for a in answers) == [200, 412, 412, 412, 412]
    assert [event.version for event in await world.events(document)] == [1, 2]


async def test_bytes_without_a_row_are_swept_after_an_hour_and_no_others(world, settings):
    clinic = world.client(world.clinic)
    document = (await world.shared(clinic))["id"]
    storage = world.app.state.storage
    root = Path(settings.store_url.removeprefix("file://"))

    async def lost():
        yield b"written, then the process was killed"

    for name in ("ver_old", "ver_young"):
        await storage.put(f"documents/{document}/{name}", lost())
    (root / "documents" / document / "ver_part#1").write_bytes(b"half")
    long_ago = (now() - timedelta(hours=2)).timestamp()
    for path in files(settings):
        if path.name != "ver_young":
            os.utime(path, (long_ago, long_ago))

    assert await actions.sweep(world.db, storage, settings.orphan_after_s) == 2
    left = files(settings)
    assert len(left) == 2
    assert "ver_young" in {path.name for path in left}
    assert (await clinic.get(f"/v1/documents/{document}/content")).content == CONTENT


async def test_bytes_that_are_gone_are_said_to_be_unavailable(world, settings):
    clinic = world.client(world.clinic)
    document = (await world.shared(clinic))["id"]
    for path in files(settings):
        path.unlink()
    answer = await clinic.get(f"/v1/documents/{document}/content")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
