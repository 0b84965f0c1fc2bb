"""Tasks and worklists, across organisations."""


async def test_a_task_is_assigned_claimed_waited_on_and_completed(world, clinic, pantry):
    case = await world.case(clinic)
    await world.grant(clinic, pantry, case["person_id"], ["coordination", "notes"])
    task = await clinic.make(
        f"/v1/cases/{case['id']}/tasks", title="Call the landlord", due_at="2026-12-01T10:00:00Z"
    )
    path = f"/v1/tasks/{task['id']}"
    await clinic.move(f"{path}/assign", 1, organisation_id=pantry.id)
    task = await pantry.move(f"{path}/claim", 2, worker="maria")
    assert (task["status"], task["worker"]) == ("in-progress", "maria")
    task = await pantry.move(f"{path}/wait", 3, on="Landlord", why="Promised to call back.")
    assert task["waiting_since"]
    assert (task["status"], task["waiting_on"]) == ("on-hold", "Landlord")
    task = await pantry.move(f"{path}/resume", 4)
    assert task["waiting_on"] is None
    task = await pantry.move(f"{path}/complete", 5, outcome="Rent is deferred.")
    assert task["completed_at"]
    assert (await pantry.act(f"{path}/claim", 6, worker="x")).json()["code"] == (
        "invalid-transition"
    )
    assert [each.version for each in await world.events(task["id"])] == [1, 2, 3, 4, 5, 6]


async def test_worklists_narrow_by_organisation_worker_status_and_due(world, clinic):
    case = await world.case(clinic)
    path = f"/v1/cases/{case['id']}/tasks"
    early = await clinic.make(path, title="a", worker="ann", due_at="2026-01-01T00:00:00Z")
    late = await clinic.make(
        path, title="b", organisation_id=clinic.id, due_at="2027-01-01T00:00:00Z"
    )

    async def ids(**params):
        return [each["id"] for each in (await clinic.read("/v1/tasks", **params))["items"]]

    assert await ids() == [late["id"], early["id"]]
    assert await ids(worker="ann") == [early["id"]]
    assert await ids(organisation_id=clinic.id) == [late["id"]]
    assert await ids(due_before="2026-06-01T00:00:00Z") == [early["id"]]
    await clinic.move(f"/v1/tasks/{early['id']}/cancel", 1)
    assert await ids(status="ready") == [late["id"]]
    assert await ids(case_id=case["id"]) == [late["id"], early["id"]]


async def test_a_task_is_another_organisations_only_when_it_is_on_the_case(world, clinic, pantry):
    case = await world.case(clinic)
    answer = await clinic.post(
        f"/v1/cases/{case['id']}/tasks", title="x", organisation_id=pantry.id
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "organisation-not-on-case")


async def test_nobody_takes_a_task_from_another_organisation(world, clinic, pantry):
    case = await world.case(clinic)
    other = world.partner("clinic")
    for partner in (pantry, other):
        await world.grant(clinic, partner, case["person_id"], ["coordination"])
    task = await clinic.make(f"/v1/cases/{case['id']}/tasks", title="x", organisation_id=pantry.id)
    path = f"/v1/tasks/{task['id']}"
    assert (await other.get(path)).status_code == 200
    for command, body in {
        "claim": {"worker": "x"},
        "cancel": {},
        "assign": {"worker": "x"},
    }.items():
        assert (await other.act(f"{path}/{command}", 1, **body)).status_code == 404, command
    assert (await other.patch(path, 1, title="x")).status_code == 404


async def test_tasks_made_before_and_after_a_grant_are_both_on_the_worklist(world, clinic, pantry):
    case = await world.case(clinic)
    path = f"/v1/cases/{case['id']}/tasks"
    before = await clinic.make(path, title="before")
    grant = await world.grant(clinic, pantry, case["person_id"], ["coordination"])
    after = await clinic.make(path, title="after")
    found = (await pantry.read("/v1/tasks"))["items"]
    assert [each["id"] for each in found] == [after["id"], before["id"]]
    await world.end(grant, clinic, case["person_id"])
    assert (await pantry.read("/v1/tasks"))["items"] == []
    assert (await pantry.get(f"/v1/tasks/{after['id']}")).status_code == 404


async def test_a_contributors_task_is_seen_by_the_cases_custodian(world, clinic, pantry):
    case = await world.case(clinic)
    await world.grant(clinic, pantry, case["person_id"], ["coordination"])
    task = await pantry.make(f"/v1/cases/{case['id']}/tasks", title="Bring papers")
    assert task["custodian_id"] == pantry.id
    assert (await clinic.read(f"/v1/tasks/{task['id']}"))["title"] == "Bring papers"
    assert (await clinic.read("/v1/tasks"))["items"][0]["id"] == task["id"]
    (told,) = await world.events(task["id"])
    assert told.data["parties"] == [clinic.id]
