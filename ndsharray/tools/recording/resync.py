"""Where a file goes on after damage: the next record that can only be a chunk."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

from mcap.opcode import Opcode

from .chunk import CHUNK_FIXED, HEAD

__all__ = ["CHUNK_HEAD", "is_chunk", "next_chunk"]

_PACKED = struct.Struct("<Q")  # the length of a chunk's records, as they are in the file
_MOST_NAME = 16  # bytes of a compression's name
CHUNK_HEAD = HEAD.size + CHUNK_FIXED.size + _MOST_NAME + _PACKED.size  # bytes that tell a chunk
_WINDOW = 1 << 22
# Any chunk of less than a TiB that is not compressed, or by what the format knows.
_LIKE = re.compile(rb"\x06.{5}\0\0\0.{28}(?:\0{4}|\x03\0{3}lz4|\x04\0{3}zstd)", re.DOTALL)


def is_chunk(head: bytes | memoryview) -> bool:
    """Tell whether a record begins as a chunk, whose lengths agree with each other.

    Raises
    ------
    struct.error
        If `head` is too short to tell.
    """
    opcode, length = HEAD.unpack(head[: HEAD.size])
    at = HEAD.size + CHUNK_FIXED.size
    _, _, size, _, name = CHUNK_FIXED.unpack(head[HEAD.size : at])
    if opcode != Opcode.CHUNK or name > _MOST_NAME:
        return False
    (packed,) = _PACKED.unpack(head[at + name : at + name + _PACKED.size])
    fixed = CHUNK_FIXED.size + name + _PACKED.size
    return bool(length == fixed + packed and (name or packed == size))


def next_chunk(read: Callable[[int, int], memoryview], at: int, size: int) -> int:
    """Return where the next chunk begins, from `at` on and before `size`; `size` if none does."""
    while at < size:
        window = min(_WINDOW, size - at)
        data = read(at, window + CHUNK_HEAD)
        found = _LIKE.search(data)
        while found is not None and found.start() < window:
            if _begins_at(data, found.start()):
                return at + found.start()
            found = _LIKE.search(data, found.start() + 1)
        at += window
    return size


def _begins_at(data: memoryview, at: int) -> bool:
    try:
        return is_chunk(data[at : at + CHUNK_HEAD])
    except struct.error:
        return False
