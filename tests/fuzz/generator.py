"""Random SQL, from a seed."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

TEXTS = ["", "a", "A", "b", "ab", "Ab ", "zz", "10", "1.5", "é"]


@dataclass
class Column:
    """A column of a generated table."""

    name: str
    kind: str
    generated: bool = False


@dataclass
class Table:
    """A generated table, or a view.

    Attributes:
        keys: Columns that ON CONFLICT may name.
        base: Of a view, what it shows.
        changed: It is a view with triggers for changes.
        fires: It has triggers.
        ordered: Rows have keys, and so an order.
        own: Its column that its own rows refer to.
    """

    name: str
    columns: list[Column]
    keys: list[str] = field(default_factory=list)
    view: bool = False
    base: Table | None = None
    changed: bool = False
    fires: bool = False
    ordered: bool = True
    own: str = ""

    @property
    def written(self) -> list[Column]:
        """Columns that can be given values."""
        return [c for c in self.columns if not c.generated]

    @property
    def settable(self) -> list[Column]:
        """Columns that UPDATE may set. SQLite miscounts rows that refer to themselves when their key is set."""
        return [c for c in self.written if c.name != self.own]


class Generator:
    """Statements of one seed."""

    def __init__(self, seed: int) -> None:
        self.r = random.Random(seed)
        self.tables: list[Table] = []
        self.views: list[Table] = []
        self._count = 0

    def _name(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}{self._count}"

    def maybe(self, chance: float) -> bool:
        """Whether something happens."""
        return self.r.random() < chance

    # --- schema ----------------------------------------------------------------------------

    def schema(self) -> list[str]:
        """Returns the statements of a random schema."""
        out = [self._table() for _ in range(self.r.randint(1, 3))]
        for _ in range(self.r.randint(0, 4)):
            out.append(self.index())
        if self.maybe(0.5):
            out.append(self._view())
        for _ in range(self.r.randint(0, 2)):
            out.append(self._trigger())
        for view in self.views:
            out += self._instead(view)
        return out

    def _table(self) -> str:
        r, name = self.r, self._name("t")
        columns: list[Column] = []
        parts: list[str] = []
        keys: list[str] = []
        if self.maybe(0.6):
            columns.append(Column("id", "INTEGER"))
            parts.append("id INTEGER PRIMARY KEY")
            keys.append("id")
        for place in range(r.randint(2, 4)):
            column = Column(f"c{place}", r.choice(["INTEGER", "REAL", "TEXT", "TEXT", "ANY"]))
            text = f"{column.name} {column.kind}"
            if column.kind == "TEXT" and self.maybe(0.3):
                text += f" COLLATE {r.choice(['NOCASE', 'RTRIM'])}"
            if self.maybe(0.15):
                text += " NOT NULL" + (
                    f" ON CONFLICT {r.choice(['IGNORE', 'REPLACE', 'ABORT'])}" if self.maybe(0.3) else ""
                )
            if self.maybe(0.25):
                text += f" DEFAULT {self.literal(column.kind)}"
            if self.maybe(0.15):
                text += " UNIQUE" + (f" ON CONFLICT {r.choice(['IGNORE', 'REPLACE'])}" if self.maybe(0.3) else "")
                keys.append(column.name)
            if self.maybe(0.1):
                text += f" CHECK ({column.name} IS NULL OR {column.name} <> {self.literal(column.kind)})"
            columns.append(column)
            parts.append(text)
        table = Table(name, columns, keys)
        if self.maybe(0.4):
            self._reference(table, parts)
        if self.maybe(0.3):
            kind = r.choice(["INTEGER", "TEXT", "ANY"])
            source = self.expression([table], 1, "")
            stored = r.choice(["STORED", "VIRTUAL"])
            wrapped = {"INTEGER": f"length({source})", "TEXT": f"CAST({source} AS TEXT)", "ANY": source}[kind]
            parts.append(f"g {kind} GENERATED ALWAYS AS ({wrapped}) {stored}")
            columns.append(Column("g", kind, True))
        if self.maybe(0.2) and len(columns) > 1:
            pair = r.sample([c.name for c in columns if not c.generated], 2)
            parts.append(f"UNIQUE ({', '.join(pair)})")
        options = "STRICT"
        # Which of equal texts is the least, the order of the rows says, which these have another of than SQLite's.
        if not keys and not any("COLLATE" in part for part in parts) and self.maybe(0.4):
            names = [c.name for c in columns if not c.generated]
            picked = r.sample(names, r.randint(1, 2))
            parts.append(f"PRIMARY KEY ({', '.join(picked)})")
            options += ", WITHOUT ROWID"
            table.ordered = False
        self.tables.append(table)
        return f"CREATE TABLE {name} ({', '.join(parts)}) {options}"

    def _reference(self, table: Table, parts: list[str]) -> None:
        """Adds a column with a foreign key."""
        r = self.r
        parent = r.choice([*self.tables, table])
        places = [c for c in parent.columns if c.name in parent.keys]
        if not places:
            return
        to = r.choice(places)
        if parent is table:  # SQLite compares a row's key with what it refers to itself without the collation
            if any(part.startswith(f"{to.name} ") and "COLLATE" in part for part in parts):
                return
            table.own = to.name
        text = f"p {to.kind} REFERENCES {parent.name} ({to.name})"
        actions = ["CASCADE", "CASCADE", "SET DEFAULT", "RESTRICT"]
        if parent is not table:  # of these, SQLite forgets to test rows that OR REPLACE brings
            actions.append("SET NULL")
        for event in ("DELETE", "UPDATE"):
            if self.maybe(0.6):
                text += f" ON {event} {r.choice(actions)}"
        if self.maybe(0.3):
            text += " DEFERRABLE INITIALLY DEFERRED"
        table.columns.append(Column("p", to.kind))
        parts.append(text)

    def index(self) -> str:
        """Returns CREATE INDEX."""
        table = self.r.choice(self.tables)
        unique = "UNIQUE " if self.maybe(0.15) else ""
        terms = []
        for column in self.r.sample(table.columns, self.r.randint(1, min(2, len(table.columns)))):
            term = column.name
            if self.maybe(0.2):
                term = self.expression([table], 1, "")
                if "(" not in term and "c" not in term:  # SQLite takes a bare constant for a name or a place
                    term = column.name
            # Of several UNIQUE indexes under different collations, ON CONFLICT takes the newest in SQLite.
            if self.maybe(0.15) and column.kind == "TEXT" and term == column.name and not unique:
                term += f" COLLATE {self.r.choice(['NOCASE', 'BINARY', 'RTRIM'])}"
            terms.append(term + (" DESC" if self.maybe(0.3) else ""))
        where = f" WHERE {self.condition([table], 1, '')}" if self.maybe(0.25) else ""
        return f"CREATE {unique}INDEX {self._name('i')} ON {table.name} ({', '.join(terms)}){where}"

    def _view(self) -> str:
        table = self.r.choice(self.tables)
        picked = self.r.sample(table.columns, self.r.randint(1, len(table.columns)))
        names = ", ".join(c.name for c in picked)
        where = f" WHERE {self.condition([table], 1, '')}" if self.maybe(0.5) else ""
        if " LIKE " in where:  # SQLite loses rows of a LEFT JOIN with a view that has ``number LIKE text``
            where = ""
        view = Table(self._name("v"), [Column(c.name, c.kind) for c in picked], view=True, base=table)
        self.views.append(view)
        return f"CREATE VIEW {view.name} AS SELECT {names} FROM {table.name}{where}"

    def _instead(self, view: Table) -> list[str]:
        """Returns INSTEAD OF triggers for a view."""
        base = view.base
        assert base is not None
        if base.fires or not base.ordered:  # the order of the view's rows decides
            return []
        written = [c for c in view.columns if c.name in [w.name for w in base.written]]
        settable = [c.name for c in view.columns if c.name in [w.name for w in base.settable] and c.name != "id"]
        if not settable or "id" not in [c.name for c in written] or self.maybe(0.5):
            return []
        names, values = ", ".join(c.name for c in written), ", ".join(f"new.{c.name}" for c in written)
        column, found = self.r.choice(settable), "id = old.id"
        made = {
            "INSERT": f"INSERT INTO {base.name} ({names}) VALUES ({values})",
            f"UPDATE OF {column}": f"UPDATE {base.name} SET {column} = new.{column} WHERE {found}",
            "DELETE": f"DELETE FROM {base.name} WHERE {found}",
        }
        view.changed = True
        return [
            f"CREATE TRIGGER {self._name('tr')} INSTEAD OF {event} ON {view.name} BEGIN {body}; END"
            for event, body in made.items()
        ]

    def _trigger(self) -> str:
        r, table, target = self.r, self.r.choice(self.tables), self.r.choice(self.tables)
        if not table.ordered:  # which row goes first decides
            return self.index()
        table.fires = True
        event = r.choice(["INSERT", "UPDATE", "DELETE"])
        row = r.choice({"INSERT": ["new"], "DELETE": ["old"], "UPDATE": ["new", "old"]}[event])
        timing = r.choice(["BEFORE", "AFTER", "AFTER"])
        # In BEFORE triggers of an UPDATE, SQLite computes generated columns of NEW from what the trigger names only.
        seen = table.written if timing == "BEFORE" and event == "UPDATE" else table.columns
        value = f"{row}.{r.choice(seen).name}"
        column, set_to = r.choice(target.written), r.choice(target.settable)
        other = r.choice(target.columns).name
        one = "id" if "id" in target.keys else f"{other} IS NULL AND {other}"  # which of several is first, decides
        steps = [
            f"UPDATE {target.name} SET {set_to.name} = {self.literal(set_to.kind)} WHERE {one} = {value}",
            f"DELETE FROM {target.name} WHERE {other} IS {value} AND {column.name} > {self.literal(column.kind)}",
            f"INSERT OR IGNORE INTO {target.name} ({column.name}) VALUES ({self.literal(column.kind)})",
            f"SELECT CASE WHEN {value} = {self.literal('TEXT')} THEN RAISE({r.choice(['IGNORE', 'ABORT, 1'])}) END",
        ]
        when = f" WHEN {value} IS NOT {self.literal('INTEGER')}" if self.maybe(0.4) else ""
        body = "; ".join(r.sample(steps, r.randint(1, 2)))
        if timing == "BEFORE" and target is table:
            body = steps[3]  # what a BEFORE trigger does to its own row, SQLite leaves undefined
        return f"CREATE TRIGGER {self._name('tr')} {timing} {event} ON {table.name}{when} BEGIN {body}; END"

    # --- values and expressions ------------------------------------------------------------

    def literal(self, kind: str) -> str:
        """Returns a value that fits a column of a kind, mostly."""
        r = self.r
        if self.maybe(0.1):
            return "NULL"
        if kind == "ANY":
            kind = r.choice(["INTEGER", "REAL", "TEXT"])
        if kind == "INTEGER":
            return str(r.choice([0, 1, 2, 3, 5, 10, -1, 7]))
        if kind == "REAL":
            return r.choice(["0.0", "1.5", "2.0", "-2.5", "10.0", "3.25"])
        return "'" + r.choice(TEXTS) + "'"

    def _column(self, sources: list[Table], prefix: str) -> str:
        table = self.r.choice(sources)
        name = self.r.choice(table.columns).name
        return f"{prefix or table.name + '.'}{name}" if prefix != "" else name

    def expression(self, sources: list[Table], depth: int, prefix: str = "t") -> str:
        """Returns a value; names are qualified unless ``prefix`` is empty."""
        r = self.r

        def name() -> str:
            table = r.choice(sources)
            column = r.choice([c for c in table.columns if not c.generated] if prefix == "" else table.columns).name
            return column if prefix == "" else f"{table.name}.{column}"

        if depth <= 0 or self.maybe(0.3):
            return name() if self.maybe(0.7) else self.literal(r.choice(["INTEGER", "REAL", "TEXT"]))

        def part() -> str:
            return self.expression(sources, depth - 1, prefix)

        forms: list[Callable[[], str]] = [
            lambda: f"({part()} {r.choice(['+', '-', '*', '%', '||', '&', '|'])} {part()})",
            lambda: f"{r.choice(['abs', 'length', 'lower', 'upper', 'typeof', 'hex', 'trim', 'quote'])}({part()})",
            lambda: f"{r.choice(['coalesce', 'ifnull', 'nullif'])}({part()}, {part()})",
            lambda: f"CASE WHEN {self.condition(sources, depth - 1, prefix)} THEN {part()} ELSE {part()} END",
            lambda: f"CAST({part()} AS {r.choice(['INTEGER', 'REAL', 'TEXT'])})",
            lambda: f"substr({part()}, {r.randint(-2, 3)}, {r.randint(0, 3)})",
            lambda: f"(- {part()})",
            lambda: f"(+ {name()})",
            lambda: f"iif({self.condition(sources, depth - 1, prefix)}, {part()}, {part()})",
            lambda: f"round({part()}, 1)",
            lambda: f"instr({part()}, {self.literal('TEXT')})",
        ]
        return r.choice(forms)()

    def fitting(self, sources: list[Table], kind: str) -> str:
        """Returns a value that a column of a kind can hold."""
        value = self.expression(sources, 1)
        return value if kind == "ANY" else f"CAST({value} AS {kind})"

    def condition(self, sources: list[Table], depth: int, prefix: str = "t") -> str:
        """Returns a condition."""
        r = self.r

        def value() -> str:
            return self.expression(sources, depth - 1, prefix)

        def simple() -> str:
            collate = f" COLLATE {r.choice(['NOCASE', 'RTRIM', 'BINARY'])}" if self.maybe(0.08) else ""
            return f"{value()}{collate} {r.choice(['=', '<>', '<', '<=', '>', '>=', 'IS', 'IS NOT'])} {value()}"

        forms: list[Callable[[], str]] = [
            simple,
            simple,
            simple,
            lambda: f"{value()} BETWEEN {value()} AND {value()}",
            lambda: f"{value()} {r.choice(['', 'NOT '])}IN ({self._literals()})",
            lambda: f"{value()} IS {r.choice(['', 'NOT '])}NULL",
            lambda: f"{value()} {r.choice(['', 'NOT '])}LIKE '{r.choice(['a%', '%b', '_', '%', 'A_', '1%'])}'",
            lambda: f"{value()} GLOB '{r.choice(['a*', '*b', '?', '[a-b]*'])}'",
        ]
        if depth > 0:
            forms += [
                lambda: (
                    f"({self.condition(sources, depth - 1, prefix)} AND {self.condition(sources, depth - 1, prefix)})"
                ),
                lambda: (
                    f"({self.condition(sources, depth - 1, prefix)} OR {self.condition(sources, depth - 1, prefix)})"
                ),
                lambda: f"(NOT {self.condition(sources, depth - 1, prefix)})",
            ]
            if prefix:
                forms.append(lambda: self._subquery_condition(sources))
        return r.choice(forms)()

    def _literals(self) -> str:
        return ", ".join(self.literal("ANY") for _ in range(self.r.randint(1, 4)))

    def _subquery_condition(self, sources: list[Table]) -> str:
        r, inner = self.r, self.r.choice(self.tables)
        alias = Table(self._name("s"), inner.columns)
        column = f"{alias.name}.{r.choice(inner.columns).name}"
        where = self.condition([alias, *sources] if self.maybe(0.5) else [alias], 0)
        query = f"FROM {inner.name} AS {alias.name} WHERE {where}"
        outer = self.expression(sources, 0)
        return r.choice(
            [
                f"{r.choice(['', 'NOT '])}EXISTS (SELECT 1 {query})",
                f"{outer} {r.choice(['', 'NOT '])}IN (SELECT {column} {query})",
                f"{outer} {r.choice(['=', '<', '>='])} (SELECT max({column}) {query})",
            ]
        )

    # --- queries ---------------------------------------------------------------------------

    def from_clause(self) -> tuple[str, list[Table]]:
        """Returns FROM, and what it has by alias."""
        r = self.r
        sources: list[Table] = []
        text = ""
        count = r.choice([1, 1, 2, 2, 3])
        for place in range(count):
            base = self._derived() if self.maybe(0.15) else r.choice([*self.tables, *self.views])
            alias = Table(self._name("a"), base.columns)
            sources.append(alias)
            if place == 0:
                text = f"{base.name} AS {alias.name}"
                continue
            kinds = ["JOIN", "LEFT JOIN", "JOIN", "LEFT JOIN", "CROSS JOIN"]
            if count == 2:  # SQLite 3.54 gives wrong answers for some joins of more tables that have one of these
                kinds.append("RIGHT JOIN")  # and FULL JOIN leaves rows out
            kind = r.choice(kinds)
            on = "" if kind == "CROSS JOIN" else f" ON {self._on(sources)}"
            text += f" {kind} {base.name} AS {alias.name}{on}"
        return text, sources

    def _derived(self) -> Table:
        """Returns a subquery of FROM; its name is its text."""
        inner = self.r.choice(self.tables)
        alias = Table(self._name("d"), inner.columns)
        columns = [Column(self._name("c"), "ANY") for _ in range(self.r.randint(1, 3))]
        values = [self.expression([alias], 1) for _ in columns]
        # SQLite 3.54 loses rows of a LEFT JOIN whose ON compares with what such a column always is: NULL.
        values = [f"{alias.name}.{alias.columns[0].name}" if "NULL" in value else value for value in values]
        items = ", ".join(f"{value} AS {column.name}" for value, column in zip(values, columns, strict=True))
        where = f" WHERE {self.condition([alias], 0)}" if self.maybe(0.3) else ""
        where = "" if "LIKE" in where else where  # as in ON
        return Table(f"(SELECT {items} FROM {inner.name} AS {alias.name}{where})", columns)

    def _on(self, sources: list[Table]) -> str:
        left, right = self.r.choice(sources[:-1]), sources[-1]
        same = f"{left.name}.{self.r.choice(left.columns).name} = {right.name}.{self.r.choice(right.columns).name}"
        # No LIKE: where a column of numbers stands on its left, SQLite 3.54 loses rows of an outer join.
        other = f"{self.expression(sources, 0)} {self.r.choice(['<', 'IS', '>='])} {self.expression(sources, 1)}"
        return same if self.maybe(0.7) else other

    def query(self) -> tuple[str, bool]:
        """Returns a query, and whether its order counts."""
        r = self.r
        text, sources = self.from_clause()
        where = f" WHERE {self.condition(sources, 2)}" if self.maybe(0.7) else ""
        form = r.random()
        if form < 0.4:
            items = [self.expression(sources, 2) for _ in range(r.randint(1, 3))]
            distinct = "DISTINCT " if self.maybe(0.25) else ""
            order, ordered = "", False
            if self.maybe(0.5):
                places = list(range(1, len(items) + 1))
                r.shuffle(places)
                terms = [f"{p}{r.choice(['', ' DESC', ' NULLS LAST', ' DESC NULLS FIRST'])}" for p in places]
                order = f" ORDER BY {', '.join(terms)}"
                if self.maybe(0.5):
                    order += f" LIMIT {r.randint(0, 5)}" + (f" OFFSET {r.randint(0, 2)}" if self.maybe(0.4) else "")
            if distinct and self.maybe(0.5):  # which of equal texts is shown, nobody promises
                return f"SELECT count(*) FROM (SELECT DISTINCT {', '.join(items)} FROM {text}{where})", False
            if distinct:
                items = [f"({item}) COLLATE BINARY" for item in items]
            return f"SELECT {distinct}{', '.join(items)} FROM {text}{where}{order}", ordered
        if form < 0.7:
            keys = [self.expression(sources, 1) for _ in range(r.randint(0, 2))]
            # Which of the texts that a collation takes for the same is shown, nobody promises.
            # The same holds for 2 and 2.0.
            shown = [f"iif(typeof({k}) IN ('integer', 'real'), {k} + 0.0, upper(rtrim({k})))" for k in keys]
            items = [*shown, *(self._aggregate(sources) for _ in range(r.randint(1, 3)))]
            group = f" GROUP BY {', '.join(keys)}" if keys else ""
            having = f" HAVING {self._aggregate(sources)} {r.choice(['>', '=', 'IS NOT'])} {self.literal('INTEGER')}"
            return f"SELECT {', '.join(items)} FROM {text}{where}{group}{having if self.maybe(0.3) else ''}", False
        if form < 0.85:
            width = r.randint(1, 2)
            selects: list[str] = []
            counted = self.maybe(0.5)
            for _ in range(r.randint(2, 3)):
                inner, tables = self.from_clause()
                binary = "" if counted else " COLLATE BINARY"
                values = ", ".join(f"({self.expression(tables, 1)}){binary}" for _ in range(width))
                selects.append(f"SELECT {values} FROM {inner} WHERE {self.condition(tables, 1)}")
            whole = selects[0]
            for one in selects[1:]:
                whole += f" {r.choice(['UNION', 'UNION ALL', 'INTERSECT', 'EXCEPT'])} {one}"
            return f"SELECT count(*) FROM ({whole})" if counted else whole, False
        return self._windowed(text, where, sources), False

    def _aggregate(self, sources: list[Table]) -> str:
        r, value = self.r, self.expression(sources, 1)
        distinct = "DISTINCT " if self.maybe(0.2) else ""
        where = f" FILTER (WHERE {self.condition(sources, 0)})" if self.maybe(0.15) else ""
        name = r.choice(["count", "sum", "avg", "min", "max", "total", "count(*)", "group_concat"])
        if name == "count(*)":
            return "count(*)" + where
        if name == "group_concat":
            name = r.choice(["group_concat", "string_agg"])
            return f"{name}({value}, ',' ORDER BY {value} COLLATE BINARY, typeof({value})){where}"
        return f"{name}({distinct}{value}){where}"

    def _windowed(self, text: str, where: str, sources: list[Table]) -> str:
        r = self.r
        keys = ", ".join(f"{t.name}.{c.name}" for t in sources for c in t.columns)
        call = r.choice(["rank()", "dense_rank()", "count(*)", "sum(1)", f"count({self.expression(sources, 0)})"])
        partition = f"PARTITION BY {self.expression(sources, 0)} " if self.maybe(0.6) else ""
        exclude = r.choice(["", " EXCLUDE TIES", " EXCLUDE GROUP"])
        exclude = exclude if len(sources) == 1 else ""  # each row goes through its frame: joins take hours, in both
        frame = r.choice(
            ["", f" RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW{exclude}", f" GROUPS 1 PRECEDING{exclude}"]
        )
        if call.startswith(("rank", "dense")):
            frame = ""
        return (
            f"SELECT {keys}, {call} OVER ({partition}ORDER BY {self.expression(sources, 1)}{frame}) FROM {text}{where}"
        )

    def predicate(self) -> tuple[str, str]:
        """Returns FROM and a condition, for the checks that need no oracle."""
        text, sources = self.from_clause()
        return text, self.condition(sources, 2)

    # --- changes ---------------------------------------------------------------------------

    def change(self) -> str:
        """Returns a statement that changes data."""
        r, table = self.r, self.r.choice(self.tables)
        changed = [view for view in self.views if view.changed]
        if changed and self.maybe(0.1):
            view = changed[0]
            table = Table(view.name, view.columns, ordered=view.base is not None and view.base.ordered)
        form = r.random()
        if form < 0.5:
            return self._insert(table)
        if form < 0.56 and table.ordered:
            return self._update_from(table)
        # The order of checks and BEFORE triggers differs, which only OR FAIL shows.
        conflict = f" OR {r.choice(['IGNORE', 'REPLACE', 'ABORT'])}" if table.ordered and self.maybe(0.15) else ""
        alias = Table(table.name, table.columns)
        where = f" WHERE {self.condition([alias], 1)}" if self.maybe(0.85) else ""
        shown = ", ".join(c.name for c in table.columns)
        # With RETURNING, SQLite takes changes of views that have triggers for other changes only.
        returning = f" RETURNING {shown}" if table in self.tables and self.maybe(0.2) else ""
        if form < 0.8:
            picked = r.sample(table.settable, r.randint(1, min(2, len(table.settable))))

            def value(column: Column) -> str:
                return self.fitting([alias], column.kind)

            sets = ", ".join(
                f"{c.name} = {self.literal(c.kind) if self.maybe(0.6) or not table.ordered else value(c)}"
                for c in picked
            )
            if any(c.name == "id" for c in picked):  # SQLite may meet a moved row a second time
                conflict = conflict.replace("REPLACE", "ABORT")
            # Which row is changed first, nobody promises; with conflicts it decides, so both go by the rows' keys.
            hint = " NOT INDEXED" if table in self.tables else ""
            return f"UPDATE{conflict} {table.name}{hint} SET {sets}{where}{returning}"
        return f"DELETE FROM {table.name}{where}{returning}"

    def _update_from(self, table: Table) -> str:
        """Returns UPDATE ... FROM a table of which one row at most fits each that is changed."""
        r = self.r
        others = [t for t in self.tables if "id" in t.keys]
        if not others:
            return self._insert(table)
        other = Table("o", r.choice(others).columns)
        name = next(t.name for t in others if t.columns is other.columns)
        column, by = r.choice(table.settable), r.choice(table.columns).name
        value = self.fitting([other, Table(table.name, table.columns)], column.kind)
        extra = f" AND {self.condition([other], 1)}" if self.maybe(0.3) else ""
        return f"UPDATE {table.name} SET {column.name} = {value} FROM {name} o WHERE o.id = {table.name}.{by}{extra}"

    def _insert(self, table: Table) -> str:
        r = self.r
        conflict = f" OR {r.choice(['IGNORE', 'REPLACE', 'FAIL'])}" if self.maybe(0.2) else ""
        picked = r.sample(table.written, r.randint(1, len(table.written)))
        names = ", ".join(c.name for c in picked)
        if self.maybe(0.05):
            return f"INSERT{conflict} INTO {table.name} DEFAULT VALUES"
        if self.maybe(0.12):
            text, sources = self.from_clause()
            items = [self.fitting(sources, c.kind) for c in picked]
            order = ", ".join([*(str(i + 1) for i in range(len(items))), *(f"typeof({item})" for item in items)])
            query = f"SELECT {', '.join(items)} FROM {text} ORDER BY {order} LIMIT 3"  # 2 and 2.0 are equal
            return f"INSERT{conflict} INTO {table.name} ({names}) {query}"
        rows = []
        for _ in range(r.choice([1, 1, 2, 3, 9])):
            rows.append("(" + ", ".join(self.literal(c.kind) for c in picked) + ")")
        upsert = ""
        # Behind an upsert with triggers, SQLite forgets to test foreign keys.
        tested = any(c.name == "p" for c in table.columns) and any(t.fires for t in self.tables)
        if not conflict and table.keys and not tested and self.maybe(0.2):
            column = r.choice(table.settable)
            action = f"UPDATE SET {column.name} = {r.choice(['excluded.' + column.name, self.literal(column.kind)])}"
            upsert = f" ON CONFLICT ({r.choice(table.keys)}) DO {action if self.maybe(0.7) else 'NOTHING'}"
        returning = f" RETURNING {names}" if self.maybe(0.15) else ""
        return f"INSERT{conflict} INTO {table.name} ({names}) VALUES {', '.join(rows)}{upsert}{returning}"

    def alteration(self) -> str:
        """Returns ALTER TABLE ADD COLUMN, or RENAME COLUMN."""
        table = self.r.choice(self.tables)
        named = [c for c in table.columns if not c.generated and c.name != "id"]
        if named and self.maybe(0.5):
            return self._renaming(table, self.r.choice(named))
        column = Column(self._name("n"), self.r.choice(["INTEGER", "TEXT", "REAL"]))
        default = f" DEFAULT {self.literal(column.kind)}" if self.maybe(0.5) else ""
        if "g" in [c.name for c in table.columns]:
            table.columns.insert(len(table.columns), column)
        else:
            table.columns.append(column)
        return f"ALTER TABLE {table.name} ADD COLUMN {column.name} {column.kind}{default}"

    def _renaming(self, table: Table, column: Column) -> str:
        """Returns RENAME COLUMN; views that show the column show it by its new name."""
        old, column.name = column.name, self._name("n")
        table.keys = [column.name if key == old else key for key in table.keys]
        table.own = column.name if table.own == old else table.own
        for view in self.views:
            for shown in view.columns if view.base is table else ():
                shown.name = column.name if shown.name == old else shown.name
        return f"ALTER TABLE {table.name} RENAME COLUMN {old} TO {column.name}"
