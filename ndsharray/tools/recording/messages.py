"""Frames as messages: what a frame's message looks like, and which frame a message is.

A frame that programs for robots can show is a ``foxglove.RawImage``, any other one an
``ndsharray.Array``. Both hold the frame's ``.npy`` header, from which the frame comes back equal
to the byte, and its payload as the last field.
"""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..._protocol.npy import HOSTILE, decode_header, encode_header
from .protobuf import (
    ARRAY_SCHEMA,
    IMAGE_SCHEMA,
    bytes_field,
    fields,
    fixed32_field,
    head_of_bytes,
    varint_field,
)

__all__ = [
    "ARRAY",
    "ENCODINGS",
    "IMAGE",
    "SCHEMAS",
    "Message",
    "Recorded",
    "decode",
    "encode",
    "kind_of",
    "picture_of",
]

IMAGE, ARRAY = "foxglove.RawImage", "ndsharray.Array"
SCHEMAS = {IMAGE: IMAGE_SCHEMA, ARRAY: ARRAY_SCHEMA}
_NPY_HEADER = {IMAGE: 1000, ARRAY: 2}
_DATA = {IMAGE: 6, ARRAY: 3}
_ENCODING = 4  # of an image

# What the last axis of three or four bytes is: what the user of ``--encoding`` says.
ENCODINGS = {"rgb8": ("rgb8", "rgba8"), "bgr8": ("bgr8", "bgra8")}
_GREY = {"|u1": "mono8", "<u2": "mono16", "<f4": "32FC1"}
_LARGE = 1 << 18  # bytes; below, it costs more to join two checksums than to compute one
_MOST_LENGTH = (1 << 31) - 1  # of a row and a column: fields of 32 bits, which some read as signed


class Message(NamedTuple):
    """A frame on its way to a file."""

    topic: str
    schema: str
    sequence: int
    log_time: int  # Unix nanoseconds, of the write
    publish_time: int  # Unix nanoseconds, the frame's own
    head: bytes  # of the message, before its payload
    payload: memoryview
    checksum: int | None = None  # of a large payload

    @property
    def nbytes(self) -> int:
        """The length of the message."""
        return len(self.head) + len(self.payload)


class Recorded(NamedTuple):
    """A frame as a file has it: its values, where they lie."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    payload: memoryview
    encoding: str  # of an image; else ""

    def array(self) -> npt.NDArray[Any]:
        """Return the frame over the payload's memory."""
        flat = np.frombuffer(self.payload, np.uint8) if len(self.payload) else np.empty(0, np.uint8)
        array: npt.NDArray[Any] = np.ndarray(self.shape, self.dtype, flat)
        return array


def kind_of(dtype: np.dtype[Any], shape: tuple[int, ...]) -> str:
    """Return the schema of a frame: `IMAGE` if it can be shown, else `ARRAY`."""
    return IMAGE if picture_of(dtype, shape) else ARRAY


def picture_of(dtype: np.dtype[Any], shape: tuple[int, ...], colours: str = "rgb8") -> str:
    """Return the encoding of a frame that can be shown, with its colours in that order, else ""."""
    if not all(0 < length <= _MOST_LENGTH for length in shape) or len(shape) not in (2, 3):
        return ""
    if shape[1] * (shape[2] if len(shape) == 3 else 1) * dtype.itemsize > _MOST_LENGTH:
        return ""
    if len(shape) == 2 or shape[2] == 1:
        return _GREY.get(dtype.str, "") if dtype.names is None else ""
    if dtype.str == "|u1" and shape[2] in (3, 4):
        return ENCODINGS[colours][shape[2] - 3]
    return ""


@lru_cache(maxsize=256)
def _layout_head(dtype: np.dtype[Any], shape: tuple[int, ...], schema: str, colours: str) -> bytes:
    """Return the fields that are the same for all frames of a layout."""
    head = bytes_field(_NPY_HEADER[schema], encode_header(dtype, shape))
    if schema == IMAGE:
        encoding = picture_of(dtype, shape, colours)
        row = dtype.itemsize * (shape[2] if len(shape) == 3 else 1)
        head += fixed32_field(2, shape[1]) + fixed32_field(3, shape[0])
        head += bytes_field(_ENCODING, encoding.encode()) + fixed32_field(5, shape[1] * row)
    return head


def encode(
    topic: str,
    frame: npt.NDArray[Any],
    schema: str,
    colours: str,
    sequence: int,
    log_time: int,
    publish_time: int,
) -> Message:
    """Return a frame (C-ordered; nothing of it is copied) as a message, with its checksum."""
    stamp = varint_field(1, publish_time // 10**9) + varint_field(2, publish_time % 10**9)
    head = bytes_field(1, stamp) + _layout_head(frame.dtype, frame.shape, schema, colours)
    head += head_of_bytes(_DATA[schema], frame.nbytes)
    payload = frame.reshape(-1).view(np.uint8).data if frame.nbytes else memoryview(b"")
    checksum = zlib.crc32(payload) if frame.nbytes >= _LARGE else None
    times = sequence & 0xFFFFFFFF, log_time, publish_time
    return Message(topic, schema, *times, head, payload, checksum)


@lru_cache(maxsize=256)
def _layout(header: bytes) -> tuple[np.dtype[Any], tuple[int, ...]]:
    return decode_header(header)


def decode(schema: str, data: memoryview) -> Recorded:
    """Return the frame of a message, whose payload stays where it lies.

    Raises
    ------
    ValueError
        If the message is of a schema that is none of ours, has no ``.npy`` header, or another
        amount of data than that says.
    """
    if schema not in _DATA:
        raise ValueError(f"a message of the schema {schema!r}")
    wanted = {_NPY_HEADER[schema]: "header", _DATA[schema]: "data"}
    if schema == IMAGE:
        wanted[_ENCODING] = "encoding"
    found: dict[str, memoryview] = {}
    for number, value in fields(data):
        if number in wanted and isinstance(value, memoryview):
            found[wanted[number]] = value
    if "header" not in found:
        raise ValueError("a message without a .npy header")
    try:
        dtype, shape = _layout(bytes(found["header"]))
    except HOSTILE as error:
        raise ValueError(f"a .npy header that cannot be read: {error}") from None
    payload = found.get("data", data[:0])
    count = 1
    for length in shape:
        count *= length
    if count * dtype.itemsize != len(payload):
        raise ValueError(f"{len(payload)} bytes of data instead of {count * dtype.itemsize}")
    return Recorded(dtype, shape, payload, str(found.get("encoding", b""), "utf-8"))
