"""Ending by a signal: the first one asks for a clean end."""

from __future__ import annotations

import signal
import threading
import time
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
        self._first = 0.0  # when
        # Not an Event: its `set` in a signal handler waits for ever for the lock that the thread
        # below holds inside `wait`.
        self._until = threading.Lock()
        self._until.acquire()

    def ask(self, *_: object) -> None:
        """Ask for the end; a second time, and not at once: raise KeyboardInterrupt."""
        now = time.monotonic()
        if not self.asked:
            self.asked, self._first = True, now
            self._until.release()
        elif now - self._first >= _TWIN:
            raise KeyboardInterrupt

    def wait(self, seconds: float) -> bool:
        """Sleep until the end is asked for, for `seconds` at most; return whether it is."""
        if not self.asked and self._until.acquire(timeout=max(seconds, 0)):
            self._until.release()
        return self.asked


# Seconds: what comes so soon is the same wish. timeout(1) signals a process, and then its group;
# what starts programs passes on a Ctrl-C that the terminal has sent them, too.
_TWIN = 0.5
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Turn SIGINT, SIGTERM and SIGHUP into one clean stop, as long as the block lasts.

    The first signal sets `Stop.asked` and ends `Stop.wait`; it raises nothing, so that a file is
    finished. Another one, half a second later or more, raises KeyboardInterrupt. What the user has
    ignored (``nohup``) stays so. In another thread than the main one no signal arrives, and nothing
    changes.
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
