"""The Merkle tree over a log's records: RFC 6962 §2.1, SHA-256.

A leaf is the exact bytes of a record's line, without its line end. The tree grows record by record and gives the root
of any size it passes through, in memory that grows with the logarithm of the log.
"""

from __future__ import annotations

from hashlib import sha256

EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(record: bytes) -> bytes:
    """32 bytes: SHA-256 of 0x00 and the record."""
    return sha256(b"\x00" + record).digest()


class Tree:
    """`size` leaves so far. Not safe for several threads at once."""

    def __init__(self) -> None:
        self.size = 0
        # The roots of the complete subtrees from left to right: one for each bit that is set in `size`.
        self._peaks: list[bytes] = []

    def add(self, leaf: bytes) -> None:
        """Appends one leaf's hash."""
        peaks, size = self._peaks, self.size
        while size & 1:
            leaf = sha256(b"\x01" + peaks.pop() + leaf).digest()
            size >>= 1
        peaks.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """32 bytes: the root over all leaves so far."""
        if not self._peaks:
            return EMPTY_ROOT
        *rest, root = self._peaks
        for peak in reversed(rest):
            root = sha256(b"\x01" + peak + root).digest()
        return root
