"""The chunk that a file is being given: its messages where they lie, until it is written."""

from __future__ import annotations

import struct
import time
import zlib
from collections import defaultdict

from mcap.opcode import Opcode

from .checksum import combine
from .messages import Message

__all__ = ["ChunkBuilder"]

_MESSAGE = struct.Struct("<BQHIQQ")
_MESSAGE_FIXED = _MESSAGE.size - 9  # of its length, which counts neither opcode nor itself
_CHUNK = struct.Struct("<BQQQQIIQ")  # of a chunk that is not compressed
_CHUNK_FIXED = _CHUNK.size - 9


class ChunkBuilder:
    """The messages of a chunk that is being filled.

    Attributes
    ----------
    parts : list
        Its records, the payloads where they lie.
    index : dict
        Of each channel, where its messages begin, and their log times.
    nbytes, count : int
        The length of the records, and how many messages there are.
    start, end : int
        The messages' log times.
    begun : float
        When the first one was added, on the monotonic clock.
    """

    def __init__(self) -> None:
        self.parts: list[bytes | memoryview] = []
        self.index: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self.nbytes = self.count = self.start = self.end = self._crc = 0
        self.begun = 0.0

    def add(self, channel: int, message: Message) -> None:
        """Add a message."""
        head = _MESSAGE.pack(
            Opcode.MESSAGE,
            _MESSAGE_FIXED + message.nbytes,
            channel,
            message.sequence,
            message.log_time,
            message.publish_time,
        )
        if not self.count:
            self.begun = time.monotonic()
            self.start = self.end = message.log_time
        self.start, self.end = min(self.start, message.log_time), max(self.end, message.log_time)
        self.index[channel].append((message.log_time, self.nbytes))
        head += message.head
        payload, checksum = message.payload, message.checksum
        self.parts += [head, payload]
        self._crc = zlib.crc32(head, self._crc)
        if checksum is None:
            self._crc = zlib.crc32(payload, self._crc)
        else:
            self._crc = combine(self._crc, checksum, len(payload))
        self.nbytes += len(head) + len(payload)
        self.count += 1

    def head(self) -> bytes:
        """Return what stands before the records."""
        size, length = self.nbytes, _CHUNK_FIXED + self.nbytes
        return _CHUNK.pack(Opcode.CHUNK, length, self.start, self.end, size, self._crc, 0, size)
