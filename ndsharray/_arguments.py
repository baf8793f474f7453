"""Checks of what users give: ValueError or TypeError, before anything is done.

The checks of arrays and dtypes are in ``_types``, that of names in ``backends.base``.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any, Optional, Union

import numpy as np
import numpy.typing as npt

from ._layout import MAX_SLOTS, MIN_SLOTS

__all__ = ["as_shape", "check_out", "check_slots", "check_timeout"]


def check_slots(slots: int) -> None:
    """Check a number of slots."""
    if isinstance(slots, bool) or not isinstance(slots, int):
        raise TypeError(f"slots is an int, not {type(slots).__name__}")
    if not MIN_SLOTS <= slots <= MAX_SLOTS:
        raise ValueError(f"slots must be {MIN_SLOTS} to {MAX_SLOTS}, not {slots}")


def check_timeout(timeout: Optional[float]) -> Optional[float]:
    """Return a timeout in seconds as a float; None: for ever."""
    if timeout is None:
        return None
    try:
        seconds = float(timeout)
    except (TypeError, ValueError):
        raise TypeError(f"timeout is seconds or None, not {timeout!r}") from None
    if math.isnan(seconds) or seconds < 0:
        raise ValueError(f"timeout must be 0 or more seconds, or None, not {timeout!r}")
    return seconds


def check_out(out: npt.NDArray[Any]) -> None:
    """Check that an array can be filled, whatever the frame is."""
    if not isinstance(out, np.ndarray) or isinstance(out, np.ma.MaskedArray):
        raise TypeError(f"out must be a plain numpy.ndarray, not {type(out).__name__}")
    if not out.flags.writeable:
        raise ValueError("out is read-only")


def as_shape(shape: Union[int, Sequence[int]]) -> tuple[int, ...]:
    """Return a shape as numpy takes it: one length, or a sequence of them."""
    try:
        lengths = tuple(map(operator.index, shape)) if isinstance(shape, Sequence) else None
        lengths = (operator.index(shape),) if lengths is None else lengths  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"shape is an int or a sequence of them, not {shape!r}") from None
    if any(length < 0 for length in lengths):
        raise ValueError(f"no length of a shape is negative: {shape!r}")
    return lengths
