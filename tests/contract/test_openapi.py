"""The committed OpenAPI documents are what the code serves, and keep the API's conventions."""

import json

import pytest

from careloop import contracts

METHODS = {"get", "post", "put", "patch", "delete", "head"}


@pytest.fixture(scope="module", params=sorted(contracts.PACKAGES))
def served(request):
    return request.param, contracts.document(request.param)


def operations(document):
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method in METHODS:
                yield path, method, operation


def test_the_committed_document_is_the_served_one(served):
    package, document = served
    committed = contracts.FOLDER / f"{contracts.PACKAGES[package]}.v1.json"
    assert json.loads(committed.read_text()) == json.loads(document), "run `make contracts`"


def test_every_operation_documents_its_refusals_as_problems(served):
    document = json.loads(served[1])
    shared = document["components"].get("responses", {})
    for path, method, operation in operations(document):
        if not path.startswith("/v1/"):
            continue
        for status in ("401", "403", "404", "422", "503"):
            assert status in operation["responses"], (path, method, status)
            found = operation["responses"][status]
            found = shared.get(found.get("$ref", "").rpartition("/")[2], found)
            assert "application/problem+json" in found["content"]


def test_every_operation_has_a_one_line_description_and_a_unique_id(served):
    found = list(operations(json.loads(served[1])))
    ids = [operation["operationId"] for _, _, operation in found]
    assert len(ids) == len(set(ids))
    for path, method, operation in found:
        assert operation.get("description") or operation.get("summary"), (path, method)


def test_every_request_body_refuses_unknown_fields(served):
    document = json.loads(served[1])
    for path, method, operation in operations(document):
        content = operation.get("requestBody", {}).get("content", {})
        schema = content.get("application/json", {}).get("schema", {})
        name = schema.get("$ref", "").rpartition("/")[2]
        if name and path.startswith("/v1/"):
            found = document["components"]["schemas"][name]
            assert found.get("additionalProperties") is False, (path, method, name)
