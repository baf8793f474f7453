"""Closing what is still open at the end of a ``multiprocessing`` child.

Such a child ends with ``os._exit``: neither ``atexit`` nor finalizers run there, only what is
registered with multiprocessing itself. Everywhere else ``weakref.finalize`` does the work.
"""

from __future__ import annotations

import logging
import os
import sys
import weakref
from typing import Any

__all__ = ["close_at_exit"]

log = logging.getLogger("ndsharray")

_open: weakref.WeakSet[Any] = weakref.WeakSet()
_registered_in = 0


def close_at_exit(side: Any) -> None:
    """Have ``side.close()`` called if the process ends as a ``multiprocessing`` child."""
    global _registered_in
    _open.add(side)
    multiprocessing = sys.modules.get("multiprocessing")
    util = sys.modules.get("multiprocessing.util")
    if multiprocessing is None or util is None or multiprocessing.parent_process() is None:
        return
    if _registered_in != os.getpid():  # a child forgets what its parent registered
        _registered_in = os.getpid()
        util.Finalize(None, _close_all, exitpriority=-100)  # after everything of the user's


def _close_all() -> None:
    for side in list(_open):
        try:
            side.close()
        except Exception:
            log.exception("could not be closed")  # the others still can
