"""A row of numbers as a line in the terminal, in Braille patterns or stars."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..common.terminal import Terminal

__all__ = ["draw"]

_HIGHEST = 16  # lines
# Unicode's Braille patterns: the bit of each dot, four rows of two.
_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
_BRAILLE = 0x2800


def draw(values: npt.NDArray[Any], screen: Terminal, lines: int) -> list[str]:
    """Return the lines of a plot of one-dimensional numbers, with the scale on its left.

    Each column shows the least and the greatest of its values. Values that are not finite leave a
    hole.

    Parameters
    ----------
    values : numpy.ndarray
        Of shape (n,), n > 1, real.
    screen : Terminal
        Braille patterns where it has Unicode, else stars.
    lines : int
        How many there may be.
    """
    numbers = values.astype(np.float64)
    numbers[~np.isfinite(numbers)] = np.nan
    finite = numbers[~np.isnan(numbers)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    labels = [f"{high:.6g}", f"{low:.6g}"]
    margin = max(map(len, labels)) + 1
    height = 1 if low == high else max(2, min(lines, _HIGHEST))
    width = max(4, screen.columns - margin)
    per_line, per_column = (4, 2) if screen.unicode else (1, 1)
    grid = _grid(numbers, height * per_line, width * per_column, low, high)
    rows = _braille(grid) if screen.unicode else _stars(grid)
    left = [labels[0], *[""] * (height - 2), labels[1]] if height > 1 else labels[:1]
    return [f"{label:>{margin - 1}} {row}".rstrip() for label, row in zip(left, rows)]


def _grid(
    numbers: npt.NDArray[Any], rows: int, columns: int, low: float, high: float
) -> npt.NDArray[np.bool_]:
    """Return which dots are set, the uppermost row first."""
    least, greatest = _columns(numbers, columns)
    # The line begins where it ends in the column before.
    before_least, before_greatest = least[:-1], greatest[:-1]
    least[1:], greatest[1:] = (
        np.where(least[1:] > before_greatest, before_greatest, least[1:]),
        np.where(greatest[1:] < before_least, before_least, greatest[1:]),
    )
    half = 0.5 * high - 0.5 * low or 1.0  # the difference of two floats can overflow
    top, bottom = (
        np.rint((0.5 * high - 0.5 * edge) / half * (rows - 1)) for edge in (greatest, least)
    )
    row = np.arange(rows)[:, None]
    drawn: npt.NDArray[np.bool_] = (row >= top) & (row <= bottom)  # never, where they are NaN
    return drawn


def _columns(numbers: npt.NDArray[Any], columns: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return the least and the greatest value of each column; NaN where there is none."""
    count = len(numbers)
    if count <= columns:
        between = np.interp(np.linspace(0, count - 1, columns), np.arange(count), numbers)
        return between, between.copy()
    starts = np.arange(columns) * count // columns
    return np.fmin.reduceat(numbers, starts), np.fmax.reduceat(numbers, starts)


def _braille(grid: npt.NDArray[np.bool_]) -> list[str]:
    rows, columns = grid.shape
    cells = grid.reshape(rows // 4, 4, columns // 2, 2)
    codes = _BRAILLE + (cells * _DOTS[None, :, None, :]).sum((1, 3))
    empty = str.maketrans({_BRAILLE: " "})  # not every font has the pattern without dots
    return ["".join(map(chr, line)).translate(empty) for line in codes.tolist()]


def _stars(grid: npt.NDArray[np.bool_]) -> list[str]:
    return ["".join(line) for line in np.where(grid, "*", " ").tolist()]
