"""The rule with one thing missing, a clause, a factor or a branch; and its compiler with one line less."""

import dataclasses
import importlib.util
import inspect
from types import ModuleType

from sharing import compiler, rule, sql
from sharing.algebra import AllOf, AnyOf, Either

# weaker in writing only: nothing that can be stored or asked tells them from the rule
EQUIVALENT = {
    "agreement includes the reader, branch 2": (
        "an agreement names an organisation or a kind, never both: a check of its table"
    ),
    "person does not deny, branch 2": (
        "a grant of an emergency holds for no other purpose anyway ('emergency access is for an"
        " emergency'); said again so that SQL folds it away for every other reader"
    ),
    "person permits what needs consent, branch 5": "the same, for permits",
}
_NEWEST = "(consent.c.decided_at.desc(), consent.c.depth.desc())"
_PERIOD = "and_(since, or_(until.is_(None), self._at < until))"
# what compiling itself decides: what is left out -> (the module, its text, what stands instead)
COMPILED = {
    "the newest directive counts": (compiler, _NEWEST, "(consent.c.depth.desc(),)"),
    "of several at once the deepest counts": (compiler, _NEWEST, "(consent.c.decided_at.desc(),)"),
    "of those equally deep the deny counts": (compiler, "groups=(None, -1)", "groups=(None, 0)"),
    "a newer permit takes a deny back": (
        compiler,
        "without(classes, func.coalesce(newer_permits, 0))",
        "classes",
    ),
    "a period begins": (compiler, _PERIOD, "or_(until.is_(None), self._at < until)"),
    "a period is over at its end": (compiler, _PERIOD, "since"),
    "a period holds at its beginning": (compiler, "(start) <= self._at", "(start) < self._at"),
    "a period without an end goes on": (compiler, _PERIOD, "and_(since, self._at < until)"),
    "a person's own record is under no case": (
        compiler,
        'true() if self._row["case_id"] is None else false()',
        "false()",
    ),
    "a purpose covers what lies under it": (
        compiler,
        "literal(purposes.covering(self._reader.purpose), tables.PURPOSES)",
        "literal(purposes.mask_of(purposes.lineage(self._reader.purpose)[:1]), tables.PURPOSES)",
    ),
    "the greatest confidentiality let out is let out": (
        compiler,
        "self._known(left) <= self._known(right)",
        "self._known(left) < self._known(right)",
    ),
    "grants add up": (compiler, "func.bit_or(expression(mask))", "func.bit_and(expression(mask))"),
    "the custodian sees all": (
        sql,
        "return switch((own, number(ALL)), *closed, else_=expression(mask))",
        "return expression(mask)",
    ),
    "a party sees all": (sql, "if parties:", "if not parties:"),
    "a barrier stands before all": (sql, "mask = common(mask, compiler.barriers())", "pass"),
    "who sees nothing sees no row": (sql, "and_(mask != 0, ", "and_("),
    "a row needs its classes": (sql, " >= needed)", " >= 0)"),
}
PARTS = ("clauses", "directives", "says", "factors", "seals", "barriers")


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


def rewritten(name: str) -> ModuleType:
    """The module of `COMPILED` with that text put in; what imports the module is left as it is."""
    module, text, instead = COMPILED[name]
    source = inspect.getsource(module)
    if source.count(text) != 1:
        raise LookupError(f"{name}: {text!r} is not once in {module.__name__}")
    made = importlib.util.module_from_spec(module.__spec__)
    exec(compile(source.replace(text, instead), module.__file__, "exec"), made.__dict__)
    return made
