"""The iterator of ``NdShArray.frames``, for ``for`` and for ``async for``.

Not here: which frame is next (``cursor``), when an array ends (``source``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from .delivery import Delivery
from .read_async import read_async
from .reader import Reader
from .source import Source

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Frames"]


class Frames:
    """Every frame in order. An exception does not end the iteration, so no frame is lost."""

    def __init__(
        self, owner: object, reader: Reader, delivery: Delivery, timeout: float | None
    ) -> None:
        self._owner: object | None = owner  # which closes the reader when it is collected
        self._reader: Reader | None = reader
        self._delivery = delivery
        self._timeout = timeout

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> npt.NDArray[Any]:
        reader = self._reader
        if reader is not None:
            valid, frame = reader.next(self._delivery, self._timeout)
            if valid:
                return frame
        self._end()
        raise StopIteration

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> npt.NDArray[Any]:
        reader = self._reader
        if reader is not None:
            valid, frame = await read_async(reader, self._delivery, self._timeout, Source.oldest)
            if valid:
                return frame
        self._end()
        raise StopAsyncIteration

    def _end(self) -> None:
        self._reader = self._owner = None  # an iterator that ended stays so
