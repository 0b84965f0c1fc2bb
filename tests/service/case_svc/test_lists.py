"""Pages: every row once, in order, with as many statements for a hundred rows as for ten."""

import pytest
from svckit.ids import new_id

COC = ["identity", "contact", "coordination", "needs", "plan", "safety", "notes", "outcome"]


async def pages(partner, path, limit, **params):
    """Every item of a list, page by page, following the cursor."""
    items, cursor = [], {}
    while True:
        page = await partner.read(path, limit=limit, **params, **cursor)
        items += page["items"]
        assert len(page["items"]) <= limit
        if page["next"] is None:
            return items
        cursor = {"cursor": page["next"]}


async def fill(world, partner, count):
    """`count` cases of as many persons, each with a need, a task and a note, straight to SQL."""
    seed = await world.case(partner, needs=[{"category": "food-insecurity"}])
    for sub, body in {"tasks": {"title": "t"}, "notes": {"kind": "contact", "text": "n"}}.items():
        await partner.make(f"/v1/cases/{seed['id']}/{sub}", **body)
    copies = {
        "person": ("id", "per"),
        "client_record": ("id", "rec"),
        "case_file": ("id", "cas"),
        "need": ("id", "nee"),
        "task": ("id", "tsk"),
        "note": ("id", "not"),
    }
    sources = {
        "person": seed["person_id"],
        "client_record": (await partner.read(f"/v1/persons/{seed['person_id']}"))["records"][0][
            "id"
        ],
        "case_file": seed["id"],
    }
    for sub, table in {"needs": "need", "tasks": "task", "notes": "note"}.items():
        sources[table] = (await partner.read(f"/v1/cases/{seed['id']}/{sub}"))["items"][0]["id"]
    async with world.db.begin() as tx:
        connection = await tx.connection()
        for _ in range(count - 1):
            ids = {table: new_id(prefix) for table, (_, prefix) in copies.items()}
            changed = {
                "person": {},
                "client_record": {"person_id": ids["person"]},
                "case_file": {"person_id": ids["person"], "number": ids["case_file"]},
                "need": {"case_id": ids["case_file"]},
                "task": {"case_id": ids["case_file"]},
                "note": {"case_id": ids["case_file"]},
            }
            for table, source in sources.items():
                new = {"id": ids[table], **changed[table]}
                pairs = ", ".join(f"'{key}', '{value}'::text" for key, value in new.items())
                await connection.exec_driver_sql(
                    f"INSERT INTO {table} SELECT (jsonb_populate_record(t, "
                    f"jsonb_build_object({pairs}))).* FROM {table} t WHERE id = '{source}'"
                )
            for table, noun in (("person_reader", "person"), ("task_reader", "task")):
                await connection.exec_driver_sql(
                    f"INSERT INTO {table} VALUES ('{partner.id}', '{ids[noun]}')"
                )
            await connection.exec_driver_sql(
                f"INSERT INTO case_reader VALUES ('{partner.id}', '{ids['case_file']}')"
            )
    return seed


async def test_pages_hold_every_case_once_newest_first(world, clinic):
    made = [(await world.case(clinic))["id"] for _ in range(7)]
    assert [each["id"] for each in await pages(clinic, "/v1/cases", 3)] == made[::-1]


async def test_a_case_opened_between_two_pages_moves_nothing(world, clinic):
    made = [(await world.case(clinic))["id"] for _ in range(4)]
    first = await clinic.read("/v1/cases", limit=2)
    await world.case(clinic)
    second = await clinic.read("/v1/cases", limit=2, cursor=first["next"])
    assert [each["id"] for each in (*first["items"], *second["items"])] == made[::-1]


async def test_the_timeline_pages_in_the_order_of_what_happened(world, clinic, pantry):
    case = await world.case(clinic)
    path = f"/v1/cases/{case['id']}"
    for number in range(4):
        await clinic.make(f"{path}/notes", kind="clinical", text=str(number))
        await clinic.make(f"{path}/notes", kind="contact", text=str(number))
    whole = await pages(clinic, f"{path}/timeline", 2)
    assert len(whole) == 9
    assert whole[-1]["action"] == "case.opened"
    assert [each["at"] for each in whole] == sorted((each["at"] for each in whole), reverse=True)
    await world.grant(clinic, pantry, case["person_id"], COC)
    part = await pages(pantry, f"{path}/timeline", 2)
    assert [each["id"] for each in part] == [
        each["id"] for each in whole if each["change"].get("kind") != "clinical"
    ]


@pytest.mark.parametrize("path", ["/v1/cases", "/v1/tasks", "/v1/persons"])
async def test_a_page_of_a_hundred_takes_as_many_statements_as_a_page_of_ten(world, path):
    clinic = world.partner("clinic")
    await fill(world, clinic, 101)
    counts = {}
    for limit in (10, 100):
        with world.statements() as seen:
            assert len((await clinic.read(path, limit=limit))["items"]) == limit
        counts[limit] = len(seen)
    assert counts[10] == counts[100] <= 2


@pytest.mark.parametrize("sub", ["needs", "tasks", "notes", "timeline", "numbers"])
async def test_the_rows_of_a_case_are_one_statement_however_many(world, clinic, sub):
    case = await world.case(clinic)
    path = f"/v1/cases/{case['id']}"
    bodies = {
        "needs": {"category": "stress"},
        "tasks": {"title": "t"},
        "notes": {"kind": "contact", "text": "n"},
    }
    for number in range(12):
        if sub == "numbers":
            await clinic.make(f"{path}/numbers", system="s", value=str(number))
        else:
            name = sub if sub in bodies else "notes"
            await clinic.make(f"{path}/{name}", **bodies[name])
    counts = set()
    for limit in (2, 12):
        with world.statements() as seen:
            assert len((await clinic.read(f"{path}/{sub}", limit=limit))["items"]) == limit
        counts.add(len(seen))
    assert counts == {1}


async def test_filters_and_count_hold_the_same_set(world, clinic):
    one = await world.case(clinic, needs=[{"category": "food-insecurity"}])
    two = await world.case(clinic)
    await clinic.move(f"/v1/cases/{two['id']}/activate", 1)
    await clinic.move(f"/v1/cases/{two['id']}/enter-phase", 2, phase="planning")
    cases = {
        ("status", "intake"): [one["id"]],
        ("status", "active"): [two["id"]],
        ("phase", "planning"): [two["id"]],
        ("need", "food-insecurity"): [one["id"]],
        ("worker", "worker-7"): [two["id"], one["id"]],
        ("worker", "nobody"): [],
        ("person_id", one["person_id"]): [one["id"]],
        ("custodian_id", clinic.id): [two["id"], one["id"]],
        ("opened_since", two["opened_at"]): [two["id"]],
        ("updated_since", "2100-01-01T00:00:00Z"): [],
    }
    for (name, value), expected in cases.items():
        found = (await clinic.read("/v1/cases", **{name: value}))["items"]
        assert [each["id"] for each in found] == expected, name
        counted = await clinic.read("/v1/cases/count", **{name: value})
        assert counted == {"count": len(expected)}, name


async def test_a_cursor_of_another_organisation_or_filter_is_refused(world, clinic, outsider):
    for partner in (clinic, outsider):
        for _ in range(2):
            await world.case(partner)
    cursor = (await clinic.read("/v1/cases", limit=1))["next"]
    for partner, params in ((outsider, {}), (clinic, {"status": "intake"}), (clinic, {"x": "1"})):
        answer = await partner.get("/v1/cases", limit=1, cursor=cursor, **params)
        assert (answer.status_code, answer.json()["code"]) == (400, "cursor-invalid")


@pytest.mark.parametrize(
    "params",
    [
        {"status": "x"},
        {"limit": "0"},
        {"limit": "201"},
        {"opened_since": "2026-01-01"},
        {"phase": ""},
    ],
)
async def test_a_filter_that_is_none_is_refused(clinic, params):
    assert (await clinic.get("/v1/cases", **params)).status_code == 422
