"""Waiting inside an event loop: the loop goes on, and nothing is left behind, however it ends.

Knows nothing of arrays and readers.
"""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from typing import Callable

from ._wait import pause

__all__ = ["in_thread", "sleep_until", "stop_task"]


async def sleep_until(news: Callable[[], bool], seconds: float) -> None:
    """Look now and then whether there are news, for so many seconds at most."""
    start = time.monotonic()
    waited = 0.0
    while not news() and waited < seconds:
        await asyncio.sleep(min(pause(waited), seconds - waited))
        waited = time.monotonic() - start


async def stop_task() -> None:
    """Go on no more, but for being cancelled. The loop has a hold on it, so nobody complains."""
    while True:
        await asyncio.sleep(3600)


async def in_thread(
    sleep: Callable[[float], None], seconds: float, wake: Callable[[], None]
) -> None:
    """Call ``sleep(seconds)`` in a thread that has ended when this ends, also by cancellation.

    Parameters
    ----------
    sleep : callable
        Returns early when `wake` is called.
    seconds : float
        How long it may sleep.
    wake : callable
        Wakes whoever sleeps; of no effect before that.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

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
            sleep(seconds)
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
        while thread.is_alive():  # again and again: it may be only on its way to sleep
            wake()
            thread.join(0.001)
