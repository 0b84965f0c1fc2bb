"""What the service tells the ledger of its answers: metadata, versions, bytes, refusals."""

from svckit.disclosure import HEADER, decode

CLINICAL = 32


def told(answer):
    lines = answer.headers.get_list(HEADER.decode())
    return list(decode([line.encode() for line in lines])) if lines else []


async def shared_with(world, kind="clinic"):
    case, partner = await world.case_opened(), world.organisation(kind)
    await world.grant(partner, ["clinical"], case=case)
    document = await world.shared(world.client(world.clinic), case_id=case, data_class="clinical")
    return document, partner


async def test_metadata_versions_and_bytes_are_told(world):
    document, partner = await shared_with(world)
    client, path = world.client(partner), f"/v1/documents/{document['id']}"
    answers = {
        "document": [
            await client.get(path),
            await client.get(f"{path}/versions"),
            await client.head(f"{path}/content"),
            await client.get("/v1/documents"),
        ],
        "content": [
            await client.get(f"{path}/content"),
            await client.get(f"{path}/content", headers={"Range": "bytes=0-3"}),
        ],
    }
    for kind, found in answers.items():
        for answer in found:
            assert answer.status_code in {200, 206}
            (note,) = told(answer)
            assert (note.kind, note.custodian_id) == (kind, world.clinic)
            assert note.person_id == document["person_id"]
            assert note.classes & CLINICAL


async def test_an_unchanged_content_and_ones_own_are_nothing_disclosed(world):
    document, partner = await shared_with(world)
    path = f"/v1/documents/{document['id']}/content"
    tag = (await world.client(partner).head(path)).headers["etag"]
    same = await world.client(partner).get(path, headers={"If-None-Match": tag})
    assert (same.status_code, told(same)) == (304, [])
    assert told(await world.client(world.clinic).get(path)) == []


async def test_a_refusal_is_told_on_every_path(world):
    document, _ = await shared_with(world)
    outsider = world.client(world.organisation("clinic"))
    for tail in ("", "/content", "/versions"):
        answer = await outsider.get(f"/v1/documents/{document['id']}{tail}")
        assert answer.status_code == 404
        (note,) = told(answer)
        assert (note.denied, note.custodian_id) == (True, world.clinic)
        assert note.person_id == document["person_id"]
