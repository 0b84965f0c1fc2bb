"""The AsyncAPI document is what the code sends and handles, and a valid one."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from svckit.contracts import PREFIX, schemas

from careloop import asyncapi

ROOT = Path(__file__).resolve().parents[2]
PARSER = "@asyncapi/parser@3"
CHECK = """
const { Parser } = require("@asyncapi/parser");
const text = require("fs").readFileSync(process.argv[1], "utf8");
new Parser().parse(text).then(({ document, diagnostics }) => {
  const errors = diagnostics.filter((found) => found.severity === 0);
  for (const error of errors) console.log(error.path.join("/"), error.message);
  process.exit(document && errors.length === 0 ? 0 : 1);
});
"""


@pytest.fixture(scope="module")
def parties():
    return [asyncapi.party(package) for package in asyncapi.PACKAGES]


def test_the_committed_document_is_the_generated_one():
    assert asyncapi.FILE.read_text() == asyncapi.text(), "run `make contracts`"


def test_every_contract_has_exactly_one_publisher(parties):
    published = [kind for party in parties for kind in party.publishes]
    assert sorted(published) == sorted(schemas())


def test_every_handled_type_is_published_on_a_topic_that_is_read(parties):
    topic_of = {kind: party.topic for party in parties for kind in party.publishes}
    for party in parties:
        for kind in party.handles:
            assert topic_of[kind] in party.reads, (party.name, kind)


def test_every_topic_read_has_a_handler_for_something_on_it(parties):
    topic_of = {kind: party.topic for party in parties for kind in party.publishes}
    for party in parties:
        assert {topic_of[kind] for kind in party.handles} == set(party.reads), party.name


def test_every_type_named_in_a_services_code_is_one_it_publishes():
    """`noun.verb` in the actions of a service is a type it tells; a misspelled one shows here."""
    nouns = "|".join(sorted({kind.removeprefix(PREFIX).split(".")[0] for kind in schemas()}))
    named = re.compile(rf'events\.\w+\([^)]*?"((?:{nouns})\.[a-z]+)"', re.DOTALL)
    found = 0
    for package in asyncapi.PACKAGES:
        publishes = set(asyncapi.party(package).publishes)
        folder = next(ROOT.glob(f"services/*/{package}"))
        for path in folder.rglob("*.py"):
            for kind in named.findall(path.read_text()):
                found += 1
                assert f"{PREFIX}{kind}.v1" in publishes, (path.name, kind)
    assert found >= 20


def test_operations_name_who_sends_and_who_reads_what():
    operations = yaml.safe_load(asyncapi.FILE.read_text())["operations"]
    assert operations["referral-svc.send.referral.v1"]["action"] == "send"
    received = operations["gateway.receive.referral.v1"]
    assert received["bindings"]["kafka"]["groupId"]["enum"] == ["gateway"]
    assert {"$ref": "#/channels/referral.v1/messages/referral.accepted.v1"} in received["messages"]


@pytest.fixture(scope="session")
def parser():
    """The folder of the AsyncAPI parser, installed once for this user by the ordinary npm."""
    missing = [program for program in ("node", "npm") if shutil.which(program) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed: the document is not validated")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "careloop" / "asyncapi-parser"
    if not (folder / "node_modules" / "@asyncapi" / "parser").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        install = ("npm", "install", "--no-save", "--no-package-lock", "--no-audit", "--no-fund")
        done = subprocess.run(
            [*install, "--ignore-scripts", "--prefix", str(folder), PARSER],
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )
        if done.returncode != 0:
            pytest.skip(f"npm could not install {PARSER}: the document is not validated")
    return folder


def validated(folder, path):
    return subprocess.run(
        ["node", "-e", CHECK, str(path)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_document_is_valid_asyncapi(parser):
    done = validated(parser, asyncapi.FILE)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_validation_refuses_a_broken_document(parser, tmp_path):
    document = yaml.safe_load(asyncapi.FILE.read_text())
    del document["operations"]["gateway.receive.referral.v1"]["action"]
    broken = tmp_path / "broken.yaml"
    broken.write_text(yaml.safe_dump(document))
    done = validated(parser, broken)
    assert done.returncode == 1
    assert "action" in done.stdout
