"""Readers' entries: claiming one, and clearing those of readers that died.

An entry is five bytes of the control segment, one *waiting* and four *pins*, and a word that names
its *owner*. It belongs to whoever holds its lock file; it is cleared only under that lock file, by
a claimer or by the writer, so nobody ever takes away the pin of a living reader.

That must hold as well when a cleaner removes the lock file of a living reader, and others take
a new file of the same path: the owner is the number of the lock file under which the entry was
claimed, and whoever holds another file than that one leaves the entry alone.

What may live here: who may use which entry. Not here: what its pins stand for (``pins``), when to
look for the dead (``writer``), how a lock file is locked (``lockfile``).
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from .._protocol.format import ENTRIES, OWNERS_WORD, PINS_BYTE, PINS_PER_ENTRY, WAITING_BYTE
from .._protocol.memory import Memory
from .._protocol.seqlock import clear_owner, set_owner
from .._system import lockfile
from .names import Address, parse_lock

__all__ = ["Entry", "claim", "clear_dead", "clear_if_dead", "has_readers", "marked"]


class Entry:
    """A claimed entry.

    Parameters
    ----------
    number : int
        Which of the 62.
    lock file : LockFile
        Its lock file.

    Attributes
    ----------
    number : int
        Which of the 62.
    """

    __slots__ = ("_control", "_lock_file", "number")

    def __init__(self, number: int, lock_file: lockfile.LockFile) -> None:
        self.number = number
        self._lock_file = lock_file
        self._control: Memory | None = None  # where it is claimed

    @property
    def held(self) -> bool:
        """False once it was let go, and in a forked child: there it is still the parent's."""
        return self._lock_file.held

    def claim(self, control: Memory) -> bool:
        """Make the entry of that number ours in a control segment; False: it may be another's.

        There, the entry is cleared: no pin, not waiting.
        """
        lock_file = self._lock_file
        if not _stands(lock_file) or not _may_take(control, self.number, lock_file):
            return False
        # Only if somebody has scribbled over the instance id can an entry be claimed twice in the
        # same memory; then its pins are our own.
        ours = self._control is not None and control.words[OWNERS_WORD + self.number] != 0
        set_owner(control, self.number, lock_file.number)  # guard: entry-cleared-once-it-is-ours
        if not _stands(lock_file):
            # guard: path-after-claim
            return False  # its file was removed: perhaps somebody else came first
        if not ours:
            _clear(control, self.number)  # not before: it would be the other's pins
        self._control = control
        return True

    def release(self) -> None:
        """Let the entry go."""
        control, self._control = self._control, None
        if control is not None and self.held:
            clear_owner(control, self.number)  # guard: entry-let-go-has-no-owner
        self._lock_file.release()

    def abandon(self) -> None:
        """Let the lock file go, and leave the entry as it is: it may be another's."""
        self._lock_file.abandon()


def _stands(lock_file: lockfile.LockFile) -> bool:
    try:
        return lock_file.standing() == "held"
    except OSError:  # the root cannot be looked at: reading works without an entry
        return False


def _may_take(control: Memory, number: int, lock_file: lockfile.LockFile) -> bool:
    """Tell whether nobody but the holder of this lock file can be using an entry."""
    # guard: entry-of-another-owner
    return control.words[OWNERS_WORD + number] in (0, lock_file.number)


def _take_lock_file(address: Address, control: Memory, number: int) -> lockfile.LockFile | None:
    """Take the lock file of an entry that nobody uses; None if somebody does, or may.

    Raises
    ------
    OSError
        Without the right to, or on a full file system.
    """
    # No new file for an entry that has an owner: its reader may live, though its file was removed.
    free = control.words[OWNERS_WORD + number] == 0
    # guard: no-new-file-for-a-entry-with-an-owner
    lock_file = lockfile.take(address.entry_lock(number), address.transport.mode, make=free)
    if lock_file is None or _may_take(control, number, lock_file):
        return lock_file
    lock_file.abandon()
    return None


def _clear(control: Memory, number: int) -> None:
    control.bytes[WAITING_BYTE + number] = 0
    for byte in range(
        PINS_BYTE + number * PINS_PER_ENTRY, PINS_BYTE + (number + 1) * PINS_PER_ENTRY
    ):
        control.bytes[byte] = 0


def _is_marked(control: Memory, number: int) -> bool:
    start = PINS_BYTE + number * PINS_PER_ENTRY
    pins = control.group(start, start + PINS_PER_ENTRY).tobytes()
    return bool(any(pins) or control.bytes[WAITING_BYTE + number])


def claim(address: Address, control: Memory) -> Entry | None:
    """Return a free entry, cleared; None if all are taken, or the root cannot be written to."""
    for number in range(ENTRIES):
        try:
            lock_file = _take_lock_file(address, control, number)
        except PermissionError:
            continue  # of this one
        except OSError:  # a full file system: reading works without an entry
            return None
        if lock_file is not None:
            entry = Entry(number, lock_file)
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
    found = [parse_lock(file) for file in files]
    here = (address.control_name, address.transport.name)
    roles = [lock_file[2] for lock_file in found if lock_file and lock_file[:2] == here]
    return [entry for entry in range(ENTRIES) if f"r{entry:02}" in roles]


def has_readers(address: Address) -> bool:
    """Tell whether any reader of the array lives."""
    return any(lockfile.probe(address.entry_lock(entry)) for entry in _entries_on_file(address))


def marked(control: Memory) -> set[int]:
    """Return the entries with any byte set."""
    return {entry for entry in range(ENTRIES) if _is_marked(control, entry)}


def clear_dead(address: Address, control: Memory | None = None) -> None:
    """Free the entries of readers that died: their bytes, if `control` is given, and lock files."""
    entries = set(_entries_on_file(address))
    if control is not None:
        entries |= marked(control)
    clear_if_dead(address, control, entries)


def clear_if_dead(address: Address, control: Memory | None, entries: Iterable[int]) -> None:
    """Free those of some entries whose readers died."""
    for entry in sorted(entries):
        try:
            if control is None:
                lock_file = lockfile.take(
                    address.entry_lock(entry), address.transport.mode, make=False
                )
            else:
                lock_file = _take_lock_file(address, control, entry)
        except OSError:
            continue  # another user's: it stays a hint
        if lock_file is None:
            continue
        dead = Entry(entry, lock_file)  # so its reader is
        if control is None or dead.claim(control):
            dead.release()
        else:
            dead.abandon()
