"""Sleeping until a word of shared memory moves, and waking those who sleep.

It knows one word and the operating system; nothing of arrays, frames and readers. A caller passes
the value of the word's low half (32 bits) that it has seen. It sleeps until the word holds another
value, a wake-up or a signal comes, or the time is up, and then looks again. So a spurious wake-up
costs a look, and a lost one costs the rest of the time.

* Linux: a *futex*. FUTEX_WAIT re-checks the word atomically before sleeping, so no store with its
  wake-up falls in between. If the last wait was shorter than 0.3 ms, the caller first spins for
  0.1 ms: it meets a partner that answers at once awake. After a spin in vain it does without for
  1, 3, 7 ... waits: where other work wants the same CPU, each turn that a spin gives away may go to
  that work, for milliseconds, and a sleeper that is woken comes first.
* Elsewhere, where a sandbox forbids futexes, and where greenlets have to run meanwhile (gevent's
  and eventlet's ``time.sleep`` lets them): polling. The pauses grow with the time waited, to an
  eighth of it, and are 0.05 to 5 ms long: a frame is noticed that late (Windows before Python 3.11:
  15.6 ms, the step of its timer).
"""

from __future__ import annotations

import errno
import os
import platform
import struct
import sys
import time
from functools import cache
from typing import Any

import numpy as np

from .foreign import in_greenlets

__all__ = ["LONGEST_PAUSE", "Waiter", "pause"]

LONGEST_PAUSE = 0.005  # seconds
_SHORTEST_PAUSE = 0.00005
_QUICK, _SPIN = 0.0003, 0.0001  # seconds: a wait that counts as short, and for how long to spin
_LONGEST_REST = 1023  # waits in a row without a spin
# Not time.sleep(0): that is a sleep of 85 us on Linux since Python 3.11 (cpython gh-125997).
_yield = getattr(os, "sched_yield", None)

# The number of the futex call. By the process's own ABI: a 32-bit process on a 64-bit kernel is
# told the kernel's machine. From the kernel's tables, arch/*/**/syscall*.tbl; aarch64:
# include/uapi/asm-generic/unistd.h. Only processors on which the tests ran: others poll. On 32-bit
# systems the legacy call, with a timespec of two longs: older sandboxes do not know its successor
# (futex_time64).
_FUTEX_64 = {
    "x86_64": 202,
    "aarch64": 98,
    "s390x": 238,
}
_FUTEX_32 = {
    "x86_64": 240,
    "i386": 240,
    "i486": 240,
    "i586": 240,
    "i686": 240,
    "aarch64": 240,
    "armv6l": 240,
    "armv7l": 240,
    "armv8l": 240,
}
_WAIT, _WAKE = 0, 1  # without the "private" flag: the word is shared between processes
_EVERYBODY = 2**31 - 1
_NOTHING_WRONG = {0, errno.EAGAIN, errno.EINTR, errno.ETIMEDOUT}


def futex_number(machine: str, pointer_bytes: int) -> int | None:
    """Return the number of the futex call; None where it is not known."""
    return (_FUTEX_64 if pointer_bytes == 8 else _FUTEX_32).get(machine)


class Futex:
    """The futex call.

    Parameters
    ----------
    number : int
        Its number.

    Raises
    ------
    ImportError, OSError, AttributeError
        Where Python cannot call it.
    """

    def __init__(self, number: int) -> None:
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)  # an object of our own: nobody else sets its types
        self._syscall, self._errno = libc.syscall, ctypes.get_errno
        # Every argument as a long, which is how syscall(2) takes them (a bare int would be a C
        # int). Made once: that is most of what a call costs.
        self._number, self.long = ctypes.c_long(number), ctypes.c_long
        self._wait, self._wake = ctypes.c_long(_WAIT), ctypes.c_long(_WAKE)
        self._everybody = ctypes.c_long(_EVERYBODY)
        self.timespec: Any = ctypes.c_long * 2

    def wait(self, address: Any, low: int, timespec: Any) -> int:
        """Sleep while the word at `address` (a long) is `low`; return an errno, 0 if woken."""
        value = self.long(low)
        if self._syscall(self._number, address, self._wait, value, timespec, None, None) == -1:
            return int(self._errno())
        return 0

    def call(self, number: int, *arguments: Any) -> int:
        """Make another system call of the futex family; return an errno, 0 if it succeeds.

        Parameters
        ----------
        number : int
            The call's number.
        *arguments : int or bytes
            What it is given: numbers, and memory that it reads.
        """
        whole = [self.long(given) if isinstance(given, int) else given for given in arguments]
        if self._syscall(self.long(number), *whole) == -1:
            return int(self._errno())
        return 0

    def wake(self, address: Any) -> None:
        """Wake all that sleep on the word at `address`."""
        self._syscall(self._number, address, self._wake, self._everybody)


@cache
def working_futex() -> Futex | None:
    """Return the futex call if it works here: a sandbox may forbid it."""
    number = futex_number(platform.machine(), struct.calcsize("P"))
    # x32: 64-bit calls by another door, with 32-bit longs.
    x32 = getattr(sys.implementation, "_multiarch", "").endswith("x32")
    if not sys.platform.startswith("linux") or number is None or x32:
        return None
    try:
        futex = Futex(number)
    except (ImportError, AttributeError, OSError):
        return None
    word = np.zeros(1, np.uint32)
    # The word does not hold 1, so the kernel says "again" instead of sleeping.
    answer = futex.wait(futex.long(word.ctypes.data), 1, futex.timespec(0, 0))
    return futex if answer == errno.EAGAIN else None


def pause(waited: float) -> float:
    """Return how long to pause before the next look, after `waited` seconds without news."""
    return min(max(waited / 8, _SHORTEST_PAUSE), LONGEST_PAUSE)


class Waiter:
    """One word that processes sleep on.

    Parameters
    ----------
    word : memoryview
        Its 8 bytes, aligned; read-only ones will do.

    Attributes
    ----------
    sleeps : bool
        Whether a sleeper can be woken; False: it polls.
    address : int
        Where the low half of the word is; only where there are futexes.
    """

    def __init__(self, word: memoryview) -> None:
        array = np.frombuffer(word, np.uint8)  # keeps the memory mapped
        self._halves = array.data.cast("I")
        self._low = 0 if sys.byteorder == "little" else 1
        self._futex = futex = working_futex()
        if futex is not None:
            self.address = array.__array_interface__["data"][0] + 4 * self._low
            self._address = futex.long(self.address)
            self._timespec = futex.timespec()  # seconds and nanoseconds
        self._began, self._quick = 0.0, False  # when the last wait began; whether it was short
        # How many waits do without a spin after one in vain, and how many of them are left.
        self._rest = self._left = 0

    @property
    def sleeps(self) -> bool:
        return self._futex is not None and not in_greenlets()

    def spin(self, value: int) -> bool:
        """Spin for a moment, if the last wait was a short one and spins are not in vain.

        A partner that answers at once is met awake, in half the time that sleeping and waking
        takes; a reader that waits for the next picture of a camera never spins.

        Returns
        -------
        bool
            Whether the word moved.
        """
        self._began = time.perf_counter()
        if not self._quick or _yield is None or in_greenlets():
            return False
        if self._left:
            self._left -= 1
            return False
        low, end = value & 0xFFFFFFFF, self._began + _SPIN
        while self._halves[self._low] == low:
            _yield()
            if time.perf_counter() > end:
                self._left = self._rest = min(2 * self._rest + 1, _LONGEST_REST)
                return False
        self._rest >>= 1  # halved, not forgotten: most may still be in vain
        return True

    def sleep(self, value: int, seconds: float) -> None:
        """Sleep while the low half of the word is that of `value`, for `seconds` at most."""
        futex = self._futex
        if futex is None or in_greenlets():
            self.poll(value, seconds)
        else:
            self._sleep(futex, value & 0xFFFFFFFF, seconds)
        self._quick = time.perf_counter() - self._began < _QUICK

    def _sleep(self, futex: Futex, low: int, seconds: float) -> None:
        timespec = self._timespec
        timespec[0] = whole = int(seconds)
        timespec[1] = int((seconds - whole) * 1e9)
        answer = futex.wait(self._address, low, timespec)
        if answer not in _NOTHING_WRONG:  # forbidden since the first try
            self._futex = None
            self.poll(low, seconds)

    def poll(self, value: int, seconds: float) -> None:
        """Wait as `sleep` does, by polling."""
        low, start = value & 0xFFFFFFFF, time.monotonic()
        while self._halves[self._low] == low:
            waited = time.monotonic() - start
            if waited >= seconds:
                return
            time.sleep(min(pause(waited), seconds - waited))

    def wake(self) -> None:
        """Wake all that sleep on the word; without a futex nobody sleeps."""
        if self._futex is not None:
            self._futex.wake(self._address)
