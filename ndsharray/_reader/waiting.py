"""How a reader sleeps until a frame or a writer may have come, in a thread or in an event loop.

Not here: what the reader does next (``reader``), how a sleep on newest begins (``cursor``).
"""

from __future__ import annotations

from typing import Any

from .._system.root_watch import Watch
from .cursor import Cursor
from .finder import LOOK_NS, Finder

__all__ = ["NAP", "Waiting"]

NAP = LOOK_NS / 1e9  # seconds of sleep at most before the name is looked up again
_NAPS = 8  # of one thread that sleeps for an event loop


class Waiting:
    """The sleeps of one reader.

    While no writer lives, a watch of the root begins first, then the reader looks once more, and
    then it sleeps: so it cannot miss a writer that comes in between.

    Parameters
    ----------
    root : str
        The array's root.
    finder : Finder
        The reader's.

    Attributes
    ----------
    root : str
        The array's root.
    """

    def __init__(self, root: str, finder: Finder) -> None:
        self.root = root
        self._finder = finder
        self._watch: Watch | None = None  # while no writer lives
        self._loop_watch: Any = None  # a LoopWatch, in a read_async while no writer lives

    def sleep(self, cursor: Cursor | None, seconds: float) -> None:
        """Sleep until there may be something new, for `seconds` at most."""
        nap = min(seconds, NAP)
        if cursor is not None and cursor.side.is_live():
            cursor.sleep(nap)
            return
        if self._watch is None:
            self._watch = Watch(self.root)
        self._watch.sleep(nap)

    async def sleep_async(self, cursor: Cursor | None, seconds: float) -> None:
        """Sleep like `sleep`, while the event loop runs other tasks."""
        from .._system.wait_async import LoopWatch, in_thread, sleep_until

        nap = min(seconds, NAP)
        if cursor is None or not cursor.side.is_live():
            if self._loop_watch is None:
                self._loop_watch = LoopWatch.join(self.root)
            else:
                await self._loop_watch.sleep(nap)
        elif cursor.can_sleep():

            def awake() -> bool:
                return cursor.has_news() or not cursor.side.is_live() or self._finder.is_old()

            wake = cursor.waiter.wake
            await in_thread(cursor.sleep, NAP, min(seconds, _NAPS * NAP), awake, wake)
        else:
            await sleep_until(cursor.has_news, nap)

    def wake(self, cursor: Cursor | None) -> None:
        """End a sleep of another thread or task."""
        if cursor is not None:
            cursor.waiter.wake()
        for watch in (self._watch, self._loop_watch):
            if watch is not None:
                watch.wake()

    def end(self) -> None:
        """End the watch of a thread; the next wait begins it anew."""
        if self._watch is not None:
            self._watch.rest()

    def end_async(self) -> None:
        """End the watch of a task."""
        watch, self._loop_watch = self._loop_watch, None
        if watch is not None:
            watch.close()

    def forget_async(self) -> None:
        """Drop the watch of a task without ending it: it is that of a forked child's parent."""
        self._loop_watch = None
