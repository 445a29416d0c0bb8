"""Files: the one place where the engine meets the operating system's storage.

``FileSystem`` is what the floors above ask for. ``LocalFileSystem`` is a folder on disk;
``MemoryFileSystem`` is the same in memory, and can forget what was not synced.
"""

from dosql.fsx.interface import File, FileSystem
from dosql.fsx.local import LocalFileSystem
from dosql.fsx.memory import MemoryFileSystem

__all__ = ["File", "FileSystem", "LocalFileSystem", "MemoryFileSystem"]
