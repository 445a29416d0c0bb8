"""Bound expressions to Python expressions.

Three ways to ask for one, because SQL's conditions have three values:

* :meth:`ExpressionCompiler.value`: the value; NULL is None, a condition is 1 or 0.
* :meth:`ExpressionCompiler.condition`: something that is true in Python exactly where the SQL is true.
* :meth:`ExpressionCompiler.truth`: True, False or None.

Operands of known types are compared by Python's own operators; NULL is tested only where a
value can be NULL. Comparison follows SQLite's affinity rules (datatype3.html §4).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from dosql.executor.row.emitter import Function
from dosql.executor.row.inlined import slice_of
from dosql.executor.row.likes import glob_code, like_code
from dosql.executor.row.runtime import NAMES
from dosql.functions import SCALARS
from dosql.plan.expr import CaseWhen, CastTo, Col, Const, Expr, Func, InItems, Op, Param, Subquery, has_affinity
from dosql.types.collations import COLLATIONS
from dosql.types.compare import ABOVE, number_operand, text_operand
from dosql.types.numbers import INT_MAX, INT_MIN
from dosql.types.sqltypes import NUMERIC_TYPES, TEMPORAL_TYPES, SqlType
from dosql.types.temporal import date_stored, timestamp_stored

_PYTHON = {"=": "==", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_GENERIC = {"=": "eq", "<>": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
_INVERSE = {"=": "<>", "<>": "=", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
_ARITHMETIC = {"+": "add", "-": "subtract", "*": "multiply"}
_HELPERS = {
    "/": "divide",
    "%": "remainder",
    "NEG": "negate",
    "&": "bit_and",
    "|": "bit_or",
    "~": "bit_not",
    "<<": "shift_left",
    ">>": "shift_right",
}
_CASTS = {
    SqlType.INTEGER: "cast_integer",
    SqlType.REAL: "cast_real",
    SqlType.TEXT: "_text",
    SqlType.BLOB: "cast_blob",
    SqlType.BOOLEAN: "cast_boolean",
    SqlType.NUMERIC: "cast_numeric",
    SqlType.DATE: "cast_date",
    SqlType.TIMESTAMP: "cast_timestamp",
}
_HEIGHT_MAX = 24
"""Levels of an expression in one piece of code: Python takes 200 nested parentheses, and a level needs up to 4."""
_BRANCHES_MAX = 50
_MATCHES: dict[str, Callable[[str, str], str | None]] = {"LIKE": like_code, "GLOB": glob_code}
_CONDITIONS = {*_PYTHON, "AND", "OR", "NOT", "IS", "IS NOT", "LIKE", "GLOB", "REGEXP"}


def is_condition(expr: Expr) -> bool:
    """Whether an expression is a condition, whose value is true, false or NULL."""
    if isinstance(expr, Op):
        return expr.op in _CONDITIONS
    return isinstance(expr, InItems) or (isinstance(expr, Subquery) and expr.kind != "scalar")


class ExpressionCompiler:
    """Compiles expressions inside one generated function.

    Args:
        function: Gets the hoisted parameters.
        variables: Variable by (source, column).
        subquery: Compiles a subquery; returns the code that calls it.
    """

    def __init__(
        self,
        function: Function,
        variables: dict[tuple[int, int], str],
        subquery: Callable[[Subquery], str],
    ) -> None:
        self._function = function
        self._variables = variables
        self._subquery = subquery
        self._height = 0

    # --- values ----------------------------------------------------------------------------

    def value(self, expr: Expr) -> str:
        """Returns code for the value."""
        return self._measured(self._value, expr)

    def each(self, expr: Expr, column: Col) -> str:
        """Returns code for a function from a column's value to that of an expression, which reads nothing else."""
        known = {**self._variables, (column.source, column.index): "given"}
        return f"lambda given: {ExpressionCompiler(self._function, known, self._subquery).value(expr)}"

    def _measured(self, compiled: Callable[[Expr], str], expr: Expr) -> str:
        """Compiles an expression; one that is too high goes into a function of its own."""
        beside, self._height = self._height, 0
        code = compiled(expr)
        height = self._height + 1
        if height > _HEIGHT_MAX:
            code, height = self._outlined(code), 1
        self._height = max(beside, height)
        return code

    def _outlined(self, code: str) -> str:
        """Returns a call of a new function that evaluates ``code``."""
        module = self._function.module
        return module.outline(code, lambda name: name in NAMES or name in module.namespace)

    def _chosen(self, branches: Iterable[tuple[str, str]], otherwise: str) -> str:
        """Returns code for the first value whose condition holds; branches: (condition, value), the last one first."""
        code = otherwise
        for count, (condition, value) in enumerate(branches, 1):
            code = f"{value} if {condition} else {code}"
            if count % _BRANCHES_MAX == 0:
                code = self._outlined(code)
        return f"({code})"

    def _value(self, expr: Expr) -> str:
        if is_condition(expr):
            truth = self.truth(expr)
            if not expr.nullable:
                return f"(+{truth})"
            name = self.temporary()
            return f"(None if ({name} := {truth}) is None else +{name})"
        match expr:
            case Const():
                return self._constant(expr.value)
            case Param():
                return self.parameter(expr)
            case Col():
                return self._variables[expr.source, expr.index]
            case Op():
                return self._operator(expr)
            case Func():
                part = slice_of(expr)
                if part is not None:
                    text = expr.args[0]
                    return self.guarded([(self.value(text), text.nullable)], lambda x: f"{x}{part}", "None")
                return self._called(expr)
            case CaseWhen():
                branches = [(self.condition(condition), self.value(value)) for condition, value in expr.whens]
                return self._chosen(reversed(branches), self.value(expr.otherwise))
            case CastTo():
                return self._cast(expr)
            case Subquery():
                return self._subquery(expr)
        raise AssertionError(f"no code for {expr}")

    def _called(self, expr: Func) -> str:
        """Returns code of a call; what is the same for all rows may make a function of its own first."""
        function, args, module = SCALARS[expr.name], list(expr.args), self._function.module
        if expr.name == "abs" and args[0].type is SqlType.REAL:
            return self.guarded([(self.value(args[0]), args[0].nullable)], lambda x: f"abs({x})", "None")
        if function.steady and all(isinstance(arg, Const | Param) for arg in args):
            return self._function.hoist(
                f"{module.share('f_' + expr.name, function.call)}({', '.join(self.value(a) for a in args)})", "f"
            )
        fixed, name = function.fixed, f"f_{expr.name}"
        places = [] if fixed is None else list(fixed.places(len(args)))
        known = len(places) < len(args) and all(isinstance(args[place], Const | Param) for place in places)
        if fixed is None or not known:
            return f"{module.share(name, function.call)}({', '.join(self.value(a) for a in args)})"
        given = [args[place] for place in places]
        if any(isinstance(arg, Param) for arg in given):
            made = f"{module.share('make_' + expr.name, fixed.make)}({', '.join(self.value(arg) for arg in given)})"
            name = self._function.hoist(made, "f")
        else:
            name = module.share(name, fixed.make(*[arg.value for arg in given if isinstance(arg, Const)]))
        return f"{name}({', '.join(self.value(arg) for place, arg in enumerate(args) if place not in places)})"

    def parameter(self, expr: Param) -> str:
        """Returns the variable of a parameter."""
        return self._function.hoist(f"P[{expr.index}]", "p")

    def _constant(self, value: object) -> str:
        if isinstance(value, float) and (math.isinf(value) or math.isnan(value)):
            return "INF" if value > 0 else "(-INF)"
        if isinstance(value, int | float) and value < 0:
            return f"({value!r})"
        return repr(value)

    def temporary(self) -> str:
        """Returns a new name."""
        return self._function.module.fresh("t")

    def guarded(self, operands: list[tuple[str, bool]], build: Callable[..., str], on_null: str) -> str:
        """Returns ``build(names)`` where every nullable operand is not NULL, ``on_null`` elsewhere.

        ``on_null`` ``False`` gives a condition, ``None`` a value.
        """
        tests: list[str] = []
        names: list[str] = []
        for code, nullable in operands:
            if not nullable:
                names.append(code)
            elif code.isidentifier():
                tests.append(code)
                names.append(code)
            else:
                name = self.temporary()
                tests.append(f"({name} := {code})")
                names.append(name)
        body = build(*names)
        if not tests:
            return body
        if on_null == "False":
            return "(" + " and ".join([f"{t} is not None" for t in tests] + [body]) + ")"
        return f"(None if {' or '.join(f'{t} is None' for t in tests)} else {body})"

    def _operator(self, expr: Op) -> str:
        op = expr.op
        if op in _ARITHMETIC:
            code = self._arithmetic(expr)
            return self._function.hoist(code, "a") if _is_fixed(expr) else code
        if op == "||":
            a, b = expr.args
            operands = [(self.value(a), a.nullable), (self.value(b), b.nullable)]
            if a.type is SqlType.TEXT and b.type is SqlType.TEXT:
                return self.guarded(operands, lambda x, y: f"({x} + {y})", "None")
            return f"concat({operands[0][0]}, {operands[1][0]})"
        if op == "COALESCE":
            names = [self.temporary() for _ in expr.args[:-1]]
            given = zip(names, expr.args, strict=False)
            branches = [(f"({name} := {self.value(arg)}) is not None", name) for name, arg in given]
            return self._chosen(reversed(branches), self.value(expr.args[-1]))
        if op in ("COLLATE", "POS"):
            return self.value(expr.args[0])
        if op == "FOLD":
            return self.fold(self.value(expr.args[0]), expr.collation)
        if op in ("LIKE FROM", "GLOB FROM"):
            return self._function.hoist(f"{op[:4].lower()}_prefix({self.value(expr.args[0])})", "w")
        if op in ("LIKE TO", "GLOB TO"):
            return self._function.hoist(f"after_text({op[:4].lower()}_prefix({self.value(expr.args[0])}))", "w")
        if op == "UNLOCKED":
            return f"view.is_free({', '.join(self.value(a) for a in expr.args)})"
        if op in ("%", "/") and _by_positive(expr):
            return self._divided(expr)
        return f"{_HELPERS[op]}({', '.join(self.value(a) for a in expr.args)})"

    def _divided(self, expr: Op) -> str:
        """Returns code for an integer divided by a positive constant: where it is not negative, Python does as SQL."""
        a, b = expr.args
        python = "%" if expr.op == "%" else "//"
        whole = "" if isinstance(a, Col) else "{}.__class__ is int and "

        def build(x: str, y: str) -> str:
            return f"({x} {python} {y} if {whole.format(x)}{x} >= 0 else {_HELPERS[expr.op]}({x}, {y}))"

        code = self.value(a)
        if not code.isidentifier():
            name = self.temporary()
            return f"(None if ({name} := {code}) is None else {build(name, self.value(b))})"
        return self.guarded([(code, a.nullable)], lambda x: build(x, self.value(b)), "None")

    def fold(self, code: str, collation: str) -> str:
        """Returns code for what a value counts as under a collation."""
        if not collation:
            return code
        return f"{self._function.module.share('fold', COLLATIONS[collation])}({code})"

    def _arithmetic(self, expr: Op) -> str:
        a, b = expr.args
        numeric = {*NUMERIC_TYPES, *TEMPORAL_TYPES} - {SqlType.NUMERIC}
        if a.type not in numeric or b.type not in numeric:
            return f"{_ARITHMETIC[expr.op]}({self.value(a)}, {self.value(b)})"
        name = self.temporary()

        def build(x: str, y: str) -> str:
            result = f"({name} := {x} {expr.op} {y})"
            if SqlType.REAL in (a.type, b.type):  # inf - inf is NULL
                return f"({name} if {result} == {name} else None)"
            return f"({name} if {INT_MIN} <= {result} <= {INT_MAX} else float({name}))"

        return self.guarded([(self.value(a), a.nullable), (self.value(b), b.nullable)], build, "None")

    def _cast(self, expr: CastTo) -> str:
        source, target, code = expr.value.type, expr.type, self.value(expr.value)
        if source is target or target is SqlType.ANY:
            return code
        if source in TEMPORAL_TYPES and target is SqlType.TEXT:
            return f"{'date' if source is SqlType.DATE else 'timestamp'}_as_text({code})"
        if source is SqlType.TIMESTAMP and target is SqlType.DATE:
            return f"timestamp_as_date({code})"
        if source is SqlType.DATE and target is SqlType.TIMESTAMP:
            return f"date_as_timestamp({code})"
        return f"{_CASTS[target]}({code})"

    # --- conditions ------------------------------------------------------------------------

    def condition(self, expr: Expr) -> str:
        """Returns code that is true exactly where the expression is."""
        return self._measured(self._condition, expr)

    def _condition(self, expr: Expr) -> str:
        if isinstance(expr, Op):
            if expr.op in ("AND", "OR"):
                return "(" + f" {expr.op.lower()} ".join(self.condition(a) for a in expr.args) + ")"
            if expr.op == "NOT":
                return self._false(expr.args[0])
            if expr.op in _PYTHON:
                return self._comparison(expr, expr.op, "False")
        if is_condition(expr):
            return self.truth(expr)
        if expr.type in NUMERIC_TYPES:
            return self.value(expr)
        return f"truth({self.value(expr)})"

    def _false(self, expr: Expr) -> str:
        """Returns code that is true exactly where the expression is false, and not NULL."""
        if isinstance(expr, Op):
            if expr.op in ("AND", "OR"):
                word = " or " if expr.op == "AND" else " and "
                return "(" + word.join(self._false(a) for a in expr.args) + ")"
            if expr.op == "NOT":
                return self.condition(expr.args[0])
            if expr.op in _PYTHON:
                return self._comparison(expr, _INVERSE[expr.op], "False")
        return f"({self.truth(expr)} is False)"

    def truth(self, expr: Expr) -> str:
        """Returns code that gives True, False or None."""
        return self._measured(self._truth, expr)

    def _truth(self, expr: Expr) -> str:
        if isinstance(expr, InItems):
            return self._in_items(expr)
        if isinstance(expr, Subquery) and expr.kind != "scalar":
            return self._subquery(expr)
        if not isinstance(expr, Op) or expr.op not in _CONDITIONS:
            return f"truth({self.value(expr)})"
        op, args = expr.op, expr.args
        if op in ("AND", "OR"):
            code = self.truth(args[0])
            for count, arg in enumerate(args[1:], 1):
                code = f"{op.lower()}3({code}, {self.truth(arg)})"
                if count % _BRANCHES_MAX == 0:
                    code = self._outlined(code)
            return code
        if op == "NOT":
            return f"not3({self.truth(args[0])})" if args[0].nullable else f"(not {self.truth(args[0])})"
        if op in _PYTHON:
            return self._comparison(expr, op, "None")
        if op in ("IS", "IS NOT"):
            return self._is(expr)
        if op in _MATCHES and len(args) == 2 and args[0].type is SqlType.TEXT:
            found = self._matched(op, args[0], args[1])
            if found is not None:
                return found
        return f"{op.lower()}({', '.join(self._text(a) for a in args)})"

    def _matched(self, op: str, value: Expr, pattern: Expr) -> str | None:
        """Returns code of a text LIKE or GLOB a pattern that is the same for all rows; None for another one."""
        code = _MATCHES[op]
        if isinstance(pattern, Const) and isinstance(pattern.value, str):
            known: str = pattern.value
            if code("v", known) is not None:
                operands = [(self.value(value), True)]  # a name is needed, whether it may be NULL or not
                return self.guarded(operands, lambda name: str(code(name, known)), "None")
        if not isinstance(pattern, Const | Param):
            return None
        matcher = self._function.hoist(f"{op.lower()}_matcher({self.value(pattern)})", "m")
        return self.guarded([(self.value(value), value.nullable)], lambda name: f"{matcher}({name})", "None")

    def _text(self, expr: Expr) -> str:
        if expr.type in TEMPORAL_TYPES:
            return self._cast(CastTo(expr, SqlType.TEXT, expr.nullable))
        return self.value(expr)

    def _is(self, expr: Op) -> str:
        a, b = expr.args
        negated = expr.op == "IS NOT"
        if isinstance(b, Const) and b.value is None:
            if not a.nullable:
                return "True" if negated else "False"
            return f"({self.value(a)} is {'not ' if negated else ''}None)"
        x, y, _ = self.operands(a, b, expr.collation)
        return f"({'not ' if negated else ''}is_({x}, {y}))"

    def _comparison(self, expr: Op, op: str, on_null: str) -> str:
        """Returns code for a comparison, by ``op`` instead of the expression's own."""
        a, b = expr.args
        x, y, direct = self.operands(a, b, expr.collation)
        if not direct:
            return f"{_GENERIC[op]}({x}, {y})"
        return self.guarded([(x, a.nullable), (y, b.nullable)], lambda m, n: f"({m} {_PYTHON[op]} {n})", on_null)

    def _in_items(self, expr: InItems) -> str:
        """``x IN (a, b)`` is ``x = +a OR x = +b``: only the affinity of the left side counts (datatype3.html §4.2)."""
        value, items = expr.value, expr.items
        if not items:
            return "False"
        left = self.value(value)
        if _affinity(value) in NUMERIC_TYPES:
            codes = [self.numeric(i) for i in items]
        elif _affinity(value) is SqlType.TEXT:
            codes = [self._textual(i) for i in items]
        elif value.type in TEMPORAL_TYPES:
            codes = [self._temporal(i, value.type) for i in items]
        else:
            codes = [self._text(i) if i.type in TEMPORAL_TYPES else self.value(i) for i in items]
        if expr.collation:
            left, codes = self.fold(left, expr.collation), [self.fold(c, expr.collation) for c in codes]
        if all(isinstance(i, Const) and i.value is not None for i in items):
            name = self._function.hoist(f"frozenset(({', '.join(codes)},))", "s")
            return self.guarded([(left, value.nullable)], lambda x: f"({x} in {name})", "None")
        return f"in_items({left}, ({', '.join(codes)},))"

    # --- comparison operands ---------------------------------------------------------------

    def operands(self, a: Expr, b: Expr, collation: str = "") -> tuple[str, str, bool]:
        """Returns both sides as they are compared, and whether Python's operators compare them rightly."""
        x, y, plain = self._operands(a, b)
        return self._folded(a, x, collation), self._folded(b, y, collation), plain

    def _folded(self, expr: Expr, code: str, collation: str) -> str:
        """Returns code for what an operand counts as under a collation: once, where it is the same for all rows."""
        if collation and isinstance(expr, Const | Param):
            return self._function.hoist(self.fold(code, collation), "v")
        if collation == "NOCASE" and isinstance(expr, Col) and expr.type is SqlType.TEXT and code.isidentifier():
            low = f"{code}.lower() if {code}.isascii() else nocase({code})"
            return f"(None if {code} is None else {low})" if expr.nullable else f"({low})"
        return self.fold(code, collation)

    def _operands(self, a: Expr, b: Expr) -> tuple[str, str, bool]:
        if a.type in TEMPORAL_TYPES or b.type in TEMPORAL_TYPES:
            return self._temporal_operands(a, b)
        if _affinity(a) in NUMERIC_TYPES:
            return self.value(a), self.numeric(b), True
        if _affinity(b) in NUMERIC_TYPES:
            return self.numeric(a), self.value(b), True
        if _affinity(a) is SqlType.TEXT and _affinity(b) is None:
            return self.value(a), self._textual(b), True
        if _affinity(b) is SqlType.TEXT and _affinity(a) is None:
            return self._textual(a), self.value(b), True
        same = a.type is b.type and a.type is not SqlType.ANY
        both_numeric = a.type in NUMERIC_TYPES and b.type in NUMERIC_TYPES
        return self.value(a), self.value(b), same or both_numeric

    def left_of_in(self, value: Expr, outputs: list[Expr]) -> str:
        """Returns the left side of IN (SELECT ...) as it is compared with the subquery's values."""
        if isinstance(value, Op) and value.op == "ROW":
            return f"({', '.join(self.left_of_in(v, [o]) for v, o in zip(value.args, outputs, strict=True))},)"
        output = outputs[0]
        if _affinity(output) in NUMERIC_TYPES:
            return self.numeric(value)
        if _affinity(output) is SqlType.TEXT and _affinity(value) is None:
            return self._textual(value)
        if output.type in TEMPORAL_TYPES:
            return self._temporal(value, output.type)
        return self.value(value)

    def found_by_in(self, value: Expr, output: Expr, rows: str) -> str:
        """Returns the rows of IN (SELECT ...) as they are compared with the left side."""
        mine, theirs = _affinity(value), _affinity(output)
        if mine in NUMERIC_TYPES and output.type not in NUMERIC_TYPES:
            return f"firsts(number_operand, {rows})"
        if mine is SqlType.TEXT and theirs is None and output.type is not SqlType.TEXT:
            return f"firsts(text_operand, {rows})"
        return rows

    def numeric(self, expr: Expr) -> str:
        """Returns an operand as it is compared with a numeric column."""
        if expr.type in NUMERIC_TYPES:
            return self.value(expr)
        if isinstance(expr, Const):
            value = number_operand(expr.value)
            return "ABOVE" if value is ABOVE else self._constant(value)
        code = self.value(expr)
        if isinstance(expr, Param):
            return self._function.hoist(f"{code} if {code}.__class__ is int else number_operand({code})", "n")
        return f"number_operand({code})"

    def _textual(self, expr: Expr) -> str:
        if expr.type is SqlType.TEXT:
            return self.value(expr)
        if isinstance(expr, Const):
            value = text_operand(expr.value)
            return "ABOVE" if value is ABOVE else self._constant(value)
        code = self.value(expr)
        if isinstance(expr, Param):
            return self._function.hoist(f"{code} if {code}.__class__ is str else text_operand({code})", "n")
        return f"text_operand({code})"

    def _temporal_operands(self, a: Expr, b: Expr) -> tuple[str, str, bool]:
        if a.type is b.type:
            return self.value(a), self.value(b), True
        target = SqlType.TIMESTAMP if SqlType.TIMESTAMP in (a.type, b.type) else SqlType.DATE
        return self._temporal(a, target), self._temporal(b, target), True

    def _temporal(self, expr: Expr, target: SqlType) -> str:
        if expr.type is target or expr.type in NUMERIC_TYPES:
            return self.value(expr)
        if expr.type is SqlType.DATE:
            return f"date_as_timestamp({self.value(expr)})"
        if isinstance(expr, Const):
            if expr.value is None:
                return "None"
            stored = date_stored(expr.value) if target is SqlType.DATE else timestamp_stored(expr.value)
            return self._constant(stored)
        code = f"as_{target.value.lower()}({self.value(expr)})"
        return self._function.hoist(code, "n") if isinstance(expr, Param) else code


def _by_positive(expr: Op) -> bool:
    """Whether an integer is divided by a positive constant."""
    a, b = expr.args
    whole = isinstance(b, Const) and b.value.__class__ is int and b.value > 0
    return whole and a.type is SqlType.INTEGER


def _is_fixed(expr: Expr) -> bool:
    """Whether an expression is the same for all rows, and cannot fail: arithmetic of parameters and constants."""
    if isinstance(expr, Op):
        return expr.op in _ARITHMETIC and all(_is_fixed(a) for a in expr.args)
    return isinstance(expr, Param | Const)


def _affinity(expr: Expr) -> SqlType | None:
    """Returns the affinity that a column or a cast brings to a comparison, None for other expressions."""
    return expr.type if has_affinity(expr) else None
