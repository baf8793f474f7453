"""A bare futex ping-pong over a word of a mapped file: the least that waiting costs in Python.

It carries no frame: a write stores a number and wakes a reader that sleeps, a read gives the first
array.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import platform
from typing import Any

import numpy as np

from .base import Array, Place

NUMBERS = {"x86_64": 202, "aarch64": 98}  # of the system call; 64-bit Linux
WAIT, WAKE = ctypes.c_long(0), ctypes.c_long(1)


class Word:
    """Four bytes that two processes share, and the call to sleep on them."""

    def __init__(self, place: Place) -> None:
        number = NUMBERS.get(platform.machine())
        if number is None or os.name != "posix":
            raise NotImplementedError(f"no futex on {platform.system()} {platform.machine()}")
        file = os.open(os.path.join(place.root, place.name), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            os.ftruncate(file, mmap.PAGESIZE)
            self._map = mmap.mmap(file, mmap.PAGESIZE)
        finally:
            os.close(file)
        self.word = memoryview(self._map)[:4].cast("I")
        self.call = ctypes.CDLL(None, use_errno=True).syscall
        array = np.frombuffer(self._map, np.uint32, 1)
        self.number, self.address = ctypes.c_long(number), ctypes.c_long(array.ctypes.data)
        self._array = array

    def close(self) -> None:
        self.word.release()
        del self._array, self._map


class Writer:
    """Stores, wakes."""

    def __init__(self, place: Place, array: Array, **_: Any) -> None:
        self._word = Word(place)
        self._wake = (self._word.number, self._word.address, WAKE, ctypes.c_long(1))
        self._memory, self._call, self._count = self._word.word, self._word.call, 0
        self.close = self._word.close

    def write(self, array: Array) -> None:
        self._count = self._memory[0] = (self._count + 1) & 0xFFFFFFFF
        self._call(*self._wake)


class Reader:
    """Sleeps until another number is there."""

    def __init__(self, place: Place, array: Array, **_: Any) -> None:
        self._word = Word(place)
        self._wait = (self._word.number, self._word.address, WAIT)
        self._memory, self._call = self._word.word, self._word.call
        self._count, self._array = self._memory[0], array
        self.close = self._word.close

    def read(self) -> Array | None:
        count = self._memory[0]
        if count == self._count:
            return None
        self._count = count
        return self._array

    def wait(self, timeout: float) -> Array | None:
        count = self._count
        while self._memory[0] == count:
            if self._call(*self._wait, ctypes.c_long(count), None) == -1:
                assert ctypes.get_errno() in (0, errno.EAGAIN, errno.EINTR)
        self._count = self._memory[0]
        return self._array
