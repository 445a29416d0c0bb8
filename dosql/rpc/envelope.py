"""What can be said of a message that cannot be read."""

from __future__ import annotations


def id_in(message: bytes) -> int:
    """Returns the id a broken or cut message begins with, or -1."""
    # {"id": n, ...}: a map header, the text "id", then the number.
    if len(message) > 5 and message[0] & 0xF0 == 0x80 and message[1:4] == b"\xa2id":
        head = message[4:13]
        width = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}.get(head[0])
        if head[0] < 0x80:
            return head[0]
        if width is not None:
            return int.from_bytes(head[1 : 1 + width], "big")
    return -1
