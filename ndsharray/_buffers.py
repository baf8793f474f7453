"""Recycled memory for the arrays that a reader hands out.

Fresh memory costs more than the copy into it: the kernel zeroes each page at its first touch. So
a large array lies in a buffer that serves again once nobody holds the array, or any slice of it.
Knows nothing of frames.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["SMALLEST", "Buffers"]

SMALLEST = 64 * 1024  # bytes; below, malloc recycles by itself and costs less than this does
# A reader holds its last array and its user some before it. Who holds more gets fresh memory: so
# this is also the most that stays here when all are let go.
MOST = 4
_ALIGNMENT = 64


class Buffers:
    """A few buffers that come back by themselves."""

    def __init__(self) -> None:
        self._free: list[npt.NDArray[np.uint8]] = []
        self._lent: dict[int, tuple[Any, npt.NDArray[np.uint8]]] = {}
        self._returned: list[Any] = []

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any], nbytes: int) -> npt.NDArray[Any]:
        """Return an uninitialised, writable array of `nbytes` bytes."""
        self._collect()
        if len(self._lent) >= MOST:
            return np.empty(shape, dtype)
        buffer = self._take(nbytes)
        flat = np.frombuffer(buffer.data[:nbytes], np.uint8)
        # numpy ends every chain of views at `flat`, whose base is a memoryview that numpy made:
        # that one lives exactly as long as the array or any slice of it. It may die in any thread
        # and inside any code; the callback is a list's own append, which no signal can interrupt.
        watch = weakref.ref(flat.base, self._returned.append)
        self._lent[id(watch)] = (watch, buffer)
        return flat.view(dtype).reshape(shape)

    def _collect(self) -> None:
        while self._returned:
            # From the front: another thread may let an array go just now, at the end.
            lent = self._lent.pop(id(self._returned[0]), None)
            if lent is not None:
                self._free.append(lent[1])
            self._returned.pop(0)

    def _take(self, nbytes: int) -> npt.NDArray[np.uint8]:
        while self._free:
            buffer = self._free.pop()
            if nbytes <= len(buffer) <= 2 * nbytes:
                return buffer
        raw = np.empty(nbytes + _ALIGNMENT, np.uint8)
        skip = -raw.ctypes.data % _ALIGNMENT
        return raw[skip : skip + nbytes]
