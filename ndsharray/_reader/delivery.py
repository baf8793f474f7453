"""What a frame becomes for the caller: an array of its own, the caller's `out`, or one in place.

Not here: which frame, and whether it was whole (``cursor``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .._protocol.dtypes import own_dtype
from .._protocol.memory import Memory
from .buffers import SMALLEST, Buffers
from .instance import View

__all__ = ["Copy", "Delivery", "InPlace", "Into"]


class Delivery:
    """A way to take a frame out of its slot: into an array of the caller's own.

    Attributes
    ----------
    pinned_from : int
        The first try that pins the slot. Pinning at once costs a fence; so a plain copy does it
        only after it was overrun.
    finishes : bool
        Whether something is to be done with a whole frame that was copied without a pin.
    stays : bool
        Whether the array stays in the slot, so that the pin has to stand as long as it lives.
    """

    pinned_from = 1  # guard: second-try-pinned
    finishes = False
    stays = False

    def __init__(self, buffers: Buffers) -> None:
        self._buffers = buffers

    def take(self, frames: Memory, view: View) -> npt.NDArray[Any]:
        """Take what stands in the slot (pinned, from the try on that says so)."""
        return self.copy(frames, view)

    def copy(self, frames: Memory, view: View) -> npt.NDArray[Any]:
        """Copy what stands in the slot: all that can be done without a pin."""
        array: npt.NDArray[Any]
        if view.is_small:
            array = view.array.copy()
            return array
        layout = view.layout
        if layout.nbytes < SMALLEST:
            array = view.array.copy()
        else:
            array = self._buffers.empty(layout.shape, layout.dtype, layout.nbytes)
            frames.copy(array, view.array)
        return array if layout.dtype.names is None else _with_own_names(array)

    def finish(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return what the caller gets for a whole frame that was copied without a pin."""
        return array


Copy = Delivery


class Into(Delivery):
    """Into an array that the caller gave.

    Parameters
    ----------
    out : numpy.ndarray
        Of the frame's shape and dtype, else ValueError is raised.
    """

    finishes = True
    pinned_from = 0  # so that `out` never holds parts of a frame; guard: out-pinned-at-once

    def __init__(self, buffers: Buffers, out: npt.NDArray[Any]) -> None:
        super().__init__(buffers)
        self._out = out

    def take(self, frames: Memory, view: View) -> npt.NDArray[Any]:
        """Copy straight into `out`."""
        self._check(view.array)
        frames.copy(self._out, view.array)
        return self._out

    def finish(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Copy once more: without a pin it was not known that the frame is whole."""
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
    """Where it lies: read-only, in shared memory."""

    finishes = True
    pinned_from = 0
    stays = True

    def take(self, frames: Memory, view: View) -> npt.NDArray[Any]:
        """Return a new array over the slot."""
        layout = view.layout
        if not layout.nbytes:
            return self.finish(view.array.copy())
        array: npt.NDArray[Any] = np.frombuffer(
            view.payload, layout.dtype
        )  # read-only, as the memory
        if len(layout.shape) != 1:
            array = array.reshape(layout.shape)
        return array if layout.dtype.names is None else _with_own_names(array)

    def finish(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a private copy, read-only as well."""
        array.flags.writeable = False
        return array


def _with_own_names(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the array with a dtype of its own: the fields of one can be renamed in place."""
    return array if array.dtype.names is None else array.view(own_dtype(array.dtype))
