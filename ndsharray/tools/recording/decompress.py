"""Chunks that other programs have compressed: never more memory than a chunk says it needs."""

from __future__ import annotations

import importlib
import io
from typing import Any

__all__ = ["decompressed"]

_PART = 1 << 20  # bytes
_MOST = 1 << 32  # bytes of a chunk; more is a damaged length, or somebody's trap


def decompressed(compression: str, packed: memoryview, size: int, is_torn: bool) -> memoryview:
    """Return `size` bytes; of a torn chunk those that can be had.

    Raises
    ------
    ValueError
        If they are others, or more or fewer.
    """
    if size > _MOST:
        raise ValueError(f"{size} bytes long")
    data = bytearray()
    try:
        reader = _reader(compression, io.BytesIO(packed))
        while len(data) <= size and (part := reader.read(_PART)):
            data += part
    except MemoryError:
        raise
    except Exception as error:  # of many kinds: the two packages have no common one
        if not is_torn:
            raise ValueError(f"{compression or 'nothing'}: {error}") from None
    if len(data) > size or (len(data) < size and not is_torn):
        raise ValueError(f"it holds another amount of data than the {size} bytes it says")
    return memoryview(data)


def _reader(compression: str, stream: io.BytesIO) -> Any:
    if compression == "zstd":
        return importlib.import_module("zstandard").ZstdDecompressor().stream_reader(stream)
    if compression == "lz4":
        return importlib.import_module("lz4.frame").LZ4FrameFile(stream)
    raise ValueError("an unknown compression")
