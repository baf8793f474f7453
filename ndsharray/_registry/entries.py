"""Readers' entries: claiming one, and clearing those of readers that died.

An entry is five bytes of the control segment, one *waiting* and four *pins*, and a word that names
its *owner*. It belongs to the reader that holds its lock file. It is cleared only under that lock
file, by a reader that claims it or by the writer, so the pins of a living reader stay.

A cleaner may remove the lock file of a living reader. The owner protects the entry then: it
identifies the lock file of the claim, and a process that holds another file leaves the entry alone.

Not here: what the pins stand for (``pins``), when to look for the dead (``holding``), how a file is
locked (``lockfile``).
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from .._protocol.format import ENTRIES, OWNERS_WORD, PINS_BYTE, PINS_PER_ENTRY, WAITING_BYTE
from .._protocol.memory import Memory
from .._protocol.seqlock import clear_owner, set_owner
from .._system import lockfile
from .._system.held import is_held
from .names import Address, parse_locks

__all__ = [
    "Entry",
    "claim",
    "clear_dead",
    "clear_if_dead",
    "count_readers",
    "has_readers",
    "marked",
]


class Entry:
    """A claimed entry.

    Parameters
    ----------
    index : int
        Which of the 62.
    lock_file : LockFile
        Its lock file, held.

    Attributes
    ----------
    index : int
        Which of the 62.
    """

    __slots__ = ("_control", "_lock_file", "index")

    def __init__(self, index: int, lock_file: lockfile.LockFile) -> None:
        self.index = index
        self._lock_file = lock_file
        self._control: Memory | None = None  # where it is claimed

    @property
    def held(self) -> bool:
        """False once it was released, and in a forked child, where it is still the parent's."""
        return self._lock_file.held

    def claim(self, control: Memory) -> bool:
        """Claim the entry in a control segment and clear it; False: it may be another reader's."""
        lock_file = self._lock_file
        if not _stands(lock_file) or not _may_claim(control, self.index, lock_file):
            return False
        # Only if somebody has scribbled over the instance id can an entry be claimed twice in the
        # same memory; then its pins are our own.
        ours = self._control is not None and control.words[OWNERS_WORD + self.index] != 0
        set_owner(control, self.index, lock_file.file_id)  # guard: entry-cleared-once-it-is-ours
        if not _stands(lock_file):
            # guard: path-after-claim
            return False  # its file was removed: another reader may have come first
        if not ours:
            _clear(control, self.index)  # not earlier: these would be the other reader's pins
        self._control = control
        return True

    def release(self) -> None:
        """Free the entry, and remove its lock file."""
        control, self._control = self._control, None
        if control is not None and self.held:
            clear_owner(control, self.index)  # guard: released-entry-has-no-owner
        self._lock_file.release()

    def abandon(self) -> None:
        """Unlock the lock file and leave the entry as it is: it may be another reader's."""
        self._lock_file.abandon()


def _stands(lock_file: lockfile.LockFile) -> bool:
    try:
        return lock_file.standing() == "held"
    except OSError:  # the root cannot be looked at: reading works without an entry
        return False


def _may_claim(control: Memory, index: int, lock_file: lockfile.LockFile) -> bool:
    """Tell whether no process but the holder of this lock file can be using an entry."""
    # guard: entry-of-another-owner
    return control.words[OWNERS_WORD + index] in (0, lock_file.file_id)


def _acquire_lock_file(address: Address, control: Memory, index: int) -> lockfile.LockFile | None:
    """Acquire the lock file of an entry that is not in use; None if it is, or may be.

    Raises
    ------
    OSError
        Without permission, or on a full file system.
    """
    # No new file for an entry that has an owner: its reader may live, though its file was removed.
    free = control.words[OWNERS_WORD + index] == 0
    # guard: no-new-file-for-an-entry-with-an-owner
    lock_file = lockfile.acquire(address.entry_lock(index), address.transport.mode, make=free)
    if lock_file is None or _may_claim(control, index, lock_file):
        return lock_file
    lock_file.abandon()
    return None


def _clear(control: Memory, index: int) -> None:
    control.bytes[WAITING_BYTE + index] = 0
    for byte in range(PINS_BYTE + index * PINS_PER_ENTRY, PINS_BYTE + (index + 1) * PINS_PER_ENTRY):
        control.bytes[byte] = 0


def _is_marked(control: Memory, index: int) -> bool:
    start = PINS_BYTE + index * PINS_PER_ENTRY
    pins = control.group(start, start + PINS_PER_ENTRY).tobytes()
    return bool(any(pins) or control.bytes[WAITING_BYTE + index])


def claim(address: Address, control: Memory) -> Entry | None:
    """Return a free entry, cleared; None if there is none, or the root cannot be written to."""
    for index in range(ENTRIES):
        try:
            lock_file = _acquire_lock_file(address, control, index)
        except PermissionError:
            continue  # another user made this file
        except OSError:  # a full file system: reading works without an entry
            return None
        if lock_file is not None:
            entry = Entry(index, lock_file)
            if entry.claim(control):
                return entry
            entry.abandon()
    return None


def _entries_on_file(address: Address) -> list[int]:
    """Return the entries that have a lock file."""
    try:
        files = os.listdir(address.transport.root)
    except FileNotFoundError:
        return []
    here = (address.control_name, address.transport.name)
    roles = {lock_file[2] for lock_file in parse_locks(files) if lock_file[:2] == here}
    return [entry for entry in range(ENTRIES) if f"r{entry:02}" in roles]


def has_readers(address: Address) -> bool:
    """Tell whether any reader of the array lives."""
    return any(
        lockfile.may_be_held(address.entry_lock(entry)) for entry in _entries_on_file(address)
    )


def count_readers(address: Address, control: Memory | None) -> int:
    """Return how many living readers hold an entry: of this control segment, if it is given."""
    entries = (
        _entries_on_file(address)
        if control is None
        else [entry for entry in range(ENTRIES) if control.words[OWNERS_WORD + entry]]
    )
    return sum(is_held(address.entry_lock(entry)) for entry in entries)


def marked(control: Memory) -> set[int]:
    """Return the entries with any byte set."""
    return {entry for entry in range(ENTRIES) if _is_marked(control, entry)}


def clear_dead(address: Address, control: Memory | None = None) -> None:
    """Free the entries of readers that died.

    Their lock files go, and if `control` is given, their bytes are cleared.
    """
    entries = set(_entries_on_file(address))
    if control is not None:
        entries |= marked(control)
    clear_if_dead(address, control, entries)


def clear_if_dead(address: Address, control: Memory | None, entries: Iterable[int]) -> None:
    """Free those of `entries` whose readers died."""
    for entry in sorted(entries):
        try:
            if control is None:
                lock_file = lockfile.acquire(
                    address.entry_lock(entry), address.transport.mode, make=False
                )
            else:
                lock_file = _acquire_lock_file(address, control, entry)
        except OSError:
            continue  # another user's: it stays
        if lock_file is None:
            continue
        dead = Entry(entry, lock_file)  # its reader held the lock while it lived
        if control is None or dead.claim(control):
            dead.release()
        else:
            dead.abandon()
