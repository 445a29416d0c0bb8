"""The ``dosql`` command.

Exit codes: 0 done, 1 the work failed, 2 wrong usage. Results go to stdout, everything else to stderr.
"""

from dosql.cli.commands import main

__all__ = ["main"]
