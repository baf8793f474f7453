"""Sleeping until one of several words of shared memory moves: ``futex_waitv``, since Linux 5.16.

A wake-up of a single word's sleepers (``wait``) wakes these as well. Where the call is missing or
forbidden, the caller polls (`poll_until`).
"""

from __future__ import annotations

import errno
import struct
import time
from collections.abc import Callable, Sequence
from functools import cache

from .wait import Futex, Waiter, pause, working_futex

__all__ = ["MOST", "can_sleep", "poll_until", "sleep_on_any"]

MOST = 128  # words; FUTEX_WAITV_MAX of the kernel's include/uapi/linux/futex.h

_NUMBER = 449  # on every architecture
_SIZE_U32 = 2  # FUTEX2_SIZE_U32; without FUTEX2_PRIVATE: the words are shared between processes
_CLOCK_MONOTONIC = 1  # that of time.monotonic_ns


class _WaitV:
    """The call; `works` becomes False once it is forbidden."""

    def __init__(self, futex: Futex) -> None:
        self._futex = futex
        self.works = self.sleep([(0, 0)] * (MOST + 1), 0) == errno.EINVAL  # too many words

    def sleep(self, words: Sequence[tuple[int, int]], until: int) -> int:
        """Sleep while each 32-bit word (address, value) has its value; return an errno, 0 if woken.

        Parameters
        ----------
        words : sequence of tuple
            Address and value of each word.
        until : int
            The end, on the monotonic clock, in ns.
        """
        # struct futex_waitv: value, address, flags, reserved; struct __kernel_timespec
        waiters = b"".join(
            struct.pack("=QQII", value, address, _SIZE_U32, 0) for address, value in words
        )
        end = struct.pack("=qq", *divmod(until, 10**9))
        return self._futex.call(_NUMBER, waiters, len(words), 0, end, _CLOCK_MONOTONIC)


@cache
def _waitv() -> _WaitV | None:
    futex = working_futex()
    return None if futex is None else _WaitV(futex)


def can_sleep(words: int) -> bool:
    """Tell whether `sleep_on_any` works here, on so many words."""
    waitv = _waitv()
    return words <= MOST and waitv is not None and waitv.works


def sleep_on_any(waiters: Sequence[Waiter], values: Sequence[int], seconds: float) -> bool:
    """Sleep while the low half of each word is that of its value, for `seconds` at most.

    Returns
    -------
    bool
        True: the time is up. False: look.
    """
    waitv = _waitv()
    assert waitv is not None
    words = [(waiter.address, value & 0xFFFFFFFF) for waiter, value in zip(waiters, values)]
    answer = waitv.sleep(words, time.monotonic_ns() + int(seconds * 1e9))
    if answer not in (0, errno.EAGAIN, errno.EINTR, errno.ETIMEDOUT):  # forbidden since
        waitv.works = False
    return answer == errno.ETIMEDOUT


def poll_until(over: Callable[[], bool], seconds: float) -> None:
    """Wait until `over` is true, for `seconds` at most, with pauses that grow."""
    start = time.monotonic()
    while not over():
        waited = time.monotonic() - start
        if waited >= seconds:
            return
        time.sleep(min(pause(waited), seconds - waited))
