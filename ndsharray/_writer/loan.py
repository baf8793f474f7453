"""A loan: the user of a writer fills the next slot where it lies.

What may live here: the ``with`` block. Not here: which slot, its publication (``publisher``).
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from .._arguments import check_stamp
from .._protocol.dtypes import own_dtype
from .._protocol.layout import Layout
from .control import ControlSegment
from .segment import FrameSegment

__all__ = ["Begun", "Lender", "Loan"]


class Begun:
    """A slot that was begun and is not published yet. An abandoned one counts as ended."""

    __slots__ = ("__weakref__", "control", "layout", "over", "position", "segment", "stamp")

    def __init__(
        self, control: ControlSegment, segment: FrameSegment, position: int, layout: Layout
    ) -> None:
        self.over = False  # also while a traceback keeps it alive
        self.control = control
        self.segment = segment
        self.position = position
        self.layout = layout
        self.stamp = 0


class Lender(Protocol):
    """The part of a writer that a loan needs."""

    def lend(self, layout: Layout) -> Begun:
        """Begin a slot."""
        ...

    def take_back(self, begun: Begun, publish: bool) -> None:
        """Publish a slot, or drop it."""
        ...


_Scalar = TypeVar("_Scalar", bound=np.generic)


class Loan(Generic[_Scalar]):
    """The ``with`` block of ``NdShArray.loan``.

    On a normal end the frame is published; after an exception it is not. Afterwards the array is
    read-only, and may change: it is the memory of later frames.
    """

    def __init__(
        self, writer: Lender, layout: Layout, time_ns: int | None = None, owner: object = None
    ) -> None:
        self._owner: object | None = owner  # which closes the writer when it is collected
        self._writer = writer
        self._layout = layout
        self.time_ns = time_ns
        self._begun: Begun | None = None
        self._array: npt.NDArray[Any] | None = None

    @property
    def time_ns(self) -> int | None:
        """When the frame was captured: Unix time in nanoseconds; None: not known.

        It can be set until the block ends: many a camera tells the time only with the picture.
        """
        return self._stamp or None

    @time_ns.setter
    def time_ns(self, time_ns: int | None) -> None:
        self._stamp = check_stamp(time_ns)

    def __enter__(self) -> npt.NDArray[_Scalar]:
        if self._begun is not None:
            raise RuntimeError("this loan is in use: call loan() for each with block")
        self._begun = begun = self._writer.lend(self._layout)
        try:
            # A view of its own, to be made read-only at the end.
            array: npt.NDArray[Any] = begun.segment.prepare(begun.position, begun.layout).view()
            if array.dtype.names is not None:
                array = array.view(own_dtype(array.dtype))
            self._array = array
            return array
        except BaseException:
            self._end(publish=False)
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end(publish=error is None)

    def _end(self, *, publish: bool) -> None:
        begun, self._begun = self._begun, None
        if self._array is not None:
            self._array.flags.writeable = False
            self._array = None
        if begun is None:
            return
        begun.stamp = self._stamp
        try:
            self._writer.take_back(begun, publish)
        finally:
            begun.over = True
            self._owner = None
