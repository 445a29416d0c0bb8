"""Reading files into Arrow tables.

==================== ============================================
ending               read as
==================== ============================================
.parquet             Parquet
.csv .tsv .txt       CSV; the separator is a comma, or a tab (.tsv)
.ndjson .jsonl .json JSON, one object a line
==================== ============================================

``.gz``, ``.bz2`` and ``.zst`` behind the ending are unpacked; a ``.zip`` must hold one file.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
import pyarrow.parquet as pq

_COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
_NUMERIC_NULLS = ["", "NA", "N/A", "NaN", "nan", "NULL", "null", "#N/A"]


class FileError(Exception):
    """A file cannot be read; the message names it and says why."""


def read_file(path: Path, nulls: list[str] | None = None, content: bytes | None = None) -> pa.Table:
    """Reads a whole file.

    Args:
        path: Its ending tells the format.
        content: Of a file that is elsewhere; ``path`` is then its name only.
        nulls: Texts that mean NULL in every column of a CSV file. The empty one always does; in
            columns of numbers the usual ones (NA, NULL, ...) do too.

    Returns:
        A table with types inferred from all rows.

    Raises:
        FileError: The format is not known, or the content does not fit it.
    """
    suffixes = [s.lower() for s in path.suffixes]
    packed = suffixes[-1] if suffixes and suffixes[-1] in (*_COMPRESSIONS, ".zip") else ""
    ending = (suffixes[-2] if len(suffixes) > 1 else "") if packed else (suffixes[-1] if suffixes else "")
    try:
        source = _unpacked(path, packed, content)
        if ending == ".parquet":
            return pq.read_table(source)
        if ending in (".csv", ".tsv", ".txt"):
            return _read_csv(source, "\t" if ending == ".tsv" else ",", nulls or [])
        if ending in (".ndjson", ".jsonl", ".json"):
            return pa_json.read_json(source)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, zipfile.BadZipFile, OSError, UnicodeDecodeError) as e:
        raise FileError(f"cannot read {path}: {e}") from e
    raise FileError(f"cannot tell the format of {path}: name it .csv, .tsv, .parquet, .ndjson or .jsonl")


def _unpacked(path: Path, packed: str, content: bytes | None) -> pa.NativeFile:
    if packed == ".zip":
        with zipfile.ZipFile(path if content is None else io.BytesIO(content)) as archive:
            names = [n for n in archive.namelist() if not n.endswith("/") and not n.startswith("__MACOSX")]
            if len(names) != 1:
                raise zipfile.BadZipFile(f"the archive holds {len(names)} files, not one")
            return pa.BufferReader(archive.read(names[0]))
    raw = pa.OSFile(str(path)) if content is None else pa.BufferReader(content)
    compression = _COMPRESSIONS.get(packed)
    return raw if compression is None else pa.CompressedInputStream(raw, compression)


def _read_csv(source: pa.NativeFile, delimiter: str, nulls: list[str]) -> pa.Table:
    convert = pa_csv.ConvertOptions(
        null_values=list(
            dict.fromkeys(
                [
                    *nulls,
                    *(
                        [
                            "",
                        ]
                        if nulls
                        else _NUMERIC_NULLS
                    ),
                ]
            )
        ),
        strings_can_be_null=bool(nulls),
        quoted_strings_can_be_null=False,
    )
    # One block as large as the file: the types are inferred from all rows, not from the first ones.
    read = pa_csv.ReadOptions(block_size=(1 << 31) - 1)
    parse = pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    return pa_csv.read_csv(source, read, parse, convert)
