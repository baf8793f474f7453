"""Other people's event loops: gevent's and eventlet's greenlets, asyncio, trio.

They are found through ``sys.modules``, never imported. Knows nothing of arrays.

What may live here: whether one runs, and what it has replaced. Not here: how to wait in one.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

__all__ = ["in_greenlets", "real_lock", "require_asyncio"]


def in_greenlets() -> bool:
    """Tell whether ``time.sleep`` lets other greenlets run: any other sleep stops them all."""
    gevent = sys.modules.get("gevent.monkey")
    eventlet = sys.modules.get("eventlet.patcher")
    return bool(
        (gevent is not None and gevent.is_module_patched("time"))
        or (eventlet is not None and eventlet.is_monkey_patched("time"))
    )


def real_lock() -> Any:
    """Return a lock of the interpreter's own.

    The locks of greenlets are counters and lists: they are no fence for the processor.
    """
    gevent = sys.modules.get("gevent.monkey")
    if gevent is not None:
        return gevent.get_original("_thread", "allocate_lock")()
    eventlet = sys.modules.get("eventlet.patcher")
    if eventlet is not None and eventlet.is_monkey_patched("thread"):
        return eventlet.original("threading").Lock()
    return threading.Lock()


def require_asyncio() -> None:
    """Raise RuntimeError, with what to do, unless an asyncio event loop runs in this thread."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None:
        try:
            asyncio.get_running_loop()
            return
        except RuntimeError:
            pass
    raise RuntimeError(
        "read_async() needs a running asyncio event loop; elsewhere call read() in a thread, under "
        "trio for example: await trio.to_thread.run_sync(reader.read, 1.0)"
    )
