"""Statements that every call makes: text and types by SQLAlchemy, once; then straight to the driver. Only stores import this module.

SQLAlchemy's execution costs 40 µs a statement, four times what SQLite needs for it. A statement here runs on the same
connection and in the same transaction as SQLAlchemy's own, and its errors are SQLAlchemy's.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Boolean, Connection, Dialect, Executable, LargeBinary
from sqlalchemy.exc import DBAPIError

_Convert = Callable[[Any], Any]


class _Compiled(NamedTuple):
    """A statement as one kind of database takes it."""

    text: str
    order: tuple[str, ...] | None  # of the parameters; None where the driver takes them by name
    constants: dict[str, Any]  # parameters that SQLAlchemy made of values in the statement
    converted: tuple[tuple[str, _Convert], ...]  # parameters that the driver takes in another form
    row: Callable[..., Any]
    results: tuple[tuple[int, _Convert], ...]  # columns that have to be converted


class Statement:
    """A statement of which only parameters change; an INSERT must be given every column. Thread safe.

    Rows are named tuples of text, numbers, bytes and booleans. Lists of values for IN can not be parameters.
    """

    def __init__(self, clause: Any) -> None:
        self._clause: Executable = clause
        self._compiled: dict[str, _Compiled] = {}  # by dialect

    def first(self, connection: Connection, values: Mapping[str, Any]) -> Any:
        """The first row, or None."""
        compiled, cursor = self._execute(connection, values)
        row = cursor.fetchone()
        cursor.close()
        return None if row is None else _row(compiled, row)

    def all(self, connection: Connection, values: Mapping[str, Any]) -> list[Any]:
        """All rows."""
        compiled, cursor = self._execute(connection, values)
        rows = cursor.fetchall()
        cursor.close()
        if compiled.results:
            return [_row(compiled, row) for row in rows]
        make = compiled.row
        return [make(row) for row in rows]

    def run(self, connection: Connection, values: Mapping[str, Any] = {}) -> int:
        """Execute what has no rows; the number of rows that it changed."""
        _, cursor = self._execute(connection, values)
        count: int = cursor.rowcount
        cursor.close()
        return count

    def _execute(self, connection: Connection, values: Mapping[str, Any]) -> tuple[_Compiled, Any]:
        dialect = connection.dialect
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            compiled = self._compiled[dialect.name] = _compile(self._clause, dialect)
        if compiled.constants or compiled.converted:
            values = {**compiled.constants, **values}
            values.update({name: convert(values[name]) for name, convert in compiled.converted})
        given: Any = values if compiled.order is None else [values[name] for name in compiled.order]
        driver: Any = connection.connection.driver_connection
        try:
            cursor = driver.cursor()
            cursor.execute(compiled.text, given)
        except Exception as error:
            base = dialect.loaded_dbapi.Error
            if not isinstance(error, base):
                raise
            raise DBAPIError.instance(compiled.text, None, error, base, dialect=dialect) from error
        return compiled, cursor


def _row(compiled: _Compiled, row: Any) -> Any:
    if compiled.results:
        cells = list(row)
        for place, convert in compiled.results:
            if cells[place] is not None:
                cells[place] = convert(cells[place])
        row = cells
    return compiled.row(row)


def _compile(clause: Any, dialect: Dialect) -> _Compiled:
    compiled = clause.compile(dialect=dialect)
    order = tuple(compiled.positiontup) if compiled.positional else None
    constants = {
        name: bind.value for name, bind in compiled.binds.items() if not bind.required and bind.value is not None
    }
    converted = []
    for name, bind in compiled.binds.items():
        convert = bind.type.dialect_impl(dialect).bind_processor(dialect)
        if convert is not None and not isinstance(bind.type, LargeBinary):  # drivers take bytes as they are
            converted.append((name, convert))
    columns = list(clause.selected_columns) if clause.is_select else []
    results: list[tuple[int, _Convert]] = []
    for place, column in enumerate(columns):
        if isinstance(
            column.type, Boolean
        ):  # SQLite has none; text, numbers and bytes come as they are from both drivers
            results.append((place, bool))
    made = namedtuple("Row", [column.name for column in columns], rename=True)  # type: ignore[misc]  # noqa: PYI024
    return _Compiled(compiled.string, order, constants, tuple(converted), made._make, tuple(results))
