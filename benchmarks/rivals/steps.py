"""The protocol's own loads, stores and fences, in a row, on memory laid out by hand: a limit.

All that makes them a library is left out: there is no lock between threads, no look at dtype and
shape, at the lock file, at another layout, at an interrupt; nothing is checked, nothing repaired.
No Python code that carries out this protocol can take less for a write or a read.
"""

from __future__ import annotations

import threading
import time
from multiprocessing import shared_memory

import numpy as np

from .base import Array, Place

PAGE = 4096
NEWEST, PINS, WAITING, ENTRIES = 0, 64, 512, 62  # where in the first page
SLOTS = 3


class Memory:
    """A page for newest, pins and waiting bytes; then slots, each with a page for its header."""

    def __init__(self, place: Place, array: Array, create: bool) -> None:
        step = PAGE + -(-array.nbytes // PAGE) * PAGE
        self.shared = shared_memory.SharedMemory(
            place.name, create, PAGE + SLOTS * step if create else 0
        )
        buffer = self.shared.buf
        self.words = buffer[: len(buffer) // 8 * 8].cast("Q")
        self.pins = buffer[PINS : PINS + 4 * ENTRIES]
        self.waiting = buffer[WAITING : WAITING + ENTRIES]
        self.heads = [(PAGE + i * step) // 8 for i in range(SLOTS)]
        self.slots = [
            np.frombuffer(buffer, array.dtype, array.size, 2 * PAGE + i * step).reshape(array.shape)
            for i in range(SLOTS)
        ]

    def close(self) -> None:
        self.slots.clear()
        for view in (self.words, self.pins, self.waiting):
            view.release()
        self.shared.close()


class Writer:
    """begin, fill, publish."""

    def __init__(self, place: Place, array: Array) -> None:
        self._memory = memory = Memory(place, array, create=True)
        self._words, self._heads, self._slots = memory.words, memory.heads, memory.slots
        self._pins, self._waiting = memory.pins.tobytes, memory.waiting.tobytes
        lock = threading.Lock()
        lock.acquire()
        self._release, self._acquire = lock.release, lock.acquire
        self._position = 0

    def write(self, array: Array) -> None:
        self._position = position = self._position + 1
        index = position % SLOTS
        words, at = self._words, self._heads[index]
        if index + 1 in self._pins():
            return
        words[at] = 2 * position - 1
        self._release()  # W1
        self._acquire(False)
        if index + 1 in self._pins():
            return
        self._slots[index][...] = array
        words[at + 1] = position
        words[at + 2] = time.perf_counter_ns()
        words[at] = 2 * position
        words[NEWEST] = 2 * position
        self._release()  # W3
        self._acquire(False)
        self._waiting()

    def close(self) -> None:
        del self._words, self._slots, self._pins, self._waiting
        self._memory.close()
        self._memory.shared.unlink()


class Reader:
    """newest, seq, copy, seq."""

    def __init__(self, place: Place, array: Array) -> None:
        self._memory = memory = Memory(place, array, create=False)
        self._words, self._heads, self._slots = memory.words, memory.heads, memory.slots
        self._had = 0

    def read(self) -> Array | None:
        words = self._words
        newest = words[NEWEST]
        if newest == self._had:
            return None
        index = (newest >> 1) % SLOTS
        at = self._heads[index]
        if words[at] != newest:
            return None
        self.frame_id, self.written = words[at + 1], words[at + 2]
        array: Array = self._slots[index].copy()
        if words[at] != newest:
            return None
        self._had = newest
        self.read_at = time.perf_counter_ns()
        return array

    def close(self) -> None:
        del self._words, self._slots
        self._memory.close()
