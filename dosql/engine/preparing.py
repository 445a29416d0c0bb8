"""How a session comes to a compiled statement, and to the values of its parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import NoneType
from typing import TYPE_CHECKING, Any, cast

from dosql.engine.attaching import federate
from dosql.engine.statement import Statement
from dosql.engine.transactions import Transactions
from dosql.errors import DosqlError, RequestError, TypeMismatch
from dosql.parser.literal_rows import literal_rows
from dosql.plan import logical as l
from dosql.schema import TemporaryNeeded
from dosql.storage import Snapshot, Workspace
from dosql.types.numbers import INT_MAX, INT_MIN
from dosql.types.storing import plain

if TYPE_CHECKING:
    from dosql.engine.session import Session

Params = Sequence[Any] | Mapping[str, Any]


def _is_plain(values: Sequence[Any]) -> bool:
    """Whether values need no conversion."""
    types = {*map(type, values)}
    if not types <= {int, str, float, NoneType}:
        return False
    if float in types and any(value != value for value in values):
        return False
    if int not in types:
        return True
    numbers = values if types == {int} else [value for value in values if type(value) is int]
    return bool(INT_MIN <= min(numbers) <= max(numbers) <= INT_MAX)


class Preparing(Transactions):
    """The statements of a session."""

    _read_last: tuple[str, tuple[str, list[tuple[Any, ...]]] | None] = ("", None)

    def known(self, sql: str, params: Params) -> tuple[str, Params]:
        """Returns what is compiled for a statement: the text itself, or its shape and the literals that were in it.

        It is compiled then.
        """
        found = None if params else self._shaped(sql)
        if found is not None:
            return found
        if params or self._literal_rows(sql) is None:
            self.prepare(sql, params)
        return sql, params

    def _literal_rows(self, sql: str) -> tuple[str, list[tuple[Any, ...]]] | None:
        """Returns INSERT of one row and the rows, for a text that inserts several rows of literals."""
        if self._read_last[0] is not sql:
            self._read_last = (sql, literal_rows(sql))
        return self._read_last[1]

    def _shaped(self, sql: str) -> tuple[str, Params] | None:
        """Returns the shape of a statement, compiled, and the literals that were in it; None where it has none."""
        shapes = self._database.shapes
        found = shapes.shape(sql, self._store.head.schema)
        if found is None:
            return None
        try:
            self.prepare(found[0], found[1])
        except DosqlError:  # the text itself may be right, or is wrong at a place of its own
            shapes.refuse(found[0])
            return None
        return found

    def prepare(self, sql: str, params: Params = ()) -> Statement:
        """Returns the compiled statement, from the cache if it is there and not stale.

        Args:
            sql: The text.
            params: Values that it will run with: a new plan is made for them.
        """
        view = self.view
        statement = self._cache.get(sql)
        if statement is None or statement.is_stale(view.schema, view.trees):
            statement = self._prepared(sql, view, params)
        return statement

    def _prepared(self, sql: str, view: Snapshot | Workspace, params: Params) -> Statement:
        """Compiles a statement; the first that names ``temp`` gives the session temporary tables."""
        peek = () if isinstance(params, Mapping) else params
        try:
            return self._compiled(sql, view, peek)
        except TemporaryNeeded:
            federate(cast("Session", self))
            return self._compiled(sql, self.view, peek)

    def _compiled(self, sql: str, view: Snapshot | Workspace, peek: Sequence[Any]) -> Statement:
        """Compiles a statement: a write outside a transaction against the head, which it will change, else ``view``."""
        head = self._store.head
        if self._workspace is None and head.schema is not view.schema:
            try:
                statement = self._database.prepare(sql, head, peek)
            except DosqlError:
                return self._database.prepare(sql, view)  # a query of what the head no longer has
            if statement.run is None:
                return statement
        return self._database.prepare(sql, view, peek)

    def _bind_all(self, statement: Statement, param_sets: Sequence[Params]) -> list[tuple[Any, ...]]:
        """As :meth:`_bind`, of many sets."""
        if statement.positional and {*map(type, param_sets)} == {tuple}:
            width = {*map(len, param_sets)}
            if width == {len(statement.param_keys)}:
                columns = zip(*param_sets, strict=True)
                if all(_is_plain(column) for column in columns):
                    return list(param_sets)  # type: ignore[arg-type]
        return [self._bind(statement, params) for params in param_sets]

    def _bind(self, statement: Statement, params: Params) -> tuple[Any, ...]:
        keys, body = statement.param_keys, statement.body
        if not params and isinstance(body, l.ExplainStatement) and "ANALYZE" not in body.form:
            return (None,) * len(keys)  # it does not run
        if isinstance(params, Mapping):
            values = []
            for key in keys:
                name = str(key)
                if name not in params:
                    raise RequestError(f"no value is given for parameter {'?' if isinstance(key, int) else ':'}{key}")
                values.append(params[name])
        elif statement.positional:
            if len(params) != len(keys):
                raise RequestError(f"the statement has {len(keys)} parameters, {len(params)} values are given")
            values = params  # type: ignore[assignment]
        else:
            highest = max((k for k in keys if isinstance(k, int)), default=0)
            if any(isinstance(k, str) for k in keys):
                raise RequestError("the statement has named parameters; give the values by name")
            if len(params) < highest:
                raise RequestError(f"the statement has {highest} parameters, {len(params)} values are given")
            values = [params[k - 1] for k in keys if isinstance(k, int)]
        out = []
        for value in values:
            kind = type(value)
            if kind is int:
                if not INT_MIN <= value <= INT_MAX:
                    raise TypeMismatch(f"the integer {value} does not fit in 64 bits")
                out.append(value)
            elif kind is str or value is None:
                out.append(value)
            else:
                out.append(plain(value))
        return tuple(out)
