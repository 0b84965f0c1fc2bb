"""An address kept confidential for safety: who sees it, who sees the substitute, who can tell."""

HOME = {"line": "12 Elm Street", "city": "Springfield", "postal_code": "01101"}
BOX = {"line": "PO Box 7", "city": "Boston", "postal_code": "02101"}
EMPTY = {"state": None, "country": None}
CONTACT = ["identity", "contact"]


async def record(partner, person_id):
    (found,) = (await partner.read(f"/v1/persons/{person_id}"))["records"]
    path = f"/v1/persons/{person_id}/records/{found['id']}"
    assert await partner.read(path) == found
    (listed,) = (await partner.read("/v1/persons"))["items"]
    assert listed["records"] == [found]
    return found


async def flagged(world, clinic, **more):
    given = {"family_name": "Okafor", "address": HOME, "phone": "555-0100", "email": "a@b.example"}
    return (await world.person(clinic, **given, address_confidential=True, **more))["id"]


async def test_who_sees_safety_and_contact_sees_it_all(world, clinic):
    person = await flagged(world, clinic, substitute_address=BOX)
    own = await record(clinic, person)
    assert (own["address"], own["phone"]) == (HOME | EMPTY, "555-0100")
    trusted = world.partner("social-service")
    await world.grant(clinic, trusted, person, [*CONTACT, "safety"])
    seen = await record(trusted, person)
    assert (seen["address"], seen["phone"], seen["email"]) == (
        HOME | EMPTY,
        "555-0100",
        "a@b.example",
    )
    assert (seen["address_confidential"], seen["substitute_address"]) == (True, BOX | EMPTY)


async def test_who_sees_contact_alone_gets_the_substitute(world, clinic):
    person = await flagged(world, clinic, substitute_address=BOX)
    partner = world.partner("social-service")
    await world.grant(clinic, partner, person, CONTACT)
    seen = await record(partner, person)
    assert (seen["address"], seen["phone"], seen["email"]) == (BOX | EMPTY, None, None)
    assert "address_confidential" not in seen
    assert "substitute_address" not in seen


async def test_without_a_substitute_it_looks_like_one_that_nobody_wrote_down(world, clinic):
    partner = world.partner("social-service")
    hidden = await flagged(world, clinic)
    empty = (await world.person(clinic, family_name="Okafor"))["id"]
    for person in (hidden, empty):
        await world.grant(clinic, partner, person, CONTACT)
    varying = {"id", "person_id", "created_at", "updated_at"}
    shown = []
    for person in (hidden, empty):
        (found,) = (await partner.read(f"/v1/persons/{person}"))["records"]
        shown.append({name: value for name, value in found.items() if name not in varying})
    assert shown[0] == shown[1]


async def test_it_is_found_by_no_search(world, clinic):
    await flagged(world, clinic, substitute_address=BOX)
    for word in ("Elm", "Springfield", "01101", "555-0100", "a@b.example", "Boston"):
        assert (await clinic.read("/v1/persons", q=word))["items"] == [], word
        assert (await clinic.read("/v1/persons", number=word))["items"] == [], word


async def test_flagging_takes_effect_at_once(world, clinic):
    person = await world.person(clinic, address=HOME, phone="555-0100")
    partner = world.partner("social-service")
    await world.grant(clinic, partner, person["id"], CONTACT)
    assert (await record(partner, person["id"]))["address"] == HOME | EMPTY
    (own,) = person["records"]
    path = f"/v1/persons/{person['id']}/records/{own['id']}"
    changed = await clinic.patch(path, own["version"], address_confidential=True)
    assert changed.json()["address"] == HOME | EMPTY
    seen = await record(partner, person["id"])
    assert (seen["address"], seen["phone"]) == (None, None)
    told = (await world.events(person["id"]))[-1]
    assert "Elm" not in str(told.data)


async def test_a_partner_that_may_not_contact_the_person_is_told_so(world, clinic):
    person = await flagged(world, clinic, contact_prohibited=True)
    partner = world.partner("social-service")
    await world.grant(clinic, partner, person, CONTACT)
    assert (await record(partner, person))["contact_prohibited"] is True
