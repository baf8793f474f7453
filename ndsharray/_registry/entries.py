"""Readers' cells: claiming one, and clearing those of readers that died.

A cell is five bytes of the control segment, one *waiting* and four *pins*, and a word that names
its *owner*. It belongs to whoever holds its lease; it is cleared only under that lease, by a
claimer or by the writer, so nobody ever takes away the pin of a living reader.

That must hold as well when a cleaner removes the lease file of a living reader, and others take a
new file of the same path: the owner is the number of the lease file under which the cell was
claimed, and whoever holds another file than that one leaves the cell alone.

What may live here: who may use which cell. Not here: what its pins stand for (``pins``), when to
look for the dead (``writer``), how a lease is locked (``lockfile``).
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from .._protocol.format import CELLS, OWNERS_WORD, PINS_BYTE, PINS_PER_CELL, WAITING_BYTE
from .._protocol.memory import Memory
from .._protocol.seqlock import clear_owner, set_owner
from .._system import lockfile
from .names import Address, parse_lease

__all__ = ["Entry", "claim", "clear_dead", "clear_if_dead", "has_readers", "marked"]


class Entry:
    """A claimed cell.

    Parameters
    ----------
    number : int
        Which of the 62.
    lease : Lease
        Its lease.

    Attributes
    ----------
    number : int
        Which of the 62.
    """

    __slots__ = ("_control", "_lease", "number")

    def __init__(self, number: int, lease: lockfile.LockFile) -> None:
        self.number = number
        self._lease = lease
        self._control: Memory | None = None  # where it is claimed

    @property
    def held(self) -> bool:
        """False once it was let go, and in a forked child: there it is still the parent's."""
        return self._lease.held

    def claim(self, control: Memory) -> bool:
        """Make the cell of that number ours in a control segment; False: it may be another's.

        There, the cell is cleared: no pin, not waiting.
        """
        lease = self._lease
        if not _stands(lease) or not _may_take(control, self.number, lease):
            return False
        # Only if somebody has scribbled over the instance id can a cell be claimed twice in the
        # same memory; then its pins are our own.
        ours = self._control is not None and control.words[OWNERS_WORD + self.number] != 0
        set_owner(control, self.number, lease.number)  # guard: cell-cleared-once-it-is-ours
        if not _stands(lease):
            # guard: path-after-claim
            return False  # its file was removed: perhaps somebody else came first
        if not ours:
            _clear(control, self.number)  # not before: it would be the other's pins
        self._control = control
        return True

    def release(self) -> None:
        """Let the cell go."""
        control, self._control = self._control, None
        if control is not None and self.held:
            clear_owner(control, self.number)  # guard: cell-let-go-has-no-owner
        self._lease.release()

    def abandon(self) -> None:
        """Let the lease go, and leave the cell as it is: it may be another's."""
        self._lease.abandon()


def _stands(lease: lockfile.LockFile) -> bool:
    try:
        return lease.standing() == "held"
    except OSError:  # the root cannot be looked at: reading works without a cell
        return False


def _may_take(control: Memory, number: int, lease: lockfile.LockFile) -> bool:
    """Tell whether nobody but the holder of this lease can be using a cell."""
    return control.words[OWNERS_WORD + number] in (0, lease.number)  # guard: cell-of-another-owner


def _take_lease(address: Address, control: Memory, number: int) -> lockfile.LockFile | None:
    """Take the lease of a cell that nobody uses; None if somebody does, or may.

    Raises
    ------
    OSError
        Without the right to, or on a full file system.
    """
    # No new file for a cell that has an owner: its reader may live, though its file was removed.
    free = control.words[OWNERS_WORD + number] == 0
    # guard: no-new-file-for-a-cell-with-an-owner
    lease = lockfile.take(address.cell_lease(number), address.transport.mode, make=free)
    if lease is None or _may_take(control, number, lease):
        return lease
    lease.abandon()
    return None


def _clear(control: Memory, number: int) -> None:
    control.cells[WAITING_BYTE + number] = 0
    for byte in range(PINS_BYTE + number * PINS_PER_CELL, PINS_BYTE + (number + 1) * PINS_PER_CELL):
        control.cells[byte] = 0


def _is_marked(control: Memory, number: int) -> bool:
    start = PINS_BYTE + number * PINS_PER_CELL
    pins = control.group(start, start + PINS_PER_CELL).tobytes()
    return bool(any(pins) or control.cells[WAITING_BYTE + number])


def claim(address: Address, control: Memory) -> Entry | None:
    """Return a free cell, cleared; None if all are taken, or the root cannot be written to."""
    for number in range(CELLS):
        try:
            lease = _take_lease(address, control, number)
        except PermissionError:
            continue  # of this one
        except OSError:  # a full file system: reading works without a cell
            return None
        if lease is not None:
            cell = Entry(number, lease)
            if cell.claim(control):
                return cell
            cell.abandon()
    return None


def _cells_on_file(address: Address) -> list[int]:
    """Return the cells that have a lease file."""
    try:
        files = os.listdir(address.transport.root)
    except FileNotFoundError:
        return []
    found = [parse_lease(file) for file in files]
    here = (address.control, address.transport.name)
    roles = [lease[2] for lease in found if lease and lease[:2] == here]
    return [cell for cell in range(CELLS) if f"r{cell:02}" in roles]


def has_readers(address: Address) -> bool:
    """Tell whether any reader of the array lives."""
    return any(lockfile.probe(address.cell_lease(cell)) for cell in _cells_on_file(address))


def marked(control: Memory) -> set[int]:
    """Return the cells with any byte set."""
    return {cell for cell in range(CELLS) if _is_marked(control, cell)}


def clear_dead(address: Address, control: Memory | None = None) -> None:
    """Free the cells of readers that died: their bytes, if `control` is given, and lease files."""
    cells = set(_cells_on_file(address))
    if control is not None:
        cells |= marked(control)
    clear_if_dead(address, control, cells)


def clear_if_dead(address: Address, control: Memory | None, cells: Iterable[int]) -> None:
    """Free those of some cells whose readers died."""
    for cell in sorted(cells):
        try:
            if control is None:
                lease = lockfile.take(address.cell_lease(cell), address.transport.mode, make=False)
            else:
                lease = _take_lease(address, control, cell)
        except OSError:
            continue  # another user's: it stays a hint
        if lease is None:
            continue
        dead = Entry(cell, lease)  # so its reader is
        if control is None or dead.claim(control):
            dead.release()
        else:
            dead.abandon()
