"""One organisation of the sandbox asks the gateway, for the commands that read and publish."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.text import Text

from careloop.errors import CareloopFailure, NotRunning, Refused
from careloop.network import COORDINATOR
from careloop.partner import Answer, Partner

console = Console(highlight=False)

DataDir = Annotated[Path, typer.Option("--data-dir", help="Of the Careloop that runs.")]
As = Annotated[str, typer.Option("--as", help="Who asks, by its name in the sandbox.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as it came.")]
DEFAULT_DATA_DIR = Path(".careloop")
DEFAULT_AS = COORDINATOR.name


@contextlib.contextmanager
def failures() -> Iterator[None]:
    """Turn a failure into one sentence and exit code 1."""
    try:
        yield
    except CareloopFailure as failure:
        console.print(Text.assemble(("careloop: ", "bold red"), str(failure)), soft_wrap=True)
        raise typer.Exit(1) from failure


@contextlib.contextmanager
def asking(data_dir: Path, organisation: str) -> Iterator[Partner]:
    """Yield the partner; a failure becomes one sentence and exit code 1."""
    with failures(), httpx.Client(timeout=120, trust_env=False) as http:
        yield _partner(data_dir.absolute(), organisation, http)


def _partner(folder: Path, organisation: str, http: httpx.Client) -> Partner:
    try:
        sandbox = json.loads((folder / "sandbox.json").read_text())
    except (OSError, ValueError) as error:
        raise NotRunning(
            f"{folder / 'sandbox.json'} is missing: start with `careloop up`"
        ) from error
    entry = _called(sandbox["organisations"], organisation)
    return Partner.of(sandbox["gateway"], entry, folder, http)


def _called(organisations: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """Return the one of that name, else of that word in its name or of that kind: `clinic`.

    Raises NotRunning.
    """

    def words(each: dict[str, Any]) -> set[str]:
        return {*each["name"].lower().split(), each["kind"]}

    exact = [each for each in organisations if each["name"] == name]
    found = exact or [each for each in organisations if name.lower() in words(each)]
    if len(found) != 1:
        known = ", ".join(each["name"] for each in organisations)
        many = "several are" if found else "nobody is"
        raise NotRunning(f"{many} called {name!r}; there are: {known}")
    return found[0]


def answered(answer: Answer) -> Any:
    """Return the body of a good answer. Raises Refused with every fault and its place."""
    if answer.status < httpx.codes.BAD_REQUEST:
        return answer.body
    faults = [f"{one['pointer']}: {one['detail']}" for one in answer.body.get("errors", ())]
    raise Refused(f"{answer.code}: " + "; ".join(faults or [str(answer.body.get("detail"))]))


class Names:
    """The network's organisations, by id and by name."""

    def __init__(self, partner: Partner) -> None:
        self._by_id: dict[str, str] = {
            one["id"]: one["name"] for one in partner.items("/v1/organisations")
        }

    def __getitem__(self, organisation_id: str) -> str:
        return self._by_id.get(organisation_id, organisation_id)

    def id_of(self, name_or_id: str) -> str:
        """Return the id. Raises Refused: nobody or several are called so."""
        if name_or_id in self._by_id:
            return name_or_id
        found = [key for key, name in self._by_id.items() if name == name_or_id]
        if len(found) != 1:
            raise Refused(f"{len(found)} organisations are called {name_or_id!r}")
        return found[0]
