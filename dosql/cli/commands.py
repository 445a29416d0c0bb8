"""Commands and their options.

What only some commands need, and takes long to import or much memory, they import themselves: a server
lives with what this module imports.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from dosql import __version__
from dosql.cli.maintenance import backup, check, restore
from dosql.cli.output import FORMATS, render
from dosql.cli.store_options import arguments_from, limits_from, settings_from, store_options
from dosql.cli.target import DEFAULT_URL, open_target
from dosql.cli.up import run_up
from dosql.errors import DosqlError
from dosql.parser import split
from dosql.server import serve as run_server

_CONTEXT = {"help_option_names": ["-h", "--help"]}

to_option = click.option("--to", metavar="ws://HOST:PORT", help=f"A running server. Default: {DEFAULT_URL}")
data_option = click.option("--data", metavar="DIR", help="A data folder that no server has open, instead of a server.")


@click.group(context_settings=_CONTEXT)
@click.version_option(__version__, prog_name="dosql")
def cli() -> None:
    """A SQL database whose every committed change lands in open Iceberg tables.

    \b
    dosql up                        start server, lake and catalog
    dosql demo flights              load 336,776 real flights
    dosql sql "SELECT ..."          run a statement
    dosql shell                     run statements interactively
    dosql import FILE --table NAME  load a CSV, Parquet or NDJSON file
    dosql backup DIR TARGET         copy a database while it is in use
    dosql check DIR                 verify every page and the log
    dosql stats                     figures of a running server
    """


@cli.command(context_settings=_CONTEXT)
@click.option(
    "--data", default="./dosql-data", show_default=True, metavar="DIR", help="Folder of the database and the lake."
)
@click.option(
    "--listen", default="127.0.0.1:8765", show_default=True, metavar="HOST:PORT", help="Where the SQL server listens."
)
@click.option(
    "--catalog-listen",
    default="127.0.0.1:8181",
    show_default=True,
    metavar="HOST:PORT",
    help="Where the Iceberg REST catalog listens.",
)
@click.option("--database", default="main", show_default=True, help="Name of a new database; the lake's namespace.")
@store_options
def up(data: str, listen: str, catalog_listen: str, database: str, **options: Any) -> None:
    """Start the SQL server, the lake and the catalog; Ctrl-C stops all of them.

    DIR holds the database, DIR/lake the Iceberg tables. Nothing else is needed.
    """
    sys.exit(run_up(Path(data), listen, catalog_listen, database, arguments_from(options)))


@cli.command(context_settings=_CONTEXT)
@click.option("--data", required=True, metavar="DIR", help="Data folder; made if it does not exist.")
@click.option("--listen", default="127.0.0.1:8765", show_default=True, metavar="HOST:PORT", help="Where to listen.")
@click.option("--database", default="main", show_default=True, help="Name of a new database.")
@store_options
@click.option("--parent-fd", type=int, hidden=True)
@click.option("--announce", is_flag=True, hidden=True)
def serve(data: str, listen: str, database: str, parent_fd: int | None, announce: bool, **options: Any) -> None:
    """Start the SQL server alone; Ctrl-C stops it."""

    def ready(url: str, _: Any) -> None:
        click.echo(url if announce else f"dosql listens on {url}, data in {data}", err=not announce)
        sys.stdout.flush()

    run_server(
        data,
        listen,
        name=database,
        store_settings=settings_from(options),
        settings=limits_from(options),
        ready=ready,
        parent_fd=parent_fd,
    )


@cli.command(context_settings=_CONTEXT)
@click.argument("text")
@to_option
@data_option
@click.option(
    "--format", "style", type=click.Choice(FORMATS), default="table", show_default=True, help="How rows are printed."
)
def sql(text: str, to: str | None, data: str | None, style: str) -> None:
    """Run TEXT, one or several statements with semicolons between.

    \b
    dosql sql "SELECT carrier, count(*) FROM flights GROUP BY 1 ORDER BY 2 DESC LIMIT 3"
    dosql sql "SELECT * FROM flights" --format csv > flights.csv
    """

    async def run() -> None:
        async with open_target(to, data) as db:
            for statement in split(text):
                result = await db.query(statement)
                if result.columns:
                    click.echo(render(result.columns, result.rows, style), nl=False)
                else:
                    click.echo(f"{result.rows_affected} rows changed, LSN {result.lsn}", err=True)

    asyncio.run(run())


@cli.command(context_settings=_CONTEXT)
@to_option
@data_option
def shell(to: str | None, data: str | None) -> None:
    """Run statements interactively; .help inside tells more."""
    from dosql.cli.shell import run_shell

    asyncio.run(run_shell(to, data))


@cli.command("import", context_settings=_CONTEXT)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--table", required=True, metavar="NAME", help="Table to load into; made from the file's columns if new.")
@click.option(
    "--null", "nulls", multiple=True, metavar="TEXT", help="Text that means NULL in a CSV file, besides the empty one."
)
@to_option
@data_option
def import_(file: Path, table: str, nulls: tuple[str, ...], to: str | None, data: str | None) -> None:
    """Load FILE (CSV, Parquet or NDJSON; .gz and .zip too) into a table.

    \b
    dosql import people.csv --table people
    dosql import events.parquet --table events --to ws://127.0.0.1:8765
    """
    from dosql.cli.loading import load_file

    async def run() -> int:
        async with open_target(to, data) as db:
            return await load_file(db, file, table, list(nulls))

    rows = asyncio.run(run())
    click.echo(f"{rows} rows loaded into {table}", err=True)


@cli.command(context_settings=_CONTEXT)
@click.argument("name", type=click.Choice(["flights"]))
@to_option
@data_option
def demo(name: str, to: str | None, data: str | None) -> None:
    """Load a real data set to play with.

    flights: all 336,776 flights that left New York in 2013, with airlines, airports, planes and weather.
    """
    from dosql.cli.demo import load_flights

    async def run() -> None:
        async with open_target(to, data) as db:
            await load_flights(db)

    asyncio.run(run())


@cli.command(context_settings=_CONTEXT)
@to_option
@data_option
def stats(to: str | None, data: str | None) -> None:
    """Show figures of the database: log, memory, pages, open transactions, slots."""

    async def run() -> None:
        async with open_target(to, data) as db:
            found = await db.stats()
            for field in msgspec.structs.fields(found):
                if field.name != "slots":
                    value = getattr(found, field.name)
                    click.echo(f"{field.encode_name:<20} {'-' if value is None else value}")
            for slot in found.slots:
                active = ", active" if slot.active else ""
                click.echo(f"slot {slot.name:<15} confirmed LSN {slot.confirmed_lsn}{active}")

    asyncio.run(run())


for _command in (check, backup, restore):
    cli.add_command(_command)


def main() -> None:
    """Entry point."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    sys.exit(_guarded(lambda: cli(prog_name="dosql", standalone_mode=True)))


def _guarded(work: Callable[[], Any]) -> int:
    try:
        work()
    except DosqlError as e:
        click.echo(f"error: {e}", err=True)
        return 1
    except BrokenPipeError:
        return 1
    return 0
