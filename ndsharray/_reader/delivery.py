"""What a frame becomes for the caller: a private array, the caller's `out`, or an array in place.

Not here: which frame it is, and whether it was whole (``cursor``).
"""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np
import numpy.typing as npt

from .._protocol.dtypes import own_dtype
from .._protocol.layout import Layout
from .._protocol.memory import Memory
from .buffers import SMALLEST, Buffers
from .instance import View

__all__ = ["PINS_FROM", "Delivery", "InPlace", "Into", "LastFrame"]

# Bytes; below, a pin costs more than a copy (or two, with `out`).
PINS_FROM = 16 * 1024
_NEVER = 1 << 63  # more bytes than any frame has


class LastFrame:
    """The frame that a reader delivered last, of any instance.

    Attributes
    ----------
    array : numpy.ndarray
        What the caller got.
    frame_id : int
        Its number; 0 before the first frame.
    read : int
        When its read ended, on the monotonic clock.
    written : int
        When it was written, on the monotonic clock; 0 before the first frame.
    stamp : int
        When it was captured, Unix ns; 0: the writer did not say.
    layout : Layout or None
        Its layout.
    """

    __slots__ = ("array", "frame_id", "layout", "read", "stamp", "written")

    def __init__(self, array: npt.NDArray[Any]) -> None:
        self.array = array
        self.frame_id = self.read = self.written = self.stamp = 0
        self.layout: Layout | None = None

    @property
    def age_ns(self) -> int:
        """Nanoseconds from its write to the end of its read."""
        return self.read - self.written

    @property
    def uuid(self) -> bytes:
        """The uuid of its layout; zeros before the first frame."""
        return bytes(16) if self.layout is None else self.layout.uuid


class Delivery:
    """Deliver a frame as a private, writable array.

    Attributes
    ----------
    pins_from : int
        Bytes of a frame from which on the first try pins its slot. A pin costs two fences, so a
        private copy does without one until the writer has overrun it once.
    finishes : bool
        Whether `finish` has work to do.
    stays : bool
        Whether the array stays in the slot, so the pin must stand as long as the array lives.
    max_age_ns : int or None
        Nanoseconds since its write after which the newest frame does not count as new.
    """

    def __init__(self, buffers: Buffers) -> None:
        self._buffers = buffers
        # Not attributes of the class, which take longer to load.
        self.pins_from = _NEVER
        self.finishes = self.stays = False
        self.max_age_ns: int | None = None

    def no_older_than(self, seconds: float) -> Delivery:
        """Return the same delivery, of frames that are no older than this."""
        delivery = copy(self)
        # `int` refuses infinity; no frame is older than 1e9 s, some 30 years.
        delivery.max_age_ns = int(min(seconds, 1e9) * 1e9)
        return delivery

    def deliver(self, segment: Memory, view: View) -> npt.NDArray[Any]:
        """Return the array for a frame whose slot is pinned."""
        return self.copy(segment, view)

    def copy(self, segment: Memory, view: View) -> npt.NDArray[Any]:
        """Return a copy of the frame, whose slot need not be pinned."""
        array: npt.NDArray[Any]
        if view.is_plain:
            array = view.array.copy()
            return array
        layout = view.layout
        if layout.nbytes < SMALLEST:
            array = view.array.copy()
        else:
            array = self._buffers.empty(layout.shape, layout.dtype, layout.nbytes)
            segment.copy(array, view.array)
        return array if layout.dtype.names is None else _with_own_names(array)

    def finish(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the array for a copy that was made without a pin and proved whole."""
        return array


class Into(Delivery):
    """Deliver a frame into the caller's array.

    Parameters
    ----------
    out : numpy.ndarray
        The caller's; ValueError is raised unless it has the frame's shape and dtype.
    """

    def __init__(self, buffers: Buffers, out: npt.NDArray[Any]) -> None:
        super().__init__(buffers)
        self._out = out
        self.pins_from = PINS_FROM  # guard: out-pinned-at-once
        self.finishes = True

    def deliver(self, segment: Memory, view: View) -> npt.NDArray[Any]:
        """Copy straight into `out`."""
        self._check(view.array)
        segment.copy(self._out, view.array)
        return self._out

    def finish(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Copy once more, into `out`: only now the frame is known to be whole."""
        self._check(array)
        self._out[...] = array
        return self._out

    def _check(self, array: npt.NDArray[Any]) -> None:
        out = self._out
        if out.shape != array.shape or out.dtype != array.dtype:
            raise ValueError(
                f"out is {out.dtype} {out.shape}, the next frame is {array.dtype} {array.shape}; "
                "it was not read"
            )


class InPlace(Delivery):
    """Deliver a frame in place: a read-only array over shared memory."""

    def __init__(self, buffers: Buffers) -> None:
        super().__init__(buffers)
        self.pins_from = PINS_FROM
        self.finishes = self.stays = True

    def deliver(self, segment: Memory, view: View) -> npt.NDArray[Any]:
        """Return a new array over the slot, read-only as the memory is."""
        layout = view.layout
        if not layout.nbytes:
            return self.finish(view.array.copy())
        array: npt.NDArray[Any] = np.frombuffer(view.payload, layout.dtype)
        if len(layout.shape) != 1:
            array = array.reshape(layout.shape)
        return array if layout.dtype.names is None else _with_own_names(array)

    def finish(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the private copy, read-only as well."""
        set_flags: Any = array.setflags  # whose first one is `write`; numpy's types hide that
        set_flags(False)  # by position: a quarter of what `flags.writeable` costs
        return array


def _with_own_names(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a structured array with a dtype of its own: field names can be changed in place."""
    return array.view(own_dtype(array.dtype))
