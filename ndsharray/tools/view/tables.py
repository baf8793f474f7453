"""A frame as text and numbers: tables, values to trace over time, single elements."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["MOST_TRACES", "cell", "number", "table_of", "text", "trace_of", "traceable"]

MOST_TRACES = 16
_ROWS, _COLUMNS, _LETTERS, _INNER = 64, 24, 60, 16

Values = npt.NDArray[Any]


def text(value: Any) -> str:
    """Return one element exactly, with no more digits than that takes."""
    return _written(value, str)


def brief(value: Any) -> str:
    """Return one element for a table: floating point numbers with seven digits."""
    shown = _written(value, _rounded)
    return shown if len(shown) <= _LETTERS else shown[: _LETTERS - 1] + "…"


def _rounded(value: Any) -> str:
    return f"{value:.7g}" if isinstance(value, np.inexact) else str(value)


def _written(value: Any, scalar: Callable[[Any], str]) -> str:
    if isinstance(value, np.ndarray):
        inner = [_written(each, scalar) for each in value.flat[:_INNER]]
        more = ", …" if value.size > _INNER else ""
        return f"[{', '.join(inner)}{more}]"
    if isinstance(value, np.void) and value.dtype.names:
        fields = (f"{name}={_written(value[name], scalar)}" for name in value.dtype.names)
        return ", ".join(fields)
    if isinstance(value, np.void):
        return value.tobytes().hex(" ")
    return scalar(value)


def table_of(array: Values) -> dict[str, Any]:
    """Return the first rows of an array as text."""
    names = array.dtype.names
    if names and array.ndim == 0:
        rows = [[name, brief(array[name][()])] for name in names[:_ROWS]]
        return _table(["field", "value"], False, rows, [len(names), 2])
    if names:
        records = array.reshape(-1)
        shown = names[:_COLUMNS]
        rows = [[brief(record[name]) for name in shown] for record in records[:_ROWS]]
        return _table(list(shown), True, rows, [records.size, len(names)])
    grid = _grid(array)
    rows = [[brief(value) for value in row] for row in grid[:_ROWS, :_COLUMNS]]
    columns = list(map(str, range(len(rows[0])))) if array.ndim > 1 else ["value"]
    return _table(columns, True, rows, list(grid.shape))


def cell(array: Values, x: int, y: int) -> Any:
    """Return the element in a row and a column of the whole table."""
    names = array.dtype.names
    if names and array.ndim == 0:
        return array[names[y]][()]
    return array.reshape(-1)[y][names[x]] if names else _grid(array)[y, x]


def _grid(array: Values) -> Values:
    return array.reshape(-1, array.shape[-1] if array.ndim > 1 else 1)


def _table(
    columns: list[str], is_numbered: bool, rows: list[list[str]], whole: list[int]
) -> dict[str, Any]:
    return {
        "kind": "table",
        "columns": columns,
        "numbered": is_numbered,
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
        "values": [number(value) for _, value in found],
    }


def number(value: Any) -> float | None:
    """Return a number as JSON has it; None: it has none (NaN, infinite, beyond 64 bits)."""
    plain = float(value)
    return plain if math.isfinite(plain) else None
