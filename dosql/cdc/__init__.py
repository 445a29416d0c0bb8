"""The change stream: what was committed, in commit order, from any LSN the log still has.

Only durable commits are sent. Events are the log's own operations, see
:mod:`shared_types.changes`; nothing is encoded twice.
"""

from dosql.cdc.stream import ChangeFilter, ChangeStream

__all__ = ["ChangeFilter", "ChangeStream"]
