"""The ``mmap`` transport: a segment is a mapped file under the root. Works on every system.

On Linux the default root is in memory (``/dev/shm``); elsewhere it is in the temporary directory,
where the system writes pages out now and then. Nothing is ever flushed: sharing does not need it.

System calls only; knows nothing of arrays, frames and lock files.
"""

from __future__ import annotations

import errno
import mmap
import os
import stat
import sys

from . import base, pages

__all__ = ["MmapTransport"]

# Windows lacks all but the last, which exists only there. O_NONBLOCK: where somebody put a FIFO,
# an open would wait; it means nothing to a file.
_FLAGS = (
    getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_BINARY", 0)
)


class MmapTransport(base.Transport):
    """Shared arrays in mapped files.

    Parameters
    ----------
    directory : str or path, optional
        The root, as ``open`` takes paths: no ``~`` is expanded, and a relative one begins where the
        program is now. By default ``NDSHARRAY_DIR`` (absolute, or with ``~``), else a
        directory of the user's own (``/dev/shm/ndsharray-<uid>`` on Linux, in the temporary
        directory elsewhere).
    mode : int
        Permission bits of the files. With bits for others (0o660), a directory that
        others may write to is accepted.
    """

    name = "mmap"

    def __init__(self, directory: str | os.PathLike[str] | None = None, mode: int = 0o600) -> None:
        if mode & 0o600 != 0o600 or mode & ~0o777:
            raise ValueError(f"mode is made of permission bits, 0o600 at least, not {mode:#o}")
        self.root = base.resolve_root(None if directory is None else os.fspath(directory))
        self.mode = mode

    def create(self, name: str, size: int) -> base.Segment:
        """Make a file of `size` bytes and map it."""
        base.make_root(self.root, self.mode)
        path = os.path.join(self.root, name)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _FLAGS, self.mode)
        try:
            try:
                if sys.platform != "win32" and os.fstat(fd).st_mode & self.mode != self.mode:
                    os.fchmod(fd, self.mode)  # the umask took some away
                pages.reserve(fd, size, self.root)
                return base.Segment(name, memoryview(pages.mapped(fd, size, mmap.ACCESS_WRITE)))
            finally:
                os.close(fd)  # before the name goes: Windows
        except BaseException:
            os.unlink(path)
            raise

    def open(self, name: str, *, writable: bool) -> base.Segment:
        """Map an existing file."""
        base.check_root(self.root, self.mode)
        path = os.path.join(self.root, name)
        flags = (os.O_RDWR if writable else os.O_RDONLY) | _FLAGS
        try:
            fd = os.open(path, flags)
        except PermissionError:
            # Another user is just making it, and the umask still stands in the way of the mode.
            found = os.lstat(path)
            if stat.S_ISREG(found.st_mode) and found.st_size == 0:
                raise FileNotFoundError(errno.ENOENT, "still being made", path) from None
            fd = os.open(path, flags)  # the size comes after the mode
        try:
            size = self._checked_size(os.fstat(fd), path)
            access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
            return base.Segment(name, memoryview(pages.mapped(fd, size, access)))
        finally:
            os.close(fd)

    def _checked_size(self, found: os.stat_result, path: str) -> int:
        """Return an opened file's size, if it is whole and of a user who may write here."""
        if not stat.S_ISREG(found.st_mode):
            raise PermissionError(errno.EACCES, "not a file", path)
        if sys.platform != "win32":
            if not self.mode & 0o077 and found.st_uid != os.geteuid():
                raise PermissionError(errno.EACCES, f"belongs to user {found.st_uid}", path)
            if found.st_nlink > 1:  # what is stored here would appear there
                raise PermissionError(errno.EACCES, "a hard link to another file", path)
        if found.st_size == 0 or pages.has_holes(found):
            raise FileNotFoundError(errno.ENOENT, "still being made", path)
        return found.st_size

    def unlink(self, name: str) -> bool:
        """Remove the file. PermissionError on Windows while anybody maps it."""
        try:
            os.unlink(os.path.join(self.root, name))
        except FileNotFoundError:
            return False
        return True
