"""Waiting for news of several readers at once: one sleep for all.

A reader has news if its next call has something to deliver or to report. Nothing is delivered here.

Not here: what a reader's news are (``source``), the read itself (``reader``), whose private parts
this uses: the readers' locks are held as in a read of each.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from operator import methodcaller

from .._system.guard import refuse_nested
from .._system.waitv import can_sleep, poll_until, sleep_on_any
from ..errors import ClosedError, FormatError
from .cursor import Cursor
from .reader import Reader, deadline
from .sleep import Sleep
from .waiting import NAP

__all__ = ["wait_many"]

_LOOK = 0.02  # seconds: how often a sleep on newest is left to see whether a writer has come

# Called by `map` and `filter`, in C alone, so that no signal handler comes between two locks.
_TRY, _RELEASE = methodcaller("acquire", False), methodcaller("release")
_IS_OWN = methodcaller("_is_owned")


def wait_many(readers: Sequence[Reader], timeout: float | None) -> list[bool]:
    """Wait until a reader has news; return of each whether it has some.

    Parameters
    ----------
    readers : sequence of Reader
        The readers, each of them once.
    timeout : float or None
        Seconds to wait at most; None: for ever.

    Raises
    ------
    ClosedError, RuntimeError
        As `Reader.read`, if one of them is closed or in use.
    """
    for reader in readers:
        if reader._task is not None:
            reader._refuse_beside_task()
        if reader._lock._is_owned():
            refuse_nested()
    locks = [reader._lock for reader in readers]
    release = map(_RELEASE, filter(_IS_OWN, locks))  # none of them was this thread's before
    try:
        taken = list(map(_TRY, locks))
        if not all(taken):
            readers[taken.index(False)]._refuse_beside_thread(None)
        return _wait(readers, deadline(timeout))
    except BaseException as error:
        _end_in_child(readers, error)
        raise
    finally:
        try:  # a signal handler may raise again: not before this call (Python 3.10 needs the `try`)
            deque(release, 0)  # called here, not in a function
        finally:
            for reader in readers:
                if reader.closed:  # perhaps meanwhile, by another thread or a signal handler
                    reader.close(asked=True)
                    reader._stop_daemon(None)


def _end_in_child(readers: Sequence[Reader], error: BaseException) -> None:
    """End a call that a fork interrupted, in the child; the last one says so."""
    forked = [reader for reader in readers if reader._forked]
    for reader in forked[1:]:
        reader._end_in_child(BaseException())
    for reader in forked[:1]:
        reader._end_in_child(error)


def _wait(readers: Sequence[Reader], end: float) -> list[bool]:
    try:
        while True:
            if any(reader.closed for reader in readers):
                raise ClosedError("a reader was closed")
            news = [_has_news(reader) for reader in readers]
            left = end - time.monotonic()
            if any(news) or left <= 0:
                return news
            _sleep(readers, left)
    except BaseException:
        for reader in readers:
            if not reader._forked:
                reader._source.settle()  # or its writer would wake it at every frame
        raise
    finally:
        for reader in readers:
            reader._waiting.end()


def _has_news(reader: Reader) -> bool:
    try:
        return reader._source.has_unread()
    except (FormatError, OSError):
        return True  # the next read raises it


def _sleep(readers: Sequence[Reader], seconds: float) -> None:
    """Sleep until a reader may have news, for `seconds` at most."""
    nap = min(seconds, NAP)
    cursors: list[Cursor] = []
    absent: list[Reader] = []  # readers whose writer has to come first
    for reader in readers:
        cursor = reader._source.cursor
        if cursor is not None and cursor.side.is_live():
            cursors.append(cursor)
        else:
            absent.append(reader)
    one_root = len({reader._waiting.root for reader in absent}) == 1
    if len(readers) == 1 or (not cursors and one_root):
        readers[0]._waiting.sleep(readers[0]._source.cursor, nap)
        return

    begun = time.monotonic()

    def a_writer_may_be_there() -> bool:
        # Not at once: for a moment after a change nobody knows whether there was another one.
        return time.monotonic() - begun >= _LOOK and any(
            reader._source.finder.is_old() for reader in absent
        )

    if can_sleep(len(cursors)) and cursors and all(cursor.can_sleep() for cursor in cursors):
        sleeps: list[Sleep] = []
        try:
            for cursor in cursors:
                sleeps.append(Sleep(cursor))
                if not sleeps[-1].begin():
                    return
            waiters, words = [c.waiter for c in cursors], [sleep.word for sleep in sleeps]
            # No futex tells that a root was touched.
            while (left := begun + nap - time.monotonic()) > 0 and not a_writer_may_be_there():
                if not sleep_on_any(waiters, words, min(left, _LOOK) if absent else left):
                    return
        finally:
            for sleep in sleeps:
                sleep.end()
    else:
        poll_until(
            lambda: (
                a_writer_may_be_there()
                or any(cursor.has_news() or not cursor.side.is_live() for cursor in cursors)
            ),
            nap,
        )
