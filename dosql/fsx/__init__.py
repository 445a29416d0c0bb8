"""Files: the one place where the engine meets the operating system's storage.

``FileSystem`` is what the floors above ask for. ``LocalFileSystem`` is a folder on disk,
``MemoryFileSystem`` is one in memory, and ``FaultyFileSystem`` is one that fails on demand.
"""

from dosql.fsx.interface import File, FileSystem
from dosql.fsx.local import LocalFileSystem
from dosql.fsx.memory import MemoryFileSystem

__all__ = ["File", "FileSystem", "LocalFileSystem", "MemoryFileSystem"]
