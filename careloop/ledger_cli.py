"""`careloop ledger`: take the ledger out of a Careloop, and check such a file without one."""

import json
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.console import Console

from careloop.errors import LedgerBroken, NotRunning
from careloop.ledger import Finding, verify
from careloop.network import COORDINATOR
from careloop.partner import Partner

app = typer.Typer(no_args_is_help=True, help="Export the ledger of disclosures, and check it.")
console = Console(highlight=False)
_SHOWN = 20


@app.command("verify")
def verify_command(
    file: Annotated[Path, typer.Argument(help="What `careloop ledger export` wrote.", exists=True)],
    trust: Annotated[
        list[str] | None,
        typer.Option("--trust", help="Thumbprint (RFC 7638) of a key that may have signed."),
    ] = None,
) -> None:
    """Check a file offline; exit 0 only if nothing in it was changed, removed, moved or added."""
    try:
        found = verify(file, trust or ())
    except LedgerBroken as failure:
        console.print(f"[bold red]careloop:[/] {failure}")
        raise typer.Exit(2) from failure
    _tell(found, pinned=bool(trust))
    raise typer.Exit(1 if found.faults else 0)


def _tell(found: Finding, *, pinned: bool) -> None:
    console.print(
        f"{found.entries} entries ({found.scope}), {found.sealed} of them sealed in "
        f"{found.periods} periods"
    )
    for key in sorted(found.keys):
        console.print(f"signed with {key}{'' if pinned else ' (compare it with one you know)'}")
    for fault in found.faults[:_SHOWN]:
        console.print(f"[bold red]fault[/] {fault}", soft_wrap=True)
    if len(found.faults) > _SHOWN:
        console.print(f"and {len(found.faults) - _SHOWN} more")
    console.print("[bold red]The ledger is broken.[/]" if found.faults else "The ledger is whole.")


@app.command("export")
def export_command(
    file: Annotated[Path, typer.Argument(help="Where to write it.")],
    data_dir: Annotated[Path, typer.Option("--data-dir", help="Of the Careloop that runs.")] = Path(
        ".careloop"
    ),
    organisation: Annotated[
        str, typer.Option("--as", help="Whose part; the coordinator's is the whole.")
    ] = COORDINATOR.name,
) -> None:
    """Write the ledger, or one organisation's part of it with its proofs, to a file."""
    try:
        export(file, data_dir.absolute(), organisation)
    except (NotRunning, httpx.HTTPError) as failure:
        console.print(f"[bold red]careloop:[/] {failure}")
        raise typer.Exit(1) from failure
    console.print(f"written to {file}")


def export(file: Path, data_dir: Path, organisation: str) -> None:
    """Fetch an organisation's part of the ledger through the gateway.

    Raises NotRunning (no such sandbox) and httpx.HTTPError.
    """
    try:
        sandbox = json.loads((data_dir / "sandbox.json").read_text())
        (entry,) = (each for each in sandbox["organisations"] if each["name"] == organisation)
    except (OSError, ValueError) as error:
        raise NotRunning(f"{data_dir} has no sandbox with {organisation!r}") from error
    with httpx.Client(timeout=60, trust_env=False) as http, file.open("wb") as out:
        partner = Partner.of(sandbox["gateway"], entry, data_dir, http)
        headers = {"Authorization": f"Bearer {partner.token()}"}
        with http.stream("GET", f"{partner.gateway}/v1/ledger/export", headers=headers) as answer:
            answer.raise_for_status()
            for chunk in answer.iter_bytes():
                out.write(chunk)
