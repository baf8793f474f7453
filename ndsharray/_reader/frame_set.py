"""What a read set hands out: a set of frames, and the counts of an array."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy.typing as npt

from .member import Member
from .tracks import Frame

__all__ = ["Counts", "FrameSet"]


class Counts(NamedTuple):
    """What became of the frames of one array since the first one that was seen."""

    matched: int
    """Frames that were part of a set."""
    unmatched: int
    """Frames that were seen and are part of no set."""
    missing: int
    """Frames that the writer overwrote before they could be seen or read."""


class FrameSet(Mapping[str, npt.NDArray[Any]]):
    """Frames of several arrays that belong together.

    A mapping from the names of a `ReadSet` to arrays: ``s["left"]``. Where a name is an identifier,
    and not the name of something else here, ``s.left`` is the same.

    Attributes
    ----------
    times_ns : dict of str to int
        When each frame was captured: Unix time in nanoseconds as its writer gave it, else when it
        was written; without the offset of the set.
    frame_ids : dict of str to int
        The number of each frame.
    spread_ms : float
        Milliseconds from the first to the last of them, offsets included.
    """

    def __init__(self, members: Sequence[Member], frames: Sequence[Frame], copy: bool) -> None:
        pairs = list(zip(members, frames, strict=True))
        self._arrays = {m.name: m.value(f, copy) for m, f in pairs}
        self.times_ns: dict[str, int] = {m.name: f.place.time_ns for m, f in pairs}
        self.frame_ids: dict[str, int] = {m.name: f.number for m, f in pairs}
        times = [frame.time for frame in frames]
        self.spread_ms: float = (max(times) - min(times)) / 1e6

    def __eq__(self, other: object) -> bool:
        return self is other  # not as mappings are: arrays that are compared give an array

    def __hash__(self) -> int:
        return id(self)

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return self._arrays[name]

    def __getattr__(self, name: str) -> npt.NDArray[Any]:
        try:
            return self.__dict__["_arrays"][name]  # type: ignore[no-any-return]
        except KeyError:
            raise AttributeError(f"the set has no array {name!r}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *filter(str.isidentifier, self._arrays)]

    def __repr__(self) -> str:
        frames = ", ".join(f"{name} #{number}" for name, number in self.frame_ids.items())
        return f"<FrameSet {frames}, spread {self.spread_ms:.1f} ms>"
