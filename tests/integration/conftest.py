"""Fixtures of processes; each stops what it started, by process id."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.processes import Up


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    """A running ``dosql up`` on an empty folder."""
    running = Up(tmp_path / "data")
    running.start()
    yield running
    running.stop()
