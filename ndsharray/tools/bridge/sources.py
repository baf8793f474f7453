"""Reading an array for a link: the newest frame each time, or every frame in order.

`Newest` keeps nothing: the array itself is the newest-wins place before the link. `Every` has a
thread that reads into a queue of a bounded size. Not here: sending (``sending``).
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ... import ClosedError, FormatError, NdShArray, NdShArrayError
from .counts import Counts
from .message import Encoder, Message
from .place import Place

__all__ = ["UNREADABLE", "Every", "Newest"]

UNREADABLE = (NdShArrayError, OSError, MemoryError)  # why a frame cannot be had
LOOK = 0.25  # seconds until a thread looks whether it is to end
_REST = 250  # frames that slots can hold


class _Source:
    """What both have in common: a reader, and how many frames it passed over.

    Parameters
    ----------
    reader : NdShArray
        Closed by `close`.
    wanted : threading.Event
        Set while somebody takes the frames; else none is read, and none counts as dropped.
    counts : Counts
        Where frames that were passed over are counted.
    """

    def __init__(self, reader: NdShArray, wanted: threading.Event, counts: Counts) -> None:
        self._reader, self._wanted, self._counts = reader, wanted, counts
        self._missed, self._idle = 0, True

    def _is_wanted(self) -> bool:
        if self._wanted.wait(LOOK):
            return True
        self._idle = True
        return False

    def _count_missed(self) -> None:
        missed = self._reader.missed
        if not self._idle:
            self._counts.dropped += max(0, missed - self._missed)
        self._missed, self._idle = missed, False

    def close(self) -> None:
        """Close the reader."""
        self._reader.close()


class Newest(_Source):
    """Gives the newest frame."""

    def __init__(self, reader: NdShArray, wanted: threading.Event, counts: Counts) -> None:
        super().__init__(reader, wanted, counts)
        self._encoder = Encoder(every=False)
        self._keep(np.empty(0, np.uint8))

    def _keep(self, frame: npt.NDArray[Any]) -> None:
        """Have memory for frames like this one, with a copy of it."""
        self._bytes = bytearray(frame.nbytes)  # zenoh takes bytes and bytearray, no array
        self._out = np.ndarray(frame.shape, frame.dtype, self._bytes)
        self._out[...] = frame

    def next(self, timeout: float | None = None) -> Message | None:
        """Return the newest frame, if it is new; it is good until the next call."""
        return self._newest(LOOK if timeout is None else timeout) if self._is_wanted() else None

    def _newest(self, timeout: float) -> Message | None:
        try:
            new = self._reader.read(timeout, out=self._out)[0]
        except (ClosedError, FormatError):
            raise
        except ValueError:  # of another shape or dtype
            new, frame = self._reader.read()
            self._keep(frame)
        if not new:
            return None
        self._count_missed()
        return self._encoder.message(self._reader, self._out, self._bytes)

    def rest(self) -> Iterator[Message]:
        """Give what is left when the writer has gone."""
        message = self._newest(0) if self._wanted.is_set() else None
        if message is not None:
            yield message


class Every(_Source):
    """Gives every frame, as far as the writer's slots and `limit` bytes reach."""

    def __init__(
        self, reader: NdShArray, wanted: threading.Event, counts: Counts, limit: int
    ) -> None:
        super().__init__(reader, wanted, counts)
        self._encoder = Encoder(every=True)
        self._place: Place[Message] = Place(limit)
        self._ended = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="bridge reads", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._ended:
                if self._is_wanted():
                    self._fill(itertools.takewhile(self._goes_on, self._reader.frames(LOOK)))
            if self._wanted.is_set():
                self._fill(itertools.islice(self._reader.frames(0), _REST))
        except UNREADABLE as error:
            self._error = error
        finally:
            self._place.close()

    def _goes_on(self, _: object) -> bool:
        return not self._ended

    def _fill(self, frames: Iterator[npt.NDArray[Any]]) -> None:
        for frame in frames:
            self._count_missed()
            dropped = self._place.dropped
            message = self._encoder.message(self._reader, frame, frame.tobytes())
            self._place.put(message, frame.nbytes)
            self._counts.dropped += self._place.dropped - dropped

    def next(self) -> Message | None:
        """Return the oldest frame that waits."""
        message = self._place.take(LOOK)
        if message is None and self._error is not None:
            error, self._error = self._error, None
            raise error
        return message

    def rest(self) -> Iterator[Message]:
        """Give what is left when the writer has gone."""
        self._ended = True
        self._thread.join()
        while (message := self._place.take(0)) is not None:
            yield message

    def close(self) -> None:
        """End the thread, close the reader."""
        self._ended = True
        self._thread.join()
        super().close()
