"""One language of filters for the feed and for webhooks; it tells nothing that is not shown."""

import pytest
from svckit.ids import new_id

FOOD, HOUSING = "food-insecurity", "housing-instability"


def referral(status, category=FOOD):
    return {
        "requester_id": new_id("org"),
        "recipient_id": new_id("org"),
        "need_category": category,
        "status": status,
        "previous_status": None,
    }


async def referrals(world, custodian, **more):
    """Four events of two referrals, of two categories."""
    first, second = new_id("ref"), new_id("ref")
    for subject, verb, category in (
        (first, "requested", FOOD),
        (first, "accepted", FOOD),
        (second, "requested", HOUSING),
        (second, "rejected", HOUSING),
    ):
        about = {"subject": subject, "case_id": world.case, **more}
        await world.happened(
            f"referral.{verb}", custodian, change=referral(verb, category), **about
        )
    return first, second


async def seqs(world, organisation, **params):
    page = await world.feed(organisation, **params)
    return [item["seq"] for item in page["items"]]


async def test_each_list_narrows_and_any_value_of_it_will_do(world):
    clinic = await world.organisation()
    first, second = await referrals(world, clinic)
    await world.happened("case.changed", clinic, case_id=new_id("cas"))
    assert await seqs(world, clinic, referral_id=first) == [1, 2]
    assert await seqs(world, clinic, referral_id=[first, second]) == [1, 2, 3, 4]
    assert await seqs(world, clinic, case_id=world.case) == [1, 2, 3, 4]
    assert await seqs(world, clinic, need_category=HOUSING) == [3, 4]
    assert await seqs(world, clinic, transition="requested") == [1, 3]
    assert await seqs(world, clinic, transition=["accepted", "rejected"]) == [2, 4]
    assert await seqs(world, clinic, transition="requested", need_category=FOOD) == [1]
    assert await seqs(world, clinic, type="referral.*", case_id=new_id("cas")) == []


async def test_the_position_moves_on_over_what_a_filter_leaves_out(world):
    clinic = await world.organisation()
    await referrals(world, clinic)
    page = await world.feed(clinic, transition="requested")
    assert (page["next_after"], page["more"]) == (4, False)
    page = await world.feed(clinic, transition="requested", limit=1)
    assert (page["next_after"], page["more"]) == (1, True)


@pytest.mark.parametrize(
    ("classes", "by_category", "by_transition"),
    [
        (["coordination"], [], []),
        (["coordination", "needs"], [1, 2], []),
        (["coordination", "outcome"], [], [2]),
        (["coordination", "needs", "outcome"], [1, 2], [2]),
    ],
)
async def test_by_what_is_not_shown_nothing_is_found(world, classes, by_category, by_transition):
    clinic, agency = await world.organisation(), await world.organisation("social-service")
    await world.grant(clinic, agency, classes)
    await referrals(world, clinic)
    assert await seqs(world, agency) == [1, 2, 3, 4]
    assert await seqs(world, agency, need_category=FOOD) == by_category
    assert await seqs(world, agency, transition="accepted") == by_transition


async def test_a_filter_by_what_is_not_shown_moves_as_one_that_matches_nothing(world):
    clinic, agency = await world.organisation(), await world.organisation("social-service")
    await world.grant(clinic, agency, ["coordination"])
    await referrals(world, clinic)
    there = await world.feed(agency, need_category=FOOD, limit=1)
    assert there == await world.feed(agency, need_category="elder-abuse", limit=1)


async def test_the_two_sides_of_a_referral_filter_by_all_of_it(world):
    clinic, agency = await world.organisation(), await world.organisation("social-service")
    await referrals(world, clinic, parties=[clinic, agency])
    assert await seqs(world, agency, need_category=FOOD, transition="accepted") == [2]


@pytest.mark.parametrize(
    "params",
    [
        {"case_id": "cas_1"},
        {"case_id": new_id("ref")},
        {"referral_id": new_id("cas")},
        {"need_category": "hunger"},
        {"transition": "eaten"},
        {"transition": ["accepted"] * 21},
    ],
)
async def test_a_filter_that_is_none_is_refused_with_its_place(world, params):
    answer = await world.client(await world.organisation()).get("/v1/events", params=params)
    assert answer.status_code == 422
    assert next(iter(params)) in answer.json()["errors"][0]["pointer"]


# webhooks


async def told_by_webhook(world, organisation, endpoint):
    found = await world.deliveries(organisation, endpoint_id=endpoint["id"], limit=200)
    return [each["event_id"] for each in reversed(found)]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, [0, 1, 2, 3]),
        ({"need_categories": [FOOD]}, [0, 1]),
        ({"transitions": ["requested", "rejected"]}, [0, 2, 3]),
        ({"need_categories": [HOUSING], "transitions": ["rejected"]}, [3]),
        ({"case_ids": [new_id("cas")]}, []),
    ],
)
async def test_an_endpoint_gets_what_its_filters_let_through(world, receiver, filters, expected):
    clinic = await world.organisation()
    endpoint = await world.endpoint(clinic, receiver.url, filters=filters)
    await referrals(world, clinic)
    events = [item["id"] for item in (await world.feed(clinic))["items"]]
    got = await told_by_webhook(world, clinic, endpoint)
    assert got == [events[index] for index in expected]


async def test_an_endpoint_follows_one_case_or_one_referral(world, receiver):
    clinic = await world.organisation()
    case = {"case_ids": [world.case]}
    of_case = await world.endpoint(clinic, receiver.url, filters=case)
    first, _ = await referrals(world, clinic)
    of_referral = await world.endpoint(clinic, receiver.url, filters={"referral_ids": [first]})
    changed = await world.happened(
        "referral.started", clinic, subject=first, change=referral("in-progress")
    )
    await world.happened("case.changed", clinic, case_id=new_id("cas"))
    assert len(await told_by_webhook(world, clinic, of_case)) == 5
    assert await told_by_webhook(world, clinic, of_referral) == [changed.id]


async def test_a_webhook_is_not_sent_by_what_is_not_shown(world, receiver):
    clinic, agency = await world.organisation(), await world.organisation("social-service")
    await world.grant(clinic, agency, ["coordination"])
    plain = await world.endpoint(agency, receiver.url)
    asking = await world.endpoint(agency, receiver.url, filters={"need_categories": [FOOD]})
    await referrals(world, clinic)
    assert len(await told_by_webhook(world, agency, plain)) == 4
    assert await told_by_webhook(world, agency, asking) == []
    await world.grant(clinic, agency, ["needs"])
    await referrals(world, clinic)
    assert len(await told_by_webhook(world, agency, asking)) == 2


async def test_what_a_filter_asks_is_asked_again_at_the_attempt(world, receiver):
    clinic, agency = await world.organisation(), await world.organisation("social-service")
    await world.grant(clinic, agency, ["coordination"])
    needs = await world.grant(clinic, agency, ["needs"])
    await world.endpoint(agency, receiver.url, filters={"need_categories": [FOOD]})
    await referrals(world, clinic)
    await world.end(needs)
    await world.deliver()
    assert receiver.got == []
    assert {each["status"] for each in await world.deliveries(agency)} == {"cancelled"}


async def test_filters_are_shown_and_changed_with_the_endpoint(world, receiver):
    clinic = await world.organisation()
    filters = {"transitions": ["accepted"], "case_ids": [world.case]}
    endpoint = await world.endpoint(clinic, receiver.url, filters=filters)
    every = {"case_ids": [], "referral_ids": [], "need_categories": [], "transitions": []}
    assert endpoint["filters"] == every | filters
    path, headers = f"/v1/webhook-endpoints/{endpoint['id']}", {"If-Match": '"1"'}
    headers["Idempotency-Key"] = new_id("key")
    answer = await world.client(clinic).patch(
        path, json={"filters": {"need_categories": [FOOD]}}, headers=headers
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["filters"] == every | {"need_categories": [FOOD]}


@pytest.mark.parametrize(
    "filters", [{"case_ids": ["x"]}, {"transitions": ["eaten"]}, {"colour": ["red"]}]
)
async def test_filters_that_are_none_change_nothing(world, filters):
    clinic = await world.organisation()
    body = {"url": "http://127.0.0.1:9/", "filters": filters}
    answer = await world.client(clinic).post(
        "/v1/webhook-endpoints", json=body, headers={"Idempotency-Key": new_id("key")}
    )
    assert answer.status_code == 422
    assert f"/filters/{next(iter(filters))}" in answer.json()["errors"][0]["pointer"]


# index


async def test_a_rare_code_is_found_without_reading_the_whole_feed(world):
    clinic = await world.organisation()
    await world.happened("referral.requested", clinic, change=referral("requested", HOUSING))
    await world.sql(
        """
        WITH many AS (
            INSERT INTO message (id, type, kind, subject, version, custodian_id, parties, classes,
                                 body, occurred_at, expires_at)
            SELECT 'evt_' || n, 'x', 'note.added', 'not_' || n, 1, :clinic, '{}', 4, '', now(), now()
            FROM generate_series(1, 20000) n RETURNING id)
        INSERT INTO feed_item (organisation_id, seq, message_id, kind)
        SELECT :clinic, 1 + row_number() OVER (), id, 'note.added' FROM many
        """,
        clinic=clinic,
    )
    await world.sql("ANALYZE")
    with world.statements() as sent:
        await world.feed(clinic, need_category=HOUSING, limit=200)
    found = next(one for one in sent if "feed_item.need_category" in one)
    assert "feed_item.need_category = ANY" in found
    plan = "\n".join(
        row[0]
        for row in await world.sql(
            "EXPLAIN (ANALYZE, TIMING off, COSTS off)"
            " SELECT seq FROM feed_item JOIN message ON message.id = feed_item.message_id"
            " WHERE feed_item.organisation_id = :clinic AND seq > 0"
            " AND feed_item.need_category = ANY(:wanted) ORDER BY seq LIMIT 201",
            clinic=clinic,
            wanted=[HOUSING],
        )
    )
    assert "ix_feed_item_need_category" in plan, plan
