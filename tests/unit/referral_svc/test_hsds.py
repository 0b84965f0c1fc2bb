"""What an HSDS document is made of, and what is wrong with it, by pointer."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from referral_svc.domain import hsds
from referral_svc.domain.hsds import Item, Kind, NotHsds

SERVICE = "ac148810-d857-441c-9679-408f346de14b"
PLACE = "3a19ff88-4620-4d17-9830-ac1d859eb5d5"
SITE = "e94c9f38-1e8f-4564-91d4-d53501ab1765"
ORG = "d9d5e0f5-d3ce-4f73-9a2f-4dd0ecc6c610"


def service(**more: Any) -> dict[str, Any]:
    return {"id": SERVICE, "name": "Food pantry", "status": "active", **more}


def place(**more: Any) -> dict[str, Any]:
    return {"id": PLACE, "location_type": "physical", **more}


def read(payload: object) -> list[tuple[str, Kind]]:
    return [(item.pointer, item.kind) for item in hsds.read(payload)]


def one(payload: object) -> Item:
    (item,) = hsds.read(payload)
    return item


def errors(payload: object) -> list[tuple[str, str]]:
    return [(error.pointer, error.code) for item in hsds.read(payload) for error in item.errors]


def test_a_full_organisation_holds_its_locations_and_services() -> None:
    site = {"id": SITE, "location": place()}
    nested = {
        "id": ORG,
        "name": "Pantry Inc.",
        "description": "Food",
        "locations": [place()],
        "services": [service(service_at_locations=[site])],
    }
    assert read(nested) == [
        ("", Kind.ORGANIZATION),
        ("/locations/0", Kind.LOCATION),
        ("/services/0", Kind.SERVICE),
        ("/services/0/service_at_locations/0/location", Kind.LOCATION),
        ("/services/0/service_at_locations/0", Kind.SERVICE_AT_LOCATION),
    ]


def test_a_page_is_read_by_its_contents() -> None:
    assert read({"total_items": 1, "contents": [service()]}) == [("/contents/0", Kind.SERVICE)]


def test_an_array_may_mix_kinds() -> None:
    term = {"id": ORG, "name": "Food", "description": "d", "taxonomy": "own", "code": "BD"}
    taxonomy = {"id": ORG, "name": "Own", "description": "d", "version": "1"}
    assert [kind for _, kind in read([service(), place(), term, taxonomy])] == [
        Kind.SERVICE,
        Kind.LOCATION,
        Kind.TAXONOMY_TERM,
        Kind.TAXONOMY,
    ]


def test_a_service_at_location_names_both_ends() -> None:
    nested = {"id": SITE, "service": service(), "location": place()}
    last = hsds.read(nested)[-1]
    assert last.kind is Kind.SERVICE_AT_LOCATION
    assert last.refers == {"service": SERVICE, "location": PLACE}


def test_a_publishers_base_document_is_understood() -> None:
    assert one({"version": "3.0", "profile": "p", "openapi_url": "u"}).kind is Kind.API


def test_tabular_rows_become_nested_objects_with_their_rows_as_pointers() -> None:
    tables = {
        "services.csv": [service(organization_id=ORG)],
        "schedules.csv": [{"id": SITE, "service_id": SERVICE, "freq": "WEEKLY"}],
        "attributes.csv": [{"id": SITE, "link_id": SERVICE, "taxonomy_term_id": PLACE}],
        "taxonomy_terms.csv": [{"id": PLACE, "name": "Food", "description": "d", "code": "c"}],
    }
    found = hsds.read(tables)
    assert [item.pointer for item in found] == ["/services.csv/0", "/taxonomy_terms.csv/0"]
    assert found[0].refers == {"organization": ORG}
    assert found[0].document["schedules"][0]["freq"] == "WEEKLY"
    assert found[0].document["attributes"][0]["taxonomy_term"]["name"] == "Food"


def test_cells_of_a_spreadsheet_become_numbers_where_hsds_has_numbers() -> None:
    row = service(minimum_age="12", maximum_age="99.5", alternate_name="", wait_time="3")
    found = one({"services.csv": [row]}).document
    assert (found["minimum_age"], found["maximum_age"]) == (12, 99.5)
    assert found["wait_time"] == "3"
    assert "alternate_name" not in found


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (service(status="open"), [("#/status", "enum")]),
        ({"id": SERVICE, "status": "active"}, [("#/name", "required")]),
        ([service(id="7")], [("#/0/id", "format")]),
        ({"contents": [service(minimum_age="ten")]}, [("#/contents/0/minimum_age", "type")]),
        (place(location_type="moon"), [("#/location_type", "enum")]),
        ([17], [("#/0", "type")]),
        ({"colour": "red"}, [("#", "unknown")]),
        (service(schedules={}), [("#/schedules", "type")]),
    ],
)
def test_what_is_wrong_is_told_by_pointer(payload: object, expected: list[tuple[str, str]]) -> None:
    assert errors(payload) == expected


def test_a_document_nested_without_end_is_refused() -> None:
    nested = service()
    for _ in range(900):
        nested = service(organization={"id": ORG, "services": [nested]})
    with pytest.raises(NotHsds):
        hsds.read(nested)


def test_unknown_properties_are_kept() -> None:
    assert one(service(x_opening="soon")).document["x_opening"] == "soon"


@pytest.mark.parametrize("payload", ["text", 3, None, True])
def test_a_body_that_is_no_object_is_refused_whole(payload: object) -> None:
    with pytest.raises(NotHsds):
        hsds.read(payload)


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "name", "status", "services", "location", "contents", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["contents", "services.csv", "service", "id"]), json))
def test_no_document_breaks_the_reader(payload: dict[str, Any]) -> None:
    for item in hsds.read(payload):
        assert item.errors or item.kind is Kind.API or item.hsds_id
