"""``python -m dosql``."""

from dosql.cli import main

main()
