"""`careloop policy`: see the policy in force, check another, see what it changes, publish it."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from sharing import policy

from careloop import access_view as view
from careloop import policy_release as release
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
from careloop.partner import Partner

app = typer.Typer(no_args_is_help=True, help="The policy of who may see what.")
app.add_typer(release.app, name="release")
POLICIES = "/v1/access/policies"
_ID = "pol_"

What = Annotated[str, typer.Argument(help="A policy as YAML or JSON, or the id of a drafted one.")]


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="A policy as YAML or JSON.", exists=True)],
) -> None:
    """Say the version of a policy, or every place that is wrong in it; nothing needs to run."""
    console.print(f"policy {_written(file).digest()}")


@app.command()
def show(
    *,
    versions: Annotated[bool, typer.Option("--versions", help="What was in force before.")] = False,
    by: As = DEFAULT_AS,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Show the policy in force: since when, by whom, what it says; or all that were published."""
    with asking(data_dir, by) as partner:
        found: Any
        if versions:
            found = list(partner.items("/v1/access/policy/versions"))
        else:
            found = answered(partner.get("/v1/access/policy"))
        if as_json:
            console.print_json(data=found)
            return
        for part in view.publications(found) if versions else view.policy(found):
            console.print(part)


@app.command("diff")
def diff_command(
    what: What,
    *,
    by: As = DEFAULT_AS,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Who would see more and who less, by the policy and over the network as it is now."""
    with asking(data_dir, by) as partner:
        if what.startswith(_ID):
            found = answered(partner.post(f"{POLICIES}/{what}/simulate"))
        else:
            body = {"policy": _written(Path(what)).text}
            found = answered(partner.post("/v1/access/simulate", body))
        if as_json:
            console.print_json(data=found)
            return
        for part in view.difference(found, Names(partner)):
            console.print(part)
        console.print(
            f"to publish what you saw:\n  careloop policy publish {what} --seen {found['digest']}",
            soft_wrap=True,
        )


@app.command()
def publish(
    what: What,
    *,
    seen: Annotated[str, typer.Option("--seen", help="The difference as `diff` named it.")] = "",
    by: As = DEFAULT_AS,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Put a policy in force, an older one again too, if its difference is the one that was seen."""
    with asking(data_dir, by) as partner:
        named = what if what.startswith(_ID) else _drafted(partner, Path(what))
        body = {"diff": seen or None}
        made = answered(partner.post(f"{POLICIES}/{named}/publish", body))
        if as_json:
            console.print_json(data=made)
            return
        console.print(
            f"policy {made['sha256']}, publication {made['number']}, is in force", soft_wrap=True
        )


def _drafted(partner: Partner, file: Path) -> str:
    """Return the id of the draft made of the file."""
    return str(answered(partner.post(POLICIES, json.loads(_written(file).text)))["id"])


def _written(file: Path) -> policy.Policy:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{file} cannot be read as text") from error
    found = release.read(text)
    try:
        policy.check_publishable(found)
    except policy.PolicyRefused as refused:
        release.refuse(refused)
    return found
