"""Statements read by hand from tokens: CREATE, DROP, and those of transactions.

The grammar is SQLite's (https://www.sqlite.org/lang.html); what of it this version does not
run is refused by name, never ignored.
"""

from __future__ import annotations

from sqlglot.errors import ParseError
from sqlglot.tokenizer_core import Token, TokenType

from dosql.errors import Position, SqlSyntaxError, Unsupported
from dosql.parser.tokens import DIALECT, mend, words
from dosql.parser.translate import translate_expression
from dosql.plan.syntax import (
    Checkpoint,
    CheckSpec,
    ColumnSpec,
    CreateIndex,
    CreateTable,
    CreateTableAs,
    CreateView,
    Drop,
    Expr,
    Pragma,
    ReferenceSpec,
    Statement,
    Transaction,
)

DEFINITION_VERBS = {
    "CREATE",
    "DROP",
    "BEGIN",
    "START",
    "COMMIT",
    "END",
    "ROLLBACK",
    "SAVEPOINT",
    "RELEASE",
    "ALTER",
    "PRAGMA",
    "ATTACH",
    "DETACH",
    "VACUUM",
    "ANALYZE",
    "REINDEX",
    "TRUNCATE",
    "CHECKPOINT",
}
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
    "AUTOINCREMENT",
}


def parse_definition(sql: str, tokens: list[Token]) -> Statement:
    """Parses a statement whose first word is one of ``DEFINITION_VERBS``."""
    return _Reader(sql, words(sql, tokens)).statement()


class _Reader:
    """A cursor over tokens; one method a grammar rule."""

    def __init__(self, sql: str, tokens: list[Token]) -> None:
        self._sql = sql
        self._tokens = tokens
        self._at = 0

    # --- the cursor ------------------------------------------------------------------------

    def _word(self) -> str:
        return self._tokens[self._at].text.upper() if self._at < len(self._tokens) else ""

    def _offset(self) -> int:
        return self._tokens[self._at].start if self._at < len(self._tokens) else len(self._sql.rstrip())

    def _accept(self, *words: str) -> bool:
        found = [t.text.upper() for t in self._tokens[self._at : self._at + len(words)]]
        if found != list(words):
            return False
        if self._tokens[self._at].token_type in (TokenType.IDENTIFIER, TokenType.STRING):
            return False
        self._at += len(words)
        return True

    def _expect(self, *words: str) -> None:
        if not self._accept(*words):
            raise self._error(f"expected {' '.join(words)}")

    def _error(self, what: str) -> SqlSyntaxError:
        near = repr(self._tokens[self._at].text) if self._at < len(self._tokens) else "the end of the statement"
        return SqlSyntaxError(f"syntax error at {near}: {what}", position=Position.at(self._sql, self._offset()))

    def _unsupported(self, what: str) -> Unsupported:
        return Unsupported(f"{what} is not supported yet", position=Position.at(self._sql, self._offset()))

    def _name(self, what: str) -> str:
        if self._at >= len(self._tokens):
            raise self._error(f"expected the name of {what}")
        token = self._tokens[self._at]
        if token.token_type not in (TokenType.IDENTIFIER, TokenType.STRING) and not token.text.isidentifier():
            raise self._error(f"expected the name of {what}")
        self._at += 1
        return token.text

    def _qualified(self, what: str) -> str:
        name = self._name(what)
        if self._accept("."):
            if name.lower() != "main":
                raise self._unsupported(f"a database other than main ({name})")
            name = self._name(what)
        return name

    def _done(self) -> None:
        if self._at < len(self._tokens):
            raise self._error("expected the end of the statement")

    def _comma(self) -> None:
        if not self._accept(","):
            raise self._error("expected , or )")

    def _names(self, descending: list[int] | None = None) -> list[str]:
        """Parses columns in parentheses; places of those with DESC go to ``descending``, where there may be any."""
        self._expect("(")
        out = []
        while True:
            out.append(self._name("a column"))
            if self._accept("COLLATE"):
                raise self._unsupported("COLLATE in a key")
            if self._accept("DESC"):
                if descending is None:
                    raise self._unsupported("a descending key column")
                descending.append(len(out) - 1)
            self._accept("ASC")
            if self._word() in ("(", "+", "-", "||", "->"):
                raise self._unsupported("an index on an expression")
            if self._accept(")"):
                return out
            self._comma()

    def _expression(self) -> Expr:
        """Parses one term, or an expression in parentheses, by way of sqlglot."""
        start = self._at
        if self._accept("("):
            depth = 1
            while depth:
                if self._at >= len(self._tokens):
                    raise self._error("expected )")
                depth += {"(": 1, ")": -1}.get(self._tokens[self._at].text, 0)
                self._at += 1
        else:
            if self._word() in ("-", "+"):
                self._at += 1
            self._at += 1
        part = self._tokens[start : self._at]
        if not part:
            raise self._error("expected a value")
        try:
            found = DIALECT.parser().parse(mend(self._sql, part), self._sql)
        except ParseError as e:
            self._at = start
            raise self._error("expected a value") from e
        return translate_expression(self._sql, found[0])

    # --- statements ------------------------------------------------------------------------

    def statement(self) -> Statement:
        verb = self._word()
        if verb in ("BEGIN", "START"):
            return self._begin()
        if verb in ("COMMIT", "END"):
            self._at += 1
            self._accept("TRANSACTION") or self._accept("WORK")
            self._done()
            return Transaction("COMMIT")
        if verb == "ROLLBACK":
            self._at += 1
            self._accept("TRANSACTION") or self._accept("WORK")
            if self._accept("TO"):
                self._accept("SAVEPOINT")
                return self._savepoint_verb("ROLLBACK TO")
            self._done()
            return Transaction("ROLLBACK")
        if verb == "SAVEPOINT":
            self._at += 1
            return self._savepoint_verb("SAVEPOINT")
        if verb == "RELEASE":
            self._at += 1
            self._accept("SAVEPOINT")
            return self._savepoint_verb("RELEASE")
        if verb == "CREATE":
            return self._create()
        if verb == "DROP":
            return self._drop()
        if verb == "PRAGMA":
            return self._pragma()
        if verb == "CHECKPOINT":
            self._at += 1
            self._done()
            return Checkpoint()
        raise self._unsupported(verb)

    def _pragma(self) -> Pragma:
        self._at += 1
        name = self._qualified("the pragma").lower()
        value: str | None = None
        closes = self._accept("(")
        if closes or self._accept("="):
            sign = "-" if self._accept("-") else ""
            self._accept("+")
            if self._at >= len(self._tokens):
                raise self._error("expected a value")
            token = self._tokens[self._at]
            hexadecimal = self._sql[token.start : token.start + 2].lower() == "0x"
            value = sign + ("0x" if hexadecimal and not token.text.lower().startswith("0x") else "") + token.text
            self._at += 1
            if closes:
                self._expect(")")
        self._done()
        return Pragma(name, value)

    def _savepoint_verb(self, verb: str) -> Transaction:
        name = self._name("a savepoint")
        self._done()
        return Transaction(verb, name)

    def _begin(self) -> Transaction:
        self._at += 1
        mode = next((word for word in ("DEFERRED", "IMMEDIATE", "EXCLUSIVE") if self._accept(word)), "DEFERRED")
        self._accept("TRANSACTION") or self._accept("WORK")
        read_only = False
        isolation = "SERIALIZABLE"
        while self._at < len(self._tokens):
            if self._accept("READ", "ONLY"):
                read_only = True
            elif self._accept("READ", "WRITE"):
                read_only = False
            elif self._accept("ISOLATION", "LEVEL"):
                if self._accept("SNAPSHOT") or self._accept("REPEATABLE", "READ"):
                    isolation = "SNAPSHOT"
                elif self._accept("READ", "COMMITTED") or self._accept("READ", "UNCOMMITTED"):
                    isolation = "READ COMMITTED"
                elif self._accept("SERIALIZABLE"):
                    isolation = "SERIALIZABLE"
                else:
                    raise self._error("expected READ COMMITTED, REPEATABLE READ, SNAPSHOT or SERIALIZABLE")
            else:
                raise self._error("expected the end of the statement")
            self._accept(",")
        return Transaction("BEGIN", read_only=read_only, isolation=isolation, mode=mode)

    def _drop(self) -> Drop:
        self._at += 1
        at = self._offset()
        for kind in ("TABLE", "INDEX", "VIEW"):
            if self._accept(kind):
                if_exists = self._accept("IF", "EXISTS")
                name = self._qualified(f"the {kind.lower()}")
                self._done()
                return Drop(kind, name, if_exists, at)
        raise self._unsupported(f"DROP {self._word()}")

    def _create(self) -> Statement:
        self._at += 1
        if self._accept("UNIQUE"):
            self._expect("INDEX")
            return self._create_index(unique=True)
        if self._accept("INDEX"):
            return self._create_index(unique=False)
        if self._accept("TABLE"):
            return self._create_table()
        if self._accept("VIEW"):
            return self._create_view()
        raise self._unsupported(f"CREATE {self._word()}")

    def _create_index(self, *, unique: bool) -> CreateIndex:
        if_not_exists = self._accept("IF", "NOT", "EXISTS")
        at = self._offset()
        name = self._qualified("the index")
        self._expect("ON")
        table = self._name("the table")
        descending: list[int] = []
        columns = self._names(descending)
        if self._word() == "WHERE":
            raise self._unsupported("a partial index")
        self._done()
        return CreateIndex(name, table, columns, unique, if_not_exists, at, descending)

    def _create_view(self) -> CreateView:
        if_not_exists = self._accept("IF", "NOT", "EXISTS")
        at = self._offset()
        name = self._qualified("the view")
        columns = self._names() if self._word() == "(" else []
        self._expect("AS")
        if self._at >= len(self._tokens):
            raise self._error("expected a query")
        return CreateView(name, columns, self._offset(), if_not_exists, at)

    def _create_table(self) -> CreateTable | CreateTableAs:
        if_not_exists = self._accept("IF", "NOT", "EXISTS")
        at = self._offset()
        name = self._qualified("the table")
        if self._accept("AS"):
            if self._at >= len(self._tokens):
                raise self._error("expected a query")
            return CreateTableAs(name, self._offset(), if_not_exists, at)
        self._expect("(")
        columns: list[ColumnSpec] = []
        primary_key: list[str] = []
        uniques: list[list[str]] = []
        table = CreateTable(name, columns, primary_key, uniques, if_not_exists, "", at)
        while True:
            if self._word() in _TABLE_CONSTRAINTS and self._tokens[self._at].token_type is not TokenType.IDENTIFIER:
                self._table_constraint(table)
            else:
                columns.append(self._column(table))
            if self._accept(")"):
                break
            self._comma()
        while self._at < len(self._tokens):
            if self._accept("WITHOUT", "ROWID"):
                raise self._unsupported("WITHOUT ROWID")
            self._expect("STRICT")  # every table is strict
            self._accept(",")
        table.sql = self._sql[self._tokens[0].start : self._tokens[-1].end + 1]
        return table

    def _table_constraint(self, table: CreateTable) -> None:
        named = self._name("the constraint") if self._accept("CONSTRAINT") else ""
        if self._accept("PRIMARY", "KEY"):
            if table.primary_key:
                raise self._error("the table has two primary keys")
            table.primary_key.extend(self._names())
        elif self._accept("UNIQUE"):
            table.uniques.append(self._names())
        elif self._word() == "CHECK":
            table.checks.append(self._check(named))
        elif self._accept("FOREIGN", "KEY"):
            columns = self._names()
            self._expect("REFERENCES")
            table.references.append(self._reference(columns, named))
        else:
            raise self._unsupported(f"the constraint {self._word()}")
        if self._word() == "ON":
            raise self._unsupported("ON CONFLICT in a constraint")

    def _check(self, name: str) -> CheckSpec:
        at = self._offset()
        self._at += 1
        start = self._at
        if self._word() != "(":
            raise self._error("expected (")
        self._expression()
        return CheckSpec(self._sql[self._tokens[start].start + 1 : self._tokens[self._at - 1].start].strip(), name, at)

    def _reference(self, columns: list[str], name: str) -> ReferenceSpec:
        """Parses what comes behind REFERENCES."""
        at = self._offset()
        parent = self._name("the parent table")
        out = ReferenceSpec(columns, parent, self._names() if self._word() == "(" else [], name=name, at=at)
        while True:
            if self._accept("ON", "DELETE"):
                out.on_delete = self._action()
            elif self._accept("ON", "UPDATE"):
                out.on_update = self._action()
            elif self._accept("MATCH"):
                self._name("a kind of match")  # SQLite: all are MATCH SIMPLE
            elif self._accept("NOT", "DEFERRABLE"):
                self._accept("INITIALLY", "DEFERRED") or self._accept("INITIALLY", "IMMEDIATE")
            elif self._accept("DEFERRABLE"):
                out.deferred = self._accept("INITIALLY", "DEFERRED")
                self._accept("INITIALLY", "IMMEDIATE")
            else:
                return out

    def _action(self) -> str:
        for action in (("SET", "NULL"), ("SET", "DEFAULT"), ("CASCADE",), ("RESTRICT",), ("NO", "ACTION")):
            if self._accept(*action):
                return " ".join(action)
        raise self._error("expected SET NULL, SET DEFAULT, CASCADE, RESTRICT or NO ACTION")

    def _column(self, table: CreateTable) -> ColumnSpec:
        at = self._offset()
        spec = ColumnSpec(self._name("a column"), "", at=at)
        words: list[str] = []
        while (word := self._word()) and word not in _COLUMN_CONSTRAINTS and word not in (",", ")"):
            if word == "(":
                depth_start = self._at
                while not self._accept(")"):
                    self._at += 1
                    if self._at >= len(self._tokens):
                        raise self._error("expected )")
                words.append("".join(t.text for t in self._tokens[depth_start : self._at]))
            else:
                words.append(self._tokens[self._at].text)
                self._at += 1
        spec.declared = " ".join(words).replace(" (", "(")
        while self._word() not in (",", ")", ""):
            self._column_constraint(spec, table)
        return spec

    def _column_constraint(self, spec: ColumnSpec, table: CreateTable) -> None:
        named = self._name("the constraint") if self._accept("CONSTRAINT") else ""
        if self._accept("PRIMARY", "KEY"):
            if spec.primary_key:
                raise self._error("the table has more than one primary key")
            spec.primary_key = True
            if self._accept("DESC"):
                raise self._unsupported("a descending primary key")
            self._accept("ASC")
            if self._word() == "AUTOINCREMENT":
                raise self._unsupported("AUTOINCREMENT")
        elif self._accept("NOT", "NULL"):
            spec.not_null = True
        elif self._accept("NULL"):
            pass
        elif self._accept("UNIQUE"):
            spec.unique = True
        elif self._accept("DEFAULT"):
            start = self._at
            spec.default = self._expression()
            if self._tokens[start].text == "(":
                spec.default_sql = self._sql[self._tokens[start].start : self._tokens[self._at - 1].end + 1]
        elif self._word() == "CHECK":
            table.checks.append(self._check(named))
        elif self._accept("REFERENCES"):
            table.references.append(self._reference([spec.name], named))
        elif self._accept("COLLATE"):
            if not self._accept("BINARY"):
                raise self._unsupported(f"COLLATE {self._word()}")
        else:
            if self._word() not in _COLUMN_CONSTRAINTS:
                raise self._error("expected a constraint, a comma or )")
            raise self._unsupported(f"the constraint {self._word()}")
        if self._word() == "ON":
            raise self._unsupported("ON CONFLICT in a constraint")
