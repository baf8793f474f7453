"""Refusing a call that comes while another call on the same object is under way.

A call that a signal handler or a finalizer makes inside another call of its own thread cannot wait
for that call, and would find half of its work done: so it is refused.
"""

from __future__ import annotations

from typing import NoReturn

__all__ = ["refuse_nested", "refuse_thread"]


def refuse_nested() -> NoReturn:
    """Raise RuntimeError: this call interrupted another one of its thread."""
    raise RuntimeError("a call of this thread is under way: this one interrupted it")


def refuse_thread() -> NoReturn:
    """Raise RuntimeError: another thread's call is under way."""
    raise RuntimeError(
        "another thread is reading with this object just now: one reader belongs to one thread "
        "at a time, so give each thread a reader of its own"
    )
