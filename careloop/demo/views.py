"""One case as three organisations see it, each with its own token."""

import re
from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from svckit.ids import PATTERN

from careloop.demo.journey import Journey
from careloop.partner import Partner

NOTHING = "[dim]—[/]"
# an id, or an instant
_NO_CODE = re.compile(rf"{PATTERN}|\d{{4}}-\d\d-\d\dT")
# how a list that shows nothing is told apart from one that is refused
_NOT_FOUND = 404


def side_by_side(journey: Journey) -> Table:
    """Return the case as the clinic, the social service and the payer see it right now."""
    readers = (journey.clinic, journey.food, journey.payer)
    table = Table(title="The same case, seen by three", show_lines=False, header_style="bold")
    table.add_column("")
    for reader in readers:
        table.add_column(f"{reader.name}\n[dim]{reader.kind}, {reader.purpose}[/]", overflow="fold")
    for label, cells in rows(journey, readers):
        table.add_row(f"[bold]{label}[/]", *(cell or NOTHING for cell in cells))
    return table


def rows(journey: Journey, readers: tuple[Partner, ...]) -> list[tuple[str, list[str]]]:
    """Return what each reader gets, field by field; empty where it gets nothing."""
    case = f"/v1/cases/{journey.case['id']}"
    cases = [_body(reader, case) for reader in readers]
    people = [_record(reader, journey.person["id"]) for reader in readers]
    referrals = [_body(reader, f"/v1/referrals/{journey.referral['id']}") for reader in readers]
    documents = [_body(reader, f"/v1/documents/{journey.document_id}") for reader in readers]
    return [
        ("person", [_join(each, "given_name", "family_name") for each in people]),
        ("telephone", [_join(each, "phone") for each in people]),
        ("case number", [_join(each, "number") for each in cases]),
        ("case title", [_join(each, "title") for each in cases]),
        ("case status", [_join(each, "status") for each in cases]),
        ("case outcome", [_join(each, "outcome_code") for each in cases]),
        ("needs", [_list(reader, f"{case}/needs", "category") for reader in readers]),
        ("goal", [_list(reader, f"{case}/goals", "description") for reader in readers]),
        ("screening", [_list(reader, f"{case}/assessments", "instrument") for reader in readers]),
        ("notes", [_list(reader, f"{case}/notes", "kind") for reader in readers]),
        ("referral for", [_join(each, "need_category") for each in referrals]),
        ("numbers", [_join(each, "requester_number", "owner_number") for each in referrals]),
        ("referral status", [_join(each, "status") for each in referrals]),
        ("referral outcome", [_join(each.get("outcome") or {}, "need_met") for each in referrals]),
        ("document", [_join(each, "title") for each in documents]),
    ]


def timeline(journey: Journey) -> Table:
    """Return the case's timeline as the clinic reads it, oldest first."""
    names = {
        partner.organisation_id: partner.name
        for partner in (journey.clinic, journey.food, journey.housing, journey.payer)
    }
    table = Table(title="The case's timeline, as the clinic sees it", box=SIMPLE_HEAD)
    for column in ("at (UTC)", "by", "what", "details"):
        table.add_column(column, no_wrap=True)
    entries = sorted(
        journey.clinic.items(f"/v1/cases/{journey.case['id']}/timeline"),
        key=lambda entry: (entry["at"], entry["id"]),
    )
    for entry in entries:
        by = names.get(entry["organisation_id"], "")
        table.add_row(entry["at"][11:19], by, entry["action"], _details(entry["change"]))
    return table


def show(console: Console, journey: Journey) -> None:
    console.print()
    console.print(timeline(journey))
    console.print(side_by_side(journey))
    counts = ", ".join(
        f"{partner.name} {len(journey.receiver.messages[path])}"
        for path, partner in (
            ("/clinic", journey.clinic),
            ("/food", journey.food),
            ("/payer", journey.payer),
        )
    )
    told = f"verified: {counts}; refused: {journey.receiver.refused}"
    console.print(Panel(f"Webhook deliveries {told}", border_style="green"))


def _body(reader: Partner, path: str) -> dict[str, Any]:
    answer = reader.get(path)
    found: dict[str, Any] = answer.body if answer.status != _NOT_FOUND else {}
    return found


def _record(reader: Partner, person_id: str) -> dict[str, Any]:
    records = _body(reader, f"/v1/persons/{person_id}").get("records") or [{}]
    found: dict[str, Any] = records[0]
    return found


def _join(body: Mapping[str, Any], *names: str) -> str:
    return " ".join(str(body[name]) for name in names if body.get(name))


def _list(reader: Partner, path: str, name: str) -> str:
    items = _body(reader, path).get("items", [])
    return ", ".join(str(item[name]) for item in items if item.get(name))


def _details(change: Mapping[str, Any]) -> str:
    """Return the codes of a change; ids and deadlines tell a reader of this table nothing."""
    codes = (
        value for value in change.values() if isinstance(value, str) and not _NO_CODE.match(value)
    )
    return ", ".join(codes)
