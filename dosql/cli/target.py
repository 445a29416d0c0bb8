"""Where a command runs its statements: a server, or a data folder in this process."""

from __future__ import annotations

from typing import Any

import dosql
import sql_do
from dosql.config import StoreSettings
from dosql.errors import RequestError

DEFAULT_URL = "ws://127.0.0.1:8765"


def open_target(to: str | None, data: str | None) -> Any:
    """Returns an async context manager with ``query``, ``execute`` and ``execute_many``.

    Raises:
        RequestError: Both were given.
    """
    if to is not None and data is not None:
        raise RequestError("give --to or --data, not both")
    settings = StoreSettings(owns_process=True)
    return dosql.open(data, settings) if data is not None else sql_do.connect(to or DEFAULT_URL)
