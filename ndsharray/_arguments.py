"""Checks of what users give: ValueError or TypeError, before anything is done.

Nothing else may live here. The checks of arrays and dtypes are in ``dtypes``, that of names in
``backends.base``.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ._protocol.dtypes import is_masked
from ._protocol.format import MAX_SLOTS, MIN_SLOTS

__all__ = [
    "as_shape",
    "check_interval",
    "check_max_age",
    "check_names",
    "check_out",
    "check_slots",
    "check_stamp",
    "check_timeout",
]

_LONGEST = 9e9  # seconds of an interval: no two stamps are further apart


def check_slots(slots: int) -> None:
    """Check a number of slots."""
    if isinstance(slots, bool) or not isinstance(slots, int):
        raise TypeError(f"slots is an int, not {type(slots).__name__}")
    if not MIN_SLOTS <= slots <= MAX_SLOTS:
        raise ValueError(f"slots must be {MIN_SLOTS} to {MAX_SLOTS}, not {slots}")


def check_timeout(timeout: float | None) -> float | None:
    """Return a timeout in seconds as a float; None: for ever."""
    return None if timeout is None else _seconds("timeout", timeout)


def check_max_age(max_age: float) -> float:
    """Return an age in seconds as a float."""
    return _seconds("max_age", max_age)


def _seconds(what: str, given: float) -> float:
    seconds = _as_float(f"{what} is seconds or None", given)
    if math.isnan(seconds) or seconds < 0:
        raise ValueError(f"{what} must be 0 or more seconds, or None, not {given!r}")
    return seconds


def _as_float(rule: str, given: float) -> float:
    try:
        if isinstance(given, (str, bytes, bytearray)):
            raise TypeError
        return float(given)
    except OverflowError:
        return math.inf if given > 0 else -math.inf
    except (TypeError, ValueError):
        raise TypeError(f"{rule}, not {given!r}") from None


def check_interval(what: str, given: float) -> int:
    """Return a number of seconds as whole nanoseconds, so that times stay exact."""
    seconds = _as_float(f"{what} is a number of seconds", given)
    if not math.isfinite(seconds):
        raise ValueError(f"{what} is a finite number of seconds, not {given!r}")
    if abs(seconds) > _LONGEST:
        raise ValueError(f"{what} is at most {_LONGEST:.0e} seconds, not {given!r}")
    return round(seconds * 1e9)


def check_names(names: Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    """Return the names of arrays by the names that a set has for them."""
    if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
        raise TypeError(f"names is a list of names, or a mapping, not {names!r}")
    pairs = list(names.items() if isinstance(names, Mapping) else ((name, name) for name in names))
    for alias, _ in pairs:
        if not isinstance(alias, str):
            raise TypeError(f"a name is a str, not {type(alias).__name__}")
    by_name = dict(pairs)
    if not by_name:
        raise ValueError("a set needs at least one name")
    if len(by_name) != len(pairs):
        raise ValueError("a name is there twice: give a mapping to read an array under two names")
    return by_name


def check_stamp(time_ns: int | None) -> int:
    """Return a time of capture as the format has it; 0: not known."""
    if time_ns is None:
        return 0
    try:
        if isinstance(time_ns, (bool, np.bool_)):
            raise TypeError
        stamp = operator.index(time_ns)
    except TypeError:
        kind = type(time_ns).__name__
        raise TypeError(f"time_ns is an int, Unix time in nanoseconds, not {kind}") from None
    if not 1 <= stamp < 2**63:
        raise ValueError(f"time_ns is Unix time in nanoseconds, 1 to 2**63 - 1, not {stamp}")
    return stamp


def check_out(out: npt.NDArray[Any]) -> None:
    """Check that an array can be filled, whatever the frame is."""
    if not isinstance(out, np.ndarray) or is_masked(out):
        raise TypeError(f"out must be a plain numpy.ndarray, not {type(out).__name__}")
    if not out.flags.writeable:
        raise ValueError("out is read-only")


def as_shape(shape: int | Iterable[int], dtype: np.dtype[Any]) -> tuple[int, ...]:
    """Return a shape as numpy takes it, one length or several, if it can make such an array."""
    try:
        if isinstance(shape, (str, bytes, bytearray)):
            raise TypeError
        several = shape if isinstance(shape, Iterable) else (shape,)
        lengths = tuple(operator.index(length) for length in several)
    except TypeError:
        raise TypeError(f"shape is an int or a sequence of them, not {shape!r}") from None
    try:
        if 0 in lengths:
            np.empty(lengths, dtype)
        else:
            np.broadcast_to(np.empty((), dtype), lengths)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"no array has the shape {lengths}: {error}") from None
    return lengths
