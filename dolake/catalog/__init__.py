"""Which tables there are, where their metadata is, and the REST catalog that tells others.

Modules:
    pointers: the store of pointers, with compare-and-swap over several tables at once.
    rest: the Iceberg REST protocol.
"""

from dolake.catalog.pointers import Pointers, Swap

__all__ = ["Pointers", "Swap"]
