"""multiprocessing.Pipe: `send` and `recv`, as its documentation shows."""

from __future__ import annotations

from typing import Any

from .base import Array, Place


def make_channel(context: Any) -> Any:
    return context.Pipe(duplex=False)


class Writer:
    """Sends the array: pickled, in one piece."""

    def __init__(self, place: Place, array: Array, **_: Any) -> None:
        self.write = place.channels[place.number][1].send

    def close(self) -> None:
        """Do nothing: a pipe goes with its processes."""


class Reader:
    """Receives it."""

    def __init__(self, place: Place, array: Array, **_: Any) -> None:
        self._connection = place.channels[place.number][0]

    def read(self) -> Array | None:
        return self._connection.recv() if self._connection.poll() else None

    def wait(self, timeout: float) -> Array | None:
        return self._connection.recv()

    def close(self) -> None:
        """Do nothing: a pipe goes with its processes."""
