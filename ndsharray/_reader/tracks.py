"""The frames of one array that wait for a match, and the counts of the others.

Pure, as ``matching`` is.
"""

from __future__ import annotations

from collections import deque
from typing import Any

__all__ = ["MOST", "Frame", "Track"]

MOST = 256  # frames of one array that wait for a match; the oldest one gives way
_PERIODS = 15  # whose median is the period
UNKNOWN = float("inf")  # a period


class Frame:
    """A frame that may be matched.

    Attributes
    ----------
    time : int
        When it was captured, with the offset of its array.
    number : int
        Its frame number.
    stamped : bool
        Whether its writer said the time of capture.
    seen : int
        When it was found.
    place : object
        Where it lies. The caller's.
    array : object
        Its value, once it is held. The caller's.
    used : bool
        Whether a set had it.
    """

    __slots__ = ("array", "number", "place", "seen", "stamped", "time", "used")

    def __init__(
        self, time: int, number: int, stamped: bool = True, seen: int = 0, place: Any = None
    ) -> None:
        self.time, self.number, self.stamped, self.seen = time, number, stamped, seen
        self.place = place
        self.array: Any = None
        self.used = False


class Track:
    """The frames of one array that may still be matched, and what became of the others.

    Attributes
    ----------
    waiting : deque of Frame
        Those that may be matched, oldest first; their times never decrease.
    period : float
        The median time between two frames; infinite before there are two.
    steady : bool
        Whether the period was measured often enough to be relied on.
    newest : Frame or None
        The last one that was added.
    ended : bool
        Whether there will be no more: the array is closed.
    end_told : bool
        Whether the user knows of that end.
    matched, unmatched, missing : int
        Frames that were part of a set; that were seen, and part of none; that were overwritten
        before they could be seen or read.
    """

    def __init__(self) -> None:
        self.waiting: deque[Frame] = deque()
        self.newest: Frame | None = None
        self.period = UNKNOWN
        self.ended = self.end_told = False
        self.matched = self.unmatched = self.missing = 0
        self._periods: deque[float] = deque(maxlen=_PERIODS)

    def add(self, frame: Frame, new_count: bool) -> None:
        """Add the next frame.

        A frame whose time is before that of the frame before it begins a new stretch of time: a
        clock was set back, or another writer has another clock. Nothing older is matched any more.

        Parameters
        ----------
        frame : Frame
            The frame.
        new_count : bool
            Whether its number belongs to another count than that of the frame before it: that of
            another writer.
        """
        before, self.newest = self.newest, frame
        self.ended = self.end_told = False
        if before is not None:
            steps = frame.number - before.number
            if steps <= 0 or frame.time < before.time:
                self.pass_over(len(self.waiting))
            elif not new_count:
                self.missing += steps - 1
                self._measure((frame.time - before.time) / steps)
        if len(self.waiting) == MOST:
            self.pass_over(1)
        self.waiting.append(frame)

    def _measure(self, period: float) -> None:
        self._periods.append(period)
        self.period = sorted(self._periods)[len(self._periods) // 2]

    @property
    def steady(self) -> bool:
        return 2 * len(self._periods) > _PERIODS

    def end(self, last: int) -> None:
        """Note that the array is closed, and the number of its last frame."""
        if self.newest is not None and not self.ended:
            self.missing += max(0, last - self.newest.number)
        self.ended = True

    def pass_over(self, count: int) -> None:
        """Drop the oldest `count` frames: they can be part of no set any more."""
        for _ in range(count):
            frame = self.waiting.popleft()
            frame.array = None
            self.unmatched += not frame.used

    def use(self, frame: Frame) -> None:
        """Count a frame as matched, and drop what is older."""
        self.pass_over(self.waiting.index(frame))
        self.matched += not frame.used
        frame.used = True

    def clear(self) -> None:
        """Drop all frames; the counts stay."""
        self.waiting.clear()
        self.newest = None

    def lose(self, frame: Frame) -> None:
        """Drop a frame that was overwritten before it was read."""
        self.waiting.remove(frame)
        self.missing += not frame.used
