"""A partner repeats what a restarting service left open, and nothing else."""

import json

import httpx
import pytest

from careloop.errors import StepFailed
from careloop.keys import key_pair, public_set, read_key
from careloop.partner import Partner, must


@pytest.fixture
def make(tmp_path):
    def partner(*answers: httpx.Response | Exception, alg: str = "ES384") -> Partner:
        left = list(answers)
        seen: list[httpx.Request] = []

        def handle(request: httpx.Request) -> httpx.Response:
            seen.append(request)
            if request.url.path == "/oauth/token":
                return httpx.Response(200, json={"access_token": "t", "expires_in": 300})
            answer = left.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        key = key_pair(tmp_path / "key.pem", alg, "k-1")
        http = httpx.Client(transport=httpx.MockTransport(handle))
        found = Partner(
            "http://gateway.test", "org_1", "A", "clinic", "cli_1", key, alg, "TREAT", http
        )
        found.seen = seen
        return found

    return partner


def test_a_command_is_repeated_with_the_same_key(make):
    running = httpx.Response(409, json={"code": "idempotency-in-progress"})
    partner = make(
        httpx.ConnectError("down"), httpx.Response(503), running, httpx.Response(201, json={})
    )
    assert partner.post("/v1/cases", {}).status == 201
    keys = {
        each.headers["idempotency-key"] for each in partner.seen if each.url.path == "/v1/cases"
    }
    assert len(keys) == 1
    assert partner.retries == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412, 422, 500])
def test_an_answer_that_stands_is_not_repeated(make, status):
    partner = make(httpx.Response(status, json={"code": "so"}))
    assert partner.get("/v1/cases").status == status
    assert partner.retries == 0


def test_a_change_whose_answer_was_lost_is_read_back(make):
    partner = make(
        httpx.ReadError("cut"),
        httpx.Response(412, json={"code": "precondition-failed"}),
        httpx.Response(200, json={"owner_number": "7", "version": 3}, headers={"etag": '"3"'}),
    )
    assert partner.patch("/v1/referrals/r", {"owner_number": "7"}, version=2).version == 3


def test_a_change_by_somebody_else_is_still_refused(make):
    partner = make(
        httpx.Response(412, json={}),
        httpx.Response(200, json={"owner_number": "8"}, headers={"etag": '"3"'}),
    )
    assert partner.patch("/v1/referrals/r", {"owner_number": "7"}, version=2).status == 412


def test_an_assertion_carries_what_smart_backend_services_asks(make):
    partner = make(alg="RS384")
    partner.token()
    form = dict(httpx.QueryParams(partner.seen[0].content.decode()))
    header, claims, _ = form["client_assertion"].split(".")
    assert json.loads(_decoded(header)) == {"alg": "RS384", "typ": "JWT", "kid": "k-1"}
    found = json.loads(_decoded(claims))
    assert found["iss"] == found["sub"] == "cli_1"
    assert found["aud"] == "http://gateway.test/oauth/token"
    assert 0 < found["exp"] - found["iat"] <= 300


def test_a_key_survives_its_file_and_only_its_public_half_is_registered(tmp_path):
    made = key_pair(tmp_path / "a.pem", "ES384", "a-1")
    again = read_key(tmp_path / "a.pem", "ES384", "a-1")
    assert made.as_dict(private=True) == again.as_dict(private=True)
    (public,) = public_set(made)["keys"]
    assert "d" not in public
    assert (public["kid"], public["crv"]) == ("a-1", "P-384")


def test_must_tells_what_came_instead(make):
    partner = make(httpx.Response(404, json={"code": "not-found"}))
    with pytest.raises(StepFailed, match="404"):
        must(partner.get("/v1/cases/x"))


def _decoded(part: str) -> bytes:
    import base64

    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
