"""ndsharray itself: both transports; copies, in place, and into an array of the reader's."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndsharray import NdShArray

from .base import Array, Place


class Writer:
    """Writes with `write`."""

    def __init__(self, place: Place, array: Array, transport: str, **_: Any) -> None:
        self._array = NdShArray(place.name, r_w="w", transport=transport)
        self.write = self._array.write
        self.close = self._array.close


class Reader:
    """Reads with `read`: the newest frame, or nothing.

    `copy` and `out` are those of `read`; with `out`, the buffer is the caller's, always the same.
    """

    def __init__(
        self, place: Place, array: Array, transport: str, copy: bool = True, out: bool = False
    ) -> None:
        self._array = NdShArray(place.name, r_w="r", transport=transport)
        self._options: dict[str, Any] = {} if copy else {"copy": False}
        if out:
            self._options["out"] = np.empty_like(array)
        self.close = self._array.close

    def read(self) -> Array | None:
        valid, array = self._array.read(**self._options)
        return array if valid else None

    def wait(self, timeout: float) -> Array | None:
        valid, array = self._array.read(timeout, **self._options)
        return array if valid else None
