# Tasks of a checkout with the "dev" extra installed.

# Everything that must hold before a commit.
check: format lint types contracts test

format:
    ruff format .

lint:
    ruff check .

types:
    mypy

contracts:
    lint-imports

test:
    python -m pytest

# The side-by-side benchmark of the first path.
bench:
    python -m benchmarks.first_path
