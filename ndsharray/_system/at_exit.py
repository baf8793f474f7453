"""Closing what is still open at the end of a process.

``multiprocessing``, ``multiprocess`` (pathos) and ``billiard`` (Celery) end a child with
``os._exit``, which runs neither ``atexit`` nor finalizers; so the module registers with them. In
other processes ``weakref.finalize`` closes writers and readers. What has to outlive them (an entry,
while arrays in place are alive) ends here, as late as possible: other handlers may still use those
arrays.

The end of the process stops a daemon thread that uses a closed writer or reader: the error that the
thread would meet is no mistake of the user's.

Not here: what a close does.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

__all__ = ["close_at_exit", "ended", "in_daemon", "keep_until_exit", "stop_daemon", "wait_at_exit"]

log = logging.getLogger("ndsharray")

_open: weakref.WeakSet[Any] = weakref.WeakSet()
_registered_in = 0
_LIBRARIES = ("multiprocessing", "multiprocess", "billiard")


def close_at_exit(side: Any) -> None:
    """Have ``side.close()`` called if the process ends as a child of ``multiprocessing``."""
    global _registered_in
    _open.add(side)
    if _registered_in == os.getpid():  # a child forgets what its parent registered
        return
    for library in _LIBRARIES:
        process = sys.modules.get(f"{library}.process")
        util = sys.modules.get(f"{library}.util")
        if process is None or util is None:
            continue
        child = process.current_process()
        if child._parent_pid is not None:  # parent_process() would be public, but billiard has none
            _registered_in = os.getpid()
            util.Finalize(None, _close_all, exitpriority=-100)  # after everything of the user's
            _close_at_end_of_worker(child)


def _close_at_end_of_worker(child: Any) -> None:
    """Have everything closed in a worker of billiard's Pool, which runs nothing but its `on_exit`.

    It calls ``os._exit`` from within what its process was started for.
    """
    pool = sys.modules.get("billiard.pool")
    worker: Any = getattr(child, "_target", None)
    if pool is None or not isinstance(worker, pool.Worker):
        return
    of_the_user = worker.on_exit

    def on_exit(*arguments: Any) -> None:
        try:
            if of_the_user is not None:
                of_the_user(*arguments)
        finally:
            _close_all()

    worker.on_exit = on_exit


def _close_all() -> None:
    _call_each([side.close for side in list(_open)])
    _end_kept()


def _call_each(ends: list[Callable[[], Any]]) -> None:
    for end in ends:
        try:
            end()
        except Exception:
            log.exception("could not be closed")  # the others still can


_kept: set[Any] = set()
_inside: weakref.WeakSet[Any] = weakref.WeakSet()
_exiting = False
_PATIENCE = 0.5  # seconds: longer than a nap
_PARKED = 1.0  # seconds


def wait_at_exit(reader: Any) -> None:
    """Have ``reader.release_at_exit(seconds)`` called at the very end: a call is under way."""
    _inside.add(reader)
    if _exiting:
        reader.release_at_exit(_PATIENCE)


def keep_until_exit(thing: Any) -> None:
    """Keep `thing` alive, and have ``thing.close()`` called at the very end."""
    _kept.add(thing)
    if _exiting:
        ended(thing)
        thing.close()


def ended(thing: Any) -> None:
    """Stop keeping `thing`."""
    _kept.discard(thing)


def _end_kept() -> None:
    global _exiting
    _exiting = True
    end = time.monotonic() + _PATIENCE  # for all of them together
    for reader in list(_inside):
        try:
            reader.release_at_exit(max(0.0, end - time.monotonic()))
        except Exception:
            log.exception("could not be closed")  # the others still can
    _call_each([thing.close for thing in list(_kept)])


def in_daemon() -> bool:
    """Tell whether this is a daemon thread, which the end of the process does not wait for."""
    thread = threading.current_thread()
    return thread.daemon and thread is not threading.main_thread()  # a fork makes any one that


def stop_daemon() -> None:
    """Stop this thread, if it is a daemon. To be called with no lock of ours held.

    The interpreter stops it wherever it is, a moment later. If that takes longer, another thread
    may be waiting for a lock that this one holds: then it ends itself, without a message.
    """
    if in_daemon():
        time.sleep(_PARKED)
        raise SystemExit


atexit.register(_end_kept)  # at import: so it runs after whatever is registered later
