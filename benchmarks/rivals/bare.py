"""Shared memory without any protection: the limits that the others are measured by.

One slot is the *floor*: `SharedMemory`, a numpy assignment and a counter, what a program does by
hand. Three slots and a buffer that is already there are *copyto*, the memory's own speed: both
sides do nothing but `np.copyto`, over as many slots, aligned alike, as this library has by default.
A reader that reads while the other side writes gets a mixture of frames.
"""

from __future__ import annotations

from multiprocessing import shared_memory

import numpy as np

from .base import Array, Place, poll

PAGE = 4096


class Memory:
    """A counter, and slots that begin with a page each."""

    def __init__(self, place: Place, array: Array, slots: int, create: bool) -> None:
        step = -(-array.nbytes // PAGE) * PAGE
        size = PAGE + slots * step if create else 0
        self.shared = shared_memory.SharedMemory(place.name, create, size)
        self.counter = self.shared.buf[:8].cast("Q")
        self.slots = [
            np.frombuffer(self.shared.buf, array.dtype, array.size, PAGE + i * step).reshape(
                array.shape
            )
            for i in range(slots)
        ]
        if create:
            for slot in self.slots:
                slot[...] = 0  # the pages exist from now on

    def close(self) -> None:
        self.slots.clear()
        self.counter.release()
        self.shared.close()


class Writer:
    """Copies into the next slot, and counts."""

    def __init__(self, place: Place, array: Array, slots: int) -> None:
        self._memory = Memory(place, array, slots, create=True)
        self._counter, self._slots = self._memory.counter, self._memory.slots
        self._count = 0
        self.write = self._one if slots == 1 else self._next
        self._slot = self._slots[0]

    def _one(self, array: Array) -> None:
        self._slot[...] = array
        self._count += 1
        self._counter[0] = self._count

    def _next(self, array: Array) -> None:
        self._count += 1
        np.copyto(self._slots[self._count % 3], array)
        self._counter[0] = self._count

    def close(self) -> None:
        del self._slot
        self._memory.close()
        self._memory.shared.unlink()


class Reader:
    """Copies out of the slot if the counter has moved."""

    def __init__(self, place: Place, array: Array, slots: int) -> None:
        self._memory = Memory(place, array, slots, create=False)
        self._counter, self._slots = self._memory.counter, self._memory.slots
        self._count = 0
        self._buffer = np.zeros_like(array)
        self.read = self._one if slots == 1 else self._newest
        self._slot = self._slots[0]

    def _one(self) -> Array | None:
        count = self._counter[0]
        if count == self._count:
            return None
        self._count = count
        return self._slot.copy()

    def _newest(self) -> Array | None:
        count = self._counter[0]
        if count == self._count:
            return None
        self._count = count
        np.copyto(self._buffer, self._slots[count % 3])
        return self._buffer

    def wait(self, timeout: float) -> Array | None:
        return poll(self.read, timeout)

    def close(self) -> None:
        del self._slot
        self._memory.close()
