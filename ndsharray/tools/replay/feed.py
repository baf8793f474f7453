"""Reads frames ahead, so that the disk and the checksums hold no frame up."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ..recording.budget import Budget
from ..recording.chunk import Raw
from ..recording.messages import Recorded, decode

__all__ = ["Feed", "Frame", "frames_of"]

_AHEAD = 128 << 20  # bytes; a chunk, and so the largest frame, may be more
_LOOK = 0.1  # seconds between two looks for the end, with no room or no frame


class Frame(NamedTuple):
    """A frame of a recording.

    Attributes
    ----------
    topic : str
        The array's name.
    frame_id : int
        Its number there, the lower 32 bits.
    log_time, publish_time : int
        Unix nanoseconds of its write, and its own.
    values : Recorded
        Its values.
    """

    topic: str
    frame_id: int
    log_time: int
    publish_time: int
    values: Recorded


def frames_of(raws: Iterator[Raw], skipped: Callable[[str, str], None]) -> Iterator[Frame]:
    """Iterate over the messages that are frames; tell `skipped` of the others: topic, reason."""
    for raw in raws:
        schema = raw.schema.name if raw.schema is not None else ""
        try:
            values = decode(schema, raw.data)
        except ValueError as error:
            skipped(raw.channel.topic, str(error))
            continue
        topic = raw.channel.topic
        yield Frame(topic, raw.sequence, raw.log_time, raw.publish_time, values)


class Feed:
    """A thread that reads frames ahead of their use.

    Parameters
    ----------
    frames : iterator of Frame
        What it reads.
    """

    def __init__(self, frames: Iterator[Frame]) -> None:
        self._frames = frames
        self._budget = Budget(_AHEAD)
        self._queue: queue.SimpleQueue[Frame | BaseException | None] = queue.SimpleQueue()
        self._is_over = False
        self._thread = threading.Thread(target=self._run, name="replay: reader", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        end: Any = None
        try:
            for frame in self._frames:
                while not self._budget.wait_for_room(_LOOK):
                    if self._is_over:
                        return
                if self._is_over:
                    return
                self._budget.take(len(frame.values.payload))
                self._queue.put(frame)
        except BaseException as error:  # the thread that plays raises it
            end = error
        finally:
            self._queue.put(end)

    def __iter__(self) -> Iterator[Frame]:
        while True:
            item = self._queue.get()
            if isinstance(item, BaseException):
                raise item
            if item is None:
                return
            yield item
            self._budget.release(len(item.values.payload))

    def close(self) -> None:
        """End the thread."""
        self._is_over = True
        self._thread.join()
