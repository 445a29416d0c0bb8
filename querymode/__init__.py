"""QueryMode: the columnar engine on Arrow.

This version has its file formats: :mod:`querymode.formats` reads CSV, Parquet and NDJSON into
Arrow, with types inferred.
"""

from querymode.formats import FileError, read_file

__all__ = ["FileError", "read_file"]
