"""Rate, jitter and gaps of an array's frames, from numbers and times in shared memory.

A look now and then sees some of the frames. Each has its number and the time of its write, so the
rate is exact all the same: the difference of two numbers over the difference of their times.
Looking pins, claims and stores nothing. Not here: which arrays are looked at (``meters``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ... import ArrayInfo
from ..._registry.probe import Head

__all__ = ["Meter", "Rate", "has_not_written", "rate_of"]

_MOST_SEEN = 50_000  # frames that are remembered at most: then the window is shorter
_ALL = 1e9  # seconds
_LOOK = 0.05  # seconds: an age that an `ArrayInfo` may have got while it was made
_CLOCKS = 0.05  # seconds: how far the clock of writes and that of takeovers may be apart
_GAP = 2.0  # median periods: a longer interval is a gap
# Where frames in between were not seen, the median is a guess at their intervals: a gap among them
# counts if it is longer than this part of the time that the guess is about, too.
_DOUBT = 0.1


class Rate(NamedTuple):
    """What is known of an array's frames.

    Attributes
    ----------
    hz : float or None
        Frames per second. None: fewer than two frames were seen.
    jitter_ms : float or None
        Standard deviation of the intervals between frames, in ms.
    max_gap_ms : float or None
        The longest interval, in ms, also that from the newest frame to the last look.
    gaps : int
        How many intervals were longer than twice their median.
    """

    hz: float | None = None
    jitter_ms: float | None = None
    max_gap_ms: float | None = None
    gaps: int = 0


class Meter:
    """The frames of one array that were seen in the last seconds.

    Parameters
    ----------
    window : float
        How many seconds count. Of a slow array the newest two frames do, however old.
    """

    def __init__(self, window: float) -> None:
        self.window = window
        self._seen: deque[tuple[int, int]] = deque(maxlen=_MOST_SEEN)  # frame number and time
        self._instance = 0
        self._looked_ns = 0

    @property
    def period_ns(self) -> float:
        """The mean time between frames; 0 if it is not known."""
        if len(self._seen) < 2:
            return 0.0
        (first, begin), (last, end) = self._seen[0], self._seen[-1]
        return (end - begin) / (last - first)

    def add(self, heads: Iterable[Head], looked_ns: int) -> None:
        """Take the frames into account that a look has found.

        Parameters
        ----------
        heads : iterable of Head
            In the order of their numbers; those that were seen before count once.
        looked_ns : int
            When the look began, on the clock of `Head.write_ns`: no later frame is known of.
        """
        self._looked_ns = looked_ns
        for head in heads:
            last = self._seen[-1][0] if self._seen else 0
            if head.instance != self._instance and head.frame_id <= last:
                self._seen.clear()  # another writer, which begins with 1 again
                last = 0
            self._instance = head.instance
            if head.frame_id > last:
                self._seen.append((head.frame_id, head.write_ns))

    def measure(self) -> Rate:
        """Return the rate in the window that ends with the last look."""
        seen = self._seen
        while len(seen) > 2 and seen[1][1] < self._looked_ns - self.window * 1e9:
            seen.popleft()
        if len(seen) < 2 or seen[-1][1] <= seen[0][1]:
            return Rate()
        numbers, times = np.array(seen, np.int64).T
        steps, spans = np.diff(numbers), np.diff(times).astype(np.float64)
        intervals = spans[steps == 1]
        period = float(np.median(intervals)) if len(intervals) else self.period_ns
        gaps = _gaps(steps, spans, period)
        end, silence = int(times[-1]), max(0, self._looked_ns - int(times[-1]))
        longest = max(intervals.max(initial=0.0), gaps.max(initial=0.0))
        count = len(gaps)
        if silence > _GAP * period:  # a gap that has not ended yet
            end, longest, count = self._looked_ns, max(longest, silence), count + 1
        return Rate(
            hz=float((numbers[-1] - numbers[0]) / (end - times[0]) * 1e9),
            jitter_ms=float(intervals.std() / 1e6) if len(intervals) else None,
            max_gap_ms=float(longest / 1e6) if longest else None,
            gaps=count,
        )


def _gaps(steps: npt.NDArray[Any], spans: npt.NDArray[Any], period: float) -> npt.NDArray[Any]:
    """Return the intervals that are gaps, in ns, those of frames that were not seen included."""
    others = (steps - 1) * period  # how long the other intervals took
    longest = spans - others
    return longest[(longest > _GAP * period) & (longest > _DOUBT * others)]


def has_not_written(info: ArrayInfo) -> bool:
    """Tell whether the newest frame is a former writer's: the living one has written none yet."""
    written = info.write_time_ns
    return info.state == "live" and written is not None and written < _taken_ns(info)


def _taken_ns(info: ArrayInfo) -> int:
    """Return the earliest moment at which the writer may have taken the array, Unix ns."""
    return (info.since_ns or 0) - int(_CLOCKS * 1e9)


def rate_of(info: ArrayInfo) -> Rate:
    """Return the rate that the frames in an array's slots show, without waiting for more.

    Only of a living writer, and of its own frames.
    """
    meter = Meter(_ALL)
    if info.state == "live" and info.write_time_ns and info.age is not None:
        taken = max(1, _taken_ns(info))
        written = ((s.frame_id, s.write_time_ns or 0) for s in info.slot_list)
        heads = [Head(frame, time, 0, 1) for frame, time in sorted(written) if time >= taken]
        silence = info.age if info.age > _LOOK else 0.0
        meter.add(heads, info.write_time_ns + int(silence * 1e9))
    return meter.measure()
