"""The registry of egress names every route and topic there is, and no other."""

import importlib
import json
from pathlib import Path

import pytest
import yaml

CONTRACTS = Path(__file__).parents[2] / "contracts"
REGISTRY = yaml.safe_load((CONTRACTS / "sharing" / "egress.yaml").read_text())
METHODS = {"get", "post", "put", "patch", "delete", "head"}
PACKAGES = ("case_svc", "referral_svc", "document_svc", "notify_svc", "gateway")


def documented():
    for path in sorted((CONTRACTS / "openapi").glob("*.v1.json")):
        service = path.name.removesuffix(".v1.json")
        for route, item in json.loads(path.read_text())["paths"].items():
            for method in METHODS & set(item):
                yield service, f"{method.upper()} {route}"


def registered():
    for service, routes in REGISTRY["routes"].items():
        for route in routes:
            yield service, route


def entries():
    groups = (*REGISTRY["routes"].values(), REGISTRY["internal"], REGISTRY["paths"])
    for group in groups:
        for name, entry in group.items():
            yield name, *entry.split()


def test_every_route_says_how_it_is_guarded():
    unguarded = sorted(set(documented()) - set(registered()))
    assert unguarded == [], "say in contracts/sharing/egress.yaml what guards these routes"


def test_no_route_is_registered_that_is_gone():
    assert sorted(set(registered()) - set(documented())) == []


def test_kinds_and_guards_are_closed_lists_and_all_in_use():
    found = list(entries())
    assert all(len(entry) == 3 for entry in found)
    assert {kind for _, kind, _ in found} == set(REGISTRY["kinds"])
    assert {guard for _, _, guard in found} == set(REGISTRY["guards"])


def test_reading_and_writing_are_told_apart():
    writing = {"POST", "PUT", "PATCH", "DELETE"}
    for _, route in registered():
        method = route.split()[0]
        kind = next(kind for name, kind, _ in entries() if name == route)
        if method not in writing:
            assert kind != "written", route


@pytest.mark.parametrize("package", PACKAGES)
def test_a_service_whose_routes_the_rule_guards_refuses_when_rights_are_stale(package):
    service = importlib.import_module(f"{package}.app").SERVICE
    guards = {entry.split()[1] for entry in REGISTRY["routes"][service.name].values()}
    assert ("rule" in guards) == ("sharing.v1" in service.rights_from)


@pytest.mark.parametrize("package", PACKAGES)
def test_routes_outside_of_the_contracts_are_the_registered_ones(package):
    service = importlib.import_module(f"{package}.app").SERVICE
    hidden = set()
    for router in (*service.internal, *service.routers):
        for route in router.routes:
            if not getattr(route, "include_in_schema", True):
                hidden |= {f"{method} {route.path}" for method in route.methods if method != "HEAD"}
    # a route may have a second form, which the document describes at the first
    expected = set(REGISTRY["internal"])
    if service.describe is None:
        expected.remove("GET /internal/rows/{row_id}")
    assert hidden - set(REGISTRY["routes"][service.name]) == expected


def test_every_topic_is_registered():
    channels = yaml.safe_load((CONTRACTS / "asyncapi.yaml").read_text())["channels"]
    topics = {name.removeprefix("topic ") for name in REGISTRY["paths"] if name[:6] == "topic "}
    assert topics == {channel["address"] for channel in channels.values()}
