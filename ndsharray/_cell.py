"""Readers' cells: claiming one, and clearing those of readers that died.

A cell is five bytes of the control segment, one *waiting* and four *pins*. It belongs to whoever
holds its lease; its bytes are cleared only under that lease, by a claimer or by the writer, so
nobody ever takes away the pin of a living reader.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Optional

from . import _lease
from ._address import Address, parse_lease
from ._layout import CELLS, PINS_BYTE, PINS_PER_CELL, WAITING_BYTE
from ._memory import Memory

__all__ = ["Cell", "claim", "clear_dead", "clear_if_dead", "has_readers", "marked"]


class Cell:
    """A claimed cell.

    Attributes
    ----------
    number : int
        Which of the 62.
    """

    __slots__ = ("_lease", "number")

    def __init__(self, number: int, lease: _lease.Lease) -> None:
        self.number = number
        self._lease = lease

    @property
    def held(self) -> bool:
        """False once it was let go, and in a forked child: there it is still the parent's."""
        return self._lease.held

    def clear(self, control: Memory) -> None:
        """Store zeros in the cell's bytes: no pin, not waiting."""
        _clear(control, self.number)

    def release(self) -> None:
        """Let the cell go."""
        self._lease.release()


def _clear(control: Memory, number: int) -> None:
    control.cells[WAITING_BYTE + number] = 0
    for byte in range(PINS_BYTE + number * PINS_PER_CELL, PINS_BYTE + (number + 1) * PINS_PER_CELL):
        control.cells[byte] = 0


def _is_marked(control: Memory, number: int) -> bool:
    start = PINS_BYTE + number * PINS_PER_CELL
    pins = control.group(start, start + PINS_PER_CELL).tobytes()
    return bool(any(pins) or control.cells[WAITING_BYTE + number])


def claim(address: Address, control: Memory) -> Optional[Cell]:
    """Return a free cell, cleared; None if all are taken, or the root cannot be written to."""
    for number in range(CELLS):
        try:
            lease = _lease.take(address.cell_lease(number), address.transport.mode)
        except OSError:  # no rights, a full file system: reading works without a cell
            return None
        if lease is not None:
            cell = Cell(number, lease)
            cell.clear(control)
            return cell
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
    return any(_lease.probe(address.cell_lease(cell)) for cell in _cells_on_file(address))


def marked(control: Memory) -> set[int]:
    """Return the cells with any byte set."""
    return {cell for cell in range(CELLS) if _is_marked(control, cell)}


def clear_dead(address: Address, control: Optional[Memory] = None) -> None:
    """Free the cells of readers that died: their bytes, if `control` is given, and lease files."""
    cells = set(_cells_on_file(address))
    if control is not None:
        cells |= marked(control)
    clear_if_dead(address, control, cells)


def clear_if_dead(address: Address, control: Optional[Memory], cells: Iterable[int]) -> None:
    """Free those of some cells whose readers died."""
    for cell in sorted(cells):
        try:
            lease = _lease.take(address.cell_lease(cell), address.transport.mode)
        except OSError:
            continue  # another user's: it stays a hint
        if lease is not None:  # so its reader is dead
            if control is not None:
                _clear(control, cell)
            lease.release()
