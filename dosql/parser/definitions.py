"""Statements read by hand from tokens: CREATE, ALTER, DROP, PRAGMA, and those of transactions.

The grammar is SQLite's (https://www.sqlite.org/lang.html); what of it this version does not
run is refused by name, never ignored.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlglot.tokenizer_core import Token

from dosql.parser.tables import TableReader
from dosql.parser.tokens import words
from dosql.plan.syntax import (
    AlterTable,
    Attach,
    Checkpoint,
    CreateIndex,
    CreateTable,
    CreateTrigger,
    CreateView,
    CreateVirtual,
    Drop,
    Maintain,
    Pragma,
    Statement,
    Transaction,
    Truncate,
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

Body = Callable[[list[Token]], Statement]


def parse_definition(sql: str, tokens: list[Token], body: Body) -> Statement:
    """Parses a statement whose first word is one of ``DEFINITION_VERBS``.

    Args:
        sql: The text.
        tokens: Its tokens.
        body: Parses a statement in the body of a trigger.
    """
    return _Definitions(sql, tokens, body).statement()


class _Definitions(TableReader):
    """One method a grammar rule."""

    def __init__(self, sql: str, tokens: list[Token], body: Body) -> None:
        super().__init__(sql, words(sql, tokens))
        self._given = tokens
        self._body = body

    def statement(self) -> Statement:
        verb = self.word()
        rules: dict[str, Callable[[], Statement]] = {
            "BEGIN": self._begin,
            "START": self._begin,
            "ROLLBACK": self._rollback,
            "CREATE": self._create,
            "ALTER": self._alter,
            "DROP": self._drop,
            "PRAGMA": self._pragma,
            "TRUNCATE": self._truncate,
            "ATTACH": self._attach,
            "DETACH": self._attach,
        }
        if verb in rules:
            return rules[verb]()
        self.at += 1
        if verb in ("COMMIT", "END"):
            self.accept("TRANSACTION") or self.accept("WORK")
            self.done()
            return Transaction("COMMIT")
        if verb == "SAVEPOINT":
            return self._savepoint_verb("SAVEPOINT")
        if verb == "RELEASE":
            self.accept("SAVEPOINT")
            return self._savepoint_verb("RELEASE")
        if verb in ("ANALYZE", "REINDEX", "VACUUM"):
            return self._maintain(verb)
        self.done()
        return Checkpoint()

    def _maintain(self, verb: str) -> Maintain:
        at = self.offset()
        name = self.qualified("what to look after")[1] if self.more() else ""
        if self.more() and verb == "VACUUM":
            raise self.unsupported("VACUUM INTO")
        self.done()
        return Maintain(verb, name, at)

    def _pragma(self) -> Pragma:
        self.at += 1
        db, name = self.qualified("the pragma")
        value: str | None = None
        closes = self.accept("(")
        if closes or self.accept("="):
            sign = "-" if self.accept("-") else ""
            self.accept("+")
            if not self.more():
                raise self.error("expected a value")
            token = self.tokens[self.at]
            hexadecimal = self.sql[token.start : token.start + 2].lower() == "0x"
            value = sign + ("0x" if hexadecimal and not token.text.lower().startswith("0x") else "") + token.text
            self.at += 1
            if closes:
                self.expect(")")
        self.done()
        return Pragma(name.lower(), value, db)

    # --- transactions ----------------------------------------------------------------------

    def _rollback(self) -> Transaction:
        self.at += 1
        self.accept("TRANSACTION") or self.accept("WORK")
        if self.accept("TO"):
            self.accept("SAVEPOINT")
            return self._savepoint_verb("ROLLBACK TO")
        self.done()
        return Transaction("ROLLBACK")

    def _savepoint_verb(self, verb: str) -> Transaction:
        name = self.name("a savepoint")
        self.done()
        return Transaction(verb, name)

    def _begin(self) -> Transaction:
        self.at += 1
        mode = next((word for word in ("DEFERRED", "IMMEDIATE", "EXCLUSIVE") if self.accept(word)), "DEFERRED")
        self.accept("TRANSACTION") or self.accept("WORK")
        read_only = False
        isolation = "SERIALIZABLE"
        while self.more():
            if self.accept("READ", "ONLY"):
                read_only = True
            elif self.accept("READ", "WRITE"):
                read_only = False
            elif self.accept("ISOLATION", "LEVEL"):
                if self.accept("SNAPSHOT") or self.accept("REPEATABLE", "READ"):
                    isolation = "SNAPSHOT"
                elif self.accept("READ", "COMMITTED") or self.accept("READ", "UNCOMMITTED"):
                    isolation = "READ COMMITTED"
                elif self.accept("SERIALIZABLE"):
                    isolation = "SERIALIZABLE"
                else:
                    raise self.error("expected READ COMMITTED, REPEATABLE READ, SNAPSHOT or SERIALIZABLE")
            else:
                raise self.error("expected the end of the statement")
            self.accept(",")
        return Transaction("BEGIN", read_only=read_only, isolation=isolation, mode=mode)

    def _attach(self) -> Attach:
        verb = self.word()
        self.at += 1
        self.accept("DATABASE")
        at = self.offset()
        if verb == "DETACH":
            out = Attach(self.name("the database"), None, at)
        else:
            file = self.expression()
            self.expect("AS")
            out = Attach(self.name("the database"), file, at)
        self.done()
        return out

    # --- definitions -----------------------------------------------------------------------

    def _drop(self) -> Drop:
        self.at += 1
        at = self.offset()
        for kind in ("TABLE", "INDEX", "VIEW", "TRIGGER"):
            if self.accept(kind):
                if_exists = self.accept("IF", "EXISTS")
                db, name = self.qualified(f"the {kind.lower()}")
                self.done()
                return Drop(kind, name, if_exists, at, db)
        raise self.unsupported(f"DROP {self.word()}")

    def _truncate(self) -> Truncate:
        self.at += 1
        self.accept("TABLE")
        at = self.offset()
        db, name = self.qualified("the table")
        self.done()
        return Truncate(name, at, db)

    def _create(self) -> Statement:
        self.at += 1
        if self.accept("UNIQUE"):
            self.expect("INDEX")
            return self._create_index(unique=True)
        if self.accept("INDEX"):
            return self._create_index(unique=False)
        temporary = self.accept("TEMP") or self.accept("TEMPORARY")
        if self.accept("TABLE"):
            return self.create_table(temporary=temporary)
        if self.accept("VIEW"):
            return self._create_view(temporary=temporary)
        if self.accept("TRIGGER"):
            return self._create_trigger(temporary=temporary)
        if self.accept("VIRTUAL", "TABLE"):
            return self._create_virtual()
        raise self.unsupported(f"CREATE {self.word()}")

    def _create_index(self, *, unique: bool) -> CreateIndex:
        if_not_exists = self.accept("IF", "NOT", "EXISTS")
        at = self.offset()
        db, name = self.qualified("the index")
        self.expect("ON")
        table = self.name("the table")
        terms = self.key_terms(expressions=True)
        where = ""
        if self.accept("WHERE"):
            where = self.sql[self.offset() : self.tokens[-1].end + 1]
            self.parsed(self.at, len(self.tokens))
            self.at = len(self.tokens)
        self.done()
        return CreateIndex(name, table, terms, unique, if_not_exists, at, where, db)

    def _create_view(self, *, temporary: bool) -> CreateView:
        if_not_exists = self.accept("IF", "NOT", "EXISTS")
        at = self.offset()
        db, name = self.qualified("the view")
        if temporary and db not in ("", "temp"):
            raise self.error("temporary table name must be unqualified")
        columns = self.names() if self.word() == "(" else []
        self.expect("AS")
        if not self.more():
            raise self.error("expected a query")
        return CreateView(name, columns, self.offset(), if_not_exists, at, db="temp" if temporary else db)

    def _create_virtual(self) -> CreateVirtual:
        if_not_exists = self.accept("IF", "NOT", "EXISTS")
        at = self.offset()
        db, name = self.qualified("the table")
        self.expect("USING")
        module = self.name("the module")
        arguments: list[str] = []
        if self.more():
            self.expect("(")
            while self.word() != ")":
                start = self.at
                while self.more() and not (self.plain() and self.word() in (",", ")")):
                    self.at += 1
                part = self.tokens[start : self.at]
                if not part:
                    raise self.error("expected an argument")
                whole = self.sql[part[0].start : part[-1].end + 1]
                arguments.append(part[0].text if len(part) == 1 else whole)
                self.accept(",")
            self.expect(")")
        self.done()
        return CreateVirtual(name, module, arguments, if_not_exists, at, db)

    def _create_trigger(self, *, temporary: bool) -> CreateTrigger:
        if_not_exists = self.accept("IF", "NOT", "EXISTS")
        at = self.offset()
        db, name = self.qualified("the trigger")
        if temporary and db:
            raise self.error("temporary trigger may not have qualified name")
        timing = "BEFORE"
        for word in ("BEFORE", "AFTER"):
            if self.accept(word):
                timing = word
        if self.accept("INSTEAD", "OF"):
            timing = "INSTEAD OF"
        event = next((word for word in ("DELETE", "INSERT", "UPDATE") if self.accept(word)), "")
        if not event:
            raise self.error("expected DELETE, INSERT or UPDATE")
        columns: list[str] = []
        if event == "UPDATE" and self.accept("OF"):
            columns.append(self.name("a column"))
            while self.accept(","):
                columns.append(self.name("a column"))
        self.expect("ON")
        target_db, table = self.qualified("the table")
        self.accept("FOR", "EACH", "ROW")
        when = None
        if self.accept("WHEN"):
            start = self.at
            while self.more() and not (self.plain() and self.word() == "BEGIN"):
                self.at += 1
            when = self.parsed(start, self.at)
        begins = self.offset()
        self.expect("BEGIN")
        steps = self._steps(begins)
        sql = f"CREATE TRIGGER {self.sql[at : self.tokens[-1].end + 1]}"
        db = "temp" if temporary else db
        return CreateTrigger(name, table, timing, event, columns, when, steps, if_not_exists, sql, at, db, target_db)

    def _steps(self, begins: int) -> list[Statement]:
        """Reads the statements of a trigger, each with a semicolon, up to END."""
        out: list[Statement] = []
        part: list[Token] = []
        for token in [t for t in self._given if t.start > begins]:
            if token.text == ";" and token is not self._given[-1]:
                step = self._body(part)
                if getattr(step, "returning", None):
                    raise self.error("cannot use RETURNING in a trigger")
                out.append(step)
                part = []
            else:
                part.append(token)
        self.at = len(self.tokens)
        if [t.text.upper() for t in part] != ["END"] or not out:
            raise self.error("expected ; and END behind the statements of a trigger")
        return out

    # --- ALTER -----------------------------------------------------------------------------

    def _alter(self) -> AlterTable:
        self.at += 1
        self.expect("TABLE")
        at = self.offset()
        db, table = self.qualified("the table")
        out = AlterTable("", table, at=at, db=db)
        if self.accept("RENAME", "TO"):
            out.action, out.name = "RENAME", self.name("the table")
        elif self.accept("RENAME"):
            self.accept("COLUMN")
            out.action, out.column = "RENAME COLUMN", self.name("a column")
            self.expect("TO")
            out.name = self.name("a column")
        elif self.accept("ADD"):
            self.accept("COLUMN")
            starts = self.offset()
            out.action, out.added = "ADD", CreateTable(table, [], None, [], False, "", at, db)
            out.added.columns.append(self.column(out.added))
            out.text = self.sql[starts : self.tokens[-1].end + 1]
        elif self.accept("DROP"):
            self.accept("COLUMN")
            out.action, out.column = "DROP", self.name("a column")
        elif self.accept("ALTER"):
            self.accept("COLUMN")
            out.action, out.column = "TYPE", self.name("a column")
            self.accept("SET", "DATA")
            self.expect("TYPE")
            starts = self.offset()
            if not self.more():
                raise self.error("expected a type")
            self.at = len(self.tokens)
            out.text = self.sql[starts : self.tokens[-1].end + 1]
        else:
            raise self.error("expected RENAME, ADD, DROP or ALTER")
        self.done()
        return out
