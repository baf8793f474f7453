"""pyshmem: `create` and `open`, `write` and `read`, as in its README.

Waiting is `read_after`, which misses no publication (`read_new` warns of that in its docstring), on
a stream with ``notify=True``: that costs a system call per write, so only where readers wait.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyshmem

from .base import Array, Place


class Writer:
    """Makes the stream, or finds that of a writer before it."""

    def __init__(self, place: Place, array: Array, **_: Any) -> None:
        try:
            self._stream = pyshmem.create(
                place.name, shape=array.shape, dtype=array.dtype, notify=place.waiting
            )
        except FileExistsError:
            self._stream = pyshmem.open(place.name)
        self.write = self._stream.write

    def end(self) -> None:
        """End as a program does that comes back: streams are persistent."""
        self._stream.close()

    def close(self) -> None:
        self._stream.unlink()


class Reader:
    """Looks at `count`, and reads if it moved; into its own buffer with `out`."""

    def __init__(self, place: Place, array: Array, out: bool = False) -> None:
        self._stream = pyshmem.open(place.name)
        self._options: dict[str, Any] = {"out": np.empty_like(array)} if out else {}
        self._last = 0  # what is there already is news to this reader
        self.close = self._stream.close

    def read(self) -> Array | None:
        if self._stream.count == self._last:
            return None
        array = self._stream.read(**self._options)
        self._last = self._stream.last_read_count
        return array

    def wait(self, timeout: float) -> Array | None:
        try:
            array = self._stream.read_after(self._last, timeout=timeout, **self._options)
        except TimeoutError:
            return None
        self._last = self._stream.last_read_count
        return array
