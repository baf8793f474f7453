"""Single loads and stores of shared memory, copies, and the fence between them.

Works on any buffer; knows no format, file, process or operating system. Everything that touches
live memory goes through a `Memory` and a `Fences`, so that a test can put recording ones in
their place and see the order of every access.

**A word** is 8 bytes, 8-byte aligned, read and written as ``memoryview.cast('Q')[i]``: CPython
copies it with one ``memcpy`` of constant size, which compilers turn into one instruction on
x86-64 and AArch64 (Objects/memoryobject.c, ``PACK_SINGLE``). ``struct.pack_into`` is not that: it
fills the field with zeros first, and another process sees them.

**On 32-bit builds** a word goes in two halves, so a reader can see the low half of one store
with the high half of another. That is harmless by its consequence: every decision about a live
word is an equality with an expected value, and the low half changes with each store. A mixed
*seq* equals no ``2 * position`` whose low half it does not carry, and a mixed *newest* names 0
(none yet) or a position that no slot holds; both end in another try. riscv64 stores words byte by
byte, which breaks that argument: it is refused.

**A fence** orders the accesses of this thread before it against those after it. Pure Python has
no such instruction, but ``release(); acquire()`` of a lock that is held is one: a store-release
followed by a load-acquire of the same word keeps everything before from passing everything
after (checked with herd7 for AArch64, with the semaphore beneath Linux' lock up to 3.12 and the
PyMutex since; ``with lock: pass`` is not one before 3.13. Where a lock is a mutex, each of the two
calls is a lock and an unlock of it). x86 keeps all orders by itself but one, a store before a later
load of something else; so few places need the instruction, and `Fences.order` is None there.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._system.foreign import real_lock
from .._system.fork import MEMORY, detach_in_child

__all__ = [
    "Fence",
    "Fences",
    "Memory",
    "fence_callbacks",
    "make_fence",
    "make_fences",
    "require_whole_words",
]

Fence = Callable[[str], None]

# Total store order: the only reordering is a store passed by a later load. `machine()` names
# the process's own instruction set closely enough: a foreign name only costs needless fences.
_TSO = platform.machine().lower() in {"x86_64", "amd64", "x86", "i386", "i486", "i586", "i686"}


def require_whole_words(machine: str = platform.machine()) -> None:
    """Refuse a processor on which CPython stores a word byte by byte.

    Raises
    ------
    NotImplementedError
        On riscv64, where strict alignment makes compilers split every such store.
    """
    if machine.lower().startswith("riscv"):
        raise NotImplementedError(
            f"{machine}: CPython stores 8-byte words byte by byte there, and readers would see "
            "torn ones; ndsharray cannot keep its promises on this processor"
        )


def make_fence() -> Fence:
    """Return a full fence with a lock of its own; its argument names the place, for tests."""
    lock = real_lock()
    lock.acquire()
    release, acquire = lock.release, lock.acquire

    def fence(_name: str) -> None:
        try:
            release()
        except RuntimeError:
            # An interrupt (Ctrl-C) came between the two calls of an earlier fence.
            acquire(False)
            release()
        # Not blocking: a signal handler that ran a fence in between holds the lock again, and
        # that fence has done the work of this one.
        acquire(False)

    return fence


def fence_callbacks() -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Return the two halves of a full fence, each a callback that is given one number, 0.

    They are C functions, so no signal handler runs inside them or between them: ``__exit__`` of
    a lock releases it whatever it is given, and ``acquire(0)`` does not wait.
    """
    lock: Any = real_lock()
    lock.acquire()
    return lock.__exit__, lock.acquire


class Fences(NamedTuple):
    """The fences of one endpoint (never shared between threads).

    `full` also keeps a store before a later load. `order` keeps all the other orders; it is
    None where the processor keeps them by itself.
    """

    full: Fence
    order: Fence | None


def make_fences() -> Fences:
    """Return the fences for one endpoint on this processor."""
    full = make_fence()
    return Fences(full, None if _TSO else full)


class Memory:
    """The bytes of one segment: words, single bytes and arrays over them.

    In a forked child, one that can be stored to is detached: every use raises ValueError there.

    Attributes
    ----------
    words : memoryview of uint64
        Live words, by index.
    bytes : memoryview of uint8
        Live single bytes, by offset.
    """

    __slots__ = ("__weakref__", "bytes", "words")

    def __init__(self, buf: memoryview) -> None:
        self.bytes: Any = memoryview(buf).cast("B")
        self.words: Any = self.bytes[: len(buf) // 8 * 8].cast("Q")
        if not buf.readonly:
            detach_in_child(MEMORY, self)

    def detach(self) -> None:
        """Refuse every further access, also by code that holds `words` or `bytes` already."""
        self.words.release()  # guard: memory-detached-in-a-child
        self.bytes.release()

    def group(self, start: int, stop: int) -> Any:
        """Return a view of some bytes, to be loaded at once by its ``tobytes()``."""
        return self.bytes[start:stop]

    def array(self, offset: int, nbytes: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """Return one dimension of `dtype` over the memory, which it keeps mapped while it lives.

        ``np.frombuffer`` holds an export of the buffer; ``np.ndarray(buffer=)`` does not, and
        would dangle once the mapping goes.
        """
        return np.frombuffer(self.bytes[offset : offset + nbytes], dtype)

    @staticmethod
    def copy(target: npt.NDArray[Any], source: npt.NDArray[Any]) -> None:
        """Copy `source` into `target` (same shape and dtype): one pass, any strides."""
        target[...] = source
