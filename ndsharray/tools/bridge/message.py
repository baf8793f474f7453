"""What stands beside the bytes of a frame on its way: number, stamp, and its ``.npy`` header.

What may live here: bytes to values and back, and which bytes are refused. Not here: how a message
travels (``engine``), what becomes of the frame (``imports``).

A head is ``<8sQQQ`` followed by a ``.npy`` header: magic with the version, flags, frame number,
stamp (Unix ns). The payload is the frame's elements in C order.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ... import NdShArray
from ..._protocol.layout import Layout, decode_layout
from ..._protocol.npy import MAX_HEADER
from ...errors import FormatError

__all__ = ["Decoder", "Encoder", "Head", "Message", "array_of"]

_MAGIC = b"ndsbrdg1"
_FIXED = struct.Struct("<8sQQQ")
_EVERY = 1  # flag: the frames after this one do not replace it
_NO_UUID = bytes(16)


class Head(NamedTuple):
    """What a head says.

    Attributes
    ----------
    every : bool
        Whether every frame is wanted, not the newest alone.
    frame_id : int
        The frame's number on the machine that it comes from.
    time_ns : int
        Its stamp, Unix ns by the clock of that machine.
    layout : Layout
        Its dtype and shape.
    """

    every: bool
    frame_id: int
    time_ns: int
    layout: Layout


class Message(NamedTuple):
    """A frame on its way out: its number, its head and its bytes."""

    frame_id: int
    head: bytes
    payload: bytes | bytearray


class Encoder:
    """Make heads; it remembers the ``.npy`` header of the last layout.

    Parameters
    ----------
    every : bool
        Whether every frame is wanted, not the newest alone.
    """

    def __init__(self, every: bool) -> None:
        self._flags = _EVERY if every else 0
        self._layout: Layout | None = None

    def message(
        self, reader: NdShArray, frame: npt.NDArray[Any], payload: bytes | bytearray
    ) -> Message:
        """Return the message for the frame that a reader read last."""
        layout = self._layout
        if layout is None or layout.shape != frame.shape or layout.dtype != frame.dtype:
            layout = self._layout = Layout.of(frame)
        frame_id = reader.frame_id
        fixed = _FIXED.pack(_MAGIC, self._flags, frame_id, reader.time_ns)
        return Message(frame_id, fixed + layout.header, payload)


class Decoder:
    """Read heads that anybody may have sent; it remembers the last layout."""

    def __init__(self) -> None:
        self._layout: Layout | None = None

    @staticmethod
    def is_every(head: bytes) -> bool:
        """Tell whether a head says that every frame is wanted; it may be none."""
        return len(head) >= _FIXED.size and bool(_FIXED.unpack_from(head)[1] & _EVERY)

    def head(self, head: bytes, payload: int) -> Head:
        """Return what a head says, that came with `payload` bytes.

        Raises
        ------
        FormatError
            If it is not a head, or does not describe that payload.
        """
        if not _FIXED.size < len(head) <= _FIXED.size + MAX_HEADER:
            raise FormatError("head", f"has {len(head)} bytes")
        magic, flags, frame_id, time_ns = _FIXED.unpack_from(head)
        if magic != _MAGIC:
            raise FormatError("head", f"begins with {magic!r}, not {_MAGIC!r}")
        if not 0 < frame_id < 2**63 or not 0 < time_ns < 2**63:
            raise FormatError("head", f"frame {frame_id} of {time_ns} ns")
        header = head[_FIXED.size :]
        layout = self._layout
        if layout is None or layout.header != header or layout.nbytes != payload:
            layout = self._layout = decode_layout(_NO_UUID, header, payload)
        return Head(bool(flags & _EVERY), frame_id, time_ns, layout)


def array_of(layout: Layout, payload: bytes) -> npt.NDArray[Any]:
    """Return an array over the payload, not a copy of it."""
    if not layout.nbytes:
        return np.empty(layout.shape, layout.dtype)
    return np.frombuffer(payload, layout.dtype).reshape(layout.shape)
