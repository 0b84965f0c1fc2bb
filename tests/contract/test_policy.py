"""The policy of the release is one that was published, with the difference that was seen."""

import json
from pathlib import Path

import pytest
from sharing import policy
from typer.testing import CliRunner

from careloop import policy_cli
from careloop.policy_release import CARRIED, recorded

RECORD = Path(__file__).parents[2] / "contracts" / "sharing" / "policy.json"
WRITTEN = CARRIED.read_text(encoding="utf-8")
WIDER = WRITTEN.replace("    HOPERAT: [outcome]\n", "    HOPERAT: [outcome, financial]\n", 1)


@pytest.fixture
def place(tmp_path):
    (tmp_path / "policy.json").write_text(RECORD.read_text(encoding="utf-8"))
    (tmp_path / "policy.yaml").write_text(WRITTEN)
    return tmp_path


def run(place, command, text, *more):
    file = place / "new.yaml"
    file.write_text(text)
    given = ["release", command, str(file), "--record", str(place / "policy.json"), *more]
    if command == "check":
        given = [command, str(file)]
    if command == "publish":
        given += ["--target", str(place / "policy.yaml")]
    return CliRunner().invoke(policy_cli.app, given)


def test_the_policy_of_the_release_has_its_record():
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    assert record["version"] == policy.current().digest(), (
        "publish it: careloop policy release diff, publish"
    )
    assert policy.parse(json.dumps(record["policy"])).digest() == record["version"]


def test_a_policy_that_widens_access_is_not_published_without_its_difference(place):
    assert WIDER != WRITTEN
    refused = run(place, "publish", WIDER)
    assert refused.exit_code == 1
    assert "widens access" in refused.output
    assert run(place, "publish", WIDER, "--seen", "0" * 64).exit_code == 1
    assert (place / "policy.yaml").read_text() == WRITTEN
    shown = run(place, "diff", WIDER)
    assert "financial" in shown.output
    seen = shown.output.replace("\n", "").split("difference ")[-1].strip()
    done = run(place, "publish", WIDER, "--seen", seen)
    assert done.exit_code == 0, done.output
    record = json.loads((place / "policy.json").read_text())
    assert record["version"] == policy.parse(WIDER).digest()
    assert (record["previous"], record["difference_seen"]) == (policy.current().digest(), seen)
    assert (place / "policy.yaml").read_text() == WIDER


@pytest.mark.parametrize(
    ("wrong", "place_named"),
    [
        (WRITTEN.replace("[financial, outcome]", "[financial, outcom]"), "ceilings.payer.HPAYMT"),
        (WRITTEN.replace("HOPERAT: [outcome]", "HOPERATE: [outcome]"), "ceilings.payer.HOPERATE"),
        (WRITTEN.replace("version: 1", "version: 1\nforever: true"), "forever"),
        (
            WRITTEN.replace(
                "limits: []",
                "limits: [{name: one two, classes: [notes], only_when: {not: {under: TREAT}}}]",
            ),
            "limits.0.only_when",
        ),
    ],
)
def test_a_wrong_policy_is_refused_with_the_place_named(place, wrong, place_named):
    assert wrong != WRITTEN
    for command in ("check", "diff", "publish"):
        refused = run(place, command, wrong)
        assert refused.exit_code == 1
        assert place_named in refused.output.replace("\n", "")
    assert (place / "policy.yaml").read_text() == WRITTEN


def test_the_record_reads_back_as_it_was_written():
    written = json.loads(recorded(policy.current(), None, None))
    assert written["version"] == policy.current().digest()
