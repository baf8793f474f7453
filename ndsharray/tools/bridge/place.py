"""The place before a thread: a bounded queue that drops its oldest frame, and counts it."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

__all__ = ["Place"]

_T = TypeVar("_T")


class Place(Generic[_T]):
    """What waits for one thread: the newest item alone, or several of a bounded size.

    Parameters
    ----------
    limit : int
        The sum of sizes that may wait. One item always may.

    Attributes
    ----------
    dropped : int
        Items that were dropped for newer ones.
    """

    def __init__(self, limit: int) -> None:
        self.dropped = 0
        self._limit = limit
        self._size = 0
        self._items: deque[tuple[_T, int]] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, item: _T, size: int, *, alone: bool = False) -> None:
        """Add an item; drop the oldest ones until all fit, or all of them if it waits alone."""
        with self._changed:
            self._items.append((item, size))
            self._size += size
            while len(self._items) > 1 and (alone or self._size > self._limit):
                self._size -= self._items.popleft()[1]
                self.dropped += 1
            self._changed.notify()

    def take(self, timeout: float) -> _T | None:
        """Return the oldest item; None if none came within `timeout` seconds, or it was closed."""
        with self._changed:
            if not self._items and not self._closed:
                self._changed.wait(timeout)
            if not self._items:
                return None
            item, size = self._items.popleft()
            self._size -= size
            return item

    def close(self) -> None:
        """Wake the thread that waits, for good; what waits still can be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify()
