"""Reading the arrays that somebody looks at: one reader each, and only while somebody waits.

A feed reads when a page asks for the frame after the one it has. All pages that wait for the same
frame share one read. So the reader never runs ahead of the fastest page, nothing is queued, and an
array that nobody looks at costs nothing.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ... import ClosedError, NdShArray, NdShArrayError
from ..common import ToolError
from .frames import Frame

__all__ = ["PATIENCE", "Feed"]

PATIENCE = 1.0  # seconds; after them a page hears that there is nothing new
_RECENT = 2  # frames that stay for questions about single elements
_HELD = 2  # frames that stay for pages that pause
_DARKS = 2
_RATE_OVER = 2.0  # seconds


class Feed:
    """One array, read for all pages.

    Parameters
    ----------
    make_reader : callable
        Makes the array's reader; runs in the feed's own thread.
    fps : float
        Frames to read in a second at most.
    """

    def __init__(self, make_reader: Callable[[], NdShArray], fps: float) -> None:
        self._make_reader = make_reader
        self._interval = 1 / fps
        self._due = 0.0
        self._reader: NdShArray | None = None
        self._thread = ThreadPoolExecutor(1, "ndsharray-view-read")
        self._end = threading.Event()
        self._coming: asyncio.Future[None] | None = None
        self._marks: deque[tuple[int, int]] = deque(maxlen=256)  # frame number, time of the write
        self._recent: deque[Frame] = deque(maxlen=_RECENT)
        self._held: OrderedDict[int, Frame] = OrderedDict()
        self._darks: OrderedDict[int, Frame] = OrderedDict()
        self.problem: str | None = None
        self.asked = time.monotonic()

    @property
    def last(self) -> Frame | None:
        """The newest frame that was read."""
        return self._recent[-1] if self._recent else None

    async def newer(self, after: int) -> Frame | None:
        """Wait for a frame that is not the one with that serial number; None at the feed's end."""
        self.asked = time.monotonic()
        if self._is_new(after) and not self._is_reading and not self._end.is_set():
            await asyncio.shield(self._read(0.0))
        while not self._is_new(after) and not self._end.is_set():
            # Again and again: a read that another page has begun may end just now.
            await asyncio.shield(self._read(PATIENCE))
        return None if self._end.is_set() else self.last

    def _is_new(self, after: int) -> bool:
        return self.last is not None and self.last.serial != after

    @property
    def _is_reading(self) -> bool:
        # One that is done does not count: to await it gives the loop no turn, so `newer` would go
        # round for ever, and the server with it.
        return self._coming is not None and not self._coming.done()

    def _read(self, patience: float) -> asyncio.Future[None]:
        """Return the read that is under way, or begin one."""
        if self._coming is None or not self._is_reading:
            loop = asyncio.get_running_loop()
            self._coming = loop.run_in_executor(self._thread, self._read_once, patience)
        return self._coming

    # --- in the feed's thread

    def _read_once(self, patience: float) -> None:
        if self._end.wait(max(0.0, self._due - time.monotonic())):
            return
        try:
            self._take(patience)
            self.problem = None
        except ClosedError:
            pass  # the viewer ends
        except (NdShArrayError, ToolError, OSError, ValueError, MemoryError) as error:
            self.problem = str(error)
            self._end.wait(PATIENCE)  # it would be the same again at once

    def _take(self, patience: float) -> None:
        reader = self._reader
        if reader is None:
            reader = self._reader = self._make_reader()
        valid, array = reader.read(patience)  # guard: view-pins-nothing
        if valid:
            written = reader.write_time_ns
            self._mark(reader.frame_id, written)
            self._recent.append(Frame(array, reader.frame_id, written, reader.missed))
            # A frame that comes late does not make the next one late: a camera of this very rate
            # would lose some.
            self._due = max(self._due + self._interval, time.monotonic())

    def _mark(self, frame_id: int, written: int) -> None:
        marks = self._marks
        if marks and (frame_id <= marks[-1][0] or written <= marks[-1][1]):
            marks.clear()  # another writer
        marks.append((frame_id, written))
        while len(marks) > 2 and written - marks[0][1] > _RATE_OVER * 1e9:
            marks.popleft()

    # --- what pages ask besides

    @property
    def rate(self) -> float | None:
        """Frames that the writer wrote in a second, whether they were read or not."""
        marks = tuple(self._marks)
        if len(marks) < 2:
            return None
        (first, begin), (last, end) = marks[0], marks[-1]
        return (last - first) / ((end - begin) / 1e9)

    def facts(self) -> dict[str, Any]:
        """Return what a page shows of the array besides the frame."""
        facts: dict[str, Any] = {"problem": self.problem, "hz": self.rate}
        return facts if self.last is None else facts | self.last.facts()

    def find(self, serial: int, *, hold: bool = False) -> Frame | None:
        """Return a frame that is still there; with `hold` it stays for a page that pauses."""
        for frame in (*self._recent, *self._held.values(), *self._darks.values()):
            if frame.serial == serial:
                if hold:
                    _keep(self._held, frame, _HELD)
                return frame
        return None

    def dark(self, serial: int) -> Frame | None:
        """Return the frame to subtract, and keep it; None if it is gone."""
        frame = self.find(serial) if serial else None
        if frame is not None:
            _keep(self._darks, frame, _DARKS)
        return frame

    def close(self) -> None:
        """End the reader. A read that waits ends at once."""
        self._end.set()
        if self._reader is not None:
            self._reader.close()
        self._thread.submit(self._close_reader)  # one that was just being made
        self._thread.shutdown(wait=False)

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()


def _keep(kept: OrderedDict[int, Frame], frame: Frame, most: int) -> None:
    kept[frame.serial] = frame
    kept.move_to_end(frame.serial)
    while len(kept) > most:
        kept.popitem(last=False)
