"""The rule with one thing missing: a whole clause or factor, or one branch within it."""

import dataclasses

from sharing import rule
from sharing.algebra import AllOf, AnyOf, Either

# weaker in writing only: nothing that can be stored tells them from the rule
EQUIVALENT = {
    # a record names an organisation or a kind, never both: see the table's check
    "agreement includes the reader, branch 2",
    # an emergency grant never holds for another purpose anyway; said again to fold it away in SQL
    "person does not deny, branch 2",
    "person permits what needs consent, branch 5",
}
PARTS = ("clauses", "directives", "factors", "seals", "barriers")


def weaker():
    """Yield (name, rule): every clause, factor and branch left out in turn."""
    whole = rule.current()
    for part in PARTS:
        kept = getattr(whole, part)
        for place, one in enumerate(kept):
            others = kept[:place], kept[place + 1 :]
            yield one.name, _with(whole, part, (*others[0], *others[1]))
            node_name = "condition" if hasattr(one, "condition") else "mask"
            for number, node in enumerate(_thinned(getattr(one, node_name))):
                thinner = dataclasses.replace(one, **{node_name: node})
                yield (
                    f"{one.name}, branch {number}",
                    _with(whole, part, (*others[0], thinner, *others[1])),
                )


def _with(whole, part, nodes):
    return dataclasses.replace(whole, **{part: nodes})


def _thinned(node):
    """Yield the node with one branch of a union or conjunction left out, at any depth."""
    if isinstance(node, AllOf | AnyOf | Either):
        for place, term in enumerate(node.terms):
            if len(node.terms) > 1:
                yield dataclasses.replace(
                    node, terms=(*node.terms[:place], *node.terms[place + 1 :])
                )
            for inner in _thinned(term):
                yield dataclasses.replace(
                    node, terms=(*node.terms[:place], inner, *node.terms[place + 1 :])
                )
    elif dataclasses.is_dataclass(node):
        for field in dataclasses.fields(node):
            value = getattr(node, field.name)
            if dataclasses.is_dataclass(value):
                for inner in _thinned(value):
                    yield dataclasses.replace(node, **{field.name: inner})
