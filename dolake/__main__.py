"""``python -m dolake``."""

from dolake.cli import main

main()
