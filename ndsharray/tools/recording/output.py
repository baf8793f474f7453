"""Where a recording's bytes go: all of several parts, where they lie; and room kept for the end."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Sequence

from .direct import ALIGNMENT, Direct

__all__ = ["FULL", "Output", "Reserve"]

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REFUSED = (errno.EINVAL, errno.EOPNOTSUPP)
_MOST_PARTS = 512  # in one call; Linux takes 1024
_SMALL = 64 * 1024  # bytes; below, joining parts costs less than a part of its own
_LARGE = 1 << 20  # bytes; below, what alignment adds is more than a hundredth


class Output:
    """A new file, or a pipe or device that is there.

    Parameters
    ----------
    path : str
        Of a file that does not exist, or of a FIFO or device.
    replace : bool
        Whether a file may be there, which is then lost.
    """

    def __init__(self, path: str, replace: bool) -> None:
        self.path = path
        flags = os.O_WRONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        mode = os.stat(path).st_mode if os.path.exists(path) else stat.S_IFREG
        self.is_pipe = stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)
        if not self.is_pipe:
            flags |= os.O_CREAT | (os.O_TRUNC if replace else os.O_EXCL)
        self._fd = os.open(path, flags, 0o644)
        self._direct: Direct | None = None
        self._has_direct = not self.is_pipe
        self.size = 0

    def wants_alignment(self, size: int) -> bool:
        """Tell whether so much is written faster from a multiple of `ALIGNMENT` to another one."""
        if size < _LARGE or not self._has_direct:
            return False
        if self._direct is None:
            try:
                self._direct = Direct(self._fd)
            except OSError:
                self._has_direct = False
        return self._has_direct

    def write(self, parts: Sequence[bytes | memoryview]) -> None:
        """Write all parts, one after the other; `size` grows by what was written."""
        joined, size = _join_small(parts), sum(map(len, parts))
        is_aligned = self.size % ALIGNMENT == size % ALIGNMENT == 0
        if is_aligned and self.wants_alignment(size) and self._write_directly(joined):
            return
        for first in range(0, len(joined), _MOST_PARTS):
            self._write_some(joined[first : first + _MOST_PARTS])

    def _write_directly(self, parts: list[memoryview]) -> bool:
        """Write past the page cache; return whether the file system takes it."""
        assert self._direct is not None
        whole = self.size
        try:
            for written in self._direct.write(parts):
                self.size += written
        except OSError as error:
            if error.errno not in _REFUSED:
                raise
            self.cut(whole)  # some file systems refuse only now
            self._has_direct = False
            return False
        return True

    def _write_some(self, parts: list[memoryview]) -> None:
        while parts:
            if hasattr(os, "writev"):
                written = os.writev(self._fd, parts)
            else:
                written = os.write(self._fd, parts[0])
            self.size += written
            while parts and written >= len(parts[0]):
                written -= len(parts.pop(0))
            if written:
                parts[0] = parts[0][written:]

    def cut(self, size: int) -> None:
        """Remove what stands after the first `size` bytes (a pipe keeps nothing)."""
        if not self.is_pipe and size < self.size:
            os.ftruncate(self._fd, size)
            os.lseek(self._fd, size, os.SEEK_SET)
            self.size = size

    def abandon(self) -> None:
        """Close the file, and remove it (not a pipe, nor a device)."""
        self.close()
        if not self.is_pipe:
            os.unlink(self.path)

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)
        self._direct, self._has_direct = None, False  # its memory, too


def _join_small(parts: Sequence[bytes | memoryview]) -> list[memoryview]:
    joined: list[memoryview] = []
    small: list[bytes | memoryview] = []
    for part in parts:
        if len(part) < _SMALL:
            small.append(part)
            continue
        if small:
            joined.append(memoryview(b"".join(small)))
            small = []
        joined.append(memoryview(part))
    if small:
        joined.append(memoryview(b"".join(small)))
    return [part for part in joined if len(part)]


class Reserve:
    """Room on the disk for the end of a file, kept by a file without a name.

    Its room is free again when it is released, and when the process dies.
    """

    def __init__(self, folder: str) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)
        self._size = 0

    def ensure(self, size: int) -> None:
        """Keep room for `size` bytes at least.

        Raises
        ------
        OSError
            If there is none.
        """
        if size > self._size:
            self._size = 2 * size
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self._file.fileno(), 0, self._size)
            else:
                self._file.seek(0)
                self._file.write(bytes(self._size))
                self._file.flush()

    def release(self) -> None:
        """Let the room go."""
        self._file.close()
