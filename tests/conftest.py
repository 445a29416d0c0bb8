"""Options of the test run."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds ``--update-golden``."""
    parser.addoption("--update-golden", action="store_true", help="write what golden scripts give now")


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Whether golden scripts are to be written anew."""
    return bool(request.config.getoption("--update-golden"))
