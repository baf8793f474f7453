"""Removing an array: all its names, and what killed writers left behind.

An array is stale if it has a lock file, no process holds its writer's lock file, and none of its
readers lives. A sweep removes such arrays, under the writer's lock file; it need not know their
names. Nothing here trusts what it reads further than to build names from it. Not here: what a
writer removes by its own record (``control``).
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable

from .._protocol import format
from .._protocol.memory import Memory
from .._system import lockfile
from .._system.lockfile import LockFile
from ..backends.base import Segment, Transport, check_root
from ..errors import ClosedError
from . import entries
from .lookup import State, look
from .names import Address, parse_locks

__all__ = ["refuse_in_child", "remove_array", "remove_stale", "stale", "sweep", "unlink"]

log = logging.getLogger("ndsharray")

_EVERY = 1.0  # seconds: a process that makes many writers sweeps now and then
_swept: dict[str, float] = {}


def refuse_in_child(lock_file: LockFile) -> None:
    """Stop a call in a child that a fork inside it has made: the lock file is the parent's.

    Called after memory is mapped and before anything is stored there. The fork itself detaches what
    was mapped before it, and this call catches what is mapped later.

    Raises
    ------
    ClosedError
        In such a child.
    """
    if lock_file.forked:  # guard: no-store-in-a-child
        raise ClosedError("a fork interrupted this call: it continues in the parent process")


def _mark_closed(memory: Memory, lock_file: LockFile) -> None:
    """Tell the readers that map it: they leave it once another instance has the name."""
    if len(memory.bytes) >= format.CONTROL_SIZE:
        refuse_in_child(lock_file)
        if lock_file.held:  # else a nested close has ended, and it is another writer's
            memory.words[format.STATE_WORD] = format.CLOSED


def unlink(address: Address, name: str, lock_file: LockFile) -> bool:
    """Remove a name; False if that cannot be done now (mapped, on Windows)."""
    return _unlink(address, name, lock_file) is not None


def _unlink(address: Address, name: str, lock_file: LockFile) -> bool | None:
    """Remove a name; None if that cannot be done now, else what the transport says."""
    try:
        # Without the lock file the names are others': a forked child's parent's, or a successor's
        # where a signal handler has closed the array inside a close.
        return not lock_file.held or address.transport.unlink(name)  # guard: unlink-under-the-lock
    except OSError as error:
        log.debug("%s stays for now: %s", name, error)
        return None


def remove_array(address: Address, lock_file: LockFile, kept: list[Segment]) -> bool:
    """Remove every name of an array that can be found: frames first, the control segment last.

    The array's own name may be unknown. What cannot be removed now (Windows) stays: a segment that
    any process maps.

    Parameters
    ----------
    address : Address
        The array's.
    lock_file : LockFile
        Its writer's, held.
    kept : list of Segment
        Receives the segments that keep the memory. The system frees the memory of a segment that no
        process maps together with its name, which takes a second for some GiB: so the caller
        releases the lock file first, and then drops these.

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
    gone = _unlink(address, address.control_name, lock_file)
    return (gone or look(address).state is State.MISSING) and not stay


def _keep(address: Address, name: str, kept: list[Segment]) -> None:
    try:
        kept.append(address.transport.open(name, writable=False))
    except OSError:
        pass  # gone, or no descriptor is left: then removing takes longer


def _frame_names(address: Address, lock_file: LockFile) -> set[str]:
    """Mark the array as closed; return the names of its frame segments."""
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
    found = look(address, writable=True)
    if found.memory is None:
        return set()
    _mark_closed(found.memory, lock_file)
    return found.frame_names(address)


def sweep(root: str, transport_of: Callable[[str], Transport | None]) -> None:
    """Remove the stale arrays under a root.

    Parameters
    ----------
    root : str
        The directory of the lock files.
    transport_of : callable
        Returns the transport of a name; None: it is unknown here, and its arrays are left alone.
    """
    now = time.monotonic()
    if now - _swept.get(root, -_EVERY) < _EVERY:
        return
    _swept[root] = now
    try:
        files = os.listdir(root)
    except OSError:
        return
    for control, name in sorted({lock_file[:2] for lock_file in parse_locks(files)}):
        transport = transport_of(name)
        if transport is not None:
            try:
                # A user who can put lock files there must not choose what we remove elsewhere.
                check_root(root, transport.mode)
                remove_stale(Address(transport, "", control))
            except OSError as error:
                log.debug("%s was not swept: %s", control, error)


def stale(transport: Transport) -> list[Address]:
    """Return the stale arrays under a transport's root, which `remove_stale` would remove.

    Their addresses have no names.

    Raises
    ------
    OSError
        If the root cannot be listed.
    """
    lock_files = parse_locks(os.listdir(transport.root))
    controls = {control for control, name, _ in lock_files if name == transport.name}
    found = [Address(transport, "", control) for control in sorted(controls)]
    return [each for each in found if not _is_used(each) and look(each).state is not State.FOREIGN]


def _is_used(address: Address) -> bool:
    return lockfile.may_be_held(address.writer_lock()) or entries.has_readers(address)


def remove_stale(address: Address) -> bool:
    """Remove an array if it is stale; return whether it was, and nothing of it stays.

    Raises
    ------
    OSError
        Without permission.
    """
    if _is_used(address):
        return False
    lock_file = lockfile.acquire(address.writer_lock(), address.transport.mode)
    if lock_file is None:
        return False
    if look(address).state is State.FOREIGN or entries.has_readers(address):
        lock_file.abandon()  # not ours to judge; or a reader came in the meantime
        return False
    kept: list[Segment] = []
    if not remove_array(address, lock_file, kept):  # mapped, on Windows: next time
        lock_file.abandon()
        return False
    entries.clear_dead(address)
    lock_file.release()  # before what is kept: its writer may be on its way back
    log.info("removed %s, which a killed writer left", address.control_name)
    return True
