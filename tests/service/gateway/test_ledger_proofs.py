"""Sealed periods, inclusion proofs, the export and its offline check: what each of them detects."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from svckit import testing
from svckit.disclosure import Disclosed
from svckit.ids import new_id
from svckit.merkle import includes, leaf_hash

from careloop.errors import LedgerBroken
from careloop.ledger import verify
from tests import gateway as kit
from tests.gateway import Gateway, Partner
from tests.service.gateway.test_ledger import read

PEOPLE = 5


@pytest.fixture(scope="module")
def sealed(
    database_for: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """A gateway that seals often, after some reads of two organisations' persons."""
    folder = tmp_path_factory.mktemp("sealed")
    with kit.running(database_for("gateway"), folder, ledger_seal_s="0.1") as found:
        kit.with_partners(found)
        for _ in range(PEOPLE):
            for custodian in (found.clinic, found.pantry):
                told = Disclosed("case", custodian.organisation_id, new_id("per"), 2048)
                assert read(found.payer, told).status_code == 200
        await_sealed(found)
        yield found


def await_sealed(gateway: Gateway) -> None:
    deadline = time.monotonic() + 20
    counts = "SELECT (SELECT count(*) FROM ledger_entry), (SELECT sum(size) FROM ledger_period)"
    while len(set(gateway.sql(counts)[0])) > 1:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def items(partner: Partner, path: str, **params: Any) -> list[dict[str, Any]]:
    answer = partner.get(path, **params)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


def exported(partner: Partner, file: Path) -> list[dict[str, Any]]:
    answer = partner.get("/v1/ledger/export")
    assert answer.status_code == 200, answer.text
    file.write_bytes(answer.content)
    return [json.loads(line) for line in answer.content.splitlines()]


def faults(file: Path, lines: list[dict[str, Any]]) -> str:
    file.write_text("".join(json.dumps(line, sort_keys=True) + "\n" for line in lines))
    return "\n".join(verify(file).faults)


def first_entry(lines: list[dict[str, Any]]) -> int:
    return next(n for n, line in enumerate(lines) if "entry" in line)


def test_a_custodian_sees_the_entries_about_its_own_persons_alone(sealed: Gateway) -> None:
    found = items(sealed.clinic, "/v1/ledger/entries")
    assert len(found) == PEOPLE
    assert {each["custodian"] for each in found} == {sealed.clinic.organisation_id}
    one = found[0]["id"]
    assert sealed.clinic.get(f"/v1/ledger/entries/{one}").json() == found[0]
    for path in ("", "/proof"):
        assert sealed.pantry.get(f"/v1/ledger/entries/{one}{path}").status_code == 404
        assert sealed.payer.get(f"/v1/ledger/entries/{one}{path}").status_code == 404
    assert items(sealed.payer, "/v1/ledger/entries") == []


def test_pages_are_newest_first_and_without_gaps(sealed: Gateway) -> None:
    whole = [each["id"] for each in items(sealed.clinic, "/v1/ledger/entries")]
    paged, cursor = [], None
    while True:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        body = sealed.clinic.get("/v1/ledger/entries", **params).json()
        paged += [each["id"] for each in body["items"]]
        cursor = body["next"]
        if cursor is None:
            break
    assert paged == whole == sorted(whole, reverse=True)


def test_every_entry_is_proven_by_the_period_that_seals_it(sealed: Gateway) -> None:
    for each in items(sealed.clinic, "/v1/ledger/entries"):
        proof = sealed.clinic.get(f"/v1/ledger/entries/{each['id']}/proof").json()
        assert proof["entry"] == each["body"]
        leaf = leaf_hash(each["body"].encode())
        path = [bytes.fromhex(node) for node in proof["audit_path"]]
        root = bytes.fromhex(proof["root"])
        assert includes(leaf, proof["leaf_index"], proof["tree_size"], path, root)
        period = sealed.clinic.get(f"/v1/ledger/periods/{proof['period']}").json()
        assert (period["root"], period["statement"]) == (proof["root"], proof["statement"])


def test_periods_are_told_to_every_participant_as_witness(sealed: Gateway) -> None:
    numbers = [each["number"] for each in items(sealed.outsider, "/v1/ledger/periods")]
    assert numbers == list(range(len(numbers), 0, -1))
    assert "per_" not in sealed.outsider.get("/v1/ledger/periods").text


def test_an_entry_that_no_period_seals_yet_has_no_proof(gateway: Gateway) -> None:
    told = Disclosed("case", gateway.clinic.organisation_id, new_id("per"), 4)
    read(gateway.payer, told)
    (entry,) = items(gateway.clinic, "/v1/ledger/entries", person_id=told.person_id)
    answer = gateway.clinic.get(f"/v1/ledger/entries/{entry['id']}/proof")
    assert (answer.status_code, answer.json()["code"]) == (409, "not-sealed-yet")
    # whoever does not want to wait has it sealed
    checkpoint = gateway.clinic.post("/v1/ledger/periods", None)
    assert checkpoint.status_code == 200, checkpoint.text
    proof = gateway.clinic.get(f"/v1/ledger/entries/{entry['id']}/proof").json()
    assert (proof["entry"], proof["period"]) == (entry["body"], checkpoint.json()["number"])
    again = gateway.pantry.post("/v1/ledger/periods", None).json()
    assert again["number"] == checkpoint.json()["number"], "there is nothing new"


def test_a_custodians_export_holds_what_was_entered_a_moment_ago(
    gateway: Gateway, tmp_path: Path
) -> None:
    told = Disclosed("case", gateway.clinic.organisation_id, new_id("per"), 4)
    read(gateway.payer, told)
    lines = exported(gateway.clinic, tmp_path / "part.ndjson")
    assert any(line.get("person") == told.person_id for line in lines)
    assert not verify(tmp_path / "part.ndjson").faults


def test_without_the_scope_there_is_no_ledger(gateway: Gateway) -> None:
    narrow = gateway.client(gateway.clinic.organisation_id, "TREAT", scopes="cases.read")
    assert narrow.get("/v1/ledger/entries").status_code == 403
    body = {"organisation_id": gateway.clinic.organisation_id, "name": "x", "sandbox": True}
    asked = {**body, "scopes": ["ledger.audit"], "purposes": ["TREAT"]}
    assert gateway.admin.post("/v1/clients", asked).status_code == 422


def test_the_coordinators_officer_exports_the_whole_and_it_is_whole(
    sealed: Gateway, tmp_path: Path
) -> None:
    file = tmp_path / "whole"
    exported(sealed.admin, file)
    found = verify(file)
    assert found.faults == []
    assert found.scope == "whole"
    assert found.sealed >= 2 * PEOPLE
    (thumbprint,) = found.keys
    assert verify(file, [thumbprint]).faults == []
    assert "not trusted" in verify(file, ["another"]).faults[0]


def test_a_custodian_exports_its_own_part_with_proofs(sealed: Gateway, tmp_path: Path) -> None:
    file = tmp_path / "part"
    lines = exported(sealed.clinic, file)
    found = verify(file)
    assert (found.faults, found.scope) == ([], "custodian")
    assert found.entries == found.sealed == PEOPLE
    assert sealed.pantry.organisation_id not in json.dumps(lines[first_entry(lines) :])
    at = first_entry(lines)
    lines[at]["entry"] = lines[at]["entry"].replace('"rows":1', '"rows":2')
    assert "changed or inserted" in faults(file, lines)


def test_exporting_the_whole_is_entered_itself(sealed: Gateway, tmp_path: Path) -> None:
    exported(sealed.admin, tmp_path / "whole")
    rows = sealed.sql(
        "SELECT body FROM ledger_entry WHERE organisation_id = $1 ORDER BY at DESC LIMIT 1",
        sealed.admin.organisation_id,
    )
    assert json.loads(rows[0]["body"])["kind"] == "ledger"


def changed(lines: list[dict[str, Any]], at: int) -> None:
    lines[at]["entry"] = lines[at]["entry"].replace('"status":200', '"status":404')


def removed(lines: list[dict[str, Any]], at: int) -> None:
    del lines[at + 1]


def reordered(lines: list[dict[str, Any]], at: int) -> None:
    lines[at], lines[at + 1] = lines[at + 1], lines[at]


def inserted(lines: list[dict[str, Any]], at: int) -> None:
    lines.insert(at + 1, lines[at])


def truncated(lines: list[dict[str, Any]], at: int) -> None:
    del lines[at + 2 :]


def refiled(lines: list[dict[str, Any]], at: int) -> None:
    lines[at]["person"] = None


def period_removed(lines: list[dict[str, Any]], _: int) -> None:
    del lines[1]


@pytest.mark.parametrize(
    ("attack", "fault"),
    [
        (changed, "is not the one it names: changed"),
        (changed, "its root is of other entries: changed"),
        (removed, "missing: removed"),
        (reordered, "inserted or reordered"),
        (inserted, "inserted or reordered"),
        (truncated, "the end is missing: truncated"),
        (truncated, "it seals are missing"),
        (refiled, "filed under another person: changed"),
        (period_removed, "a period is missing"),
    ],
)
def test_the_check_says_what_happened_to_a_file(
    sealed: Gateway, tmp_path: Path, attack: Callable[..., None], fault: str
) -> None:
    lines = exported(sealed.admin, tmp_path / "f")
    attack(lines, first_entry(lines))
    assert fault in faults(tmp_path / "f", lines)


def test_whoever_writes_the_end_anew_needs_the_key(sealed: Gateway, tmp_path: Path) -> None:
    lines = exported(sealed.clinic, tmp_path / "f")
    del lines[first_entry(lines)]
    assert "not the one that was signed" in faults(tmp_path / "f", lines)
    lines[-1]["key"] = lines[-1]["key"] | {"x": lines[-1]["key"]["y"]}
    assert "signature is not good" in faults(tmp_path / "f", lines)


def test_what_is_changed_in_the_database_itself_shows_in_the_export(
    database_for: Callable[[str], str], tmp_path: Path
) -> None:
    with kit.running(database_for("gateway"), tmp_path, ledger_seal_s="0.1") as gateway:
        payer = gateway.client(gateway.organisation("payer", "Meridian"), "HOPERAT")
        for _ in range(3):
            read(payer, Disclosed("case", new_id("org"), new_id("per"), 4))
        await_sealed(gateway)
        lines = exported(gateway.admin, tmp_path / "f")
        victim = json.loads(lines[first_entry(lines) + 1]["entry"])["id"]
        superuser = "BEGIN; SET LOCAL session_replication_role = replica; {}; COMMIT"
        body = "UPDATE ledger_entry SET body = replace(body, '\"rows\":1', '\"rows\":9') WHERE id = '{}'"
        _execute(gateway, superuser.format(body.format(victim)))
        exported(gateway.admin, tmp_path / "f")
        assert "root is of other entries: changed" in "\n".join(verify(tmp_path / "f").faults)
        _execute(gateway, superuser.format(f"DELETE FROM ledger_entry WHERE id = '{victim}'"))
        exported(gateway.admin, tmp_path / "f")
        assert "missing: removed" in "\n".join(verify(tmp_path / "f").faults)


def _execute(gateway: Gateway, script: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(gateway.database_url)
        try:
            await connection.execute(script)
        finally:
            await connection.close()

    testing.apart(run())


def test_the_command_needs_nothing_but_the_file(sealed: Gateway, tmp_path: Path) -> None:
    file = tmp_path / "ledger.ndjson"
    lines = exported(sealed.admin, file)
    command = [sys.executable, "-m", "careloop", "ledger", "verify", str(file)]
    good = subprocess.run(command, capture_output=True, text=True, check=False, env={})
    assert (good.returncode, good.stderr) == (0, "")
    assert "The ledger is whole." in good.stdout
    changed(lines, first_entry(lines))
    faults(file, lines)
    bad = subprocess.run(command, capture_output=True, text=True, check=False, env={})
    assert bad.returncode == 1
    assert "The ledger is broken." in bad.stdout
    with pytest.raises(LedgerBroken):
        verify(Path(__file__))


def test_two_replicas_write_chains_of_their_own_that_one_period_seals(
    sealed: Gateway, tmp_path: Path
) -> None:
    with kit.replica(sealed, tmp_path / "log") as url:
        told = {"told": f"case|{sealed.clinic.organisation_id}|4|{new_id('per')[4:]}"}
        headers = {"Authorization": f"Bearer {sealed.payer.token()}"}
        for at in (url, sealed.url, url, sealed.url):
            answer = httpx.get(
                f"{at}/v1/cases/discloses", params=told, headers=headers, trust_env=False
            )
            assert answer.status_code == 200
    segments = sealed.sql("SELECT count(DISTINCT substr(id, 5, 16)) FROM ledger_entry")
    assert segments[0][0] == 2
    await_sealed(sealed)
    exported(sealed.admin, tmp_path / "whole")
    assert verify(tmp_path / "whole").faults == []
