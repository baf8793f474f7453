"""Whether a lock file is held, also where this user may not open it: by the kernel's list of locks.

For what people are told, not for a decision about memory: inside some sandboxes the list is empty.
"""

from __future__ import annotations

import os
import sys

from . import lockfile

__all__ = ["is_held"]


def is_held(path: str) -> bool:
    """Tell whether any process holds the lock file at `path`; True where nobody can know."""
    if not lockfile.may_be_held(path):
        return False
    if not sys.platform.startswith("linux") or os.access(path, os.R_OK | os.W_OK):
        return True
    try:
        inode = b"%d" % os.stat(path).st_ino
        with open("/proc/locks", "rb") as file:  # "1: OFDLCK ADVISORY  WRITE -1 00:1b:42 0 EOF"
            locks = [line.split() for line in file if b" OFDLCK " in line]
    except OSError:
        return True
    # By the inode alone: some file systems have another device number there than in `stat`.
    return any(lock[-3].rpartition(b":")[2] == inode for lock in locks)
