"""What is detached in a child of ``os.fork``, in one ordered list.

A child begins with copies of its parent's objects, and with its parent's shared memory and locked
files, wherever in the code the fork came: also in a signal handler inside a write. There is one
writer, so a child must never store into what its parent writes to, nor keep a lock alive. So each
object that could do that is detached in the child *itself*: code that the fork interrupted holds
references of its own, and the child continues that code.

Knows nothing of arrays. Not here: how an object detaches itself.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

__all__ = ["DESCRIPTORS", "MEMORY", "PINS", "SIDES", "detach_in_child", "no_fork"]

# In this order. Pins before the memory that they lie in: their callbacks store there. Memory before
# writers and readers, which say what becomes of a call that the fork interrupted.
DESCRIPTORS, PINS, MEMORY, SIDES = range(4)

# Plain sets of references that leave by a method in C: an interrupt inside a callback in Python,
# such as those of `weakref.WeakSet`, would be lost.
_things: tuple[set[weakref.ref[Any]], ...] = (set(), set(), set(), set())

no_fork = threading.RLock()
"""While it is held, no other thread forks: between opening a file and putting it on the list."""


def detach_in_child(rank: int, thing: Any) -> None:
    """Have ``thing.detach()`` called in each forked child, after those of lower ranks."""
    things = _things[rank]
    things.add(weakref.ref(thing, things.discard))


def _after_fork() -> None:
    for things in _things:
        for reference in list(things):
            thing = reference()
            if thing is not None:
                thing.detach()
    no_fork.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=no_fork.acquire, after_in_parent=no_fork.release, after_in_child=_after_fork
    )
