"""pyzmq: PUB and SUB over ipc with CONFLATE, which keeps the newest message only.

Dtype and shape go before the bytes as JSON, as in `send_array` of its how-to "Serializing
messages": there in a part of their own, but CONFLATE forbids parts, so both are joined into one
message: that is the copy which a write makes. Messages are sent with ``copy=False``; received too,
but for small ones, where copies are faster (below ``zmq.COPY_THRESHOLD``). What is received is a
view of the message.
"""

from __future__ import annotations

import json
import os
import struct
from typing import Any

import numpy as np
import zmq

from .base import Array, Place


def header(array: Array) -> bytes:
    text = json.dumps({"dtype": array.dtype.str, "shape": array.shape}).encode()
    text += b" " * (-(len(text) + 4) % 64)  # so that the frame after it is aligned
    return struct.pack("<I", len(text)) + text


def parse(text: bytes) -> tuple[str, tuple[int, ...]]:
    fields = json.loads(text)
    return fields["dtype"], tuple(fields["shape"])


def socket(place: Place, kind: int) -> Any:
    made = zmq.Context.instance().socket(kind)
    made.setsockopt(zmq.CONFLATE, 1)
    made.setsockopt(zmq.LINGER, 0)
    return made


def address(place: Place) -> str:
    return "ipc://" + os.path.join(place.root, place.name)


class Writer:
    """Joins header and frame, and sends."""

    def __init__(self, place: Place, array: Array, **_: Any) -> None:
        self._socket = socket(place, zmq.PUB)
        self._socket.bind(address(place))
        self._header: tuple[Any, bytes] = (None, b"")
        self.close = self._socket.close

    def write(self, array: Array) -> None:
        layout = array.shape, array.dtype
        if layout != self._header[0]:
            self._header = layout, header(array)
        self._socket.send(b"".join((self._header[1], array.data)), copy=False)


class Reader:
    """Receives, and looks at the message as an array."""

    def __init__(self, place: Place, array: Array, **_: Any) -> None:
        self._socket = socket(place, zmq.SUB)
        self._socket.setsockopt(zmq.SUBSCRIBE, b"")
        self._socket.connect(address(place))
        self._copy = array.nbytes < zmq.COPY_THRESHOLD
        self._header: tuple[bytes, Any] = (b"", None)
        self.close = self._socket.close

    def read(self) -> Array | None:
        try:
            message = self._socket.recv(zmq.NOBLOCK, copy=self._copy)
        except zmq.Again:
            return None
        return self._array(message)

    def wait(self, timeout: float) -> Array | None:
        if not self._socket.poll(int(timeout * 1000)):
            return None
        return self._array(self._socket.recv(copy=self._copy))

    def _array(self, message: Any) -> Array:
        view = memoryview(message)
        end = 4 + struct.unpack_from("<I", view)[0]
        text = bytes(view[4:end])
        if text != self._header[0]:
            self._header = text, parse(text)
        dtype, shape = self._header[1]
        return np.frombuffer(view, dtype, offset=end).reshape(shape)
