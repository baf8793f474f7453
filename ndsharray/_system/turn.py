"""One call at a time on one object, whatever threads, signal handlers and finalizers do.

Knows nothing of arrays. A call that a signal handler or a finalizer makes inside another call of
the same thread is refused: it could not wait, and would find half of the other's work done.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn, TypeVar

__all__ = ["CALLS", "Turn", "refuse_nested", "refuse_thread"]

_T = TypeVar("_T")


class Turn:
    """Whose turn it is on an object.

    Attributes
    ----------
    lock : threading.RLock
        Held during a call. Re-entrant, so that a nested call is refused instead of waiting for
        its own thread.
    busy : bool
        Whether a call is under way; an interrupt may leave it standing.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.busy = False

    def wait(self, act: Callable[[Any], _T], argument: Any) -> _T:
        """Call ``act(argument)`` after what other threads do is done.

        Raises
        ------
        RuntimeError
            Inside another call of this thread.
        """
        turn = self  # the name that `is_nested` looks for
        lock = turn.lock  # a call may fork, and the child has another one
        try:
            if turn.busy and turn.is_nested():
                refuse_nested()
            lock.acquire()
            try:
                turn.busy = True
                return act(argument)
            finally:
                turn.busy = False
                lock.release()
        except BaseException:
            turn.repair()
            raise

    def repair(self) -> None:
        """Let the lock go if an interrupt came just between taking it and using it.

        Called by a call of this thread that ends by an exception.
        """
        lock: Any = self.lock
        if lock._is_owned() and not self.is_nested(above=3):
            lock._release_save()  # however often it is held
            self.busy = False

    def renew(self) -> None:
        """In a forked child: nobody else has a turn, as the other threads are the parent's."""
        self.lock = threading.RLock()

    def is_nested(self, above: int = 2) -> bool:
        """Tell whether so many frames above, or more, another call of this thread is under way."""
        if not self.busy:
            return False
        frame: FrameType | None = sys._getframe(above)
        while frame is not None:
            if frame.f_code in CALLS and frame.f_locals.get("turn") is self:
                return True
            frame = frame.f_back
        return False


# The code of what runs as a call: a local named `turn` says whose.
CALLS = {Turn.wait.__code__}


def refuse_nested() -> NoReturn:
    """Raise RuntimeError: this call interrupted another one of its thread."""
    raise RuntimeError("a call of this thread is under way: this one interrupted it")


def refuse_thread() -> NoReturn:
    """Raise RuntimeError: another thread has the turn."""
    raise RuntimeError(
        "another thread is reading with this object just now: one reader belongs to one thread "
        "at a time, so give each thread a reader of its own"
    )
