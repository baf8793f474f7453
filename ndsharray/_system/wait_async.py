"""Waiting inside an event loop: other tasks run meanwhile, and nothing is left, however it ends.

Knows nothing of arrays and readers.
"""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from .root_watch import PAUSE, RootWatch
from .wait import pause

__all__ = ["LoopWatch", "in_thread", "sleep_until", "stop_task"]


async def sleep_until(news: Callable[[], bool], seconds: float) -> None:
    """Look now and then whether there are news, for `seconds` at most."""
    start = time.monotonic()
    waited = 0.0
    while not news() and waited < seconds:
        await asyncio.sleep(min(pause(waited), seconds - waited))
        waited = time.monotonic() - start


async def stop_task() -> None:
    """Sleep until the task is cancelled. The loop holds its timer, so no task is lost silently."""
    while True:
        await asyncio.sleep(3600)


async def in_thread(
    sleep: Callable[[float], None],
    nap: float,
    seconds: float,
    awake: Callable[[], bool],
    wake: Callable[[], None],
) -> None:
    """Sleep in a thread that has ended when this ends, also by cancellation.

    Parameters
    ----------
    sleep : callable
        Sleeps for that many seconds at most; returns early when `wake` is called.
    nap : float
        For how long it sleeps at a time.
    seconds : float
        For how long it sleeps altogether: a thread costs several times what a nap costs.
    awake : callable
        Tells after each nap whether there is more to do than to sleep again.
    wake : callable
        Wakes the sleeper; without effect before it sleeps.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    end, over = time.monotonic() + seconds, False

    def tell(error: object) -> None:
        if done.done():  # cancelled
            return
        if isinstance(error, BaseException):
            done.set_exception(error)
        else:
            done.set_result(None)

    def run() -> None:
        error: object = None
        try:
            while True:
                left = end - time.monotonic()
                sleep(min(max(left, 0.0), nap))  # the thread may have come late
                if over or left <= nap or awake():
                    break
        except BaseException as raised:
            error = raised
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(tell, error)

    # A daemon, for an interpreter that exits in the middle of a coroutine nobody finishes.
    thread = threading.Thread(target=run, name="ndsharray read_async", daemon=True)
    thread.start()
    try:
        await done
    finally:
        over = True
        while thread.is_alive():  # again and again: it may be only on its way to sleep
            wake()
            thread.join(0.001)


class LoopWatch:
    """A `RootWatch` of one root, shared by all that wait in one event loop.

    It ends when the last of them leaves.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, root: str) -> None:
        self.loop, self._root = loop, root
        self._joined = 0
        self._sleeping: set[asyncio.Future[None]] = set()
        self._watch = RootWatch(root)
        self._timer: Any = None

    @classmethod
    def join(cls, root: str) -> LoopWatch:
        """Return the watch of this root in the running loop; to be left by `close`.

        The caller looks for what was there before.
        """
        loop = asyncio.get_running_loop()
        found = _watches.get((id(loop), root))
        if found is None or found.loop is not loop:
            found = _watches[id(loop), root] = cls(loop, root)
        found._joined += 1
        if found._joined == 1:
            found._begin()
        return found

    def _begin(self) -> None:
        self._stop()
        self._watch.begin()
        if self._watch.fd >= 0:
            try:
                self.loop.add_reader(self._watch.fd, self._touched)
                return
            except NotImplementedError:  # a loop of another kind
                self._watch.release_descriptor()
        self._timer = self.loop.call_later(PAUSE, self._look)

    def _look(self) -> None:
        if self._watch.is_over():
            self._touched()
        else:
            self._timer = self.loop.call_later(PAUSE, self._look)

    def _touched(self) -> None:
        self._stop()
        self._timer = self.loop.call_later(max(0.0, self._watch.early()), self._tell)

    def _tell(self) -> None:
        self._begin()
        for done in self._sleeping:
            _wake(done)

    async def sleep(self, seconds: float) -> None:
        """Sleep until a writer touches the root, for `seconds` at most."""
        done: asyncio.Future[None] = self.loop.create_future()
        timer = self.loop.call_later(seconds, _wake, done)
        self._sleeping.add(done)
        try:
            await done
        finally:
            timer.cancel()
            self._sleeping.discard(done)

    def wake(self) -> None:
        """End all sleeps; may be called by any thread."""
        self._watch.wake()

    def close(self) -> None:
        """Leave the shared watch; the last one to leave ends it."""
        self._joined -= 1
        if self._joined == 0:
            self._stop()
            self._watch.end()
            _watches.pop((id(self.loop), self._root), None)

    def _stop(self) -> None:
        timer, self._timer = self._timer, None  # or the two would keep each other alive
        if timer is not None:
            timer.cancel()
        if self._watch.fd >= 0 and not self.loop.is_closed():
            self.loop.remove_reader(self._watch.fd)


def _wake(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


_watches: weakref.WeakValueDictionary[tuple[int, str], LoopWatch] = weakref.WeakValueDictionary()
