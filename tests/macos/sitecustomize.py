"""With this directory on PYTHONPATH, Linux looks like macOS to this library, as far as it goes.

Python runs this file in each process before anything else. It names the other system, takes away
what that does not have, and has shared memory behave as Apple's kernel does (xnu,
bsd/kern/posix_shm.c; CPython, Modules/mmapmodule.c). It is not macOS: its memory, scheduler, file
system, start-up of processes and limits are not shown by it.
"""

from __future__ import annotations

import _posixshmem
import ctypes
import errno
import fcntl
import mmap
import os
import sys
import sysconfig
import types
import uuid
from typing import Any

try:
    import numpy as np  # decides by the system as well, and has to be right
except ImportError:
    np = None  # tools that start without packages

PAGE = 16384  # Apple silicon's
NAME_MAX = 31  # PSHMNAMLEN, with the slash
REFUSED = {"open", "os.listdir", "os.scandir"}  # what there is no /proc and no /dev/shm for

maps = 0  # each one flushes the disk there (F_FULLFSYNC), at least
_sized: dict[int, bool] = {}  # descriptors of shared-memory objects: whether they have a size
_real = {
    "shm_open": _posixshmem.shm_open,
    "ftruncate": os.ftruncate,
    "fstat": os.fstat,
    "close": os.close,
    "mmap": mmap.mmap,
    "CDLL": ctypes.CDLL,
}


def shm_open(path: str, flags: int, mode: int = 0o777) -> int:
    if len(os.fsencode(path)) > NAME_MAX:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), path)
    fd: int = _real["shm_open"](path, flags, mode)
    _sized[fd] = _real["fstat"](fd).st_size > 0
    return fd


def ftruncate(fd: int, size: int) -> None:
    if fd in _sized:
        if _sized[fd]:
            raise OSError(errno.EINVAL, "an object gets its size once")
        _sized[fd] = True
        size = -(-size // PAGE) * PAGE
    _real["ftruncate"](fd, size)


def fstat(fd: int) -> os.stat_result:
    found: os.stat_result = _real["fstat"](fd)
    if fd not in _sized:
        return found
    return os.stat_result((found.st_mode, 0, 0, *found[3:]))  # neither inode nor device


def close(fd: int) -> None:
    _sized.pop(fd, None)
    _real["close"](fd)


def counted_mmap(*arguments: Any, **options: Any) -> mmap.mmap:
    global maps
    maps += 1
    mapped: mmap.mmap = _real["mmap"](*arguments, **options)
    return mapped


class LibSystem:
    """What the library asks macOS' C library for."""

    def __init__(self, name: Any = None, **options: Any) -> None:
        self._real = _real["CDLL"](name, **options)

    def __getattr__(self, name: str) -> Any:
        if name == "syscall":
            raise AttributeError(name)
        return getattr(self._real, name)

    def sysctlbyname(self, name: bytes, text: Any, size: Any, *_: Any) -> int:
        assert name == b"kern.bootsessionuuid"
        text.value = str(uuid.UUID(int=_boot)).upper().encode()
        return 0


def refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in REFUSED or not isinstance(arguments[0], str):
        return
    if arguments[0].startswith("/proc") or arguments[0].rstrip("/") == "/dev/shm":
        raise FileNotFoundError(errno.ENOENT, "not on macOS", arguments[0])


def pretend() -> None:
    _posixshmem.shm_open = shm_open
    os.ftruncate, os.fstat, os.close = ftruncate, fstat, close
    mmap.mmap = counted_mmap  # type: ignore[assignment, misc]
    mmap.PAGESIZE = PAGE  # type: ignore[misc]
    ctypes.CDLL = LibSystem  # type: ignore[assignment, misc]
    del os.posix_fallocate, fcntl.F_OFD_SETLK, fcntl.F_OFD_SETLKW, fcntl.F_OFD_GETLK
    del os.O_DIRECT, os.fdatasync, os.posix_fadvise, os.pipe2, os.sched_getaffinity
    proxies = sys.modules["_scproxy"] = types.ModuleType("_scproxy")  # urllib asks it
    vars(proxies).update(_get_proxies=dict, _get_proxy_settings=dict)  # there are none
    sysconfig.get_config_vars()  # is kept; a file of this system's name
    sys.addaudithook(refuse)
    sys.platform = "darwin"


with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
    _boot = uuid.UUID(file.read().strip()).int
if np is not None:
    pretend()
