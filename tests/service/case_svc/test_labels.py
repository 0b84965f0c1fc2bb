"""Confidentiality and sensitivity of cases, needs and notes: who is kept out, at once, everywhere."""

import pytest

SEES = ["coordination", "needs", "notes", "clinical"]


async def seen_by(partner, path, kind="notes"):
    rows = {each["id"] for each in (await partner.read(f"{path}/{kind}"))["items"]}
    told = {each["resource_id"] for each in (await partner.read(f"{path}/timeline"))["items"]}
    return rows, told


@pytest.mark.parametrize(
    ("kind", "body"),
    [("notes", {"kind": "contact", "text": "x"}), ("needs", {"category": "stress"})],
)
async def test_a_row_is_let_out_up_to_what_the_agreement_says(world, clinic, kind, body):
    case = await world.case(clinic)
    path = f"/v1/cases/{case['id']}"
    made = await clinic.make(f"{path}/{kind}", **body, confidentiality="R")
    assert made["confidentiality"] == "R"
    (told,) = await world.events(made["id"])
    assert told.data["confidentiality"] == "R"
    normal, restricted = world.partner("clinic"), world.partner("clinic")
    await world.grant(clinic, normal, case["person_id"], SEES)
    await world.grant(clinic, restricted, case["person_id"], SEES, confidentiality="R")
    for partner, sees in ((normal, False), (restricted, True)):
        answer = await partner.get(f"{path}/{kind}/{made['id']}")
        assert (answer.status_code == 200) is sees
        rows, entries = await seen_by(partner, path, kind)
        assert (made["id"] in rows, made["id"] in entries) == (sees, sees)
        counts = (await partner.read(path))["counts"]
        assert counts["notes" if kind == "notes" else "needs_open"] == int(sees)


async def test_a_case_protects_all_that_is_in_it(world, clinic):
    case = await world.case(clinic)
    path = f"/v1/cases/{case['id']}"
    note = await clinic.make(f"{path}/notes", kind="contact", text="x")
    partner = world.partner("clinic")
    await world.grant(clinic, partner, case["person_id"], SEES)
    assert (await partner.get(f"{path}/notes/{note['id']}")).status_code == 200
    changed = await clinic.patch(path, 1, confidentiality="V")
    assert changed.json()["confidentiality"] == "V"
    for address in (path, f"{path}/notes/{note['id']}", f"{path}/timeline"):
        assert (await partner.get(address)).status_code == 404, address
    assert (await partner.read("/v1/cases/count"))["count"] == 0
    told = (await world.events(case["id"]))[-1]
    assert (told.data["confidentiality"], told.data["change"]["fields"]) == (
        "V",
        ["confidentiality"],
    )
    await clinic.patch(path, 2, confidentiality="L")
    assert (await partner.get(path)).status_code == 200


async def test_a_row_shows_how_confidential_it_is_with_its_case(world, clinic):
    case = await world.case(clinic, confidentiality="R")
    path = f"/v1/cases/{case['id']}"
    note = await clinic.make(f"{path}/notes", kind="contact", text="x")
    need = await clinic.make(f"{path}/needs", category="stress", confidentiality="V")
    assert (note["confidentiality"], need["confidentiality"]) == ("R", "V")
    for kind, row, level in (("notes", note, "R"), ("needs", need, "V")):
        assert (await clinic.read(f"{path}/{kind}/{row['id']}"))["confidentiality"] == level
        (listed,) = (await clinic.read(f"{path}/{kind}"))["items"]
        assert listed["confidentiality"] == level


async def test_labelling_a_note_takes_effect_at_once_also_on_what_was_told(world, clinic, pantry):
    case = await world.case(clinic)
    path = f"/v1/cases/{case['id']}"
    await world.grant(clinic, pantry, case["person_id"], SEES)
    note = await clinic.make(f"{path}/notes", kind="contact", text="x")
    rows, entries = await seen_by(pantry, path)
    assert note["id"] in rows & entries
    labelled = await clinic.move(
        f"{path}/notes/{note['id']}/label", 1, labels=["SDV"], confidentiality="R"
    )
    assert (labelled["labels"], labelled["confidentiality"]) == (["SDV"], "R")
    rows, entries = await seen_by(pantry, path)
    assert note["id"] not in rows | entries
    told = (await world.events(note["id"]))[-1]
    assert told.type == "org.careloop.note.labelled.v1"
    assert (set(told.data["classes"]), told.data["confidentiality"]) == ({"notes", "safety"}, "R")
    await clinic.move(f"{path}/notes/{note['id']}/label", 2, labels=[])
    rows, entries = await seen_by(pantry, path)
    assert note["id"] in rows & entries


async def test_only_author_and_custodian_label(world, clinic, pantry):
    case = await world.case(clinic)
    path = f"/v1/cases/{case['id']}"
    await world.grant(clinic, pantry, case["person_id"], SEES)
    theirs = await clinic.make(f"{path}/notes", kind="contact", text="x")
    answer = await pantry.act(f"{path}/notes/{theirs['id']}/label", 1, labels=["MH"])
    assert answer.status_code == 404
    own = await pantry.make(f"{path}/notes", kind="contact", text="x")
    assert (
        await pantry.act(f"{path}/notes/{own['id']}/label", 1, labels=["MH"])
    ).status_code == 200
    stale = await pantry.act(f"{path}/notes/{own['id']}/label", 1, labels=["MH"])
    assert stale.status_code == 412


@pytest.mark.parametrize("wrong", [{"labels": ["XYZ"]}, {"labels": [], "confidentiality": "X"}, {}])
async def test_a_label_that_is_none_is_refused(world, clinic, wrong):
    case = await world.case(clinic)
    path = f"/v1/cases/{case['id']}/notes"
    note = await clinic.make(path, kind="contact", text="x")
    assert (await clinic.act(f"{path}/{note['id']}/label", 1, **wrong)).status_code == 422
