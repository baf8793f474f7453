"""Writing a PNG file (ISO/IEC 15948): 8 or 16 bits, grey or colours, with or without alpha."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["png"]

_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # by the number of channels
_FAST = 1  # zlib's level: a picture of a camera gets hardly smaller with more


def png(pixels: npt.NDArray[Any]) -> bytes:
    """Return a picture as the bytes of a PNG file.

    Parameters
    ----------
    pixels : numpy.ndarray of uint8 or uint16
        Of shape (height, width) or (height, width, 1 to 4): grey, grey and alpha, RGB, RGBA.
    """
    height, width = pixels.shape[:2]
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    depth = 8 * pixels.itemsize
    big_endian = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder(">"))
    lines = big_endian.reshape(height, -1).view(np.uint8)
    unfiltered = np.zeros((height, 1), np.uint8)  # each line begins with its filter: none
    data = zlib.compress(np.hstack([unfiltered, lines]).tobytes(), _FAST)
    head = struct.pack(">IIBBBBB", width, height, depth, _COLOUR_TYPES[channels], 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)
