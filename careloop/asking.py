"""One organisation of the sandbox asks the gateway, for the commands that read and publish."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console

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
def asking(data_dir: Path, organisation: str) -> Iterator[Partner]:
    """Yield the partner; a failure becomes one sentence and exit code 1."""
    folder = data_dir.absolute()
    try:
        with httpx.Client(timeout=120, trust_env=False) as http:
            yield _partner(folder, organisation, http)
    except CareloopFailure as failure:
        console.print(f"[bold red]careloop:[/] {failure}", soft_wrap=True)
        raise typer.Exit(1) from failure


def _partner(folder: Path, organisation: str, http: httpx.Client) -> Partner:
    try:
        sandbox = json.loads((folder / "sandbox.json").read_text())
    except (OSError, ValueError) as error:
        raise NotRunning(
            f"{folder / 'sandbox.json'} is missing: start with `careloop up`"
        ) from error
    found = [each for each in sandbox["organisations"] if each["name"] == organisation]
    if not found:
        known = ", ".join(each["name"] for each in sandbox["organisations"])
        raise NotRunning(f"nobody is called {organisation!r}; there are: {known}")
    return Partner.of(sandbox["gateway"], found[0], folder, http)


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
