"""Noticing that a writer comes to a root directory, without polling for it where possible.

A writer touches the root as soon as its array can be opened (`touch`). A reader that waits for one
begins a `RootWatch`, then looks whether the array is there, and then sleeps: so no touch falls in
between.

* Linux: *inotify*, which costs nothing while nothing happens. Where the root is missing, it watches
  the parent directory.
* Elsewhere, and where no instance of inotify is left (a user has 128 of them by default): the time
  at which the directory changed, every 10 ms. The timer costs several times what the look costs.

It knows directories and the operating system; nothing of arrays and readers.
"""

from __future__ import annotations

import errno
import os
import select
import sys
import threading
import time
from contextlib import suppress
from functools import cache
from typing import Any

from .foreign import in_greenlets
from .fork import DESCRIPTORS, detach_in_child

__all__ = ["PAUSE", "RootTime", "RootWatch", "close_spares", "touch"]

PAUSE = 0.01  # seconds: between two looks, also where much comes that is none of ours

# From the kernel's include/uapi/linux/inotify.h; its flags are those of open.
_ATTRIB, _MOVED_TO, _CREATE, _DELETE_SELF, _MOVE_SELF = 0x4, 0x80, 0x100, 0x400, 0x800
_TOUCHED = _ATTRIB | _DELETE_SELF | _MOVE_SELF
_ENTERED = _CREATE | _MOVED_TO

# In nanoseconds: changes that come so soon after each other may bear the same time. A kernel's tick
# is 10 ms at most; some file systems keep whole seconds, or every other one.
_TICK, _WHOLE, _SECOND = 50_000_000, 2_000_000_000, 1_000_000_000


def touch(root: str) -> None:
    """Wake all that watch `root`."""
    with suppress(OSError):  # then they find out a little later
        os.utime(root)


class RootTime:
    """The time of a root's last change, as it was when this object was made."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._time = _time_of(root)
        age = time.time_ns() - self._time
        self._young = 0 <= age < (_TICK if self._time % _SECOND else _WHOLE)

    def is_old(self) -> bool:
        """Tell whether the root may have changed since."""
        return self._young or _time_of(self._root) != self._time


def _time_of(root: str) -> int:
    """Return when a directory changed last, in nanoseconds; 0: there is none."""
    try:
        return os.stat(root).st_mtime_ns
    except OSError:
        return 0


@cache
def _inotify() -> Any:
    """Return the C library and its errno, with inotify; None where Python cannot call it."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        for call in ("inotify_init1", "inotify_add_watch", "inotify_rm_watch"):
            getattr(libc, call)
        return libc, ctypes.get_errno
    except (ImportError, AttributeError, OSError):
        return None


def _can_poll() -> bool:
    return hasattr(select, "poll")  # eventlet takes it away


class _Spares:
    """Instances of inotify that watch nothing: a few are kept for the next wait.

    To close one takes some 10 ms, in which the kernel clears away what it watched just before; and
    a user has few. So there are as many as threads that wait at once, or a few spare ones.
    """

    MOST = 4

    def __init__(self) -> None:
        self._fds: list[int] = []
        detach_in_child(DESCRIPTORS, self)

    def acquire(self, fds: list[int]) -> None:
        """Put an instance into the empty list `fds`, if the system or this list has one."""
        # All in C, so that no signal handler comes between and loses a descriptor by raising.
        if self._fds:
            with suppress(IndexError):  # another thread was faster
                fds.extend(map(self._fds.pop, (0,)))
        if sys.platform != "win32" and not fds:
            fds.extend(map(_inotify()[0].inotify_init1, (os.O_CLOEXEC | os.O_NONBLOCK,)))
            if fds[0] < 0:
                fds.clear()

    def release(self, fds: list[int]) -> None:
        """Keep the instance in `fds` for the next wait, or close it."""
        if len(self._fds) < self.MOST:
            self._fds.extend(map(fds.pop, (0,)))
        else:
            list(map(os.close, map(fds.pop, (0,))))

    def detach(self) -> None:
        """Close all; in a forked child at once.

        A program that makes a daemon of the child closes all descriptors, and reuses their numbers.
        """
        while self._fds:
            list(map(os.close, map(self._fds.pop, (0,))))


_spares = _Spares()
close_spares = _spares.detach


class RootWatch:
    """A watch of one root.

    Parameters
    ----------
    root : str
        The directory, which may be missing.

    """

    def __init__(self, root: str) -> None:
        self._fds: list[int] = []  # one, while it watches by inotify
        self._lock = threading.RLock()  # re-entrant, for a signal handler
        self._root = root
        self._numbers: list[int] = []  # of what inotify watches
        self._begun = self._woken = False
        self._since = 0.0  # when it began
        detach_in_child(DESCRIPTORS, self)

    @property
    def fd(self) -> int:
        """Becomes readable when the root is touched; -1: ask `is_over` now and then."""
        fds = self._fds
        return fds[0] if fds else -1

    def begin(self) -> None:
        """Begin to watch; the caller looks for what was there before."""
        self._remove()
        self._since, self._woken = time.monotonic(), False
        # Not in a greenlet: it would stop all others where `select` is not patched as well.
        if not self._fds and _inotify() is not None and _can_poll() and not in_greenlets():
            _spares.acquire(self._fds)
        if self._fds:
            self._aim()
        self._time = RootTime(self._root)
        self._begun = True

    def _aim(self) -> None:
        libc, last_error = _inotify()
        root = os.fsencode(self._root)
        numbers = [libc.inotify_add_watch(self.fd, root, _TOUCHED)]
        if numbers[0] < 0 and last_error() == errno.ENOENT:
            numbers.append(libc.inotify_add_watch(self.fd, os.path.dirname(root), _ENTERED))
            # If it was made just now.
            numbers.append(libc.inotify_add_watch(self.fd, root, _TOUCHED))
        self._numbers = [number for number in numbers if number >= 0]
        with suppress(BlockingIOError):
            os.read(self.fd, 2**16)
        if not self._numbers:
            self.release_descriptor()

    def is_over(self) -> bool:
        """Tell whether the root may have been touched since it began, or `wake` was called."""
        return self._woken or self._time.is_old()

    def early(self) -> float:
        """Return for how many seconds it is too early for another look."""
        return self._since + PAUSE - time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Sleep until a writer touches the root, `seconds` at most; the first time, only begin."""
        if not self._begun:
            self.begin()
        elif self._poll(seconds) if self.fd >= 0 else self._look(seconds):
            early = min(self.early(), seconds)
            if early > 0:
                time.sleep(early)
            self.begin()

    def _poll(self, seconds: float) -> bool:
        make: Any = getattr(select, "poll", None)
        poll = make()
        poll.register(self.fd, 1)  # POLLIN
        return bool(poll.poll(1000 * seconds))

    def _look(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not self.is_over():
            left = end - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(left, PAUSE))
        return True

    def wake(self) -> None:
        """End a sleep, of whatever thread."""
        self._woken = True
        with self._lock:
            if self._fds and self._numbers:
                _inotify()[0].inotify_rm_watch(self._fds[0], self._numbers[-1])  # an event

    def end(self) -> None:
        """Stop watching; it may begin again."""
        self.release_descriptor()
        self._begun = False

    def release_descriptor(self) -> None:
        """Release the descriptor for other watches; without one, this looks at the root's time."""
        self._remove()
        with self._lock:  # no thread releases a descriptor whose number `wake` uses
            if self._fds:
                _spares.release(self._fds)

    def _remove(self) -> None:
        with self._lock:
            numbers, self._numbers = self._numbers, []
            for number in numbers:
                _inotify()[0].inotify_rm_watch(self.fd, number)

    def detach(self) -> None:
        """In a forked child: close the descriptor, which its parent shares, at once."""
        self._lock = threading.RLock()
        self._numbers, self._begun = [], False
        if self._fds:
            list(map(os.close, map(self._fds.pop, (0,))))

    def __del__(self) -> None:
        if getattr(self, "_fds", ()):
            self.end()
