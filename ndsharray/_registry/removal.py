"""What stands in a control segment, for those who do not own it: looking, and removing it whole.

What may live here: finding out whose an array is, and taking all its names away. Removing needs the
writer's lock file to be held. Nothing here trusts what it reads further than to build names from
it. Not here: when an array counts as left (``sweep``), and what its owner knows (``control``).
"""

from __future__ import annotations

import logging
import os
import sys

from .._protocol import format
from .._protocol.memory import Memory
from .._system.lockfile import LockFile
from ..backends.base import Segment
from ..errors import ClosedError, WriterExistsError
from .names import Address

__all__ = [
    "exists",
    "is_foreign",
    "mark_closed",
    "recorded_pid",
    "refuse_in_child",
    "remove_array",
    "unlink",
    "writer_exists",
]

log = logging.getLogger("ndsharray")


def exists(address: Address) -> bool | None:
    """Tell whether the control segment's name is there, whatever it stands for; None: unknown."""
    try:
        address.transport.open(address.control_name, writable=False)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    return True


def is_foreign(address: Address) -> bool:
    """Tell whether the name belongs to a whole array of another format version."""
    try:
        segment = address.transport.open(address.control_name, writable=False)
    except OSError:
        return False
    if segment.size < format.CONTROL_SIZE:
        return False
    words = Memory(segment.buf).words
    found: list[int] = [
        words[i] for i in (format.MAGIC_WORD, format.VERSION_WORD, format.READY_WORD)
    ]
    whole = found[0] == format.MAGIC and found[2] == 1
    return whole and found[1] != format.FORMAT_VERSION


def recorded_pid(address: Address) -> int:
    """Return the process id that the array's writer wrote down; 0 if there is none."""
    try:
        segment = address.transport.open(address.control_name, writable=False)
    except OSError:
        return 0
    whole = segment.size >= format.CONTROL_SIZE
    return int(Memory(segment.buf).words[format.PID_WORD]) if whole else 0


def writer_exists(address: Address) -> WriterExistsError:
    """Return the error for an array whose writer's lock file somebody else holds."""
    pid = recorded_pid(address)
    return WriterExistsError(address.name, pid, ended=_has_ended(pid))


def _has_ended(pid: int) -> bool:
    """Tell whether a process has ended for certain (one of another namespace is not to be seen)."""
    if pid == 0 or sys.platform == "win32":
        return False
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat", "rb") as file:  # a zombie can be signalled
            return file.read().rpartition(b")")[2].split()[0] == b"Z"
    except ProcessLookupError:
        return True
    except (OSError, LookupError):
        return False


def refuse_in_child(lock_file: LockFile) -> None:
    """Refuse to go on in a child that a fork inside this call has made.

    The lock file is its parent's. To be called after memory was mapped and before anything is
    stored there: what is mapped before a fork is detached by it, and what is mapped later is caught
    here.

    Raises
    ------
    ClosedError
        In such a child.
    """
    if lock_file.forked:  # guard: no-store-in-a-child
        raise ClosedError("a fork interrupted this call: it goes on in the parent process")


def mark_closed(segment: Segment, lock_file: LockFile) -> None:
    """Tell readers that still look at it: they leave it once another instance has the name."""
    if segment.size >= format.CONTROL_SIZE:
        words = Memory(segment.buf).words
        refuse_in_child(lock_file)
        words[format.STATE_WORD] = format.CLOSED


def unlink(address: Address, name: str, lock_file: LockFile) -> bool:
    """Remove a name; False if that cannot be done now (mapped, on Windows)."""
    return _unlink(address, name, lock_file) is not None


def _unlink(address: Address, name: str, lock_file: LockFile) -> bool | None:
    """Remove a name; None if that cannot be done now, else what the transport says."""
    try:
        # guard: no-unlink-in-a-child
        return lock_file.forked or address.transport.unlink(
            name
        )  # a parent's name is not a child's
    except OSError as error:
        log.debug("%s stays for now: %s", name, error)
        return None


def remove_array(address: Address, lock_file: LockFile, kept: list[Segment]) -> bool:
    """Remove every name of an array that can be found: frames first, the control segment last.

    The array's own name may be unknown. What cannot be removed now (Windows) stays: the memory of
    an array that somebody holds, or of a segment that a reader has open.

    Parameters
    ----------
    address : Address
        The array's.
    lock file : LockFile
        Its writer's, held.
    kept : list of Segment
        Is given what keeps the memory. The system frees the memory of a name that nobody maps
        together with the name, which takes a second for some GiB: so the caller lets the lock file
        go first, and then these.

    Returns
    -------
    bool
        Whether nothing stays.
    """
    stay = []
    for name in _frame_names(address, lock_file):
        if sys.platform != "win32":  # where a mapped name could not be removed
            _keep(address, name, kept)
        if not unlink(address, name, lock_file):
            stay.append(name)
    control = _unlink(address, address.control_name, lock_file) or exists(address) is False
    return control and not stay


def _keep(address: Address, name: str, kept: list[Segment]) -> None:
    try:
        kept.append(address.transport.open(name, writable=False))
    except OSError:
        pass  # gone, or no descriptor left: it takes its time


def _frame_names(address: Address, lock_file: LockFile) -> set[str]:
    """Mark what the name stands for as closed; return the frame names that it records."""
    # Files that lie in the root under the array's name (the mmap transport's) need no record.
    try:
        files = os.listdir(address.transport.root)
    except OSError:
        files = []
    names = {
        file
        for file in files
        if file.startswith(address.control_name) and len(file) == 29 and file.isalnum()
    }
    return names | _recorded_frames(address, lock_file)


def _recorded_frames(address: Address, lock_file: LockFile) -> set[str]:
    try:
        segment = address.transport.open(address.control_name, writable=True)
    except OSError:
        return set()
    mark_closed(segment, lock_file)
    if segment.size < format.CONTROL_SIZE:
        return set()
    words = Memory(segment.buf).words
    instance = words[format.INSTANCE_WORD]
    ids = {words[format.NEXT_WORD]}
    for start in format.TABLE_WORDS:
        ids |= {words[start], words[start + 4]}
    del words
    segment.close()
    return {
        address.frames(instance, segment_id)
        for segment_id in ids - {0}
        if segment_id <= format.MAX_SEGMENT
    }
