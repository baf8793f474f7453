"""A frame as text and numbers: tables, values to trace over time, single elements."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from .looks import Look

__all__ = ["MOST_TRACES", "table_of", "text", "trace_of", "traceable"]

MOST_TRACES = 16
_ROWS, _COLUMNS, _LETTERS = 64, 24, 60

Values = npt.NDArray[Any]


def text(value: Any) -> str:
    """Return one element exactly, as short as it can be."""
    if isinstance(value, np.ndarray):
        shown = np.array2string(value, threshold=8, separator=", ").replace("\n", "")
    elif isinstance(value, np.void) and value.dtype.names:
        shown = ", ".join(f"{name}={text(value[name])}" for name in value.dtype.names)
    elif isinstance(value, (np.void, bytes)):
        shown = bytes(value).hex(" ")
    else:
        shown = str(value)
    return shown if len(shown) <= _LETTERS else shown[: _LETTERS - 1] + "…"


def table_of(array: Values, look: Look) -> dict[str, Any]:
    """Return the first rows of an array as text."""
    names = array.dtype.names
    if names and array.ndim == 0:
        rows = [[name, text(array[name][()])] for name in names[:_ROWS]]
        return _table(["field", "value"], None, rows, [len(names), 2])
    if names:
        records = array.reshape(-1)
        shown = names[:_COLUMNS]
        rows = [[text(record[name]) for name in shown] for record in records[:_ROWS]]
        return _table(list(shown), 0, rows, [records.size, len(names)])
    top = left = 0
    if array.ndim < 2:
        grid = array.reshape(-1, 1)
    else:
        grid = array.reshape(-1, array.shape[-1])
        if look.crop is not None:
            left, top = (max(0, int(look.crop[i])) for i in (0, 1))
    part = grid[top : top + _ROWS, left : left + _COLUMNS]
    columns = [str(left + i) for i in range(part.shape[1])] if array.ndim > 1 else ["value"]
    return _table(columns, top, [[text(v) for v in row] for row in part], list(grid.shape))


def _table(
    columns: list[str], first_row: int | None, rows: list[list[str]], whole: list[int]
) -> dict[str, Any]:
    return {
        "kind": "table",
        "columns": columns,
        "first": first_row,
        "rows": rows,
        "whole": whole,
    }


def traceable(array: Values) -> list[tuple[str, Any]]:
    """Return the numbers of a small array with their names; nothing if it is too large."""
    if array.dtype.names:
        if array.size != 1:
            return []
        record = array.reshape(-1)[0]
        found = []
        for name in array.dtype.names:
            inner = traceable(np.asarray(record[name]))
            found += [(f"{name}{label}" if label else name, value) for label, value in inner]
        return found[:MOST_TRACES]
    if array.dtype.kind not in "buif" or not 1 <= array.size <= MOST_TRACES:
        return []
    if array.size == 1:
        return [("", array.reshape(-1)[0])]
    return [(str(list(index)).replace(" ", ""), value) for index, value in np.ndenumerate(array)]


def trace_of(array: Values) -> dict[str, Any]:
    """Return the numbers of a small array, for a page that keeps them over time."""
    found = traceable(array)
    return {
        "kind": "trace",
        "labels": [label for label, _ in found],
        "texts": [text(value) for _, value in found],
        "values": [_number(value) for _, value in found],
    }


def _number(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
