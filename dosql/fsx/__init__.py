"""Files: the one place where the engine meets the operating system's storage.

``FileSystem`` is what the floors above ask for. ``LocalFileSystem`` is a folder on disk,
``MemoryFileSystem`` is one in memory, and ``FaultyFileSystem`` is one that fails on demand.
``ObjectFileSystem`` is a prefix of a bucket, ``TieredFileSystem`` a folder with such a prefix behind it.
"""

from dosql.fsx.interface import File, FileSystem, read_whole
from dosql.fsx.local import LocalFileSystem
from dosql.fsx.memory import MemoryFileSystem

__all__ = ["File", "FileSystem", "LocalFileSystem", "MemoryFileSystem", "read_whole"]
