"""Secondary indexes: trees without columns, keyed by the indexed values and the row key.

An entry is ``encoded column values | row key (8 bytes)``, see :mod:`dosql.types.keys`. All
entries of one value are neighbours, in order of the row key. NULLs are entries too; a UNIQUE
index does not compare them.
"""

from dosql.index.entries import EntryMaker, compute_with, entry_maker, term_encoder

__all__ = ["EntryMaker", "compute_with", "entry_maker", "term_encoder"]
