"""Reads by the rule, built and compiled once for every kind of reader.

To build a statement of the rule costs SQLAlchemy ten times what PostgreSQL needs to answer it, so it
is built for one who stands for all that are of a kind and ask for a purpose; who that is, and every
other value, is given as it runs:

    @kept
    def _one(reader: Reader) -> Select[Any]:
        return _visible(reader).where(CaseFile.id == given("case_id"))

    rows = await _one.rows(session, caller, {"case_id": case_id})

What the build returns may depend on its arguments alone; they are few (a model, names of filters),
never values of a request. What it returns under another policy, or while the rights are stale, is
kept apart.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any, Concatenate, Generic, ParamSpec, cast

from sqlalchemy import BindParameter, Dialect, Enum, Select, inspect
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Mapper, Session
from sqlalchemy.orm.base import DEFAULT_STATE_ATTR
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine
from svckit import rights

from sharing import rule as rules
from sharing import tables
from sharing.algebra import Rule
from sharing.model import Organisation, Reader

P = ParamSpec("P")
Statement = Select[*tuple[Any, ...]]
_READER = "reader"
# a text of some 20 kB each; whole statements are 140 kB
_TEXTS, _STATEMENTS = 128, 32
# what a list continues after at its beginning: every id sorts before it
AFTER_ALL = "~"
# a page and the row after it that tells whether there are more
_SIZES = (11, 51, 101, 201)
_Convert = Callable[[Any], Any]
# makes one value of a row out of the driver's columns: an instance of a model, or the only one of them
_Make = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class _Text:
    """What the driver gets, and how to read what it returns."""

    text: str
    # in the order of their places
    given: tuple[tuple[str, _Convert | None], ...]
    makes: tuple[_Make, ...]

    def arguments(self, given: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(
            [convert(given[name]) if convert else given[name] for name, convert in self.given]
        )

    def row(self, columns: Any) -> tuple[Any, ...]:
        return tuple([make(columns) for make in self.makes])


class _Given(BindParameter[Any]):
    """A value that is not part of the text, as everything else is."""

    inherit_cache = True


@compiles(_Given)
def _place(element: _Given, compiler: SQLCompiler, **kw: Any) -> str:
    kw["literal_binds"] = False
    return str(compiler.visit_bindparam(element, **kw))  # type: ignore[no-untyped-call]


def given(name: str, type_: TypeEngine[Any] | None = None) -> BindParameter[Any]:
    """Return the place of a value that is given as the statement runs; of the column's type."""
    return _Given(name, None, type_)


def narrowing(filters: object) -> dict[str, Any]:
    """Return what the filters of a list narrow it by, by name; None does not narrow."""
    return {name: value for name, value in vars(filters).items() if value is not None}


def at_least(limit: int) -> int:
    """Return how many rows to ask for where so many are wanted: texts are kept for few numbers."""
    return next((size for size in _SIZES if size >= limit), limit)


def columns(row: Any) -> Any:
    """Return a row for a model to validate: what a kept read made as the mapping that it holds.

    Of a mapping that takes a quarter of what it takes by the attributes of what is mapped.
    """
    values = vars(row)
    return row if DEFAULT_STATE_ATTR in values else values


_ANYONE = given(_READER, tables.TEXT)


class Kept(Generic[P]):
    """A statement by the kind of its reader and the arguments of its build."""

    def __init__(self, build: Callable[Concatenate[Reader, P], Statement]) -> None:
        self.build = build
        self._statement = lru_cache(_STATEMENTS)(self._built)
        self._text = lru_cache(_TEXTS)(self._compiled)

    async def rows(
        self,
        session: AsyncSession,
        reader: Reader,
        given: Mapping[str, Any],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> list[tuple[Any, ...]]:
        """Return the rows. Instances in them are for reading: no session knows them."""
        key = self._key(reader, *args, **kwargs)
        values = {**given, _READER: reader.organisation_id}
        return await session.run_sync(self._run, key, values)

    async def first(
        self,
        session: AsyncSession,
        reader: Reader,
        given: Mapping[str, Any],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> tuple[Any, ...] | None:
        """Return the first row."""
        found = await self.rows(session, reader, given, *args, **kwargs)
        return found[0] if found else None

    async def locked(
        self,
        session: AsyncSession,
        reader: Reader,
        given: Mapping[str, Any],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Any:
        """Return the first row with the session's own instances, current, to be changed."""
        statement = self._statement(self._key(reader, *args, **kwargs))
        values = {**given, _READER: reader.organisation_id}
        current = {"populate_existing": True}
        return (await session.execute(statement, values, execution_options=current)).first()

    def _key(self, reader: Reader, *args: Any, **kwargs: Any) -> "_Key":
        rule = None if rights.is_stale() else rules.current()
        return rule, reader.kind, reader.purpose, args, tuple(kwargs.items())

    def _built(self, key: "_Key") -> Statement:
        _, kind, purpose, args, kwargs = key
        build = cast("Callable[..., Statement]", self.build)
        return build(Organisation(cast("str", _ANYONE), kind, purpose), *args, **dict(kwargs))

    def _compiled(self, key: "_Key", dialect: Dialect) -> _Text:
        return _compile(self._built(key), dialect)

    def _run(
        self, session: Session, key: "_Key", given: Mapping[str, Any]
    ) -> list[tuple[Any, ...]]:
        session.flush()
        connection = session.connection()
        statement = self._text(key, connection.dialect)
        found = connection.exec_driver_sql(statement.text, statement.arguments(given))
        # the driver's own rows: SQLAlchemy would wrap each of them to be looked at once
        rows = found.cursor.fetchall()
        found.close()
        return [statement.row(row) for row in rows]


_Key = tuple[Rule | None, str, str, tuple[Any, ...], tuple[tuple[str, Any], ...]]


def kept(build: Callable[Concatenate[Reader, P], Statement]) -> Kept[P]:
    """Keep what is built; see above."""
    return Kept(build)


def _compile(statement: Statement, dialect: Dialect) -> _Text:
    columns: list[Any] = []
    makes: list[_Make] = []
    for each in statement.column_descriptions:
        expression, start = each["expr"], len(columns)
        if each.get("entity") is expression:
            mapper: Mapper[Any] = inspect(expression).mapper
            columns += [getattr(expression, attribute.key) for attribute in mapper.column_attrs]
            makes.append(_instance(mapper, start, dialect))
        else:
            columns.append(expression)
            makes.append(_value(start, _converter(expression.type, dialect)))
    flat = statement.with_only_columns(*columns)
    # constants as text: PostgreSQL folds them when it plans, and the driver need not send them
    compiled = flat.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
    return _Text(
        compiled.string,
        tuple(
            (name, compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect))
            for name in compiled.positiontup or ()
        ),
        tuple(makes),
    )


def _value(place: int, convert: _Convert | None) -> _Make:
    if convert is None:
        return itemgetter(place)
    return lambda columns: convert(columns[place])


def _instance(mapper: Mapper[Any], start: int, dialect: Dialect) -> _Make:
    """Make an instance; None where an outer join did not find one."""
    model: type[Any] = mapper.class_
    names = tuple(attribute.key for attribute in mapper.column_attrs)
    types = [attribute.columns[0].type for attribute in mapper.column_attrs]
    key = start + names.index(mapper.get_property_by_column(mapper.primary_key[0]).key)
    own = slice(start, start + len(names))
    converts = [
        (name, convert)
        for name, type_ in zip(names, types, strict=True)
        if (convert := _converter(type_, dialect))
    ]

    def make(columns: Any) -> Any:
        if columns[key] is None:
            return None
        values = dict(zip(names, columns[own], strict=True))
        for name, convert in converts:
            values[name] = convert(values[name])
        made: Any = object.__new__(model)
        made.__dict__ = values
        return made

    return make


def _converter(type_: TypeEngine[Any], dialect: Dialect) -> _Convert | None:
    if isinstance(type_, Enum) and type_.enum_class:
        # what SQLAlchemy's own does in two calls and a lookup, for each value
        members: dict[str | None, Any] = dict(zip(type_.enums, type_.enum_class, strict=True))
        return (members | {None: None}).__getitem__
    return type_.dialect_impl(dialect).result_processor(dialect, None)
