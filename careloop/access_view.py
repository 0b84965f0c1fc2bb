"""How answers about access are shown to people: tables and trees of a terminal."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from careloop.asking import Names

Show = Callable[[Any, Names], Iterable[RenderableType]]
_OUTCOMES = {
    "custodian": "it keeps these records",
    "party": "it is a side of it",
    "granted": "a grant opens it",
    "sealed": "the case is sealed",
    "not-enough": "a grant holds, but not for every class this row needs",
    "no-grant": "no grant holds that shows anything of it",
    "filed": "it was filed in a case that it keeps",
    "case-hidden": "it does not see the case that this is in",
    "not-a-party": "it is no side of the referral that this belongs to",
    "not-shared": "it has no content, or was withdrawn: its custodian's alone",
}


def _row(found: Any) -> str:
    if found.get("row_id"):
        return f"{found['resource']} {found['row_id']}"
    return f"{found.get('resource', 'row')} of {found['case_id'] or found['person_id']}"


def why(found: Any, names: Names) -> Iterable[RenderableType]:
    """Show one organisation's view of a row, with the reasons where they are told."""
    reader = names[found["recipient_id"]]
    sees = Text("sees", "bold green") if found["visible"] else Text("does not see", "bold red")
    yield Text.assemble((reader, "bold"), " ", sees, f" the {_row(found)} for {found['purpose']}: ")
    yield Text(f"  {_OUTCOMES.get(found['outcome'], found['outcome'])}")
    yield Text(f"  classes  {_list(found['classes'])}")
    yield Text(f"  fields   {_list(found['fields'])}")
    if found["hidden_fields"] is not None:
        yield Text(f"  hidden   {_list(found['hidden_fields'])}")
    if found["reasons"] is not None:
        yield _reasons(found["reasons"])


def _reasons(reasons: Any) -> Tree:
    tree = Tree(f"under policy {reasons['policy'][:12]}")
    for kind in ("seals", "grants", "consents"):
        for told in reasons[kind]:
            label = Text.assemble(
                (f"{told['kind']} {told['id']}", "bold"),
                f" version {told['version'][:12]}",
                f" ({told['basis']})" if told.get("basis") else "",
                " holds: " if told["held"] else " does not hold",
                _list(told["classes"]) if told["held"] else "",
            )
            branch = tree.add(label)
            _clauses(branch, told)
    for barrier in reasons["barriers"]:
        tree.add(_factor(barrier))
    if not reasons["grants"]:
        tree.add(Text("there is no grant to this organisation", "red"))
    return tree


def _clauses(branch: Tree, told: Any) -> None:
    for clause in told["clauses"]:
        if not clause["held"]:
            branch.add(Text.assemble(("✗ ", "red"), clause["clause"], _sources(clause)))
    for factor in told["factors"]:
        branch.add(_factor(factor))


def _factor(factor: Any) -> Text:
    return Text.assemble(
        f"{factor['factor']}: ", (_list(factor["classes"]), "cyan"), _sources(factor)
    )


def _sources(told: Any) -> str:
    named = [f"{source['kind']} {source['id']}" for source in told["sources"]]
    return f"  ← {', '.join(named)}" if named else ""


def who(found: Any, names: Names) -> Iterable[RenderableType]:
    """Show every organisation that sees a row."""
    table = Table("organisation", "kind", "purpose", "classes", "fields", title=_row(found))
    for one in found["seen_by"]:
        table.add_row(
            names[one["organisation_id"]],
            one["kind"],
            one["purpose"] or "any",
            _list(one["classes"]),
            str(len(one["fields"])),
        )
    yield table


def what(found: Any, names: Names) -> Iterable[RenderableType]:
    """Show all that an organisation sees, summed up."""
    yield Text(f"{names[found['recipient_id']]} sees", "bold")
    yield _shares(found["sees"], names) if found["sees"] else Text("  nothing")


def preview(found: Any, names: Names) -> Iterable[RenderableType]:
    """Show what a recipient will get, field by field."""
    yield Text(f"{names[found['recipient_id']]} will get", "bold")
    for resource, fields in found["sent"].items():
        yield Text(f"  the {resource} itself: {_list(fields)}")
    table = Table("once", "purpose", "resource", "fields")
    for one in found["gets"]:
        for resource, fields in one["resources"].items():
            table.add_row(one["stage"], one["purpose"], resource, _list(fields))
        if not one["resources"]:
            table.add_row(one["stage"], one["purpose"], "nothing", "")
    yield table


def difference(found: Any, names: Names) -> Iterable[RenderableType]:
    """Show who gains and who loses what."""
    widens = (
        ("It lets somebody see more.", "bold red")
        if found["widens"]
        else (
            "It lets nobody see more.",
            "bold green",
        )
    )
    yield Text.assemble(widens)
    if found["may"]:
        yield may(found["may"])
    for term in [] if found["may"] else found["terms"]:
        yield Text(f"  {term['field']}: {_said(term['before'])} → {_said(term['after'])}")
    for title, side in (("gains", found["gains"]), ("loses", found["loses"])):
        if side:
            yield Text(title, "bold")
            yield _shares(side, names)
            yield from _samples(side, names)
        else:
            yield Text(f"nobody {title} anything today")
    yield Text(f"difference {found['digest']}", no_wrap=True)


def may(changes: Iterable[Mapping[str, Any]]) -> Table:
    """Show what each kind may gain and lose for each purpose, whoever there is."""
    table = Table("kind", "purpose", "may gain", "may lose", "by")
    for one in changes:
        by = f"{one['because']} {one['named']}" if one["named"] else one["because"]
        gains, loses = ", ".join(one["gains"]), ", ".join(one["loses"])
        table.add_row(one["kind"], one["purpose"], gains, loses, by)
    return table


def policy(found: Any) -> Iterable[RenderableType]:
    """Show the policy in force."""
    made, content = found["publication"], found["content"]
    since = (
        f"publication {made['number']} of {made['published_at']} by {made['published_by']}"
        if made
        else "the release's own; none was published"
    )
    yield Text(f"policy {found['sha256']}", "bold", no_wrap=True)
    yield Text(f"  {since}")
    table = Table("kind", "purpose", "at most")
    for kind, lines in content["ceilings"].items():
        for purpose, classes in lines.items():
            table.add_row(kind, purpose, _list(classes))
    yield table
    yield Text(f"only by the person's permit: {_list(content['always_by_consent'])}")
    for limit in content["limits"]:
        yield Text(f"limit {limit['name']}: {_list(limit['classes'])} only when", end=" ")
        yield Text(json.dumps(limit["only_when"]))


def publications(found: Any) -> Iterable[RenderableType]:
    """Show what was put in force, the newest first."""
    table = Table("number", "policy", "version", "published", "by", "opened", "closed")
    for one in found:
        counts = (str(one["diff"][name]) for name in ("gained", "lost"))
        table.add_row(
            str(one["number"]),
            one["policy_id"],
            one["sha256"][:12],
            one["published_at"],
            one["published_by"],
            *counts,
        )
    yield table


def _shares(shares: Any, names: Names) -> Table:
    table = Table("organisation", "purpose", "persons", "cases", "classes: rows", "fields")
    for one in shares:
        counted = ", ".join(f"{name}: {count}" for name, count in one["classes"].items())
        fields = sum(len(found) for found in one["fields"].values())
        table.add_row(
            names[one["recipient_id"]],
            one["purpose"],
            str(one["persons"]),
            str(one["cases"]),
            counted,
            str(fields),
        )
    return table


def _samples(shares: Any, names: Names) -> Iterable[RenderableType]:
    for one in shares:
        for row in one["sample"][:5]:
            of = row["case_id"] or row["person_id"]
            yield Text(f"  {names[one['recipient_id']]}  {of}  {_list(row['classes'])}")


def versions(found: Any, names: Names) -> Table:
    """Show the versions of agreements."""
    table = Table("draft", "stage", "agreement", "between", "classes")
    for one in found:
        content = one["content"]
        recipient = content["recipient_id"] and names[content["recipient_id"]]
        between = f"{names[content['custodian_id']]} → {recipient or content['recipient_kind']}"
        agreement = one["agreement_id"] or "new"
        table.add_row(one["id"], one["stage"], agreement, between, _list(content["classes"]))
    return table


def _said(value: Any) -> str:
    return _list(value) if isinstance(value, list) else str(value)


def _list(names: Iterable[str]) -> str:
    return " ".join(names) or "nothing"
