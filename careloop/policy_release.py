"""`careloop policy release`: the policy that a release carries, in force until one is published.

Publishing writes the file of the release, and the record of the publication in
contracts/sharing/policy.json. CI refuses a policy without its record.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, NoReturn

import sharing
import typer
from rich.console import Console
from rich.markup import escape
from sharing import policy
from sharing.difference import Change, diff

from careloop.access_view import may

app = typer.Typer(no_args_is_help=True, help="The policy that a release carries.")
console = Console(highlight=False)

CARRIED = Path(sharing.__file__).with_name("policy.yaml")
File = Annotated[Path, typer.Argument(help="A policy as YAML or JSON.", exists=True)]
Record = Annotated[Path, typer.Option("--record", help="The record of the last publication.")]
Target = Annotated[Path, typer.Option("--target", help="The policy file of the release.")]
DEFAULT_RECORD = Path("contracts/sharing/policy.json")


@app.command("diff")
def diff_command(file: File, *, record: Record = DEFAULT_RECORD) -> None:
    """Who may gain and lose which classes for which purpose, and the name of that difference."""
    changes = diff(published(record), read(file.read_text(encoding="utf-8")))
    if changes:
        console.print(may([change._asdict() for change in changes]))
    console.print(f"difference {named(changes)}", soft_wrap=True)


@app.command()
def publish(
    file: File,
    *,
    seen: Annotated[str, typer.Option("--seen", help="The difference as `diff` named it.")] = "",
    record: Record = DEFAULT_RECORD,
    target: Target = CARRIED,
) -> None:
    """Make it the release's policy. One that changes anything names the difference that was seen."""
    text = file.read_text(encoding="utf-8")
    standing, other = published(record), read(text)
    changes = diff(standing, other)
    if changes and seen != named(changes):
        widens = any(change.gains for change in changes)
        console.print(
            f"[bold red]not published:[/] it {'widens access' if widens else 'changes access'}; "
            "see `careloop policy release diff` and name what it showed with --seen"
        )
        raise typer.Exit(1)
    record.write_text(recorded(other, standing.digest(), named(changes)), encoding="utf-8")
    target.write_text(text, encoding="utf-8")
    console.print(f"policy {other.digest()}")


def named(changes: list[Change]) -> str:
    """Return the name of a difference: the SHA-256 of its canonical form."""
    plain = [
        {**change._asdict(), "gains": list(change.gains), "loses": list(change.loses)}
        for change in changes
    ]
    return hashlib.sha256(policy.canonical(plain)).hexdigest()


def recorded(written: policy.Policy, previous: str | None, seen: str | None) -> str:
    """Return the record of a publication."""
    said: dict[str, Any] = {
        "version": written.digest(),
        "previous": previous,
        "difference_seen": seen,
        "policy": written.model_dump(mode="json"),
    }
    return json.dumps(said, indent=2, ensure_ascii=False) + "\n"


def published(record: Path) -> policy.Policy:
    """Return the policy of the last publication, whatever the release's file says by now."""
    return read(json.dumps(json.loads(record.read_text(encoding="utf-8"))["policy"]))


def read(text: str) -> policy.Policy:
    """Return the policy; a wrong one ends the command with every place named."""
    try:
        return policy.parse(text)
    except policy.PolicyRefused as refused:
        refuse(refused)


def refuse(refused: policy.PolicyRefused) -> NoReturn:
    """Name every place that is wrong and end the command."""
    for fault in refused.faults:
        console.print(f"[bold red]refused:[/] {escape(str(fault))}", soft_wrap=True)
    raise typer.Exit(1)
