"""The ``posix_shm`` transport: a segment is a ``multiprocessing.shared_memory`` one.

Any ``SharedMemory(name)`` opens our segments, and the other way round. Two ways to get there, no
third:

* On Windows the class itself, which tracks nothing there.
* On POSIX ``_posixshmem.shm_open``, the very call beneath the class, with ``mmap``. The class hands
  every segment that it attaches to a resource tracker, which deletes it when the visitor exits
  (cpython gh-82300). Untracked (``track=False``, from 3.13 on) it still removes the writer's
  segment when an attach fails (gh-153279), and keeps a descriptor for each.

Everything is created untracked: removing is the library's own work.

System calls only; knows nothing of arrays, frames and lock files.
"""

from __future__ import annotations

import errno
import mmap
import os
import sys

from . import base, pages

__all__ = ["PosixShmTransport"]


class PosixShmTransport(base.Transport):
    """Shared arrays in the system's shared-memory objects.

    Parameters
    ----------
    directory : str or path, optional
        The root: where the lock files are, and the namespace of the arrays. The default is that
        of the ``mmap`` transport.
    """

    name = "posix_shm"

    def __init__(self, directory: str | os.PathLike[str] | None = None) -> None:
        self.root = base.resolve_root(None if directory is None else os.fspath(directory))

    def create(self, name: str, size: int) -> base.Segment:
        """Make a shared-memory object of at least `size` bytes and map it."""
        try:
            return _create(name, size)
        except FileExistsError:
            raise
        except OSError:
            _require_shm(os.W_OK | os.X_OK)
            raise

    def open(self, name: str, *, writable: bool) -> base.Segment:
        """Map an existing object."""
        try:
            base.check_root(self.root, self.mode)
        except FileNotFoundError:
            pass  # segments outlive a root that somebody removed
        try:
            return _open(name, writable)
        except OSError:
            _require_shm(os.X_OK)  # or a reader would wait for ever
            _refuse_foreign(name)
            raise

    def unlink(self, name: str) -> bool:
        """Remove the name. Windows does it by itself, with the last handle."""
        try:
            return _unlink(name)
        except OSError:
            _require_shm(os.W_OK | os.X_OK)
            raise


def _not_there(name: str) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, "still being made", name)


def _require_shm(rights: int) -> None:
    """Raise OSError where the system makes and opens no object at all: Linux without /dev/shm."""
    place = "/dev/shm"
    if sys.platform.startswith("linux") and not os.access(place, rights):
        there = os.path.isdir(place)
        raise OSError(
            errno.EACCES if there else errno.ENOTDIR,
            f"{'not writable' if there else 'no such directory'}, so there are no shared-memory "
            'objects; choose transport="mmap" (NDSHARRAY_TRANSPORT=mmap), which needs no more than '
            "a directory",
            place,
        ) from None


def _refuse_foreign(name: str) -> None:
    """Raise PermissionError if what has the name is another user's, whatever it is."""
    if sys.platform.startswith("linux"):
        path = os.path.join("/dev/shm", name)
        try:
            owner = os.lstat(path).st_uid
        except OSError:
            return
        if owner != os.geteuid():
            raise PermissionError(
                errno.EACCES,
                f"it belongs to user {owner}, who has to remove it; or choose another directory "
                f"({base.DIR_VARIABLE}, directory=), which gives other names",
                path,
            ) from None


if sys.platform == "win32":

    def _unlink(name: str) -> bool:
        return False

else:
    import _posixshmem

    def _unlink(name: str) -> bool:
        try:
            _posixshmem.shm_unlink("/" + name)
        except FileNotFoundError:
            return False
        return True

    def _reserve(fd: int, size: int) -> None:
        """Put pages behind a new object; Linux alone would leave holes."""
        if sys.platform.startswith("linux"):
            os.fchmod(fd, 0o600)  # whatever the umask takes away
            pages.reserve(fd, size, "/dev/shm")

    def _checked_size(fd: int, name: str) -> int:
        """Return an opened object's size, if it is whole and this user's own."""
        found = os.fstat(fd)
        if found.st_size == 0 or pages.has_holes(found):
            raise _not_there(name)
        if found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise PermissionError(errno.EACCES, "not a segment of yours alone", name)
        return found.st_size


if sys.platform == "win32":
    from multiprocessing import shared_memory

    class _SharedMemory(shared_memory.SharedMemory):
        """Ours: silent about views that outlive it."""

        def close(self) -> None:
            try:
                super().close()
            except BufferError:
                pass  # living views keep the mapping; it goes with the last of them

    def _segment(shm: _SharedMemory, name: str, writable: bool) -> base.Segment:
        buf = shm.buf
        assert buf is not None  # it is open
        # A view of our own: close() releases the class's, also in the hands of others.
        view = memoryview(buf)
        return base.Segment(name, view if writable else view.toreadonly(), shm)

    def _create(name: str, size: int) -> base.Segment:
        shm = _SharedMemory(name, create=True, size=size)
        try:
            return _segment(shm, name, writable=True)
        except BaseException:
            shm.close()
            raise

    def _open(name: str, writable: bool) -> base.Segment:
        shm = _SharedMemory(name)
        try:
            return _segment(shm, name, writable)
        except BaseException:
            shm.close()
            raise

else:

    def _create(name: str, size: int) -> base.Segment:
        fd = _posixshmem.shm_open("/" + name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            if not sys.platform.startswith("linux"):
                os.ftruncate(fd, size)  # macOS allocates here, and allows it only once
            _reserve(fd, size)
            return base.Segment(name, memoryview(pages.mapped(fd, size, mmap.ACCESS_WRITE)))
        except BaseException:
            _unlink(name)
            raise
        finally:
            os.close(fd)

    def _open(name: str, writable: bool) -> base.Segment:
        flags = os.O_RDWR if writable else os.O_RDONLY
        if sys.platform.startswith("linux"):
            flags |= os.O_NONBLOCK  # where somebody put a FIFO, an open would wait
        fd = _posixshmem.shm_open("/" + name, flags, 0o600)
        try:
            size = _checked_size(fd, name)
            access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
            return base.Segment(name, memoryview(pages.mapped(fd, size, access)))
        finally:
            os.close(fd)
