"""Writes `deploy/<service>.env.example` from the settings classes: `python deploy/env_examples.py`.

What a service needs stands as a line with the value of compose.yaml; what has a default stands
commented out, with that default and the comment of the class. A test compares them.
"""

import importlib
import inspect
import json
import re
import sys
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic_settings import BaseSettings

FOLDER = Path(__file__).resolve().parent
PACKAGES = {
    "gateway": "gateway",
    "case-svc": "case_svc",
    "referral-svc": "referral_svc",
    "document-svc": "document_svc",
    "notify-svc": "notify_svc",
}
_SECRET = "change-me-64-random-characters"  # noqa: S105 - says itself that it is none
# what compose.yaml's network needs, by field; {role} is the service's role and database
_COMMON = {
    "database_url": "postgresql://{role}:change-me@postgres:5432/{role}",
    "event_log_url": "kafka://kafka:9092",
    "issuer": "http://localhost:8080",
    "internal_jwks_url": "http://gateway:8000/.well-known/internal-jwks.json",
    "cursor_key": _SECRET,
    "host": "0.0.0.0",  # noqa: S104 - inside a container
    "port": "8000",
}
_OWN: dict[str, dict[str, str]] = {
    "gateway": {
        "key_file": "/state/keys.json",
        "case_url": "http://case-svc:8000",
        "referral_url": "http://referral-svc:8000",
        "document_url": "http://document-svc:8000",
        "notify_url": "http://notify-svc:8000",
    },
    "notify-svc": {"sealing_keys": "0" * 64},
    "document-svc": {
        "store_url": "s3://careloop-documents",
        "store_endpoint": "http://store:8333",
        "store_access_key": "careloop",
        "store_secret_key": "change-me",
    },
}
_FIELD = re.compile(r"^    (\w+):")


def settings_of(service: str) -> type[BaseSettings]:
    """Return the settings class of a service."""
    found: type[BaseSettings] = importlib.import_module(f"{PACKAGES[service]}.settings").Settings
    return found


def render(service: str) -> str:
    """Return the text of a service's example."""
    kind = settings_of(service)
    prefix = str(kind.model_config["env_prefix"])
    comments = _comments(kind)
    values = {**_COMMON, **_OWN.get(service, {})}
    lines = [f"# Settings of {service}; the lines commented out show the defaults."]
    for name, field in kind.model_fields.items():
        lines += ["", *(f"# {line}" for line in comments.get(name, ()))]
        key = f"{prefix}{name}".upper()
        if name in values:
            lines.append(f"{key}={values[name].format(role=service.replace('-', '_'))}")
        elif field.is_required():
            raise SystemExit(f"{service}: {name} is required and has no example here")
        else:
            lines.append(f"#{key}={_text(field.get_default(call_default_factory=True))}")
    return "\n".join(lines) + "\n"


def _comments(kind: type[BaseSettings]) -> dict[str, list[str]]:
    """Return the comment lines above each field, also of the classes it inherits from."""
    found: dict[str, list[str]] = {}
    for owner in reversed(kind.__mro__):
        if not issubclass(owner, BaseSettings) or owner is BaseSettings:
            continue
        above: list[str] = []
        for line in inspect.getsource(owner).splitlines():
            if line.startswith("    # "):
                above.append(line[6:])
            elif match := _FIELD.match(line):
                found[match[1]] = above or found.get(match[1], [])
                above = []
            else:
                above = []
    return found


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, (list, tuple, set, frozenset)):
        return json.dumps(sorted(value) if isinstance(value, (set, frozenset)) else list(value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def main() -> int:
    for service in PACKAGES:
        (FOLDER / f"{service}.env.example").write_text(render(service))
    return 0


if __name__ == "__main__":
    sys.exit(main())
