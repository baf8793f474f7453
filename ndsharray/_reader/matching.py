"""Which frames of several arrays belong together, by their times or numbers.

Pure: it sees no memory, no clock and no process. The caller adds the frames of each array in the
order in which they were published, asks a policy for the next set, and tells what became of it. So
a test feeds it made-up times.

All times are nanoseconds. Those of frames have one origin, whatever it is; `seen` and `now` have
another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from .tracks import UNKNOWN, Frame, Track

__all__ = ["Choice", "Exact", "Latest", "Nearest", "Policy"]

# How much slower another array must be to become the pivot: jitter must not swap two of one rate.
_SLOWER = 1.25


class Choice:
    """What a policy says.

    Attributes
    ----------
    frames : list of (Frame or None)
        For each array the frame that it adds to the next set; None: not known yet.
    ready : bool
        Whether these frames are the next set. Else more frames, or time, will tell.
    again : int or None
        When time will tell, on the clock of `now`. None: only another frame does.
    """

    def __init__(
        self, frames: list[Frame | None], ready: bool = False, again: int | None = None
    ) -> None:
        self.frames, self.ready, self.again = frames, ready, again

    @property
    def spread(self) -> int:
        """The time from the first to the last frame."""
        times = [frame.time for frame in self.frames if frame is not None]
        return max(times) - min(times)


class Policy:
    """Says which frames make the next set.

    Parameters
    ----------
    tracks : sequence of Track
        The arrays.
    tolerance : int or float
        How far apart frames of one set may be, at most; a float only if it is infinite.

    Attributes
    ----------
    repeats : bool
        Whether a frame can be part of several sets.
    """

    repeats = False

    def __init__(self, tracks: Sequence[Track], tolerance: float) -> None:
        self.tracks, self.tolerance = tracks, tolerance

    def choose(self, now: int) -> Choice:
        """Return what is known of the next set, after dropping what can be part of none."""
        raise NotImplementedError

    def take(self, choice: Choice) -> None:
        """Count the frames of a choice that is ready as matched."""
        for track, frame in zip(self.tracks, choice.frames, strict=True):
            assert frame is not None
            track.use(frame)
            if not self.repeats:
                track.waiting.popleft()

    def ended(self) -> int | None:
        """Return the array whose end leaves no further set, after `choose`; None: there may be one.

        That is one that is closed, and its last frames are matched or too old; or the first one, if
        all are closed. Each end is told once.
        """
        tracks = self.tracks
        all_ended = all(track.ended for track in tracks)
        for index, track in enumerate(tracks):
            used_up = all(frame.used for frame in track.waiting)
            if track.ended and not track.end_told and (all_ended or used_up):
                track.end_told = True
                return index
        return None


class Nearest(Policy):
    """Match each frame of the slowest array with the nearest one of every other array.

    Each frame is part of one set at most, and each array's frames come in order. The nearest frame
    of an array is known once the array has a frame that is not older than the pivot's; or, if it
    has one within the tolerance, once the pivot's frame is known for as long as the tolerance.

    A frame that is nearer to the pivot's next frame is left to that one, which is waited for where
    it may be so, for as long as the tolerance. Else, if the tolerance is longer than a period, one
    lost frame would shift all sets after it.

    Parameters
    ----------
    tracks, tolerance
        As for `Policy`. The tolerance holds between the pivot's frame and each other one.
    pivot : int or None
        The array whose frames the others are matched with; None: the slowest one.
    """

    def __init__(self, tracks: Sequence[Track], tolerance: float, pivot: int | None = None) -> None:
        super().__init__(tracks, tolerance)
        self.pivot = 0 if pivot is None else pivot
        self._fixed = pivot is not None

    @property
    def is_pivot_known(self) -> bool:
        """Whether the pivot was given, or its period measured."""
        return self._fixed or self.tracks[self.pivot].period != UNKNOWN

    def choose(self, now: int) -> Choice:
        """Return what is known of the set of the pivot's oldest frame that can have one."""
        if not self._fixed:
            self._choose_pivot()
        track = self.tracks[self.pivot]
        waiting = track.waiting
        while waiting:
            choice = self._match(waiting[0], now)
            if choice is not None:
                return choice
            track.pass_over(1)
        return Choice([None] * len(self.tracks))

    def _choose_pivot(self) -> None:
        periods = [track.period for track in self.tracks]
        slowest = max(periods)
        if slowest > _SLOWER * periods[self.pivot]:
            self.pivot = periods.index(slowest)

    def _match(self, pivot: Frame, now: int) -> Choice | None:
        """Return what is known of the set of the pivot's oldest frame; None: it can have none."""
        latest, likely = self._reach(self.tracks[self.pivot])
        best: list[Frame | None] = []
        final: list[bool] = []
        for index, track in enumerate(self.tracks):
            if index == self.pivot:
                best.append(pivot)
                final.append(True)
                continue
            best.append(self._nearest(track, pivot.time, latest))
            newest = track.newest
            final.append(track.ended or (newest is not None and newest.time >= pivot.time))
            if final[-1] and best[-1] is None:
                return None
        again = pivot.seen + int(self.tolerance)
        sure = all(final) and all(frame.time - pivot.time <= likely for frame in best if frame)
        if None not in best and (sure or now >= again):
            return Choice(best, ready=True)
        known = [frame if known else None for frame, known in zip(best, final, strict=True)]
        return Choice(known, again=again if None not in best else None)

    def _reach(self, pivot: Track) -> tuple[float, float]:
        """Return how much later than the pivot's frame its partners may be, and how much surely."""
        waiting = pivot.waiting
        if len(waiting) > 1:
            half = (waiting[1].time - waiting[0].time) / 2
            return min(self.tolerance, half), half
        return self.tolerance, math.inf if pivot.ended else pivot.period / 2

    def _nearest(self, track: Track, time: int, latest: float) -> Frame | None:
        """Return the nearest frame of a track, after dropping those that are too old.

        It is not older than the tolerance allows, and later than `time` by `latest` at most.
        """
        waiting = track.waiting
        while waiting and time - waiting[0].time > self.tolerance:
            track.pass_over(1)
        best = None
        for frame in waiting:
            if frame.time - time > latest:  # not a float of 2**60, which has steps of 256 ns
                break
            if best is None or abs(frame.time - time) < abs(best.time - time):
                best = frame
            elif frame.time > time:
                break
        return best


class Exact(Policy):
    """Match frames of one time of capture; unless all writers say it, of one frame number."""

    def choose(self, now: int) -> Choice:
        """Return the oldest frames that are the same, as far as they are there."""
        tracks = self.tracks
        newest = [track.newest for track in tracks]
        if None in newest:
            return Choice([None] * len(tracks))
        by_time = all(frame is not None and frame.stamped for frame in newest)
        while True:
            firsts = [track.waiting[0] if track.waiting else None for track in tracks]
            keys = [_key(first, by_time) for first in firsts if first is not None]
            last = max(keys, default=0)
            if all(key == last for key in keys):
                choice = Choice(firsts, ready=None not in firsts)
                if not choice.ready or choice.spread <= self.tolerance:
                    return choice
                last += 1
            for track, first in zip(tracks, firsts, strict=True):
                if first is not None and _key(first, by_time) < last:
                    track.pass_over(1)


def _key(frame: Frame, by_time: bool) -> int:
    return frame.time if by_time else frame.number


class Latest(Policy):
    """Take the newest frame of each array, as soon as one of them is new."""

    repeats = True

    def choose(self, now: int) -> Choice:
        """Return the newest frames, if one of them is new and they are within the tolerance."""
        for track in self.tracks:
            track.pass_over(max(0, len(track.waiting) - 1))
        frames = [track.waiting[0] if track.waiting else None for track in self.tracks]
        choice = Choice(frames)
        choice.ready = (
            None not in frames
            and any(frame is not None and not frame.used for frame in frames)
            and choice.spread <= self.tolerance
        )
        return choice
