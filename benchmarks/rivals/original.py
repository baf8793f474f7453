"""The original ndsharray 1.1.4, in an environment of its own: it has the same import name."""

from __future__ import annotations

from typing import Any

from ndsharray import NdShArray

from .base import Array, Place, poll


class Writer:
    """Writes with `write`; nothing closes it but the end of the object."""

    def __init__(self, place: Place, array: Array, **_: Any) -> None:
        self._array: Any = NdShArray(place.name, array, "w")
        self.write = self._array.write

    def close(self) -> None:
        del self.write, self._array


class Reader:
    """Reads with `read`; to wait, it polls each millisecond, as the package's own tests do."""

    def __init__(self, place: Place, array: Array, **_: Any) -> None:
        self._array: Any = NdShArray(place.name, r_w="r")

    def read(self) -> Array | None:
        valid, array = self._array.read()
        return array if valid else None

    def wait(self, timeout: float) -> Array | None:
        return poll(self.read, timeout)

    def close(self) -> None:
        del self._array
