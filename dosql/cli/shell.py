"""The interactive shell."""

from __future__ import annotations

import sys
from typing import Any

import click
from prompt_toolkit import PromptSession
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.history import InMemoryHistory

from dosql.cli.output import FORMATS, render
from dosql.cli.target import DEFAULT_URL, open_target
from dosql.errors import DosqlError, SqlSyntaxError
from dosql.parser import split

HELP = """\
A statement ends with a semicolon and may take several lines.
.tables          list the tables
.schema TABLE    show a table's columns
.format NAME     table, json or csv
.help            this text
.quit            leave (also Ctrl-D)
"""


async def run_shell(to: str | None, data: str | None) -> None:
    """Runs statements from the terminal, or from standard input, until it ends."""
    async with open_target(to, data) as db:
        shell = _Shell(db)
        if not sys.stdin.isatty():
            for statement in split(sys.stdin.read()):
                await shell.statement(statement)
            return
        click.echo(f"DoSQL shell on {data or to or DEFAULT_URL}. .help tells more, .quit leaves.", err=True)
        session: PromptSession[str] = PromptSession(history=InMemoryHistory(), auto_suggest=AutoSuggestFromHistory())
        await shell.loop(session)


class _Shell:
    def __init__(self, db: Any) -> None:
        self._db = db
        self._style = "table"

    async def loop(self, session: PromptSession[str]) -> None:
        """Reads and runs until the user leaves."""
        text = ""
        while True:
            try:
                line = await session.prompt_async("dosql> " if not text else "   ...> ")
            except KeyboardInterrupt:
                text = ""
                continue
            except EOFError:
                return
            if not text and line.strip().startswith("."):
                if not await self._command(line.strip()):
                    return
                continue
            text += line + "\n"
            if not _complete(text):
                continue
            for statement in split(text):
                await self.statement(statement)
            text = ""

    async def statement(self, sql: str) -> None:
        """Runs one statement and prints what it gave."""
        try:
            result = await self._db.query(sql)
        except DosqlError as e:
            click.echo(f"error: {e}", err=True)
            return
        if result.columns:
            click.echo(render(result.columns, result.rows, self._style), nl=False)
        else:
            click.echo(f"{result.rows_affected} rows changed", err=True)

    async def _command(self, line: str) -> bool:
        verb, _, rest = line.partition(" ")
        if verb in (".quit", ".exit"):
            return False
        if verb == ".tables" or verb == ".schema":
            schema = await self._schema()
            for table in schema:
                if verb == ".tables":
                    click.echo(table[0])
                elif not rest or table[0].lower() == rest.strip().lower():
                    click.echo(table[1] + ";")
        elif verb == ".format" and rest.strip() in FORMATS:
            self._style = rest.strip()
        else:
            click.echo(HELP, nl=False)
        return True

    async def _schema(self) -> list[tuple[str, str]]:
        out = []
        for table in (await self._db.schema()).tables:
            columns = ",\n  ".join(
                f"{c.name} {c.type}{' PRIMARY KEY' if c.primary_key else '' if c.nullable else ' NOT NULL'}"
                for c in table.columns
            )
            out.append((table.name, f"CREATE TABLE {table.name} (\n  {columns}\n)"))
        return out


def _complete(text: str) -> bool:
    """Whether the text ends with a semicolon outside strings and comments."""
    if not text.strip():
        return True
    try:
        return len(split(text + " x")) > len(split(text)) or not split(text)
    except SqlSyntaxError:
        return False
