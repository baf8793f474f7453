"""The contract of a transport: how the library gets named shared memory.

A `Transport` makes segments, a `Segment` is one. Here too: how segments are named, and the root
directory, which every transport needs alike. Not here: arrays, frames, locks, and when something
is created or removed; that is the callers' policy.
"""

from __future__ import annotations

import base64
import errno
import os
import stat
import sys
from abc import ABC, abstractmethod
from typing import Any, final

try:  # hashlib's own source of it: hashlib itself loads OpenSSL, which takes 3 ms
    from _blake2 import blake2b
except ImportError:
    from hashlib import blake2b

__all__ = ["NO_ROOM", "Segment", "Transport", "check_name", "control_name", "frame_name"]

MAX_NAME = 255
# What `Transport.create` raises where memory is short, by errno.
NO_ROOM = {errno.ENOSPC, errno.ENOMEM, getattr(errno, "EDQUOT", errno.ENOSPC)}
MAX_ROOT = 1024
DIR_VARIABLE = "NDSHARRAY_DIR"
_CURE = f"remove it or choose another one ({DIR_VARIABLE}, directory=)"


@final
class Segment:
    """One named piece of shared memory, mapped.

    Parameters
    ----------
    name : str
        The name that it was created or opened by.
    buf : memoryview of uint8
        All its bytes; read-only if it was opened so.
    owner : object, optional
        Whatever has to stay alive as long as the mapping.
    """

    def __init__(self, name: str, buf: memoryview, owner: Any = None) -> None:
        self.name = name
        self.size = len(buf)
        self._buf: memoryview | None = buf
        self._owner = owner

    @property
    def buf(self) -> memoryview:
        """The segment's bytes (ValueError once it is closed)."""
        if self._buf is None:
            raise ValueError(f"segment {self.name} is closed")
        return self._buf

    def close(self) -> None:
        """Give the mapping back: at once, or with the last view of it that is alive.

        Only references are dropped: unmapping under a living numpy array would crash it.
        """
        self._buf = self._owner = None

    def __repr__(self) -> str:
        state = "closed" if self._buf is None else f"{self.size} bytes"
        return f"<Segment {self.name}, {state}>"


class Transport(ABC):
    """A way to make named memory that other processes can open.

    The contract (``ndsharray.testing.TransportContract`` tests what can be tested of any transport;
    not that memory may be short, nor modes):

    1. `create` of an existing name raises FileExistsError and leaves the old one untouched.
       `open` of a missing name raises FileNotFoundError; so does `open` of one that is still
       being made. `open` never removes anything.
    2. A new segment is zero-filled, has at least the size asked for, and **its pages exist**: where
       memory is short, `create` raises OSError (ENOSPC) and leaves nothing; no later load or
       store raises SIGBUS. A segment's size never changes.
    3. What one process stores, another one loads. A read-only `Segment.buf` refuses stores.
    4. `Segment.close` twice is harmless; with numpy views alive it neither raises nor crashes,
       and the views stay good.
    5. `unlink` removes the name; open segments stay usable. True: removed; False: there was no
       such name, or the system removes it with the last handle. OSError: it cannot be removed now
       (a mapped file on Windows).
    6. A process that only opened a segment leaves it in place when it exits, is killed, or
       fails to map it.
    7. Names are given by the library (`control_name`, `frame_name`): 29 characters or less
       of ``a-z0-9``. A transport uses them as they are.
    8. What it makes is its owner's alone (0600), unless the user said otherwise.

    Not promised: order of accesses, durability, anything about arrays.

    Attributes
    ----------
    name : str
        ``[a-z][a-z0-9_]*``: what users call it. Part of the names of lock files.
    root : str
        Directory of the lock files, and the namespace of the arrays: another root, other arrays.
    mode : int
        Permission bits of what is made under the root.
    """

    name: str
    root: str
    mode: int = 0o600

    @abstractmethod
    def create(self, name: str, size: int) -> Segment:
        """Make a segment of at least `size` bytes, writable and zero-filled."""

    @abstractmethod
    def open(self, name: str, *, writable: bool) -> Segment:
        """Open an existing segment."""

    @abstractmethod
    def unlink(self, name: str) -> bool:
        """Remove a name."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} in {self.root}>"


def check_name(name: str) -> None:
    """Check an array's name.

    Raises
    ------
    TypeError
        If it is not a `str`.
    ValueError
        If it is empty, holds NUL, is longer than 255 bytes of UTF-8, or is no valid Unicode.
    """
    if not isinstance(name, str):
        raise TypeError(f"an array's name is a str, not {type(name).__name__}")
    if not name or "\0" in name:
        raise ValueError("an array's name is not empty and holds no NUL character")
    if len(name.encode("utf8")) > MAX_NAME:  # a lone surrogate raises UnicodeEncodeError
        raise ValueError(f"an array's name has at most {MAX_NAME} bytes of UTF-8")


def control_name(root: str, name: str) -> str:
    """Return the system's name for an array's control segment: 18 characters.

    A digest, so that no path escapes the root and case, length and reserved words of a file
    system do not matter. The true name stands inside the segment.
    """
    digest = blake2b(digest_size=8)
    digest.update(root.encode("utf8", "surrogateescape") + b"\0" + name.encode("utf8"))
    return "nd" + digest.hexdigest()


def frame_name(control: str, instance: int, segment: int) -> str:
    """Return the system's name for a frame segment: 29 characters, 30 with macOS' slash."""
    return control + _base32(instance % 2**30, 6) + _base32(segment, 5)


def _base32(value: int, digits: int) -> str:
    packed = (value << (40 - 5 * digits)).to_bytes(5, "big")
    return base64.b32encode(packed).decode("ascii").lower()[:digits]


def default_root() -> str:
    """Return the root that is used when none is given (it need not exist yet).

    ``NDSHARRAY_DIR``; else, on Linux, a directory in ``/dev/shm`` (memory, not disk); else one in
    the temporary directory.

    Raises
    ------
    ValueError
        If the variable has a relative path.
    """
    given = os.environ.get(DIR_VARIABLE, "").strip()
    if given:
        path = os.path.expanduser(given)  # no shell does it in a unit or compose file
        if not os.path.isabs(path):
            raise ValueError(
                f"{DIR_VARIABLE}={given!r} is not an absolute path: programs in different "
                "directories would miss each other, without a word"
            )
        return path
    if sys.platform.startswith("linux") and os.access("/dev/shm", os.W_OK | os.X_OK):
        return f"/dev/shm/ndsharray-{os.getuid()}"
    import getpass  # both are slow to import, and not needed on Linux
    import tempfile

    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user id without a name
        if sys.platform == "win32":
            raise
        user = str(os.getuid())
    return os.path.join(tempfile.gettempdir(), f"ndsharray-{user}")


def resolve_root(directory: str | None) -> str:
    """Return the real path of a root.

    Raises
    ------
    ValueError
        If it is longer than 1024 bytes, or relative in ``NDSHARRAY_DIR``.
    PermissionError
        If it is a link that another user made.
    """
    given = default_root() if directory is None else os.fspath(directory)
    if sys.platform == "win32":
        root = os.path.realpath(given)
    else:
        parent, last = os.path.split(given.rstrip("/") or given[:1])
        own = os.path.join(os.path.realpath(parent), last)
        root = os.path.realpath(own)
        if root != own and last not in (".", ".."):
            _check_link(own)
    if len(os.fsencode(root)) > MAX_ROOT:
        raise ValueError(f"the directory's path has more than {MAX_ROOT} bytes: {root[:60]}...")
    return root


def _check_link(path: str) -> None:
    """Refuse a link by which another user leads our files to where that user wants them."""
    maker = os.lstat(path).st_uid
    if sys.platform != "win32" and maker not in (0, os.geteuid()):
        raise PermissionError(errno.EACCES, f"a link that user {maker} made; {_CURE}", path)


def _root_mode(mode: int) -> int:
    """Return the permission bits of a root: who may read or write its files may enter it."""
    others = mode & 0o066
    return 0o700 | others | (others & 0o044) >> 2 | (others & 0o022) >> 1


def make_root(root: str, mode: int) -> None:
    """Make the root if it is missing, and check it (`check_root`)."""
    try:
        os.mkdir(root, 0o700)
        if sys.platform != "win32":  # whatever the umask takes away; a group handed down stays
            inherited = os.lstat(root).st_mode & 0o7000
            os.chmod(root, inherited | _root_mode(mode))
    except FileExistsError:
        pass
    except FileNotFoundError:
        raise FileNotFoundError(
            errno.ENOENT, "the directory for shared arrays has no parent directory", root
        ) from None
    check_root(root, mode)


def check_root(root: str, mode: int) -> None:
    """Make sure that nobody else can put files into the root.

    A mode that lets others in says that the user wants just that.

    Raises
    ------
    NotADirectoryError
        If it is a file or a link.
    PermissionError
        If it belongs to another user, or others may write there.
    FileNotFoundError
        If it is missing.
    """
    found = os.lstat(root)
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, "not a directory (links are refused)", root)
    if sys.platform == "win32" or mode & 0o077:
        return
    foreign = found.st_uid != os.geteuid()
    if foreign or found.st_mode & 0o022:
        problem = f"it belongs to user {found.st_uid}" if foreign else "others may write there"
        raise PermissionError(
            errno.EACCES,
            f"{problem}: the directory must be yours and writable by you alone; {_CURE}; to "
            "share between users, MmapTransport(directory=..., mode=0o660)",
            root,
        )
