"""The ``dolake`` command."""

from __future__ import annotations

import logging
import socket
import sys
from pathlib import Path

import click

from dolake.ingest import FlushLimits
from dolake.server import serve as run_server


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Keep Iceberg tables of DoSQL databases, and serve them to DuckDB, PyIceberg, Spark and Trino."""


@cli.command()
@click.option(
    "--source",
    "sources",
    multiple=True,
    required=True,
    metavar="ws://HOST:PORT",
    help="A DoSQL server. May be given several times.",
)
@click.option(
    "--warehouse", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of the tables."
)
@click.option(
    "--listen",
    default="127.0.0.1:8181",
    show_default=True,
    metavar="HOST:PORT",
    help="Where the Iceberg REST catalog listens.",
)
@click.option("--flush-age", default=1.0, show_default=True, metavar="SECONDS", help="Longest time a change waits.")
@click.option("--flush-rows", default=200_000, show_default=True, help="Rows after which a flush begins at once.")
@click.option("--flush-mb", default=64, show_default=True, help="Megabytes after which a flush begins at once.")
@click.option("--parent-fd", type=int, hidden=True)
@click.option("--announce", is_flag=True, hidden=True)
def serve(
    sources: tuple[str, ...],
    warehouse: Path,
    listen: str,
    flush_age: float,
    flush_rows: int,
    flush_mb: int,
    parent_fd: int | None,
    announce: bool,
) -> None:
    """Follow sources and serve the catalog until Ctrl-C."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    host, _, port = listen.rpartition(":")
    if host.strip("[]") not in ("127.0.0.1", "localhost", "::1") or not port.isdigit():
        raise click.BadParameter(
            "the catalog has no access control yet: give a loopback HOST:PORT", param_hint="--listen"
        )
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host.strip("[]"), int(port)))
        warehouse.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        click.echo(f"error: cannot use {e.filename or listen}: {e.strerror}", err=True)
        sys.exit(1)

    def ready(url: str) -> None:
        click.echo(url if announce else f"catalog listens on {url}", err=not announce)
        sys.stdout.flush()

    run_server(
        sources, warehouse, sock, FlushLimits(flush_rows, flush_mb << 20, flush_age), ready=ready, parent_fd=parent_fd
    )


def main() -> None:
    """Entry point."""
    cli(prog_name="dolake")
