"""A service believes only the gateway's signature, for itself, for a minute."""

import base64
import json
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI
from joserfc import jwt
from joserfc.jwk import ECKey
from svckit import problems
from svckit.db import Database
from svckit.identity import TYPE, Caller, Verifier, requires
from svckit.rights import Rights
from svckit.testing import client_for


@pytest.fixture
def app(issuer):
    made = FastAPI()
    problems.install(made)
    made.state.rights = Rights(Database("postgresql://nowhere/none", 1), "case-svc", topics=())
    made.state.verify = Verifier(issuer=issuer.url, audience="case-svc", jwks_url=issuer.jwks_url)

    @made.get("/me")
    async def me(caller: Annotated[Caller, Depends(requires("cases.read"))]) -> str:
        return caller.organisation_id

    return made


def decoded(token):
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


async def ask(app, token):
    async with client_for(app, token) as client:
        return await client.get("/me")


async def test_the_gateways_token_opens_the_service(app, issuer):
    answer = await ask(app, issuer.token("case-svc", org="org_a"))
    assert (answer.status_code, answer.json()) == (200, "org_a")


async def test_a_missing_scope_is_403(app, issuer):
    answer = await ask(app, issuer.token("case-svc", org="org_a", scopes="persons.read"))
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient-scope")


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "http://elsewhere"},
        {"aud": "document-svc"},
        {"aud": ["case-svc"]},
        {"exp": 1},
        {"exp": 9_999_999_999},
        {"exp": "soon"},
        {"iat": None},
        {"sub": None},
        {"jti": None},
        {"org": None},
    ],
    ids=str,
)
async def test_a_token_that_is_not_exactly_ours_is_401(app, issuer, claims):
    answer = await ask(app, issuer.token("case-svc", **{"org": "org_a", **claims}))
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("header", [{"typ": "JWT"}, {"typ": "at+jwt"}, {"kid": "other"}], ids=str)
async def test_the_right_key_does_not_save_a_wrong_header(app, issuer, header):
    claims = decoded(issuer.token("case-svc", org="org_a"))
    full = {"alg": "ES256", "typ": TYPE, "kid": "test-key", **header}
    assert (await ask(app, jwt.encode(full, claims, issuer._key))).status_code == 401


async def test_another_key_under_our_kid_is_401(app, issuer):
    claims = decoded(issuer.token("case-svc", org="org_a"))
    header = {"alg": "ES256", "typ": TYPE, "kid": "test-key"}
    signed = jwt.encode(header, claims, ECKey.generate_key("P-256", {"kid": "test-key"}))
    assert (await ask(app, signed)).status_code == 401


async def test_an_unsigned_token_is_401(app, issuer):
    claims = issuer.token("case-svc", org="org_a").split(".")[1]
    header = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": TYPE}).encode()).decode()
    assert (await ask(app, f"{header.rstrip('=')}.{claims}.")).status_code == 401


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é.b.c", "e30.e30.e30", "." * 500])
async def test_garbage_is_401(app, token):
    async with client_for(app) as client:
        answer = await client.get("/me", headers={"Authorization": f"Bearer {token}".encode()})
    assert answer.status_code == 401
