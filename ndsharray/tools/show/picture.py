"""A frame as a picture: which axes are the picture, how values become brightness, how it is drawn.

Values become 8 bits by themselves (uint8, bool) or by an autoscale from the least to the greatest
finite value. What is not finite is drawn in magenta, or as ``?`` without colours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..common.terminal import TRUE_COLOURS, Terminal

__all__ = ["as_pixels", "draw", "is_picture"]

_SMALLEST = 8  # a side that is shorter makes a table
_MARK = (255, 0, 255)
_BLOCKS, _LETTERS = " ░▒▓█", " .:-=+*#%@"
_SAMPLES = 16  # a drawn pixel is the mean of that many on a side, or a few more


def is_picture(array: npt.NDArray[Any]) -> bool:
    """Tell whether an array is drawn as a picture: (height, width), or with 1, 3 or 4 channels."""
    if array.dtype.kind not in "biufc" or min(array.shape[:2], default=0) < _SMALLEST:
        return False
    return array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))


def as_pixels(array: npt.NDArray[Any], bgr: bool = False) -> npt.NDArray[Any]:
    """Return a whole picture as (height, width[, channels]) of uint8 or uint16, for a file.

    What is uint8 or uint16 stays as it is; what is not finite becomes 0.
    """
    array = _channels(array, bgr)
    if array.dtype.kind == "u" and array.itemsize <= 2:
        return array
    pixels: npt.NDArray[Any] = np.nan_to_num(_bright(array, *limits(array))).astype(np.uint8)
    return pixels


def _channels(array: npt.NDArray[Any], bgr: bool) -> npt.NDArray[Any]:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if bgr and array.ndim == 3:
        array = array[..., [2, 1, 0, 3][: array.shape[2]]]
    real: npt.NDArray[Any] = np.abs(array) if array.dtype.kind == "c" else array
    return real


def limits(array: npt.NDArray[Any]) -> tuple[float, float]:
    """Return the values that are drawn as black and as white."""
    if array.dtype == np.uint8:
        return 0.0, 255.0
    if array.dtype == np.bool_:
        return 0.0, 1.0
    if array.dtype.kind == "f":
        finite = np.isfinite(array)
        if not finite.all():
            array = array[finite]
    return (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)


def _bright(array: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[Any]:
    """Return values as floats from 0 to 255, and NaN for what is not finite."""
    values: npt.NDArray[Any] = array.astype(np.float64 if array.itemsize > 2 else np.float32)
    values[~np.isfinite(values)] = np.nan
    if high > low:
        half = 0.5 * high - 0.5 * low  # the difference of two floats can overflow
        values = (0.5 * values - 0.5 * low) * (255 / half)
    else:
        values = values * 0 + 128
    return np.clip(values, 0, 255)


def draw(array: npt.NDArray[Any], screen: Terminal, lines: int, bgr: bool = False) -> list[str]:
    """Return the lines of a picture (`is_picture`) that fit into a terminal.

    Parameters
    ----------
    array : numpy.ndarray
        Of shape (height, width) or (height, width, 1, 3 or 4): the fourth, alpha, is not drawn.
    screen : Terminal
        Two pixels in a character where it has colours and Unicode; else letters of one brightness.
    lines : int
        How many there may be.
    bgr : bool
        Whether the first channel is blue.
    """
    array = _channels(array, bgr)
    array = array[..., :3] if array.ndim == 3 else array
    low, high = limits(array)
    height, width = _fitting(array.shape[0], array.shape[1], screen.columns, 2 * max(lines, 1))
    pixels = _bright(_thinned(array, height, width), low, high)
    pixels = _mean(_mean(pixels, height, 0), width, 1)
    if screen.colours and screen.unicode:
        return _half_blocks(pixels, screen.colours)
    return _ramp(pixels, _BLOCKS if screen.unicode else _LETTERS)


def _fitting(height: int, width: int, columns: int, rows: int) -> tuple[int, int]:
    """Return the size of a drawn picture: of the same sides, and of an even height."""
    scale = min(columns / width, rows / height)
    even = max(2, 2 * round(height * scale / 2))
    return min(even, rows), max(1, min(columns, round(width * scale)))


def _thinned(array: npt.NDArray[Any], height: int, width: int) -> npt.NDArray[Any]:
    """Return an array with pixels left out, so that a huge picture is drawn as fast as another."""
    # Every third one, or fifth: in steps of two, a raw picture of a colour camera (a Bayer pattern)
    # would show one of its colours.
    step = [have // (want * _SAMPLES) | 1 for have, want in zip(array.shape, (height, width))]
    return array[:: step[0], :: step[1]]


def _mean(values: npt.NDArray[Any], count: int, axis: int) -> npt.NDArray[Any]:
    """Return `count` means along an axis; values are repeated where there are fewer."""
    have = values.shape[axis]
    if have <= count:
        repeated: npt.NDArray[Any] = values.take(np.arange(count) * have // count, axis)
        return repeated
    starts = np.arange(count) * have // count
    lengths = np.diff(np.append(starts, have))
    shape = [-1 if i == axis else 1 for i in range(values.ndim)]
    mean: npt.NDArray[Any] = np.add.reduceat(values, starts, axis) / lengths.reshape(shape)
    return mean


def _colour_codes(pixels: npt.NDArray[Any], colours: int) -> list[list[str]]:
    """Return what selects each pixel's colour, behind ``38;`` or ``48;``."""
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, 2)
    unknown = np.isnan(pixels.sum(2))
    whole = np.where(unknown[..., None], _MARK, np.nan_to_num(pixels)).round().astype(int)
    if colours >= TRUE_COLOURS:
        return [[f"2;{r};{g};{b}" for r, g, b in line] for line in whole.tolist()]
    # xterm's colours: a cube of six steps (0, 95, 135 ... 255) at 16, and 24 greys (8, 18 ... 238).
    steps = np.where(whole < 48, 0, np.maximum((whole - 35) // 40, 1))
    cube = 16 + steps @ np.array([36, 6, 1])
    mean = whole.mean(2)
    grey = np.where(np.ptp(whole, 2) < 12, 232 + np.clip((mean - 3) // 10, 0, 23).astype(int), cube)
    grey = np.where(
        (mean < 4) & (grey != cube), 16, np.where((mean > 246) & (grey != cube), 231, grey)
    )
    return [[f"5;{code}" for code in line] for line in grey.tolist()]


def _half_blocks(pixels: npt.NDArray[Any], colours: int) -> list[str]:
    codes = _colour_codes(pixels, colours)
    lines = []
    for upper, lower in zip(codes[::2], codes[1::2]):
        line, last = [], ("", "")
        for pair in zip(upper, lower):
            if pair != last:
                line.append(f"\x1b[38;{pair[0]};48;{pair[1]}m")
                last = pair
            line.append("\u2580")
        lines.append("".join(line) + "\x1b[0m")
    return lines


def _ramp(pixels: npt.NDArray[Any], ramp: str) -> list[str]:
    if pixels.ndim == 3:
        pixels = pixels @ np.array([0.299, 0.587, 0.114])[: pixels.shape[2]]
    rows = _mean(pixels, pixels.shape[0] // 2, 0)
    unknown = np.isnan(rows)
    steps = (np.nan_to_num(rows) * (len(ramp) / 256)).astype(int)
    letters = np.where(unknown, "?", np.array(list(ramp))[steps])
    return ["".join(line).rstrip() for line in letters.tolist()]
