"""Reserving and mapping memory: a page for every byte, or an error that says how much is missing.

System calls on an open descriptor only; knows no transport.
"""

from __future__ import annotations

import errno
import mmap
import os
import sys

from .base import NO_ROOM

__all__ = ["check_room", "free_bytes", "has_holes", "mapped", "reserve"]

# A signal restarts a whole posix_fallocate call (EINTR), so one call must not take long.
_RESERVE_STEP = 64 * 2**20
_CANNOT_RESERVE = {errno.EINVAL, errno.EOPNOTSUPP}  # odd file systems; glibc makes up for most


def reserve(fd: int, size: int, place: str) -> None:
    """Give a new, empty file its size, with pages behind every byte of it.

    A sparse file on a full tmpfs kills a program that stores into it, and even one that loads from
    it (SIGBUS). The size grows only after the pages exist, so nobody can open holes.

    Raises
    ------
    OSError
        ENOSPC with the asked-for and the free bytes, if the room is not there.
    """
    check_room(size, place)
    try:
        if sys.platform == "win32":
            os.ftruncate(fd, size)  # NTFS allocates
        elif sys.platform == "darwin":  # no posix_fallocate there
            _write_zeros(fd, size)
        else:
            try:
                for offset in range(0, size, _RESERVE_STEP):
                    # guard: pages-reserved
                    os.posix_fallocate(fd, offset, min(_RESERVE_STEP, size - offset))
            except OSError as error:
                if error.errno not in _CANNOT_RESERVE:
                    raise
                _write_zeros(fd, size)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise _no_room(error.errno or errno.ENOSPC, size, place) from None


def _write_zeros(fd: int, size: int) -> None:
    if sys.platform != "win32":
        zeros = bytes(min(size, 2**20))
        offset = 0
        while offset < size:
            offset += os.pwrite(fd, zeros[: size - offset], offset)


def check_room(size: int, place: str) -> None:
    """Refuse what cannot fit, before others' room is filled only to find that out.

    Raises
    ------
    OSError
        ENOSPC with the asked-for and the free bytes.
    """
    if size > free_bytes(place):
        raise _no_room(errno.ENOSPC, size, place)


def free_bytes(place: str) -> int:
    """Return how many bytes a new segment may have, as far as the system tells.

    In ``/dev/shm`` no more than the memory that is available: where the tmpfs is as large as the
    memory, the kernel would kill processes before it says that there is no room.
    """
    if sys.platform == "win32":
        import shutil  # slow to import, and not needed elsewhere

        return shutil.disk_usage(place).free
    disk = os.statvfs(place)
    if disk.f_blocks == 0:  # a file system without a size, or that does not tell
        return sys.maxsize
    free = disk.f_bavail * disk.f_frsize
    try:
        if os.stat(place).st_dev == os.stat("/dev/shm").st_dev:
            with open("/proc/meminfo", "rb") as file:
                kib = {line.split(b":")[0]: int(line.split()[1]) for line in file}
            free = min(free, 1024 * (kib[b"MemAvailable"] + kib[b"SwapFree"]))
    except (OSError, LookupError, ValueError):
        pass
    return free


def _no_room(code: int, size: int, place: str) -> OSError:
    """Return the error for `size` bytes that `place` has no room for."""
    return OSError(
        code,
        f"{os.strerror(code)}: asked for {size} bytes, {free_bytes(place)} bytes are free; make it "
        f"larger (docker run --shm-size=...), or choose another directory (NDSHARRAY_DIR, "
        f"directory=)",
        place,
    )


def has_holes(found: os.stat_result) -> bool:
    """Tell whether a file on the system's shared-memory tmpfs lacks pages: it is being made.

    Only there: other file systems compress, and a hole of theirs raises no SIGBUS when loaded.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        return found.st_dev == os.stat("/dev/shm").st_dev and found.st_blocks * 512 < found.st_size
    except FileNotFoundError:
        return False


def mapped(fd: int, size: int, access: int) -> mmap.mmap:
    """Map a file, with `access` as for ``mmap.mmap``.

    From Python 3.13 on without a descriptor. The duplicate that ``mmap`` keeps otherwise is one of
    few, and its number may be another file's by the time it is closed (a daemon closes all first).
    """
    if sys.version_info >= (3, 13) and sys.platform != "win32":
        return mmap.mmap(fd, size, access=access, trackfd=False)
    return mmap.mmap(fd, size, access=access)
