"""Clocks: one that all processes of a machine share, Unix time, and one that tells boots apart.

Knows nothing of arrays and segments.
"""

from __future__ import annotations

import sys
import time
import uuid
from functools import cache

__all__ = ["UnixTime", "boot_id", "is_sure", "now_ns", "same_boot", "unix_ns"]

_NO_BOOT_ID = bytes(16)
_BOOT_TOLERANCE_NS = 10 * 60 * 1_000_000_000


# The monotonic clock of the system. ``time.perf_counter_ns`` means the same in every process: on
# Linux always, on macOS and Windows since Python 3.10 (Doc/library/time.rst). A time namespace
# (Linux) moves it, and with it the ages of frames.
now_ns = time.perf_counter_ns

_CLOSE_NS = 2_000  # two looks at the clock that are no further apart


def unix_ns(moment: int) -> int:
    """Return the Unix time of a moment of the monotonic clock, both in nanoseconds.

    By what the two clocks show now: a step of the wall clock since that moment counts as if the
    clock had always been right, and where the monotonic clock stands still while the machine
    sleeps (Linux, macOS), a sleep since then is missing.
    """
    looks = 4  # at most: the thread may be stopped between two of them
    while True:
        before, wall, after = now_ns(), time.time_ns(), now_ns()
        looks -= 1
        if after - before < _CLOSE_NS or not looks:
            return wall - (before + after) // 2 + moment


class UnixTime:
    """The Unix time of the moment that was asked for last: it stays the same if asked again."""

    def __init__(self) -> None:
        self._known = (0, 0)

    def of(self, moment: int) -> int:
        """Return the Unix time of a moment of the monotonic clock; of 0, 0."""
        known = self._known
        if known[0] != moment:
            known = self._known = (moment, unix_ns(moment))
        return known[1]


@cache
def boot_id() -> bytes:
    """Return 16 bytes that are new after each boot; zeros where the system has no such thing."""
    try:
        if sys.platform.startswith("linux"):
            with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
                return uuid.UUID(file.read().strip()).bytes
        if sys.platform == "darwin":
            return _darwin_boot_session()
    except (OSError, ValueError):
        pass
    return _NO_BOOT_ID


def _darwin_boot_session() -> bytes:
    import ctypes

    text = ctypes.create_string_buffer(64)
    size = ctypes.c_size_t(len(text))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.sysctlbyname(b"kern.bootsessionuuid", text, ctypes.byref(size), None, 0) != 0:
        raise OSError(ctypes.get_errno(), "kern.bootsessionuuid")
    return uuid.UUID(text.value.decode("ascii")).bytes


def is_sure(recorded: bytes) -> bool:
    """Tell whether `same_boot` decides by boot ids, and does not guess by the clocks."""
    return _NO_BOOT_ID not in (recorded, boot_id())


def same_boot(recorded: bytes, clock_ns: int, wall_ns: int) -> bool:
    """Tell whether memory that carries these three was written since the last boot.

    After a power cut a disk may hold a control page that looks whole beside payload that never
    reached it; so memory of another boot counts as absent. Where the system has no boot id, a
    clock that went backwards, or that moved against the wall clock by over ten minutes, counts as
    a boot.
    """
    now_boot = boot_id()
    if now_boot != _NO_BOOT_ID:
        return recorded == now_boot
    now = now_ns()
    drift = (time.time_ns() - now) - (wall_ns - clock_ns)
    return now >= clock_ns and abs(drift) <= _BOOT_TOLERANCE_NS
