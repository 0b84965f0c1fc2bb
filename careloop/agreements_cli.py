"""`careloop agreements`: agreements as files that are reviewed, and published as they were seen."""

from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from careloop import access_view as view
from careloop.asking import (
    DEFAULT_AS,
    DEFAULT_DATA_DIR,
    As,
    AsJson,
    DataDir,
    Names,
    answered,
    asking,
    console,
)
from careloop.errors import Refused

app = typer.Typer(no_args_is_help=True, help="Agreements as reviewed data.")
DRAFTS = "/v1/agreements/drafts"


def terms_of(file: Path, names: Names) -> dict[str, Any]:
    """Return what the file says, with organisations named by id. Raises Refused.

    `custodian` and `recipient` may name an organisation as people do.
    """
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise Refused(f"{file} is neither YAML nor JSON") from error
    if not isinstance(found, dict):
        raise Refused(f"{file} holds no agreement")
    for side in ("custodian", "recipient"):
        if side in found:
            found[f"{side}_id"] = names.id_of(str(found.pop(side)))
    return {name: _plain(value) for name, value in found.items()}


def _plain(value: Any) -> Any:
    """YAML makes instants of its own; the wire has text."""
    return value.isoformat() if hasattr(value, "isoformat") else value


@app.command("import")
def import_command(
    file: Annotated[Path, typer.Argument(help="An agreement as YAML or JSON.", exists=True)],
    *,
    by: As = DEFAULT_AS,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Draft an agreement from a file and show what publishing it would change."""
    with asking(data_dir, by) as partner:
        names = Names(partner)
        draft = answered(partner.post(DRAFTS, terms_of(file, names)))
        diff = answered(partner.post(f"{DRAFTS}/{draft['id']}/simulate"))
        if as_json:
            console.print_json(data={"draft": draft, "diff": diff})
            return
        console.print(f"draft {draft['id']}  version {draft['sha256']}", soft_wrap=True)
        for part in view.difference(diff, names):
            console.print(part)
        command = f"careloop agreements publish {draft['id']} --seen {diff['digest']}"
        console.print(
            f"nothing is in force yet; to publish what you saw:\n  {command}", soft_wrap=True
        )


@app.command("publish")
def publish_command(
    draft: Annotated[str, typer.Argument(help="Id of a draft.")],
    *,
    seen: Annotated[str, typer.Option("--seen", help="Digest of the difference you saw.")],
    by: As = DEFAULT_AS,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Put a draft in force, if the difference it makes is still the one that was seen."""
    with asking(data_dir, by) as partner:
        made = answered(partner.post(f"{DRAFTS}/{draft}/publish", {"diff": seen}))
        if as_json:
            console.print_json(data=made)
            return
        console.print(f"agreement {made['id']}, revision {made['version']}, is in force")


@app.command("list")
def list_command(
    *,
    agreement: Annotated[
        str | None, typer.Option("--agreement", help="The history of this one.")
    ] = None,
    by: As = DEFAULT_AS,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """List drafts and what became of them."""
    with asking(data_dir, by) as partner:
        given = {"agreement_id": agreement} if agreement else {}
        found = list(partner.items(DRAFTS, **given))
        if as_json:
            console.print_json(data=found)
            return
        console.print(view.versions(found, Names(partner)))
