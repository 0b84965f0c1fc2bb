"""Events and grants come by different topics: whichever comes first, nothing is lost."""

from datetime import timedelta

from svckit.clock import now
from svckit.ids import new_id


async def agreed(world, custodian, recipient, *, consent_classes=()):
    agreement = new_id("agr")
    await world.hear(
        "agreement.published", agreement, terms(recipient, consent_classes), custodian_id=custodian
    )
    return agreement


def terms(recipient, consent_classes=()):
    return {
        "recipient_id": recipient,
        "recipient_kind": None,
        "purposes": ["COC"],
        "classes": ["coordination", "plan"],
        "consent_classes": list(consent_classes),
        "retention_days": 30,
        "valid_from": (now() - timedelta(days=1)).isoformat(),
        "valid_to": None,
    }


def granted(agreement, recipient, *, since, classes=("plan",), until=None):
    return {
        "recipient_id": recipient,
        "agreement_id": agreement,
        "purposes": ["COC"],
        "classes": list(classes),
        "basis": "care-team",
        "basis_id": new_id("cas"),
        "valid_from": since.isoformat(),
        "valid_to": until.isoformat() if until else None,
    }


async def parties(world):
    return await world.organisation(), await world.organisation("social-service")


def about(world, clinic):
    return {"custodian_id": clinic, "person_id": world.person, "case_id": world.case}


async def test_what_happened_under_a_grant_is_told_when_the_grant_comes_late(world):
    clinic, agency = await parties(world)
    agreement = await agreed(world, clinic, agency)
    since = now()
    event = await world.happened("document.added", clinic, classes=["plan"])
    assert await world.told(agency) == []

    change = granted(agreement, agency, since=since)
    await world.hear("grant.opened", new_id("grt"), change, **about(world, clinic))
    [item] = (await world.feed(agency))["items"]
    assert item["id"] == event.id


async def test_what_was_before_the_grant_stays_untold(world):
    clinic, agency = await parties(world)
    agreement = await agreed(world, clinic, agency)
    await world.happened("document.added", clinic, classes=["plan"])
    change = granted(agreement, agency, since=now())
    await world.hear("grant.opened", new_id("grt"), change, **about(world, clinic))
    assert await world.told(agency) == []


async def test_a_wider_grant_tells_what_it_shows_and_nothing_twice(world):
    clinic, agency = await parties(world)
    agreement = await agreed(world, clinic, agency)
    grant, since = new_id("grt"), now()
    first = granted(agreement, agency, since=since, classes=["coordination"])
    await world.hear("grant.opened", grant, first, **about(world, clinic))
    await world.happened("case.changed", clinic, classes=["coordination"])
    await world.happened("document.added", clinic, classes=["plan"])
    await world.happened("note.added", clinic, classes=["notes"])
    assert await world.told(agency) == ["case.changed"]

    wider = granted(agreement, agency, since=since, classes=["coordination", "plan"])
    for _ in range(2):
        await world.hear("grant.changed", grant, wider, **about(world, clinic))
    assert await world.told(agency) == ["case.changed", "document.added"]


async def test_a_permit_that_comes_late_tells_what_it_allows(world):
    clinic, agency = await parties(world)
    agreement = await agreed(world, clinic, agency, consent_classes=["plan"])
    since = now()
    change = granted(agreement, agency, since=since)
    await world.hear("grant.opened", new_id("grt"), change, **about(world, clinic))
    await world.happened("document.added", clinic, classes=["plan"])
    assert await world.told(agency) == []

    permit = {
        "recipient_id": agency,
        "decision": "permit",
        "classes": ["plan"],
        "purposes": ["COC"],
        "valid_from": since.isoformat(),
        "valid_to": None,
        "decided_at": since.isoformat(),
        "active": True,
    }
    person = {"custodian_id": clinic, "person_id": world.person}
    await world.hear("consent.recorded", new_id("con"), permit, **person)
    assert await world.told(agency) == ["document.added"]


async def test_an_agreement_that_comes_after_its_grant_tells_as_well(world):
    clinic, agency = await parties(world)
    agreement = new_id("agr")
    change = granted(agreement, agency, since=now())
    await world.hear("grant.opened", new_id("grt"), change, **about(world, clinic))
    await world.happened("document.added", clinic, classes=["plan"])
    assert await world.told(agency) == []
    await world.hear("agreement.published", agreement, terms(agency), custodian_id=clinic)
    assert await world.told(agency) == ["document.added"]


async def test_an_ended_grant_tells_nothing(world):
    clinic, agency = await parties(world)
    agreement = await agreed(world, clinic, agency)
    since = now()
    await world.happened("document.added", clinic, classes=["plan"])
    change = granted(agreement, agency, since=since, until=now())
    await world.hear("grant.opened", new_id("grt"), change, **about(world, clinic))
    assert await world.told(agency) == []
