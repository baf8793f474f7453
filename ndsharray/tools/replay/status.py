"""What a player tells of itself."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

__all__ = ["Status"]


@dataclass(frozen=True)
class Status:
    """How far a player is.

    Attributes
    ----------
    position, length : float
        Seconds from the recording's first frame, and of all of it.
    frames : int
        Frames that were played.
    behind : float
        Seconds that the last frame was late.
    slipped : float
        Seconds by which all is later, because reading or writing took too long.
    skipped : int
        Messages that hold no array.
    damaged, torn : int
        Frames that are not as they were written, and files that end in the middle of one.
    is_paused : bool
        Whether it stands still.
    is_incomplete : bool
        Whether some of the files could not be read.
    notes : tuple of str
        A line for all that could not be played.
    """

    position: float
    length: float
    frames: int
    behind: float
    slipped: float
    skipped: int
    damaged: int
    torn: int
    is_paused: bool
    is_incomplete: bool
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return dataclasses.asdict(self)
