"""Locks and deadlocks. Nothing here knows what is locked, waits, or reads a clock.

Modules:
    locks: who holds what, who is next; and who must give up where all wait for each other.
"""

from dosql.transaction.locks import DATABASE, WHOLE, LockTable, LockWait, Owner, Request

__all__ = ["DATABASE", "WHOLE", "LockTable", "LockWait", "Owner", "Request"]
