"""Writes past the page cache: large pieces from aligned memory to aligned places of a file.

The page cache is one more copy, and where more comes than it may hold, Linux slows its writers down
to less than what the disk can do (docs/record.md has figures). It also throws out what other
programs have there.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["ALIGNMENT", "Direct"]

ALIGNMENT = 4096  # bytes; a multiple of the blocks of all common disks
_PIECE = 2 << 20  # bytes of a write; 1 to 4 MiB were the fastest, 24 MiB took half as long again


class Direct:
    """Writes past the page cache by a file's own descriptor: its flag is set meanwhile.

    A second descriptor would have to be opened by the file's path, where by then another file may
    be.

    Parameters
    ----------
    fd : int
        The file's descriptor.

    Raises
    ------
    OSError
        If the system (macOS, Windows) or the file system has no such writes.
    """

    def __init__(self, fd: int) -> None:
        if not hasattr(os, "O_DIRECT"):
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        self._fd, self._flag = fd, os.O_DIRECT
        with self._past_the_cache():
            pass
        raw = np.empty(_PIECE + ALIGNMENT, np.uint8)
        skip = -raw.ctypes.data % ALIGNMENT
        self._stage = raw[skip : skip + _PIECE]

    def write(self, parts: Sequence[memoryview]) -> Iterator[int]:
        """Write all parts, together of an aligned length, to the descriptor's aligned place.

        Yields how many bytes each write wrote.
        """
        with self._past_the_cache():
            for piece in self._pieces(parts):
                while piece:
                    written = os.write(self._fd, piece)
                    yield written
                    piece = piece[written:]

    @contextmanager
    def _past_the_cache(self) -> Iterator[None]:
        if sys.platform == "win32":
            raise NotImplementedError  # `__init__` has refused already
        import fcntl

        flags = fcntl.fcntl(self._fd, fcntl.F_GETFL)
        fcntl.fcntl(self._fd, fcntl.F_SETFL, flags | self._flag)
        try:
            yield
        finally:
            fcntl.fcntl(self._fd, fcntl.F_SETFL, flags)

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
