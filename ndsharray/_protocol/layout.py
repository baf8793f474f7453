"""One dtype and shape, with the ``.npy`` header that describes them in a slot.

What may live here: layouts from arrays, and layouts from headers. Not here: the text of a header
(``npy``), where in a slot it is (``format``).
"""

from __future__ import annotations

import math
import struct
import uuid as uuids
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import FormatError
from .dtypes import own_dtype
from .memory import Memory
from .npy import HOSTILE, decode_header, encode_header

__all__ = ["Layout", "decode_layout", "uuid_bytes"]


class Layout:
    """One dtype and shape, as a slot's header describes them.

    Attributes
    ----------
    uuid : bytes
        16 bytes; a writer makes other ones for each layout.
    dtype : numpy.dtype
        As readers get it: without metadata, at any depth.
    shape : tuple of int
        The array's shape.
    header : bytes
        The ``.npy`` header, a multiple of 64 bytes long.
    nbytes : int
        Payload size in bytes.
    size : int
        Bytes of header and payload.
    """

    __slots__ = ("dtype", "header", "nbytes", "shape", "size", "uuid", "words")

    def __init__(self, uuid: bytes, dtype: np.dtype[Any], shape: tuple[int, ...], header: bytes):
        self.uuid = uuid
        self.words: tuple[int, int] = struct.unpack("=QQ", uuid)
        # The user can rename the fields of a structured dtype in place: keep a copy.
        self.dtype = dtype if dtype.names is None else own_dtype(dtype)
        self.shape = shape
        self.header = header
        self.nbytes = dtype.itemsize * math.prod(shape)
        self.size = len(header) + self.nbytes

    @classmethod
    def of(cls, array: npt.NDArray[Any]) -> Layout:
        """Return a new layout for `array`.

        Raises
        ------
        NotImplementedError
            For a dtype that a ``.npy`` header cannot name (`encode_header`).
        """
        return cls.of_shape(array.dtype, array.shape)

    @classmethod
    def of_shape(cls, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Layout:
        """Return a new layout for arrays of this dtype and shape; errors are those of `of`."""
        uuid = uuids.uuid4().bytes
        if dtype.names is None:
            # From `str` comes numpy's own object, which other arrays without metadata have, too.
            plain = dtype if dtype.metadata is None else np.dtype(dtype.str)
            return cls(uuid, plain, shape, encode_header(dtype, shape))
        try:
            header = encode_header(dtype, shape)
            return decode_layout(uuid, header, dtype.itemsize * math.prod(shape))
        except (FormatError, RecursionError) as error:
            # nested too deeply, or too many fields, for any reader
            raise NotImplementedError(f"dtype {dtype} cannot be shared: {error}") from None

    def view(self, frames: Memory, offset: int) -> npt.NDArray[Any]:
        """Return an array of this layout over `frames`, its record's header at `offset`."""
        if self.nbytes == 0:
            return np.empty(self.shape, self.dtype)
        flat = frames.array(offset + len(self.header), self.nbytes, self.dtype)
        return flat if len(self.shape) == 1 else flat.reshape(self.shape)


def uuid_bytes(words: tuple[int, int]) -> bytes:
    """Return the uuid that two words of a slot hold."""
    return struct.pack("=QQ", *words)


def decode_layout(uuid: bytes, header: bytes, payload: int) -> Layout:
    """Return the layout that a slot's ``.npy`` header describes.

    Raises
    ------
    FormatError
        If the header is malformed, or does not describe `payload` bytes.
    """
    try:
        dtype, shape = decode_header(header)
        layout = Layout(uuid, dtype, shape, header)
        if layout.nbytes != payload:
            raise ValueError(f"describes {layout.nbytes} bytes, the slot says {payload}")
        # Shapes that numpy itself cannot make: too many dimensions, or too large where empty.
        np.broadcast_to(np.empty((), np.uint8), shape) if payload else np.empty(shape, dtype)
    except HOSTILE as error:
        raise FormatError(".npy header", f"{type(error).__name__}: {error}") from None
    return layout
