import orjson
import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from svckit import problems
from svckit.errors import Conflict, FieldError, Invalid, NotFound
from svckit.http import BodyLimit, In, never


class Item(In):
    name: str
    tags: tuple[int, ...] = ()


def app() -> FastAPI:
    made = FastAPI()
    problems.install(made)

    @made.post("/items")
    async def add(item: Item) -> Item:
        return item

    @made.get("/missing")
    async def missing() -> None:
        raise NotFound

    @made.get("/busy")
    async def busy() -> None:
        raise Conflict("Taken.", extra={"status": 1, "current": "accepted"})

    @made.get("/broken")
    async def broken() -> None:
        secret = "Jane Roe 1984-02-03"
        raise RuntimeError(secret)

    made.add_middleware(BodyLimit, limit=200, exempt=never)
    return made


@pytest.fixture
async def client():
    transport = ASGITransport(app(), raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url="http://t") as found:
        yield found


async def test_every_bad_field_has_a_pointer(client):
    answer = await client.post("/items", json={"tags": [1, "x"], "colour": "red"})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    pointers = {error["pointer"] for error in answer.json()["errors"]}
    assert pointers == {"#/name", "#/tags/1", "#/colour"}


async def test_the_refused_value_is_not_repeated(client):
    answer = await client.post("/items", json={"name": "a", "tags": ["Jane Roe"]})
    assert "Jane" not in answer.text


async def test_malformed_json_is_400(client):
    answer = await client.post(
        "/items", content=b'{"name": ', headers={"content-type": "application/json"}
    )
    assert answer.status_code == 400
    assert answer.json()["code"] == "malformed-json"


@pytest.mark.parametrize("declared", [True, False])
async def test_a_large_body_is_413(client, declared):
    body = orjson.dumps({"name": "x" * 500})

    async def chunks():
        yield body[:100]
        yield body[100:]

    answer = await client.post(
        "/items",
        content=body if declared else chunks(),
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 413
    assert answer.json()["code"] == "payload-too-large"


async def test_an_unknown_path_is_a_problem(client):
    answer = await client.get("/nowhere")
    assert answer.status_code == 404
    assert answer.json()["code"] == "not-found"


async def test_extra_members_never_replace_the_standard_ones(client):
    answer = await client.get("/busy")
    assert answer.json()["status"] == 409
    assert answer.json()["current"] == "accepted"


async def test_an_unexpected_error_tells_nothing(client):
    answer = await client.get("/broken")
    assert answer.status_code == 500
    assert "Jane" not in answer.text


def test_an_error_without_a_code_of_its_own_has_its_class_code():
    error = Invalid("x", errors=[FieldError("#/a", "b", "c")])
    assert problems.body(error)["code"] == "invalid"
    assert problems.body(error)["errors"] == [{"pointer": "#/a", "code": "b", "detail": "c"}]
