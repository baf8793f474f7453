"""Which way to show a frame, and the elements under the cursor."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .frames import Frame, Rendered
from .looks import Look
from .pictures import picture_of, planes_of
from .plots import MOST_LINES, lines_of, plot_of
from .tables import MOST_TRACES, cell, table_of, text, trace_of, traceable

__all__ = ["element", "modes_of", "render"]

_SMALL_TABLE = 64  # elements of a matrix that is read rather than looked at

Values = npt.NDArray[Any]


def modes_of(array: Values) -> list[str]:
    """Return how an array can be shown, what suits it best first."""
    if not array.size:
        return []
    modes = ["table"]
    if array.dtype.names:
        return [*modes, "trace"] if traceable(array) else modes
    if array.dtype.kind not in "buifcmM":
        return modes
    if array.size > 1:
        modes.append("plot")
    if array.ndim >= 2 and array.dtype.kind in "buifc":
        modes.append("picture")
    if traceable(array):
        modes.append("trace")
    best = _best(array, modes)
    return [best, *(mode for mode in modes if mode != best)]


def _best(array: Values, modes: list[str]) -> str:
    if array.size == 1 or (array.ndim == 1 and array.size <= MOST_TRACES):
        return "trace" if "trace" in modes else "table"
    if array.ndim == 1 or "picture" not in modes:
        return "plot"
    if array.ndim == 2 and array.size <= _SMALL_TABLE:
        return "table"
    return "plot" if array.ndim == 2 and min(array.shape) <= MOST_LINES else "picture"


def render(frame: Frame, look: Look, dark: Frame | None = None) -> Rendered:
    """Return what the page needs to know about a frame, and the data to draw."""
    array = frame.array
    modes = modes_of(array)
    mode = look.mode if look.mode in modes else modes[0] if modes else "empty"
    facts: dict[str, Any] = {"kind": mode}
    data = b""
    if mode == "picture":
        if dark is not None and (dark.array.shape, dark.array.dtype) != (array.shape, array.dtype):
            dark = None
        picture = picture_of(array, look, None if dark is None else dark.array)
        facts, data = picture.facts, picture.data
        facts["dark"] = dark is not None
    elif mode == "plot":
        facts, data = plot_of(array, look)
    elif mode == "trace":
        facts = trace_of(array)
    elif mode == "table":
        facts = table_of(array)
    found = frame.statistics
    facts["modes"] = modes
    facts["shape"] = list(array.shape)
    facts["dtype"] = str(array.dtype) if not array.dtype.names else "record"
    facts["low"], facts["high"] = found.low, found.high
    facts["nans"], facts["infinities"] = found.nans, found.infinities
    return facts, data


def element(frame: Frame, mode: str, index: int, x: int, y: int) -> str:
    """Return the raw values at a place: a pixel, a point of all lines, a cell of a table."""
    array = frame.array
    if x < 0 or y < 0 or mode not in modes_of(array):
        return ""
    if mode == "picture":
        planes = planes_of(array)
        plane = planes[index % len(planes)]
        if y >= plane.shape[0] or x >= plane.shape[1]:
            return ""
        found = plane[y, x]
        return ", ".join(map(text, found)) if np.ndim(found) else text(found)
    if mode == "table":
        try:
            return text(cell(array, x, y))
        except IndexError:
            return ""
    if mode == "plot":
        lines = lines_of(array)
        return ", ".join(map(text, lines[:, x])) if x < lines.shape[1] else ""
    return ""
