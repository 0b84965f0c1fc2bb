"""Each organisation keeps its own record of a person; nobody's are merged."""

from svckit.ids import new_id


async def test_registering_makes_a_person_with_the_callers_record(world, clinic):
    person = await world.person(clinic, given_name="Colin", number="M-1", phone="555-0100")
    (record,) = person["records"]
    assert (record["custodian_id"], record["number"]) == (clinic.id, "M-1")
    (told,) = await world.events(person["id"])
    assert told.type == "org.careloop.person.registered.v1"
    assert told.data["change"] == {"record_id": record["id"], "contact_prohibited": False}


async def test_a_person_known_to_another_organisation_alone_is_not_there(world, clinic, outsider):
    person = await world.person(clinic)
    assert (await outsider.get(f"/v1/persons/{person['id']}")).status_code == 404
    assert (await outsider.read("/v1/persons"))["items"] == []
    assert (await outsider.post(f"/v1/persons/{person['id']}/records")).status_code == 404


async def test_a_partner_adds_its_own_record_to_a_person_it_was_told_of(world, clinic, pantry):
    person = await world.person(clinic, family_name="Abbas", phone="555-0100")
    await world.grant(clinic, pantry, person["id"], ["identity"])
    record = await pantry.make(f"/v1/persons/{person['id']}/records", family_name="Abas")
    seen = await pantry.read(f"/v1/persons/{person['id']}")
    assert {each["custodian_id"]: each["family_name"] for each in seen["records"]} == {
        clinic.id: "Abbas",
        pantry.id: "Abas",
    }
    assert "phone" not in next(r for r in seen["records"] if r["custodian_id"] == clinic.id)
    (own,) = (await clinic.read(f"/v1/persons/{person['id']}"))["records"]
    assert own["custodian_id"] == clinic.id
    again = await pantry.post(f"/v1/persons/{person['id']}/records", family_name="Abas")
    assert (again.status_code, again.json()["code"]) == (409, "record-exists")
    assert [each.version for each in await world.events(person["id"])] == [1, 2]
    path = f"/v1/persons/{person['id']}/records/{record['id']}"
    assert (await clinic.get(path)).status_code == 404


async def test_a_record_changes_under_its_own_version_and_only_by_its_owner(world, clinic, pantry):
    person = await world.person(clinic, number="M-2")
    await world.grant(clinic, pantry, person["id"], ["identity", "contact"])
    path = f"/v1/persons/{person['id']}/records/{person['records'][0]['id']}"
    assert (await clinic.get(path)).headers["ETag"] == '"1"'
    changed = await clinic.patch(path, 1, phone="555-0199", birth_date="1980-02-29")
    assert changed.json()["birth_date"] == "1980-02-29"
    assert changed.json()["number"] == "M-2"
    assert changed.headers["ETag"] == '"2"'
    assert (await clinic.patch(path, 1, phone="x")).status_code == 412
    assert (await pantry.patch(path, 2, phone="x")).status_code == 404
    assert (await clinic.http.patch(path, json={"phone": "x"})).status_code == 428
    assert (await clinic.read(path))["phone"] == "555-0199"


async def test_a_number_names_one_person_of_an_organisation(world, clinic, outsider):
    await world.person(clinic, number="M-3")
    again = await clinic.post("/v1/persons", family_name="B", number="M-3")
    assert (again.status_code, again.json()["code"]) == (409, "number-taken")
    await world.person(outsider, number="M-3")
    (found,) = (await clinic.read("/v1/persons", number="M-3"))["items"]
    assert found["records"][0]["custodian_id"] == clinic.id


async def test_names_are_found_by_their_beginnings_without_accents(world, clinic):
    person = await world.person(clinic, family_name="Núñez-Ortega", given_name="José")
    await world.person(clinic, family_name="Nune")
    for q in ("nunez", "NÚÑE or", "jos nunez", "Jose", "ortega"):
        found = (await clinic.read("/v1/persons", q=q))["items"]
        assert [each["id"] for each in found] == [person["id"]], q
    for q in ("unez", "%", "_une", "nunez x"):
        assert (await clinic.read("/v1/persons", q=q))["items"] == [], q


async def test_a_name_that_is_hidden_is_not_found_by_it(world, clinic, pantry):
    person = await world.person(clinic, family_name="Secretname", number="M-4")
    await world.grant(clinic, pantry, person["id"], ["contact"])
    (seen,) = (await pantry.read("/v1/persons"))["items"]
    assert "family_name" not in seen["records"][0]
    assert (await pantry.read("/v1/persons", q="secret"))["items"] == []
    assert (await pantry.read("/v1/persons", number="M-4"))["items"] == []


async def test_unknown_fields_and_wrong_types_are_refused(clinic):
    for body in ({"ssn": "1"}, {"birth_date": "soon"}, {"gender": "f"}, {"custodian_id": "x"}):
        assert (await clinic.post("/v1/persons", **body)).status_code == 422, body
    nul = await clinic.post("/v1/persons", family_name="a\x00b")
    assert nul.status_code == 422
    assert (await clinic.read("/v1/persons"))["items"] == []


async def test_unknown_persons_are_not_there(clinic):
    for path in (f"/v1/persons/{new_id('per')}", "/v1/persons/nonsense", "/v1/persons/%00"):
        assert (await clinic.get(path)).status_code in {404, 422}, path
