"""How somebody wants to see an array: what the page asks for, checked.

Equal looks share one rendering, so everything that changes the picture is in here, and nothing
else is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from .colours import MAPS

__all__ = ["MODES", "Crop", "Look", "look_of"]

MODES = ("picture", "plot", "trace", "table")
_LONGEST = 4096  # pixels; no screen shows more of one tile

Crop = tuple[float, float, float, float]


@dataclass(frozen=True)
class Look:
    """A way to show a frame.

    Attributes
    ----------
    mode : str
        One of `MODES`, or ``""``: what suits the frame.
    width, height : int
        Room for it, in pixels of the screen.
    auto : bool or None
        Whether the levels follow the values; None: as suits the dtype.
    log : bool
        Whether the levels are logarithmic.
    colours : str
        The colour map of values that are no colours.
    bgr : bool
        Whether blue comes first.
    dark : int
        Serial number of the frame to subtract; 0: none.
    crop : tuple of float or None
        Left, top, right, bottom of the part to show, in elements.
    index : int
        Which picture of a stack.
    """

    mode: str = ""
    width: int = 640
    height: int = 480
    auto: bool | None = None
    log: bool = False
    colours: str = "grey"
    bgr: bool = False
    dark: int = 0
    crop: Crop | None = None
    index: int = 0


def look_of(asked: dict[str, Any]) -> Look:
    """Return the look that a page asks for.

    Raises
    ------
    ValueError, TypeError
        For what no page asks.
    """
    mode, colours = asked.get("mode") or "", asked.get("map") or "grey"
    if mode and mode not in MODES:
        raise ValueError(f"no such mode: {mode!r}")
    if colours not in MAPS:
        raise ValueError(f"no such colour map: {colours!r}")
    auto = asked.get("auto")
    return Look(
        mode=mode,
        width=_length(asked.get("w", 640)),
        height=_length(asked.get("h", 480)),
        auto=None if auto is None else bool(auto),
        log=bool(asked.get("log")),
        colours=colours,
        bgr=bool(asked.get("bgr")),
        dark=int(asked.get("dark") or 0),
        crop=_crop(asked.get("crop")),
        index=max(0, int(asked.get("index") or 0)),
    )


def _length(value: Any) -> int:
    return min(max(int(value), 16), _LONGEST)


def _crop(value: Any) -> Crop | None:
    if not value:
        return None
    left, top, right, bottom = map(float, value)
    if not all(map(math.isfinite, (left, top, right, bottom))):
        raise ValueError(f"no such part: {value}")
    return left, top, right, bottom
