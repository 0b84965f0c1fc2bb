"""Who sees a part of a row gets the same bytes by every door when something else of it changes."""

import json

import pytest
from svckit.clock import now

from tests.service.case_svc.test_access import SUBS, filled

__all__ = ["filled"]

# kind -> what its reader holds, a change of what that reader does not see, one of what it does
ROWS = {
    "case": (["outcome"], {"title": "Other", "summary": "Other"}, None),
    "needs": (["coordination", "needs"], {"description": "Other"}, {"priority": "urgent"}),
    "tasks": (["coordination"], {"description": "Other"}, {"title": "Other"}),
    "record": (["identity"], {"phone": "555-0199", "member_number": "M-1"}, {"gender": "other"}),
}


class Doors:
    """Everything that a partner is answered about a case, its rows and its person."""

    def __init__(self, partner, case):
        self._partner = partner
        path = f"/v1/cases/{case['id']}"
        self._paths = [path, "/v1/cases", "/v1/tasks", f"{path}/export", "/v1/cases/export"]
        self._paths += [f"{path}/{sub}" for sub in SUBS]
        for sub, row in case["rows"].items():
            one = f"/v1/tasks/{row['id']}" if sub == "tasks" else f"{path}/{sub}/{row['id']}"
            self._paths.append(one)
        person = f"/v1/persons/{case['person_id']}"
        self._paths += ["/v1/persons", person, f"{person}/records/{case['record_id']}"]
        self._cases = [path, *(f"{path}/{sub}" for sub in SUBS)]

    async def answers(self):
        found = {path: await self._partner.get(path) for path in self._paths}
        found |= {
            f"{path} as of now": await self._partner.get(path, as_of=now().isoformat())
            for path in self._cases
        }
        return {
            # a refusal tells the number of its trace
            path: (one.status_code, one.headers.get("etag"), one.content if one.is_success else b"")
            for path, one in found.items()
        }


@pytest.fixture
def reader(world, clinic):
    async def make(kind, classes, case):
        found = world.partner(kind)
        await world.grant(clinic, found, case["person_id"], classes)
        return found

    return make


async def _change(clinic, case, what, body):
    person = await clinic.read(f"/v1/persons/{case['person_id']}")
    path = {
        "case": f"/v1/cases/{case['id']}",
        "needs": f"/v1/cases/{case['id']}/needs/{case['rows']['needs']['id']}",
        "tasks": f"/v1/tasks/{case['rows']['tasks']['id']}",
        "record": f"/v1/persons/{case['person_id']}/records/{person['records'][0]['id']}",
    }[what]
    standing = await clinic.read(path)
    answer = await clinic.patch(path, standing["version"], **body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["version"] == standing["version"] + 1, "one version a command"


@pytest.fixture
def case(clinic, filled):
    async def whole():
        person = await clinic.read(f"/v1/persons/{filled['person_id']}")
        return {**filled, "record_id": person["records"][0]["id"]}

    return whole


@pytest.mark.parametrize("what", ROWS)
async def test_a_hidden_change_moves_nothing_by_any_door(clinic, reader, case, what):
    classes, hidden, seen = ROWS[what]
    found = await case()
    partner = await reader("payer" if what == "case" else "social-service", classes, found)
    doors = Doors(partner, found)
    before = await doors.answers()
    assert sum(status == 200 for status, _, _ in before.values()) >= 3
    await _change(clinic, found, what, hidden)
    assert await doors.answers() == before
    if seen:
        await _change(clinic, found, what, seen)
        after = await doors.answers()
        moved = {path for path in after if after[path] != before[path]}
        assert any(after[path][1] != before[path][1] for path in moved), "the ETag as well"


@pytest.mark.parametrize("what", ["case", "needs", "tasks", "record"])
async def test_who_sees_a_part_is_told_of_changes_of_that_part(world, clinic, case, what):
    """By event and timeline: of hidden fields alone nobody, of both those who see one of them."""
    found = await case()
    _, hidden, seen = ROWS[what]
    seen = seen or {"review_on": "2027-01-01"}
    kinds = {"case": "cas", "needs": "nee", "tasks": "tsk", "record": "per"}
    for body in ({**seen, **hidden}, hidden, seen):
        await _change(clinic, found, what, body)
    subject = {
        "case": found["id"],
        "record": found["person_id"],
        **{sub: found["rows"][sub]["id"] for sub in ("needs", "tasks")},
    }[what]
    assert subject.startswith(kinds[what])
    both, of_hidden, of_seen = [set(one.data["classes"]) for one in await world.events(subject)][
        -3:
    ]
    assert both == of_seen
    assert of_seen < of_hidden or what == "case"


async def test_an_entry_of_the_timeline_names_no_hidden_field(clinic, reader, case):
    found = await case()
    partner = await reader("social-service", ["coordination", "needs"], found)
    await _change(clinic, found, "needs", {"priority": "urgent", "description": "Other"})
    await _change(clinic, found, "case", {"title": "Other", "summary": "Other"})
    path = f"/v1/cases/{found['id']}/timeline"
    for one, names in ((partner, [["title"], ["priority"]]), (clinic, [["summary", "title"]])):
        told = [each["change"].get("fields") for each in (await one.read(path))["items"]]
        assert [each for each in told if each][: len(names)] == names


async def test_the_status_of_a_case_is_told_by_its_class(clinic, reader, case):
    """Who sees coordination and no outcome is not told that the case was suspended."""
    found = await case()
    partner = await reader("social-service", ["coordination"], found)
    doors = Doors(partner, found)
    before = await doors.answers()
    await clinic.move(f"/v1/cases/{found['id']}/suspend", 2, reason="x")
    assert await doors.answers() == before
    told = (await partner.read(f"/v1/cases/{found['id']}/timeline"))["items"]
    assert "status" not in json.dumps(
        [each["change"] for each in told if "case." in each["action"]]
    )


async def test_a_secret_address_that_changes_is_told_to_nobody_outside(world, clinic):
    home, box = {"line": "12 Elm Street"}, {"line": "PO Box 7"}
    person = await world.person(
        clinic, address=home, substitute_address=box, address_confidential=True
    )
    helper = world.partner("social-service")
    await world.grant(clinic, helper, person["id"], ["identity", "contact"])
    (record,) = person["records"]
    path = f"/v1/persons/{person['id']}/records/{record['id']}"
    before = await helper.get(path)
    await clinic.patch(path, 1, address={"line": "9 Oak Street"}, phone="555-0101")
    after = await helper.get(path)
    assert (after.content, after.headers["etag"]) == (before.content, before.headers["etag"])
    await clinic.patch(path, 2, substitute_address={"line": "PO Box 8"})
    assert (await helper.get(path)).headers["etag"] != before.headers["etag"]
    await clinic.patch(path, 3, address_confidential=False)
    *_, hidden, instead, ended = [each.data["classes"] for each in await world.events(person["id"])]
    assert hidden == ["identity", "contact", "safety"]
    assert instead == ended == ["identity", "contact"]


async def test_who_holds_a_task_and_sees_a_part_of_it_works_by_the_digest(
    world, clinic, pantry, filled
):
    """The notes of the task change meanwhile: the holder is not told, and not stopped."""
    await world.grant(clinic, pantry, filled["person_id"], ["coordination"])
    path = f"/v1/tasks/{filled['rows']['tasks']['id']}"
    read = await pantry.get(path)
    assert "version" not in read.json()
    etag = read.headers["etag"].strip('"')
    await clinic.patch(path, 1, description="For the clinic's eyes")
    claimed = await pantry.act(f"{path}/claim", etag, worker="maria")
    assert claimed.status_code == 200, claimed.text
    assert "version" not in claimed.json()
    again = claimed.headers["etag"]
    assert (await pantry.get(path)).headers["etag"] == again != f'"{etag}"'
    assert [each.version for each in await world.events(filled["rows"]["tasks"]["id"])] == [1, 2, 3]


async def test_who_sees_a_part_learns_no_version_by_trying(world, clinic, pantry, filled):
    await world.grant(clinic, pantry, filled["person_id"], ["coordination"])
    task = filled["rows"]["tasks"]["id"]
    stale = (await pantry.get(f"/v1/tasks/{task}")).headers["etag"].strip('"')
    await clinic.patch(f"/v1/tasks/{task}", 1, title="Other")
    for guess in ("1", "2", "3", stale, "A" * 20):
        refused = await pantry.act(f"/v1/tasks/{task}/claim", guess, worker="maria")
        assert (refused.status_code, refused.json().get("current_version")) == (412, None)
    refused = await clinic.act(f"/v1/tasks/{task}/claim", 1, worker="x")
    assert (refused.status_code, refused.json()["current_version"]) == (412, 2)
    # where a part is never enough to write, its digest is no version at all
    refused = await clinic.patch(f"/v1/cases/{filled['id']}", stale, title="x")
    assert (refused.status_code, refused.json().get("current_version")) == (412, None)
