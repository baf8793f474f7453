"""What a recorder tells of itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ... import NdShArrayError
from ..common import duration, plural
from ..recording.budget import Budget
from .intake import Intake
from .sink import Sink

__all__ = ["ArrayStatistics", "Statistics", "statistics_of"]


@dataclass(frozen=True)
class ArrayStatistics:
    """What was recorded of an array.

    Attributes
    ----------
    name : str
        The array's.
    frames, nbytes : int
        What was read.
    lost : int
        Frames between the first and the last one that are in no file, exactly.
    warning : str
        Why frames are lost, or may be; "" if nothing is amiss.
    writer : {'absent', 'live', 'killed', 'closed'}
        What became of its writer; ``'absent'``: none has come, or none has written a frame.
    """

    name: str
    frames: int
    nbytes: int
    lost: int
    warning: str
    writer: str


@dataclass(frozen=True)
class Statistics:
    """What was recorded.

    Attributes
    ----------
    seconds : float
        How long it has recorded.
    frames, lost, nbytes : int
        Of all arrays: frames and bytes that were read, and frames that are in no file.
    written : int
        Bytes in files.
    buffer : float
        How much of the memory is in use, 0 to 1 (and one frame of each array more).
    held_seconds : float
        With `snapshot`: how many seconds there are in memory.
    arrays : tuple of ArrayStatistics
        The same for each array.
    paths : tuple of str
        The files that are there.
    """

    seconds: float
    frames: int
    lost: int
    nbytes: int
    written: int
    buffer: float
    held_seconds: float
    arrays: tuple[ArrayStatistics, ...]
    paths: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return dataclasses.asdict(self)


def statistics_of(
    intakes: Sequence[Intake], sink: Sink, budget: Budget, seconds: float, is_over: bool
) -> Statistics:
    """Return the statistics of a recorder's parts."""
    each = tuple(_of(intake, sink, seconds, is_over) for intake in intakes)
    return Statistics(
        seconds=seconds,
        frames=sum(a.frames for a in each),
        lost=sum(a.lost for a in each),
        nbytes=sum(a.nbytes for a in each),
        written=sink.nbytes,
        buffer=budget.used / budget.limit,
        held_seconds=sink.held_seconds,
        arrays=each,
        paths=tuple(sink.paths),
    )


def _of(intake: Intake, sink: Sink, seconds: float, is_over: bool) -> ArrayStatistics:
    frames, lost = intake.frames, intake.lost
    if is_over and not sink.is_ring:  # what was read and did not come into a file is lost as well
        lost += frames - sink.written(intake.topic)
    warning = _warning(intake, (frames + intake.lost) / seconds if seconds else 0.0)
    return ArrayStatistics(intake.topic, frames, intake.nbytes, lost, warning, intake.writer)


def _warning(intake: Intake, rate: float) -> str:
    if intake.error is not None:
        return f"not recorded any more: {intake.error}"
    try:
        slots = intake.slots
    except NdShArrayError:  # the writer has closed
        return ""
    if intake.longest_gap:
        enough = slots + intake.longest_gap
        return (
            f"lost up to {plural(intake.longest_gap, 'frame')} in a row; "
            f"slots={enough} would have kept them"
        )
    # Besides those that come meanwhile: the one that is read, and the one that is written.
    needed = int(rate * intake.longest_delay) + 2
    if needed <= max(slots, 3):
        return ""
    return (
        f"a frame was read {duration(intake.longest_delay)} after its write, at {rate:.3g} Hz: "
        f"the writer's {slots} slots do not reach over the next such stall, slots={needed} do"
    )
