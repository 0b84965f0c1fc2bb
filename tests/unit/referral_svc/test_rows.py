"""From HSDS documents to what the directory searches."""

from referral_svc.domain import rows
from referral_svc.domain.needs import CapacityStatus, categories_of


def test_gravity_codes_in_a_taxonomy_stand_for_themselves() -> None:
    assert categories_of([("transportation-insecurity", "Rides")]) == ["transportation-insecurity"]


def test_common_headings_map_to_need_categories() -> None:
    assert categories_of([("BD-1800", "Food Pantries"), (None, "Rental assistance")]) == [
        "food-insecurity",
        "housing-instability",
    ]


def test_a_word_inside_another_maps_to_nothing() -> None:
    assert categories_of([(None, "Parenting class")]) == []


def test_the_owners_word_stands_before_the_mapping() -> None:
    food = {"attributes": [{"taxonomy_term": {"name": "Food"}}]}
    assert rows.need_categories(food, None) == ["food-insecurity"]
    assert rows.need_categories(food, ["stress"]) == ["stress"]
    assert rows.need_categories(food, []) == []


def test_a_publisher_may_name_categories_itself() -> None:
    given = {"need_categories": ["homelessness", "nonsense", 3]}
    assert rows.need_categories(given, None) == ["homelessness"]


def test_capacity_follows_the_published_places() -> None:
    assert rows.capacity_status({}) is None
    assert rows.capacity_status({"capacities": [{"available": 0}]}) is CapacityStatus.NO_CAPACITY
    assert rows.capacity_status({"capacities": [{"available": 3}]}) is CapacityStatus.CAPACITY


def test_a_summary_does_not_erase_what_a_full_record_said() -> None:
    full = {"id": "1", "name": "Old", "schedules": [{"id": "s"}]}
    assert rows.merged(full, {"id": "1", "name": "New"}) == {
        "id": "1",
        "name": "New",
        "schedules": [{"id": "s"}],
    }
