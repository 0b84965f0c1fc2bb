"""A policy published into a running Careloop: seen first, followed at once, kept through kills."""

import asyncio
import contextlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from typer.testing import CliRunner

from careloop import postgres as embedded
from careloop.__main__ import app
from careloop.asking import console
from careloop.partner import Partner, must
from tests import withdrawing, world
from tests.world import Platform

pytestmark = pytest.mark.timeout(300)
POLICIES, IN_FORCE, FEED = "/v1/access/policies", "/v1/access/policy", "/v1/events?limit=200"
# a second on a machine of its own
WITHIN_S, BACK_WITHIN_S = 5.0, 30.0


@dataclass
class Stage:
    """A case that the food bank sees under the release's policy and not under the narrow one."""

    platform: Platform
    admin: Partner
    clinic: Partner
    food: Partner
    case: withdrawing.Shared
    wide: dict[str, Any]
    narrow: dict[str, Any]

    def status(self, path: str) -> int:
        """Return one answer's status to the food bank, without a program's patience."""
        headers = {"Authorization": f"Bearer {self.food.token()}"}
        with contextlib.suppress(httpx.TransportError):
            return self.food.http.get(f"{self.food.gateway}{path}", headers=headers).status_code
        return 0

    def lists(self, path: str) -> bool:
        headers = {"Authorization": f"Bearer {self.food.token()}"}
        answer = self.food.http.get(f"{self.food.gateway}{path}", headers=headers)
        return answer.status_code == 200 and self.case.case_id in answer.text

    def views(self) -> list[bool]:
        """Return whether the food bank sees the case: by its id, in the list, in the feed."""
        return [self.status(self.case.path) == 200, self.lists("/v1/cases"), self.lists(FEED)]

    def sql(self, statement: str) -> list[Any]:
        server = embedded.attach(
            self.platform.data_dir, self.platform.run_file()["postgres"]["port"]
        )

        async def run() -> list[Any]:
            url = f"{server.url.rpartition('/')[0]}/careloop_gateway"
            connection = await asyncpg.connect(url)
            try:
                return list(await connection.fetch(statement))
            finally:
                await connection.close()

        return asyncio.run(run())


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with world.platform() as platform:
        platform.start()
        names = ("County Care Network", "Lakeside Clinic", "Harbor Food Bank")
        admin, clinic, food = (platform.partner(name) for name in names)
        case = withdrawing.open_case(clinic)
        withdrawing.permit(clinic, case, food)
        wide = must(admin.get(IN_FORCE)).body["content"]
        narrow = deepcopy(wide)
        narrow["ceilings"]["social-service"]["COC"] = ["financial"]
        found = Stage(platform, admin, clinic, food, case, wide, narrow)
        until(lambda: found.status(case.path), 200, BACK_WITHIN_S)
        note = {"kind": "coordination", "text": "A visit"}
        must(clinic.post(f"{case.path}/notes", note), 201)
        until(found.views, [True] * 3, BACK_WITHIN_S)
        yield found


def until(look: Callable[[], Any], wanted: Any, within_s: float) -> float:
    """Return how long it took."""
    began = time.monotonic()
    while (found := look()) != wanted:
        assert time.monotonic() - began < within_s, found
        time.sleep(0.02)
    return time.monotonic() - began


def run(stage: Stage, *arguments: str, code: int = 0) -> str:
    """Run the command in this process, on a wide terminal, and return what it prints."""
    console.width = 250
    given = [*arguments, "--data-dir", str(stage.platform.data_dir)]
    done = CliRunner().invoke(app, given)
    assert done.exit_code == code, done.output
    return done.output


def test_a_policy_is_a_file_that_is_published_as_it_was_seen_and_followed_at_once(
    stage: Stage, tmp_path: Path
) -> None:
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(stage.narrow))
    shown = run(stage, "policy", "diff", str(file))
    assert "Harbor Food Bank" in shown
    digest = shown.split("--seen ")[1].strip()
    assert "diff-required" in run(stage, "policy", "publish", str(file), code=1)
    assert "diff-changed" in run(stage, "policy", "publish", str(file), "--seen", "0" * 64, code=1)
    assert stage.views() == [True] * 3
    assert "is in force" in run(stage, "policy", "publish", str(file), "--seen", digest)
    took = until(stage.views, [False] * 3, WITHIN_S)
    print(f"\nget, list and feed follow the policy after {took:.2f} s")
    version = must(stage.admin.get(IN_FORCE)).body["sha256"]
    assert version in run(stage, "policy", "show")
    assert stage.status(stage.case.path) == 404

    file.write_text(json.dumps(stage.wide))
    digest = run(stage, "policy", "diff", str(file)).split("--seen ")[1].strip()
    run(stage, "policy", "publish", str(file), "--seen", digest)
    until(stage.views, [True] * 3, WITHIN_S)
    assert version[:12] in run(stage, "policy", "show", "--versions")
    entries = stage.clinic.items(
        "/v1/ledger/entries", person_id=stage.case.person_id, denied="true"
    )
    assert version in {entry["policy"] for entry in entries}


def test_a_wrong_file_is_refused_with_the_place_named(stage: Stage, tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    wrong = deepcopy(stage.wide)
    wrong["ceilings"]["payer"]["HPAYMT"] = ["outcome", "shoes"]
    file.write_text(json.dumps(wrong))
    done = CliRunner().invoke(app, ["policy", "check", str(file)])
    assert done.exit_code == 1
    assert "ceilings.payer.HPAYMT.1" in done.output
    run(stage, "policy", "publish", str(file), code=1)


@pytest.mark.parametrize("name", ["narrow", "wide"])
def test_a_service_that_is_killed_begins_again_with_the_policy_in_force(
    stage: Stage, name: str
) -> None:
    published(stage, getattr(stage, name))
    wanted = 200 if name == "wide" else 404
    until(lambda: stage.status(stage.case.path), wanted, WITHIN_S)
    killed = stage.platform.kill("case-svc")
    until(lambda: stage.platform.pids()["case-svc"] != killed, True, BACK_WITHIN_S)
    seen = set()
    deadline = time.monotonic() + BACK_WITHIN_S
    while wanted not in seen:
        seen.add(stage.status(stage.case.path))
        assert time.monotonic() < deadline, seen
    assert not seen & ({200, 404} - {wanted}), "decided by something else first"


def published(stage: Stage, content: dict[str, Any]) -> None:
    draft = must(stage.admin.post(POLICIES, content), 201).body["id"]
    if draft_is_in_force(stage, draft):
        return
    digest = must(stage.admin.post(f"{POLICIES}/{draft}/simulate")).body["digest"]
    must(stage.admin.post(f"{POLICIES}/{draft}/publish", {"diff": digest}))


def draft_is_in_force(stage: Stage, draft: str) -> bool:
    drafted = must(stage.admin.get(f"{POLICIES}/{draft}")).body
    return bool(drafted["sha256"] == must(stage.admin.get(IN_FORCE)).body["sha256"])


def test_a_gateway_killed_while_it_publishes_has_done_all_of_it_or_nothing(stage: Stage) -> None:
    counts = (
        "SELECT (SELECT count(*) FROM policy_publication) AS made,"
        " (SELECT count(*) FROM audit WHERE action = 'policy.publish') AS audited"
    )
    for delay_s in (0.0, 0.01, 0.02, 0.04, 0.08):
        other = stage.narrow if stage.status(stage.case.path) == 200 else stage.wide
        draft = must(stage.admin.post(POLICIES, other), 201).body["id"]
        digest = must(stage.admin.post(f"{POLICIES}/{draft}/simulate")).body["digest"]
        headers = {
            "Authorization": f"Bearer {stage.admin.token()}",
            "Idempotency-Key": secrets.token_hex(8),
        }

        def ask(path: str = f"{POLICIES}/{draft}/publish", seen: str = digest) -> None:
            with contextlib.suppress(httpx.TransportError):
                httpx.post(
                    f"{stage.admin.gateway}{path}",
                    json={"diff": seen},
                    headers=headers,  # noqa: B023 - joined below
                    trust_env=False,
                )

        asking = threading.Thread(target=ask)
        asking.start()
        time.sleep(delay_s)
        killed = stage.platform.kill("gateway")
        asking.join(30)
        until(lambda: stage.platform.pids()["gateway"] != killed, True, BACK_WITHIN_S)  # noqa: B023
        until(lambda: stage.status(IN_FORCE), 200, BACK_WITHIN_S)
        ((made, audited),) = stage.sql(counts)
        assert made == audited
        stands = must(stage.admin.get(IN_FORCE)).body["content"]
        wanted = 200 if stands == stage.wide else 404
        until(lambda: stage.status(stage.case.path), wanted, BACK_WITHIN_S)
