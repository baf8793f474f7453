"""Recycled memory for the arrays that a reader delivers.

Fresh memory costs more than the copy into it, as the kernel zeroes each page at its first touch.
So a large array lies in a buffer that is used again once the array and all slices of it are gone.
Knows nothing of frames.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["SMALLEST", "Buffers"]

# Bytes; below, malloc recycles by itself and costs less than this does. (glibc's and musl's map and
# unmap what has 128 KiB or more.)
SMALLEST = 120 * 1024
# A reader holds its last array, and its user some before it. A user who holds more gets fresh
# memory, so this is also the most that stays here when all arrays are gone.
MOST = 4
_ALIGNMENT = 64


class Buffers:
    """A few buffers, each of which comes back when its array dies."""

    def __init__(self) -> None:
        self._free: list[memoryview] = []
        self._lent: dict[int, tuple[Any, memoryview]] = {}
        self._returned: list[Any] = []

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any], nbytes: int) -> npt.NDArray[Any]:
        """Return an uninitialised, writable array of `nbytes` bytes."""
        if self._returned:
            self._collect()
        if len(self._lent) >= MOST:
            return np.empty(shape, dtype)
        buffer = self._free_or_new(nbytes)
        flat: npt.NDArray[Any] = np.frombuffer(buffer, dtype, nbytes // dtype.itemsize)
        # numpy ends every chain of views at `flat`, whose base is a memoryview that numpy made and
        # that lives as long as the array or any slice of it. It may die in any thread and inside
        # any code; the callback is the append of a list, which no signal can interrupt.
        watch = weakref.ref(flat.base, self._returned.append)
        self._lent[id(watch)] = (watch, buffer)
        return flat.reshape(shape)

    def _collect(self) -> None:
        while self._returned:
            # From the front: an array that dies in another thread just now appends at the end.
            lent = self._lent.pop(id(self._returned[0]), None)
            if lent is not None:
                self._free.append(lent[1])
            self._returned.pop(0)

    def _free_or_new(self, nbytes: int) -> memoryview:
        while self._free:
            buffer = self._free.pop()
            if nbytes <= len(buffer) <= 2 * nbytes:
                return buffer
        raw = np.empty(nbytes + _ALIGNMENT, np.uint8)
        skip = -raw.ctypes.data % _ALIGNMENT
        return raw[skip : skip + nbytes].data
