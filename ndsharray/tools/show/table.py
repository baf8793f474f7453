"""A frame as a table: a column for each field, or numpy's own text."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..common.terminal import Terminal, aligned, shown

__all__ = ["draw"]

_EDGE = 3  # rows or numbers at each end, if there are too many


def draw(array: npt.NDArray[Any], screen: Terminal, lines: int) -> list[str]:
    """Return an array's values as lines, the first and last ones if there are too many.

    Parameters
    ----------
    array : numpy.ndarray
        Of any dtype.
    screen : Terminal
        Whose columns are used.
    lines : int
        How many there may be.
    """
    if array.dtype.names and array.ndim <= 1:
        return _fields(np.atleast_1d(array), screen, lines)
    if array.ndim == 0:
        return [shown(str(array[()]))]
    text = np.array2string(
        array, max_line_width=screen.columns, threshold=screen.columns * lines // 8, edgeitems=_EDGE
    )
    return _cut(text.split("\n"), lines)


def _fields(array: npt.NDArray[Any], screen: Terminal, lines: int) -> list[str]:
    names = array.dtype.names or ()
    count = max(2 * _EDGE, lines - 2)
    chosen = list(range(len(array)))
    if len(array) > count:
        chosen = [*chosen[: count // 2], *chosen[len(array) - count // 2 :]]
    rows = [["", *map(shown, names)]]
    rows += [[f"[{i}]", *(_cell(array[i][field]) for field in names)] for i in chosen]
    text = aligned(rows, screen.columns, right=range(len(names) + 1))
    if len(chosen) < len(array):
        text.insert(1 + count // 2, f"... {len(array) - len(chosen)} more")
    return text


def _cell(value: Any) -> str:
    if isinstance(value, np.floating):
        return f"{value:.6g}"
    return shown(" ".join(str(value).split()))


def _cut(text: list[str], lines: int) -> list[str]:
    if len(text) <= max(lines, 3):
        return text
    half = max(lines, 3) // 2
    return [*text[:half], "...", *text[len(text) - half + 1 :]]
