"""A frame as lines: at most two values for each column of pixels, and no peak is lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .looks import Look

__all__ = ["MOST_LINES", "lines_of", "plot_of"]

MOST_LINES = 8

Values = npt.NDArray[Any]


def lines_of(array: Values) -> Values:
    """Return the lines in an array: shape (lines, points), `MOST_LINES` at most."""
    if array.dtype.kind == "c":
        array = np.abs(array)
    elif array.dtype.kind in "mM":
        array = array.astype(np.int64)
    if array.ndim < 2:
        return array.reshape(1, -1)
    lines = array.reshape(-1, array.shape[-1])
    if lines.shape[1] <= MOST_LINES < lines.shape[0]:  # a channel in each column
        lines = lines.T
    return lines[:MOST_LINES]


def plot_of(array: Values, look: Look) -> tuple[dict[str, Any], bytes]:
    """Return facts, and float64 values of shape (lines, columns, 2) or (lines, points)."""
    lines = lines_of(array)
    points = lines.shape[1]
    left, right = 0, points
    if look.crop is not None:
        left = min(max(int(look.crop[0]), 0), points - 1)
        right = min(max(int(np.ceil(look.crop[2])), left + 1), points)
    part = lines[:, left:right]
    columns = look.width
    is_thinned = right - left > 2 * columns
    data = _thinned(part, columns) if is_thinned else part.astype(np.float64)
    facts = {
        "kind": "plot",
        "points": points,
        "part": [left, right],
        "lines": len(lines),
        "columns": columns if is_thinned else right - left,
        "thinned": is_thinned,
    }
    return facts, np.ascontiguousarray(data).tobytes()


def _thinned(lines: Values, columns: int) -> npt.NDArray[np.float64]:
    """Return the least and the greatest value for each column of pixels; NaN if all are."""
    edges = np.linspace(0, lines.shape[1], columns, endpoint=False).astype(np.intp)
    low = np.fmin.reduceat(lines, edges, axis=1)
    high = np.fmax.reduceat(lines, edges, axis=1)
    return np.stack([low, high], axis=-1).astype(np.float64)
