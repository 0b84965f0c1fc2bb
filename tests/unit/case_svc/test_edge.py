"""What goes out is classed, what comes in is closed, and the category list is the standard's."""

import json
from pathlib import Path

import pytest
from case_svc.api import ROUTERS
from case_svc.consumer import HANDLERS
from case_svc.domain.needs import NeedCategory
from case_svc.domain.persons import fold, tokens
from case_svc.events import COLLECTIONS
from case_svc.models.base import InCase
from fastapi.routing import APIRoute
from hypothesis import given
from hypothesis import strategies as st
from sharing import unclassed
from svckit.contracts import schemas

ROUTES = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
# of these a field says nothing about a person: how many, and where the next page begins
UNCLASSED = {"items", "next", "count"}
# lines of what the rows' own addresses answer: tests/service/case_svc/test_export.py compares them
EXPORTS = {"/v1/cases/export", "/v1/cases/{case_id}/export"}
ANSWERS = [route for route in ROUTES if route.response_model]


def test_every_answer_but_the_exports_has_a_model():
    assert {route.path for route in ROUTES} - {route.path for route in ANSWERS} == EXPORTS


@pytest.mark.parametrize("route", ANSWERS, ids=lambda r: f"{min(r.methods)} {r.path}")
def test_every_field_of_every_answer_has_a_class(route):
    missing = {path.partition(".")[0] for path in unclassed(route.response_model)}
    assert missing <= UNCLASSED


@pytest.mark.parametrize("route", ROUTES, ids=lambda r: f"{min(r.methods)} {r.path}")
def test_every_body_refuses_unknown_fields(route):
    for body in route.dependant.body_params:
        assert body.field_info.annotation.model_config["extra"] == "forbid"


def test_every_handler_answers_an_event_that_has_a_contract():
    assert set(HANDLERS) <= set(schemas())


def test_every_row_of_a_case_has_an_address():
    tables = {each.__tablename__ for each in InCase.__subclasses__()}
    assert tables - {"task"} == set(COLLECTIONS)


def test_the_categories_are_those_of_the_gravity_value_set():
    path = Path(__file__).parents[4] / "shared/data/gravity/terminology-v3.0.0"
    path /= "ValueSet-SDOHCC-ValueSetSDOHCategory.json"
    if not path.exists():
        pytest.skip("the Gravity terminology is not here")
    include = json.loads(path.read_text())["compose"]["include"]
    codes = {concept["code"] for each in include for concept in each.get("concept", [])}
    assert codes == {str(each) for each in NeedCategory}


@given(st.text())
def test_a_folded_name_holds_no_wildcard_and_folds_to_itself(name):
    folded = fold(name)
    assert not set(folded) & set("%_\\\x00")
    assert fold(folded) == folded


@given(st.text())
def test_a_name_is_found_by_itself(name):
    words = fold(name).split()
    assert all(any(each.startswith(token) for each in words) for token in tokens(name))
