"""Writes past the page cache: large pieces from aligned memory to aligned places of a file.

The page cache is one more copy, and where more comes than it may hold, Linux slows its writers down
to less than what the disk can do (docs/record.md has figures). It also throws out what other
programs have there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["ALIGNMENT", "Direct"]

ALIGNMENT = 4096  # bytes; a multiple of the blocks of all common disks
_PIECE = 2 << 20  # bytes of a write; 1 to 4 MiB were the fastest, 24 MiB took half as long again


class Direct:
    """A second descriptor of a file, for writes past the page cache.

    Parameters
    ----------
    path : str
        The file.

    Raises
    ------
    OSError
        If the file system has no such writes.
    AttributeError
        If the system has none (macOS, Windows).
    """

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_DIRECT | os.O_CLOEXEC)
        raw = np.empty(_PIECE + ALIGNMENT, np.uint8)
        skip = -raw.ctypes.data % ALIGNMENT
        self._stage = raw[skip : skip + _PIECE]

    def write(self, parts: Sequence[memoryview], at: int) -> Iterator[int]:
        """Write all parts from an aligned place on, together of an aligned length.

        Yields how many bytes each write wrote.
        """
        for piece in self._pieces(parts):
            while piece:
                written = os.pwrite(self._fd, piece, at)
                yield written
                at, piece = at + written, piece[written:]

    def _pieces(self, parts: Sequence[memoryview]) -> Iterator[memoryview]:
        stage, filled = self._stage, 0
        for part in parts:
            rest: npt.NDArray[Any] = np.frombuffer(part, np.uint8)
            while len(rest):
                some = rest[: len(stage) - filled]
                stage[filled : filled + len(some)] = some
                filled, rest = filled + len(some), rest[len(some) :]
                if filled == len(stage):
                    yield stage.data
                    filled = 0
        if filled:
            yield stage[:filled].data

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._fd)
