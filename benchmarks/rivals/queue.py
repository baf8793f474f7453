"""multiprocessing.Queue: `put` and `get`; a thread of the writer pickles and sends."""

from __future__ import annotations

import queue
from typing import Any

from .base import Array, Place


def make_channel(context: Any) -> Any:
    return context.Queue(3)  # bounded, as the others' slots: or a flood would fill the memory


class Writer:
    """Puts the array. It is pickled later, so it must not be changed before that: it is copied."""

    def __init__(self, place: Place, array: Array, **_: Any) -> None:
        self._queue = place.channels[place.number]

    def write(self, array: Array) -> None:
        self._queue.put(array.copy())

    def close(self) -> None:
        """Do nothing: a queue goes with its processes."""


class Reader:
    """Gets it."""

    def __init__(self, place: Place, array: Array, **_: Any) -> None:
        self._queue = place.channels[place.number]

    def read(self) -> Array | None:
        try:
            return self._queue.get_nowait()
        except queue.Empty:
            return None

    def wait(self, timeout: float) -> Array | None:
        try:
            return self._queue.get(timeout=timeout)
        except queue.Empty:
            return None

    def close(self) -> None:
        """Do nothing: a queue goes with its processes."""
