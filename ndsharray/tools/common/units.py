"""Numbers for people: sizes, rates, times, and what a frame is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ... import ArrayInfo

__all__ = [
    "bytes_of",
    "describe",
    "duration",
    "hertz",
    "human",
    "milliseconds",
    "plural",
    "rate",
]


def human(size: float) -> str:
    """Return a number of bytes of memory for people: ``7.9 MiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:
            return f"{size:.0f} B" if unit == "B" else f"{_short(size)} {unit}"
        size /= 1024
    return f"{_short(size)} TiB"


def rate(bytes_per_second: float) -> str:
    """Return bytes per second for people, by powers of ten: ``83 MB/s``."""
    for unit in ("B", "kB", "MB"):
        if abs(bytes_per_second) < 1000:
            return (
                f"{_short(bytes_per_second) if unit != 'B' else round(bytes_per_second)} {unit}/s"
            )
        bytes_per_second /= 1000
    return f"{_short(bytes_per_second)} GB/s"


def duration(seconds: float) -> str:
    """Return a time for people: ``2 ms``, ``3.1 s``, ``4 min``, ``3 h``, ``2 d``."""
    for limit, size, unit in (
        (1e-3, 1e-6, "us"),
        (1, 1e-3, "ms"),
        (120, 1, "s"),
        (7200, 60, "min"),
        (172800, 3600, "h"),
    ):
        if abs(seconds) < limit:
            return f"{_short(seconds / size)} {unit}"
    return f"{_short(seconds / 86400)} d"


def hertz(hz: float) -> str:
    """Return a rate with four digits: ``29.98 Hz``."""
    return f"{hz:.0f} Hz" if hz >= 1000 else f"{hz:#.4g} Hz"


def milliseconds(value: float) -> str:
    """Return milliseconds with two digits or more: ``0.42 ms``, ``41 ms``; from 1000 in seconds."""
    if value >= 1000:
        return duration(value / 1e3)
    return (
        f"{value:.2f} ms" if value < 1 else f"{value:.1f} ms" if value < 10 else f"{value:.0f} ms"
    )


def plural(count: int, what: str) -> str:
    """Return a number of things: ``1 reader``, ``2 readers``."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def describe(shape: tuple[int, ...] | None, dtype: np.dtype[Any] | None) -> str:
    """Return what a frame is: ``720x1280x3 uint8``; "": it is not known."""
    if shape is None or dtype is None:
        return ""
    return f"{'x'.join(map(str, shape)) or 'scalar'} {'structured' if dtype.names else dtype}"


def bytes_of(info: ArrayInfo) -> int | None:
    """Return the bytes of the newest frame; None if its layout is not known."""
    if info.shape is None or info.dtype is None:
        return None
    return math.prod(info.shape) * info.dtype.itemsize


def _short(value: float) -> str:
    """Return a number with two or three digits that tell something."""
    return f"{value:.1f}" if abs(value) < 9.95 and value != round(value) else f"{value:.0f}"
