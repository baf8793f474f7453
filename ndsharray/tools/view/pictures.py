"""A frame as a picture: the part that is asked for, its levels, its colours, its encoding.

Every step works on as few values as the tile shows: first the part, then every n-th value down
to about twice the tile's pixels, then the mean of 2 or 3.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from .colours import NOT_A_NUMBER, stops, table
from .looks import Crop, Look

__all__ = ["Picture", "picture_of", "planes_of", "window"]

_QUALITY = 85
_EXACT = 128 * 128  # pixels; up to here they are sent as they are, since JPEG would blur them
_SAMPLE = 16384  # values that decide about automatic levels
_SPREAD = (0.5, 99.5)  # percentiles that automatic levels span

Values = npt.NDArray[Any]


@dataclass
class Picture:
    """What a page gets: facts for its captions, and the encoded pixels."""

    facts: dict[str, Any]
    data: bytes


def planes_of(array: Values) -> Values:
    """Return the pictures in an array: shape (n, height, width) or (n, height, width, channels)."""
    shape = array.shape
    if len(shape) == 2:
        return array[None]
    if shape[-1] in (1, 3, 4):
        planes = array.reshape(-1, *shape[-3:])
        return planes[..., 0] if shape[-1] == 1 else planes
    if len(shape) == 3 and shape[0] in (3, 4) and min(shape[1:]) > 4:  # channels come first
        return np.moveaxis(array, 0, -1)[None]
    return array.reshape(-1, *shape[-2:])


def picture_of(array: Values, look: Look, dark: Values | None = None) -> Picture:
    """Return the picture of an array of two or more dimensions, none of them empty."""
    planes = planes_of(array)
    plane = planes[look.index % len(planes)]
    height, width = plane.shape[:2]
    left, top, right, bottom = window(look.crop, width, height)
    ratio = max((right - left) / look.width, (bottom - top) / look.height, 1.0)
    step = int(ratio / 2) if ratio >= 4 else 1
    part = (slice(top, bottom, step), slice(left, right, step))
    values = plane[part]
    if dark is not None:
        values = _subtract(values, planes_of(dark)[look.index % len(planes)][part])
    if values.dtype.kind == "c":
        values = np.abs(values)
    is_colour = values.ndim == 3
    auto = _is_auto(values, look, is_colour)
    low, high = _levels(values, look, auto)
    missing = np.isnan(values) if values.dtype.kind == "f" and not is_colour else None
    tones = _tones(values, low, high, look.log)
    image = _image(tones, missing, look, int(ratio / step))
    encoding, data = _encode(image, is_colour or look.colours == "grey")
    facts = {
        "kind": "picture",
        "size": [width, height],
        "part": [left, top, right, bottom],
        "image": list(image.size),
        "encoding": encoding,
        "auto": auto,
        "levels": [float(low), float(high)],
        "colours": None if is_colour else stops(look.colours),
        "planes": len(planes),
    }
    return Picture(facts, data)


def window(crop: Crop | None, width: int, height: int) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of the part in whole elements, at least one each way."""
    if crop is None:
        return 0, 0, width, height
    left = min(max(int(crop[0]), 0), width - 1)
    top = min(max(int(crop[1]), 0), height - 1)
    right = min(max(int(np.ceil(crop[2])), left + 1), width)
    bottom = min(max(int(np.ceil(crop[3])), top + 1), height)
    return left, top, right, bottom


def _subtract(values: Values, dark: Values) -> Values:
    if values.dtype.kind == "u":  # what is darker than the dark frame is 0, not 255
        return np.maximum(values, dark) - dark
    if values.dtype.kind in "bi":
        return values.astype(np.float32) - dark
    return values - dark


# --- levels


def _is_auto(values: Values, look: Look, is_colour: bool) -> bool:
    if look.auto is not None:
        return look.auto
    return not (is_colour or values.dtype in (np.bool_, np.uint8))


def _levels(values: Values, look: Look, auto: bool) -> tuple[float, float]:
    """Return the values that become the darkest and the brightest tone."""
    kind = values.dtype.kind
    if auto:
        low, high = _spread(values, look.log)
    elif kind in "ui" and not (kind == "i" and look.dark):
        limits = np.iinfo(values.dtype)
        low, high = float(limits.min), float(limits.max)
    else:
        low, high = 0.0, 1.0
    if look.log:
        high = max(high, np.finfo(np.float32).tiny * 2)
        low = min(max(low, high * 1e-6 if kind == "f" else 1.0), high / 2)
    elif look.colours == "coolwarm" and auto and values.ndim == 2:
        high = max(abs(low), abs(high))  # grey is 0
        low = -high
    return (low, high) if high > low else (low, low + 1)


def _spread(values: Values, log: bool) -> tuple[float, float]:
    """Return what most values lie between; of few values, what all lie between."""
    every = max(1, int(np.sqrt(values.size / _SAMPLE)))
    sample = values[::every, ::every].astype(np.float64).ravel()
    sample = sample[np.isfinite(sample) & (sample > 0)] if log else sample[np.isfinite(sample)]
    if not sample.size:
        return 0.0, 1.0
    if sample.size < 4096:
        return float(sample.min()), float(sample.max())
    low, high = np.percentile(sample, _SPREAD)
    return float(low), float(high)


# --- tones and colours


def _tones(values: Values, low: float, high: float, log: bool) -> npt.NDArray[np.uint8]:
    """Return values as 0 to 255."""
    if values.dtype == np.uint8 and (low, high, log) == (0.0, 255.0, False):
        return values
    if values.dtype.kind in "ui" and values.dtype.itemsize <= 2:  # by a table of all there are
        limits = np.iinfo(values.dtype)
        every = np.arange(limits.min, limits.max + 1)
        tones = _scaled(every, low, high, log)
        if limits.min:
            tones = np.roll(tones, limits.min)  # negative numbers index from the end
        return tones[values]
    return _scaled(values, low, high, log)


def _scaled(values: Values, low: float, high: float, log: bool) -> npt.NDArray[np.uint8]:
    wide = np.float32 if values.dtype in (np.float16, np.float32, np.bool_) else np.float64
    with np.errstate(all="ignore"):  # what is no number gets a colour of its own
        scaled = values.astype(wide)
        if log:
            np.log(np.maximum(scaled, low, out=scaled), out=scaled)
            low, high = float(np.log(low)), float(np.log(high))
        scaled -= low
        scaled *= 255 / ((high - low) or 1.0)  # to a large number low + 1 is no other one
        np.fmax(scaled, 0, out=scaled)  # NaN becomes 0
        np.minimum(scaled, 255, out=scaled)
        return (scaled + 0.5).astype(np.uint8)


def _image(
    tones: npt.NDArray[np.uint8],
    missing: npt.NDArray[np.bool_] | None,
    look: Look,
    shrink: int,
) -> Image.Image:
    if tones.ndim == 2:
        image = _shrunk(_from(tones, "L", "L"), shrink)
        if look.colours != "grey":
            image.putpalette(table(look.colours).tobytes())
            image = image.convert("RGB")
        if missing is not None and missing.any():
            mask = _shrunk(_from(missing.astype(np.uint8) * 255, "L", "L"), shrink)
            image = image.convert("RGB")
            image.paste(NOT_A_NUMBER, mask=mask)
        return image
    if tones.shape[2] == 3:
        return _shrunk(_from(tones, "RGB", "BGR" if look.bgr else "RGB"), shrink)
    image = _shrunk(_from(tones, "RGBA", "BGRA" if look.bgr else "RGBA"), shrink)
    ground = _chequered(image.size)
    ground.paste(image, mask=image)
    return ground


def _from(tones: npt.NDArray[np.uint8], mode: str, order: str) -> Image.Image:
    size = (tones.shape[1], tones.shape[0])
    return Image.frombuffer(mode, size, np.ascontiguousarray(tones), "raw", order, 0, 1)


def _shrunk(image: Image.Image, times: int) -> Image.Image:
    return image.reduce(times) if times > 1 else image


def _chequered(size: tuple[int, int]) -> Image.Image:
    """Return what shows through a transparent picture."""
    x, y = np.arange(size[0]) // 8, np.arange(size[1]) // 8
    tones = np.where((x[None, :] + y[:, None]) % 2, 102, 153).astype(np.uint8)
    return _from(tones, "L", "L").convert("RGB")


def _encode(image: Image.Image, is_plain: bool) -> tuple[str, bytes]:
    if image.width * image.height <= _EXACT:
        return "rgba", image.convert("RGBA").tobytes()
    out = io.BytesIO()
    # Colour maps change colour from pixel to pixel, which 4:2:0 would smear.
    image.save(out, "JPEG", quality=_QUALITY, subsampling="4:2:0" if is_plain else "4:4:4")
    return "jpeg", out.getvalue()
