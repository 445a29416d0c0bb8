"""The change stream of a DoSQL server, for those who keep a copy: lakes, caches, search indexes.

::

    import lake_do

    async with lake_do.connect("ws://127.0.0.1:8765") as source:
        stream = await source.subscribe(slot="my-cache", snapshot=True)
        async for change in stream:
            print(change.lsn, change.operation, change.table, change.after)
            await stream.acknowledge(change.commit_lsn)
"""

from lake_do.stream import Change, ChangeSource, ChangeStream, connect
from shared_types.errors import ConnectionLost, DosqlError, SubscriptionError

__all__ = ["Change", "ChangeSource", "ChangeStream", "ConnectionLost", "DosqlError", "SubscriptionError", "connect"]
