"""Client certificates, and whom we trust."""

import pytest
from aiohttp import web

from tests.service.notify_svc.conftest import key
from tests.service.notify_svc.transport.stage import SECRETS, attempted, pair, serving

PATH = "/v1/webhook-endpoints"


async def test_a_server_that_demands_a_client_certificate_gets_it(world, clinic, authority):
    met = []

    async def answer(request):
        met.append(request.transport.get_extra_info("peercert")["subject"])
        return web.Response(status=204)

    issued = authority.issue("careloop")
    async with serving(answer, authority.server(wants_client=True)) as url:
        made = await world.endpoint(clinic, url, transport=pair(issued))
        found = await attempted(world, clinic, ca_file=authority.file)
    assert found["outcome"] == "delivered"
    assert met == [((("commonName", "careloop"),),)]
    shown = made["transport"]["client_certificate"]
    assert shown["sha256"] == issued.sha256
    assert "PRIVATE KEY" not in str(made)


async def test_without_the_certificate_the_same_server_is_not_reached(world, clinic, authority):
    async def answer(_):
        raise AssertionError("reached")

    async with serving(answer, authority.server(wants_client=True)) as url:
        await world.endpoint(clinic, url)
        found = await attempted(world, clinic, ca_file=authority.file)
    assert (found["outcome"], found["error"]) in {("failed", "tls"), ("failed", "connection")}


async def test_a_server_that_nobody_we_trust_vouches_for_is_a_fault_of_tls(
    world, clinic, authority
):
    async def answer(_):
        raise AssertionError("reached")

    async with serving(answer, authority.server()) as url:
        await world.endpoint(clinic, url)
        assert (await attempted(world, clinic))["error"] == "tls"


@pytest.mark.parametrize("fault", ["another key", "no certificate", "no key", "expired", "http"])
async def test_a_certificate_that_cannot_be_used_is_refused(world, clinic, authority, fault):
    issued, other = authority.issue(), authority.issue()
    given, url = pair(issued), "https://127.0.0.1:9/hook"
    where = "private_key" if fault in {"another key", "no key"} else "chain"
    pointer = f"#/transport/client_certificate/{where}"
    if fault == "another key":
        given["client_certificate"]["private_key"] = other.private_key
    elif fault == "no certificate":
        given["client_certificate"]["chain"] = "nonsense"
    elif fault == "no key":
        given["client_certificate"]["private_key"] = "nonsense"
    elif fault == "expired":
        given = pair(authority.issue(days=-1))
    else:
        url, pointer = "http://127.0.0.1:9/hook", "#/transport/client_certificate"
    body = {"url": url, "transport": given}
    answer = await world.client(clinic).post(PATH, json=body, headers=key())
    assert (answer.status_code, answer.json()["code"]) == (422, "webhook-transport-refused")
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert not any(secret in answer.text for secret in SECRETS)
