"""CREATE TABLE, read by hand. The grammar is SQLite's (https://www.sqlite.org/lang_createtable.html)."""

from __future__ import annotations

from dosql.parser.reader import Reader
from dosql.plan.syntax import CheckSpec, ColumnSpec, CreateTable, CreateTableAs, KeySpec, ReferenceSpec

_TABLE_CONSTRAINTS = {"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"}
_COLUMN_CONSTRAINTS = {
    "CONSTRAINT",
    "PRIMARY",
    "NOT",
    "NULL",
    "UNIQUE",
    "CHECK",
    "DEFAULT",
    "COLLATE",
    "REFERENCES",
    "GENERATED",
    "AS",
}


class TableReader(Reader):
    """Reads the definition of a table; one method a grammar rule."""

    def create_table(self, *, temporary: bool) -> CreateTable | CreateTableAs:
        """Reads what comes behind CREATE TABLE."""
        if_not_exists = self.accept("IF", "NOT", "EXISTS")
        at = self.offset()
        db, name = self.qualified("the table")
        if temporary and db not in ("", "temp"):
            raise self.error("temporary table name must be unqualified")
        db = "temp" if temporary else db
        if self.accept("AS"):
            if not self.more():
                raise self.error("expected a query")
            return CreateTableAs(name, self.offset(), if_not_exists, at, db=db)
        table = CreateTable(name, [], None, [], if_not_exists, "", at, db)
        self.expect("(")
        constraints = False
        while True:
            if self.plain() and self.word() in _TABLE_CONSTRAINTS:
                self._table_constraint(table)
                constraints = True
            else:
                if constraints:
                    raise self.error("columns come before the constraints of the table")
                table.columns.append(self.column(table))
            if self.accept(")"):
                break
            if not (constraints and self.plain() and self.word() in _TABLE_CONSTRAINTS):  # SQLite: without a comma too
                self.comma()
        while self.more():
            if self.accept("WITHOUT", "ROWID"):
                table.without_rowid = True
            else:
                self.expect("STRICT")
                table.strict = True
            if not self.accept(","):
                break
        self.done()
        table.sql = f"CREATE TABLE {self.sql[at : self.tokens[-1].end + 1]}"
        return table

    def _table_constraint(self, table: CreateTable) -> None:
        named = self.name("the constraint") if self.accept("CONSTRAINT") else ""
        if self.accept("PRIMARY", "KEY"):
            if table.primary_key is not None or any(c.primary_key for c in table.columns):
                raise self.error(f"table {table.name} has more than one primary key")
            terms = self.key_terms()
            table.primary_key = KeySpec(terms, self.conflict())
        elif self.accept("UNIQUE"):
            terms = self.key_terms()
            table.uniques.append(KeySpec(terms, self.conflict()))
        elif self.word() == "CHECK":
            table.checks.append(self._check(named))
            self.conflict()  # SQLite reads it, and does not use it
        elif self.accept("FOREIGN", "KEY"):
            columns = self.names()
            self.expect("REFERENCES")
            table.references.append(self._reference(columns, named))
        elif not named:
            raise self.error("expected a constraint")

    def _check(self, name: str) -> CheckSpec:
        at = self.offset()
        self.at += 1
        return CheckSpec(self.parenthesised(), name, at)

    def _reference(self, columns: list[str], name: str) -> ReferenceSpec:
        """Reads what comes behind REFERENCES."""
        at = self.offset()
        parent = self.name("the parent table")
        out = ReferenceSpec(columns, parent, self.names() if self.word() == "(" else [], name=name, at=at)
        while True:
            if self.accept("ON", "DELETE"):
                out.on_delete = self._action()
            elif self.accept("ON", "UPDATE"):
                out.on_update = self._action()
            elif self.accept("MATCH"):
                self.name("a kind of match")  # SQLite: all are MATCH SIMPLE
            elif self.accept("NOT", "DEFERRABLE"):
                self.accept("INITIALLY", "DEFERRED") or self.accept("INITIALLY", "IMMEDIATE")
            elif self.accept("DEFERRABLE"):
                out.deferred = self.accept("INITIALLY", "DEFERRED")
                self.accept("INITIALLY", "IMMEDIATE")
            else:
                return out

    def _action(self) -> str:
        for action in (("SET", "NULL"), ("SET", "DEFAULT"), ("CASCADE",), ("RESTRICT",), ("NO", "ACTION")):
            if self.accept(*action):
                return " ".join(action)
        raise self.error("expected SET NULL, SET DEFAULT, CASCADE, RESTRICT or NO ACTION")

    def column(self, table: CreateTable) -> ColumnSpec:
        """Reads a column; constraints that are the table's go there."""
        at = self.offset()
        spec = ColumnSpec(self.name("a column"), "", at=at)
        words: list[str] = []
        while (word := self.word()) and word not in (",", ")") and not (self.plain() and word in _COLUMN_CONSTRAINTS):
            if word == "(":
                start = self.at
                self.skip_parentheses()
                words.append("".join(t.text for t in self.tokens[start : self.at]))
            else:
                words.append(self.tokens[self.at].text)
                self.at += 1
        spec.declared = " ".join(words).replace(" (", "(")
        spec.type_end = self._behind()
        while self.word() not in (",", ")", ""):
            self._column_constraint(spec, table)
        spec.end = self._behind()
        return spec

    def _behind(self) -> int:
        """Returns where the last token that was read ends."""
        return self.tokens[self.at - 1].end + 1

    def _column_constraint(self, spec: ColumnSpec, table: CreateTable) -> None:
        named = self.name("the constraint") if self.accept("CONSTRAINT") else ""
        if self.accept("PRIMARY", "KEY"):
            if spec.primary_key or table.primary_key or any(c.primary_key for c in table.columns):
                raise self.error(f"table {table.name} has more than one primary key")
            spec.primary_key = True
            spec.descending = self.accept("DESC")
            self.accept("ASC")
            spec.key_conflict = self.conflict()
            spec.autoincrement = self.accept("AUTOINCREMENT")
        elif self.accept("NOT", "NULL"):
            spec.not_null = True
            spec.null_conflict = self.conflict()
        elif self.accept("NULL"):
            self.conflict()
        elif self.accept("UNIQUE"):
            spec.unique = True
            spec.unique_conflict = self.conflict()
        elif self.accept("DEFAULT"):
            start = self.at
            spec.default = self.expression()
            spec.default_text = self.sql[self.tokens[start].start : self._behind()]
            if self.tokens[start].text == "(":
                spec.default_sql = spec.default_text
        elif self.word() == "CHECK":
            table.checks.append(self._check(named))
        elif self.accept("REFERENCES"):
            table.references.append(self._reference([spec.name], named))
        elif self.accept("COLLATE"):
            spec.collation = self.name("a collation")
        elif self.accept("GENERATED", "ALWAYS", "AS") or self.accept("AS"):
            spec.generated = self.parenthesised()
            spec.stored = self.accept("STORED")
            self.accept("VIRTUAL")
        elif not named:
            raise self.error("expected a constraint, a comma or )")
