"""`careloop access`: who sees what and why, what somebody will get, what a change would change."""

from pathlib import Path
from typing import Annotated, Any

import typer

from careloop import access_view as view
from careloop.agreements_cli import terms_of
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

app = typer.Typer(no_args_is_help=True, help="Who sees what and why; nothing is changed.")

Case = Annotated[str | None, typer.Option("--case", help="Id of a case.")]
Person = Annotated[str | None, typer.Option("--person", help="Id of a person.")]
Row = Annotated[
    str | None, typer.Argument(help="Id of a note, need, task, document, referral, case, person …")
]
_PARAMETER = {"cas": "case_id", "per": "person_id"}
To = Annotated[str | None, typer.Option("--to", help="The organisation that looks: name or id.")]


@app.command("explain")
def explain_command(
    row: Row = None,
    *,
    case: Case = None,
    person: Person = None,
    to: To = None,
    custodian: Annotated[str | None, typer.Option("--custodian", help="Whose records.")] = None,
    resource: Annotated[str | None, typer.Option("--resource", help="note, need, goal …")] = None,
    label: Annotated[list[str] | None, typer.Option("--label", help="SUD, MH, SDV …")] = None,
    document: Annotated[
        str | None, typer.Option("--document", help="A document: the data class it was given.")
    ] = None,
    purpose: Annotated[str | None, typer.Option("--purpose", help="TREAT, COC …")] = None,
    by: As = DEFAULT_AS,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Why an organisation sees a row, case or person; without --to, who; with --to alone, what."""
    with asking(data_dir, by) as partner:
        names = Names(partner)
        params: dict[str, Any] = {
            "case_id": case,
            "person_id": person,
            "custodian_id": names.id_of(custodian) if custodian else None,
            "resource": "document" if document else resource,
            "data_class": document,
            "labels": label,
        } | ({_PARAMETER.get(row[:3], "row_id"): row} if row else {})
        question, show = "/who", view.who
        if to is not None:
            params |= {"recipient_id": names.id_of(to), "purpose": purpose}
            question, show = ("", view.why) if row or case or person else ("/what", view.what)
        given = {name: value for name, value in params.items() if value is not None}
        found = answered(partner.get(f"/v1/access/explain{question}", **given))
        _show(found, show, names, as_json=as_json)


@app.command("preview")
def preview_command(
    to: Annotated[str, typer.Option("--to", help="Who would get it: name or id.")],
    *,
    case: Case = None,
    person: Person = None,
    document: Annotated[
        str | None, typer.Option("--document", help="Data class of a document to be attached.")
    ] = None,
    label: Annotated[list[str] | None, typer.Option("--label", help="Of the document.")] = None,
    by: As = DEFAULT_AS,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """What a recipient will get before a referral, or a document, is sent."""
    with asking(data_dir, by) as partner:
        names = Names(partner)
        body = {
            "recipient_id": names.id_of(to),
            **({"case_id": case} if case else {"person_id": person}),
            **({"sending": "document", "data_class": document} if document else {}),
            "labels": label or [],
        }
        _show(
            answered(partner.post("/v1/access/preview", body)), view.preview, names, as_json=as_json
        )


@app.command("simulate")
def simulate_command(
    file: Annotated[
        Path | None, typer.Argument(help="An agreement as YAML or JSON.", exists=True)
    ] = None,
    *,
    policy: Annotated[
        Path | None, typer.Option("--policy", help="Another policy.yaml.", exists=True)
    ] = None,
    end: Annotated[str | None, typer.Option("--end", help="Id of an agreement to end.")] = None,
    by: As = DEFAULT_AS,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Who would gain and lose which rows and fields by a change, over what is there now."""
    with asking(data_dir, by) as partner:
        names = Names(partner)
        body: dict[str, Any] = {"end_agreement_id": end} if end else {}
        if file is not None:
            body["agreement"] = terms_of(file, names)
        if policy is not None:
            body["policy"] = policy.read_text(encoding="utf-8")
        found = answered(partner.post("/v1/access/simulate", body))
        _show(found, view.difference, names, as_json=as_json)


def _show(found: Any, show: view.Show, names: Names, *, as_json: bool) -> None:
    if as_json:
        console.print_json(data=found)
        return
    for part in show(found, names):
        console.print(part)
