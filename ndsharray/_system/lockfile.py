"""A lock file: a small file, locked; the kernel unlocks it when its holder dies.

Not here: what a lock file stands for (the writer of an array, a reader's entry), nor its name.

Linux: open-file-description locks. Like ``flock`` they belong to the open file and not to the
process, and unlike it they can be tested without being acquired. Elsewhere on POSIX: ``flock``.
Windows: ``msvcrt.locking``.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
import sys
import time

from .fork import DESCRIPTORS, detach_in_child, no_fork

__all__ = ["LockFile", "acquire", "may_be_held"]

_FLAGS = (
    os.O_RDWR
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)  # where somebody put a FIFO or a device
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_BINARY", 0)
)
_HELD = {errno.EAGAIN, errno.EACCES, errno.EDEADLK}

if sys.platform == "win32":
    import msvcrt

    def _lock(fd: int) -> bool:
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _is_locked(fd: int) -> bool:
        if not _lock(fd):
            return True
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)
        return False

elif sys.platform.startswith("linux"):
    import fcntl

    # struct flock with 64-bit offsets, which Python is built for everywhere: l_type, l_whence,
    # l_start, l_len (0: the whole file), l_pid (must be 0 here).
    _FLOCK = "hhqqi"
    _EXCLUSIVE = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)

    def _lock(fd: int) -> bool:
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _EXCLUSIVE)
        except OSError as error:
            if error.errno not in _HELD:
                raise
            return False
        return True

    def _is_locked(fd: int) -> bool:
        answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _EXCLUSIVE)
        return bool(struct.unpack_from("h", answer)[0] != fcntl.F_UNLCK)

else:
    import fcntl

    def _lock(fd: int) -> bool:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _HELD:
                raise
            return False
        return True

    def _is_locked(fd: int) -> bool:
        # A process that is stopped in here looks like a holder, so `acquire` retries for a while.
        if not _lock(fd):
            return True
        fcntl.flock(fd, fcntl.LOCK_UN)
        return False


class LockFile:
    """The lock file at `path`. `acquire` makes one, and opens and locks the file.

    Its holder ends it in one of two ways: *release* removes the file and unlocks it; *abandon*
    unlocks it and leaves the file, by which a sweep finds what else was left.

    Attributes
    ----------
    path : str
        Its file.
    made : bool
        Whether the file was made for it.
    forked : bool
        Whether this is a forked child; the lock is the parent's.
    """

    _fds: list[int] = []  # noqa: RUF012  # an interrupt may come before the constructor's first line

    def __init__(self, path: str) -> None:
        self._fds = []  # its descriptor, while it is open
        self.path = path
        self.made = self.forked = False
        detach_in_child(DESCRIPTORS, self)

    @property
    def held(self) -> bool:
        """False once it was released or abandoned, and in a forked child."""
        return bool(self._fds)

    @property
    def file_id(self) -> int:
        """A number that names the file: its inode and modification time, mixed; never 0.

        A file system reuses an inode as soon as its file is gone.
        """
        found = os.fstat(self._fds[0])
        return (found.st_ino << 32 ^ found.st_mtime_ns) % 2**64 or 1

    def lock(self, mode: int, make: bool) -> bool:
        """Open and lock the file; False if another holds it, or if none is there or made.

        Raises
        ------
        OSError
            If it cannot be opened or made, or is not a file of its own.
        """
        while True:
            with no_fork:
                if not self._open(mode, make):
                    return False
            found = os.fstat(self._fds[0])
            if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
                raise PermissionError(
                    errno.EACCES, "not a file of its own: a FIFO, a link", self.path
                )
            if _lock(self._fds[0]):
                # The previous holder may have removed the file between our open and our lock: no
                # other process will ever look at the file that we hold then.
                if self.standing() == "held":  # guard: path-after-lock
                    _tighten(self._fds[0], found, mode)  # guard: lock-file-tightened
                    return True
                self.abandon()
            else:
                self.abandon()
                return False

    def _open(self, mode: int, make: bool) -> bool:
        """Open the file; False if it is missing and not to be made."""
        while True:
            try:
                # Without O_CREAT first: in a shared sticky directory it is refused for a file of
                # another user (fs.protected_regular).
                self._keep(_FLAGS, 0)
                self.made = False
                return True
            except FileNotFoundError:
                if not make:
                    return False
            try:
                self._keep(_FLAGS | os.O_CREAT | os.O_EXCL, mode)
            except FileExistsError:
                continue
            self.made = True
            try:
                if sys.platform != "win32" and os.fstat(self._fds[0]).st_mode & mode != mode:
                    os.fchmod(self._fds[0], mode)  # the umask took some away
            except BaseException:
                self.abandon()
                if not self.forked:
                    _remove(self.path)
                raise
            return True

    def _keep(self, flags: int, mode: int) -> None:
        # All in C: no signal handler comes between the system call and the list, and loses the
        # descriptor by raising.
        self._fds.extend(map(os.open, (self.path,), (flags,), (mode,)))

    def standing(self) -> str:
        """Return ``"held"``, ``"gone"`` (no file of that path) or ``"other"`` (another file)."""
        if not self._fds:
            return "gone"
        if sys.platform == "win32":
            return "held"  # an open file cannot be removed there
        try:
            found = os.lstat(self.path)
        except FileNotFoundError:
            return "gone"
        own = os.fstat(self._fds[0])
        return "held" if (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino) else "other"

    def release(self) -> None:
        """Remove the file, if it is still ours, and unlock it. Harmless when repeated."""
        removes = self.standing() == "held"
        if removes and sys.platform != "win32":
            _remove(self.path)
        self.abandon()
        if removes and sys.platform == "win32":
            _remove(self.path)

    def abandon(self) -> None:
        """Unlock the file and leave it. Harmless when repeated."""
        fds = self._fds
        if fds:
            # As in `_keep`: a descriptor that is lost here would stay locked.
            list(map(os.close, map(fds.pop, (0,))))

    def detach(self) -> None:
        """In a forked child: the kernel frees a lock with the last copy of its descriptor."""
        self.forked = True
        self.abandon()  # guard: lock-closed-in-a-child

    def __del__(self) -> None:
        self.abandon()


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass  # Windows: another process has it open; an unlocked file means nothing


def acquire(
    path: str, mode: int = 0o600, patience: float = 0.0, *, make: bool = True
) -> LockFile | None:
    """Acquire the lock file at `path`, making its file if it is missing.

    Parameters
    ----------
    path : str
        Its file, in a directory that exists.
    mode : int
        Permission bits of the array; the file is for those who may write it (`_mode_for`).
    patience : float
        For how many seconds to retry while another holds it: a sweep, or a holder that is dying.
    make : bool
        Whether a missing file is made.

    Returns
    -------
    LockFile or None
        None: another holds it, or it is missing and `make` is false.
    """
    mode = _mode_for(mode)  # guard: lock-file-for-writers-alone
    deadline = time.monotonic() + patience
    lock_file = LockFile(path)
    try:
        while not lock_file.lock(mode, make):
            if time.monotonic() >= deadline:
                return None
            time.sleep(0.005)
        return lock_file
    except BaseException:
        lock_file.abandon()  # the traceback may keep it alive for long
        raise


def _mode_for(mode: int) -> int:
    """Return the permission bits of a lock file from those of the array that it stands for.

    A process that can open it, even to read only, can lock it, and so keep a writer from coming
    back: only those that may write the array may.
    """
    writers = mode & 0o222
    return writers | writers << 1


def _tighten(fd: int, found: os.stat_result, mode: int) -> None:
    """Remove the permission bits of a file of ours that `mode` does not have."""
    if sys.platform != "win32" and found.st_uid == os.geteuid() and found.st_mode & 0o777 & ~mode:
        try:
            os.fchmod(fd, mode)
        except PermissionError:
            pass  # a file system whose files all have the same mode


def may_be_held(path: str) -> bool:
    """Tell whether any process (also this one) holds the lock file at `path`, or may hold it."""
    try:
        fd = os.open(path, _FLAGS)
    except FileNotFoundError:
        return False
    except OSError:
        return True  # another user's, not a file, or (Windows) being removed: not ours to judge
    try:
        return _is_locked(fd)
    finally:
        os.close(fd)
