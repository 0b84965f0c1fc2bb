"""The house rules that no linter knows, read off the source itself.

A read outside `queries` carries `# unscoped: <why>` on its line or just above: it bypasses what the caller may
see, and says what it is for instead. `readers.py` of the actions needs none: it fills the narrow tables
that lists are driven from, by INSERT … SELECT.
"""

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
from functools import reduce
from operator import or_
from pathlib import Path

import pytest
from sharing import DataClass, class_map, names_of, unclassed
from svckit.http import Out

ROOT = Path(__file__).parents[2]
SERVICES = ("case_svc", "referral_svc", "document_svc", "notify_svc", "gateway")
SKIPPED = {".git", ".venv", ".careloop", "node_modules", "__pycache__"}


def _files(*suffixes):
    """The files that are or will be in the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0 and listed.stdout:
        paths = [ROOT / line for line in listed.stdout.splitlines()]
    else:
        paths = [path for path in ROOT.rglob("*") if SKIPPED.isdisjoint(path.parts)]
    return [path for path in paths if path.is_file() and path.name.endswith(suffixes)]


def _python(folder):
    return [
        path
        for path in _files(".py")
        if path.is_relative_to(ROOT / folder) and "migrations" not in path.parts
    ]


def _place(path, line):
    return f"{path.relative_to(ROOT)}:{line}"


SOURCES = [(path, path.read_text(encoding="utf-8")) for path in _python("services")]
LIBRARIES = [(path, path.read_text(encoding="utf-8")) for path in _python("libs")]
OPERATOR = [(path, path.read_text(encoding="utf-8")) for path in _python("careloop")]


# reads


def reads(source):
    """Lines that select or load rows without an `# unscoped:` reason."""
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        is_select = isinstance(called, ast.Name) and called.id in {"select", "exists"}
        is_get = (
            isinstance(called, ast.Attribute)
            and called.attr in {"get", "get_one"}
            and isinstance(called.value, ast.Name)
            and called.value.id in {"tx", "session"}
        )
        around = "\n".join(lines[max(0, node.lineno - 2) : node.lineno])
        if (is_select or is_get) and not re.search(r"# unscoped: \w", around):
            yield node.lineno


def test_services_read_only_in_queries():
    found = [
        _place(path, line)
        for path, source in SOURCES
        if "queries" not in (path.stem, path.parent.name) and path.stem != "readers"
        for line in reads(source)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("row = await tx.scalar(select(Case))", [1]),
        ("row = await tx.get(Case, case_id)", [1]),
        ("row = await session.get_one(\n    Case, case_id\n)", [1]),
        ("row = select(Case)  # unscoped: fills the reader table", []),
        ("# unscoped: fills the reader table\nrow = select(Case)", []),
        ("row = select(Case)  # unscoped:", [1]),
        ("row = data.get('id')", []),
    ],
)
def test_a_read_is_recognised(source, lines):
    assert list(reads(source)) == lines


def laterals(source):
    """Laterals that leave their correlation to SQLAlchemy: see `sharing.sql.lateral`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            made = ast.get_source_segment(source, node) or ""
            if (
                node.func.attr == "lateral"
                and "sql.lateral(" not in made
                and "correlate" not in made
            ):
                yield node.lineno


def test_a_lateral_says_what_it_is_correlated_to():
    found = [_place(path, line) for path, source in SOURCES for line in laterals(source)]
    assert found == []
    assert list(laterals("seen = select(mask(Case)).lateral()"))


# purity

PURE = {
    "svckit.errors",
    "svckit.addresses",
    "sharing.classes",
    "sharing.confidentiality",
    "sharing.labels",
    "sharing.purposes",
    "cryptography",
}


def impurities(source, package):
    """Imports of a domain module beyond the standard library, errors, names and the domain."""
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "."]
        for name in names:
            at_home = name == f"{package}.domain" or name.startswith(f"{package}.domain.")
            known = at_home or name in PURE or name.split(".")[0] in sys.stdlib_module_names
            if not known and name.split(".")[0] not in PURE:
                yield node.lineno


def test_rules_import_nothing_but_values():
    found = [
        _place(path, line)
        for path, source in SOURCES
        if "domain" in (path.stem, path.parent.name)
        for line in impurities(source, path.relative_to(ROOT / "services").parts[1])
    ]
    assert found == []


@pytest.mark.parametrize(
    "impure",
    [
        "from sqlalchemy import select",
        "import httpx",
        "from svckit.db import Base",
        "from case_svc.models import CaseFile",
        "from . import models",
        "def late():\n    from fastapi import Request",
    ],
)
def test_an_impure_rule_is_recognised(impure):
    assert list(impurities(impure, "case_svc"))
    assert not list(impurities("import re\nfrom case_svc.domain.needs import Need", "case_svc"))


# size


def test_no_file_is_longer_than_400_lines():
    long = {
        _place(path, len(source.splitlines()))
        for path, source in [*SOURCES, *LIBRARIES, *OPERATOR]
        if len(source.splitlines()) > 400
    }
    assert long == set()


def test_no_function_is_longer_than_40_lines():
    long = {
        f"{_place(path, node.lineno)} {node.name}"
        for path, source in [*SOURCES, *LIBRARIES, *OPERATOR]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > 40
    }
    assert long == set()


# failing loudly

# loops that outlive one bad event, what is raised again at once, and the door, where a partner gets
# a problem whatever happened
MAY_CATCH_ALL = {
    "consume.py",
    "exchange.py",
    "quick.py",
    "relay.py",
    "repair.py",
    "loop.py",
    "telemetry.py",
    "kafka.py",
    "kafka_consumer.py",
    "postgres.py",
    "supervisor.py",
}


def test_only_the_loops_catch_everything():
    found = [
        _place(path, node.lineno)
        for path, source in [*SOURCES, *LIBRARIES, *OPERATOR]
        if path.name not in MAY_CATCH_ALL
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ExceptHandler)
        and (
            node.type is None
            or (isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"})
        )
    ]
    assert found == []


def test_nobody_in_a_service_commits():
    found = [
        _place(path, node.lineno)
        for path, source in SOURCES
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and node.attr in {"commit", "rollback"}
    ]
    assert found == []


def test_services_read_no_environment():
    found = [
        _place(path, node.lineno)
        for path, source in SOURCES
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}
    ]
    assert found == []


# what must not be written down

SELF = Path(__file__).resolve()
UNWANTED = re.compile(
    r"pypi\.org|pythonhosted\.org|registry\.npmjs|repo1?\.maven|docker\.io|ghcr\.io|quay\.io"
    r"|(?<!no-emit-)index-url|/work/main|/home/\w+/|PRIVATE KEY-----\n[A-Za-z0-9]"
)
TEXT = (
    *(".py", ".md", ".toml", ".txt", ".in", ".yaml", ".yml", ".json", ".sh", ".xml", ".cfg"),
    *("Makefile", "Dockerfile", ".example", ".ini", ".js", ".mjs", ".csv", ".ndjson", "run"),
)


def test_no_registry_host_no_machine_path_and_no_private_key_is_in_any_file():
    found = [
        _place(path, source.count("\n", 0, match.start()) + 1)
        for path in _files(*TEXT)
        if path.resolve() != SELF
        for source in [path.read_text(encoding="utf-8", errors="replace")]
        for match in UNWANTED.finditer(source)
    ]
    assert found == []


def test_nothing_is_left_to_do_on_main():
    word = re.compile(r"#\s*(TODO|FIXME|XXX|HACK)\b")
    found = [
        _place(path, number)
        for path, source in [*SOURCES, *LIBRARIES, *OPERATOR]
        for number, line in enumerate(source.splitlines(), 1)
        if word.search(line)
    ]
    assert found == []


# classes of data

# an import's report to the organisation that published: no person is in it
NOT_ABOUT_PERSONS = {"ImportOut", "ItemOut", "ItemError"}


def _responses():
    for package in SERVICES:
        schemas = importlib.import_module(f"{package}.schemas")
        for module in pkgutil.iter_modules(getattr(schemas, "__path__", [])):
            importlib.import_module(f"{package}.schemas.{module.name}")
    found = list(Out.__subclasses__())
    for model in found:
        found.extend(model.__subclasses__())
    ours = {model for model in found if model.__module__.split(".")[0] in SERVICES}
    return sorted(ours, key=lambda model: (model.__module__, model.__name__))


@pytest.mark.parametrize("model", _responses(), ids=lambda model: model.__qualname__)
def test_every_field_of_a_response_has_a_data_class(model):
    wraps_only = set(model.model_fields) <= {"items", "next", "count"}
    if not wraps_only and model.__name__ not in NOT_ABOUT_PERSONS:
        assert unclassed(model) == []


@pytest.mark.parametrize("model", _responses(), ids=lambda model: model.__qualname__)
def test_what_moves_with_each_change_is_for_who_sees_each_change(model):
    """Else a version or a time would tell of changes of fields that its reader does not see."""
    needed = class_map(model)
    # counts are of other rows
    others = [one for name, one in needed.items() if not name.startswith("counts")]
    every = reduce(or_, others, DataClass.ENVELOPE)
    # where all fields are of one class, the row itself demands it
    if len(names_of(every)) > 1:
        for name in {"version", "updated_at"} & needed.keys():
            assert needed[name] == every, name


def test_there_are_responses_to_look_at():
    assert len(_responses()) > 40
    assert len(SOURCES) > 60
