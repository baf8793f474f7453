"""Ending by a signal: the first one asks for a clean end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Stop", "stop_on_signals", "terminated_as_interrupted"]


class Stop:
    """Whether the user has asked for the end, by a signal.

    Attributes
    ----------
    asked : bool
        Whether a signal came.
    """

    def __init__(self) -> None:
        self.asked = False
        # Not an Event: its `set` in a signal handler waits for ever for the lock that the thread
        # below holds inside `wait`.
        self._until = threading.Lock()
        self._until.acquire()

    def ask(self, *_: object) -> None:
        """Ask for the end; a second time: raise KeyboardInterrupt."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        self._until.release()

    def wait(self, seconds: float) -> bool:
        """Sleep until the end is asked for, for `seconds` at most; return whether it is."""
        if not self.asked and self._until.acquire(timeout=max(seconds, 0)):
            self._until.release()
        return self.asked


_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Turn SIGINT, SIGTERM and SIGHUP into one clean stop, as long as the block lasts.

    The first signal sets `Stop.asked` and ends `Stop.wait`; it raises nothing, so that a file is
    finished. A second one raises KeyboardInterrupt. What the user has ignored (``nohup``) stays so.
    In another thread than the main one no signal arrives, and nothing changes.
    """
    stop = Stop()
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for name in _SIGNALS:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, stop.ask)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Have SIGTERM raise KeyboardInterrupt, as Ctrl-C does, as long as the block lasts."""
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    ):
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
