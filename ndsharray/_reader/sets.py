"""Iterating over the sets of several arrays.

Not here: how a set is found (``joiner``), and waited for (``read_set``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Protocol

from .._system import clock
from .frame_set import FrameSet
from .joiner import Joiner

__all__ = ["Sets"]


class Reads(Protocol):
    """What reads the sets."""

    def read(self, timeout: float | None, *, copy: bool) -> FrameSet | None:
        """Return the next set; None: there was none in time, or there are no more."""

    async def read_async(self, timeout: float | None, *, copy: bool) -> FrameSet | None:
        """Do so in an event loop."""


class Sets(Iterator[FrameSet], AsyncIterator[FrameSet]):
    """The iterator of `ReadSet.sets`: an exception does not end it, so no set is lost."""

    def __init__(self, owner: Reads, joiner: Joiner, timeout: float | None, copy: bool) -> None:
        self._owner: Reads | None = owner
        self._joiner = joiner
        self._timeout = timeout
        self._copy = copy

    def __next__(self) -> FrameSet:
        began, owner = clock.now_ns(), self._owner
        if owner is not None:
            found = owner.read(self._timeout, copy=self._copy)
            if found is not None:
                return found
            self._end(began)
        raise StopIteration

    async def __anext__(self) -> FrameSet:
        began, owner = clock.now_ns(), self._owner
        if owner is not None:
            found = await owner.read_async(self._timeout, copy=self._copy)
            if found is not None:
                return found
            self._end(began)
        raise StopAsyncIteration

    def _end(self, began: int) -> None:
        """Note that there are no more sets; raise TimeoutError if one may still come."""
        if self._joiner.ended is None:
            raise TimeoutError(self._joiner.fault(began, self._timeout or 0.0))
        self._owner = None  # an iterator that ended stays so
