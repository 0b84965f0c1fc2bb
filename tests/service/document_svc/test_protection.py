"""A document is at least as confidential as the cases it is attached to, and says so."""

import pytest

from .test_access import sees


async def confidential(world, case, level):
    await world.tell("case.changed", case, {**world.about(case=case), "confidentiality": level})


async def labels(client, document):
    """What each answer says of how confidential the document is."""
    path = f"/v1/documents/{document}"
    content = await client.get(f"{path}/content")
    (listed,) = (await client.get("/v1/documents")).json()["items"]
    same = {"If-None-Match": content.headers["etag"]}
    return {
        (await client.get(path)).json()["confidentiality"],
        listed["confidentiality"],
        content.headers["confidentiality"],
        (await client.head(f"{path}/content")).headers["confidentiality"],
        (await client.get(f"{path}/content", headers=same)).headers["confidentiality"],
    }


async def test_a_confidential_case_protects_its_documents(world):
    normal, trusted = world.organisation("clinic"), world.organisation("clinic")
    case = await world.case_opened()
    await world.grant(normal, ["plan"], case=case, confidentiality="N")
    await world.grant(trusted, ["plan"], case=case, confidentiality="R")
    document = (await world.shared(world.client(world.clinic), case_id=case))["id"]
    assert await sees(world, normal, document)
    assert await labels(world.client(normal), document) == {"N"}
    await confidential(world, case, "R")
    assert not await sees(world, normal, document)
    assert await sees(world, trusted, document)
    assert await labels(world.client(trusted), document) == {"R"}
    await confidential(world, case, "V")
    assert not await sees(world, trusted, document)
    await confidential(world, case, "N")
    assert await sees(world, normal, document)


@pytest.mark.parametrize("level", ["R", "V"])
async def test_a_case_opened_confidential_is_so_from_the_start(world, level):
    case, partner = await world.case_opened(), world.organisation("clinic")
    data = {**world.about(case=case), "confidentiality": level}
    await world.tell("case.opened", case, data)
    await world.grant(partner, ["plan"], case=case, confidentiality="N")
    document = await world.shared(world.client(world.clinic), case_id=case)
    assert document["confidentiality"] == level
    assert not await sees(world, partner, document["id"])


async def test_another_case_lets_it_out_all_the_same(world):
    secret, plain = await world.case_opened(), await world.case_opened()
    partner, clinic = world.organisation("clinic"), world.client(world.clinic)
    await world.grant(partner, ["plan"], case=plain, confidentiality="N")
    await confidential(world, secret, "R")
    document = await world.shared(clinic, case_id=secret)
    assert not await sees(world, partner, document["id"])
    attached = await world.act(clinic, document["id"], "attach", document["version"], case_id=plain)
    assert attached.json()["confidentiality"] == "R"
    assert await sees(world, partner, document["id"])
