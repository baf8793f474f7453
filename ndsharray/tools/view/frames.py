"""One frame that was read, what is known of it, and what it was rendered to.

Not here: how it is read (``feeds``), what it looks like (``render``).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from .looks import Look
from .tables import number

__all__ = ["Frame", "Rendered", "Statistics"]

_MOST_LOOKS = 16  # renderings that a frame keeps; every page has one or two
_serials = itertools.count(1)

Rendered = tuple[dict[str, Any], bytes]


@dataclass(frozen=True)
class Statistics:
    """What all values of a frame say together; None: there is nothing to compare."""

    low: float | None
    high: float | None
    nans: int
    infinities: int


@dataclass(eq=False)
class Frame:
    """A frame, private to the viewer.

    Attributes
    ----------
    array : numpy.ndarray
        The values as the writer published them.
    frame_id : int
        The writer's number.
    written_ns : int
        Unix time of the write.
    missed : int
        Frames that were never looked at, so far.
    serial : int
        The viewer's own number; no two frames of any arrays have the same.
    """

    array: npt.NDArray[Any]
    frame_id: int
    written_ns: int
    missed: int
    serial: int = field(default_factory=lambda: next(_serials))
    _rendered: dict[Look, Future[Rendered]] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """Return what a page shows besides the values; times in Unix milliseconds."""
        return {
            "serial": self.serial,
            "frame": self.frame_id,
            "missed": self.missed,
            "written": self.written_ns / 1e6,
        }

    def rendered(
        self, look: Look, pool: Executor, render: Callable[[Frame, Look], Rendered]
    ) -> Future[Rendered]:
        """Return the rendering of a look, which is done once for all who ask."""
        found = self._rendered.get(look)
        if found is None:
            while len(self._rendered) >= _MOST_LOOKS:
                del self._rendered[next(iter(self._rendered))]
            found = self._rendered[look] = pool.submit(render, self, look)
        return found

    @cached_property
    def statistics(self) -> Statistics:
        """Least and greatest value, NaNs and infinities: of all values, none left out."""
        values = self.array
        if not values.size or values.dtype.kind not in "buifc":
            return Statistics(None, None, 0, 0)
        if values.dtype.kind == "c":
            values = np.abs(values)
        low, high = values.min(), values.max()
        if np.isfinite(low) and np.isfinite(high):
            return Statistics(number(low), number(high), 0, 0)
        finite = np.isfinite(values)
        nans = int(np.count_nonzero(np.isnan(values)))
        kept = values[finite]
        infinities = values.size - kept.size - nans
        if not kept.size:
            return Statistics(None, None, nans, infinities)
        return Statistics(number(kept.min()), number(kept.max()), nans, infinities)
