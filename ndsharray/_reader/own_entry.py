"""A reader's entry in the control segment, and when the reader tries to claim one.

Not here: which entry is free (``entries``), what its pins do (``pins``).
"""

from __future__ import annotations

import weakref
from typing import Any

from .._registry.entries import Entry, claim
from .._registry.names import Address
from .._system import at_exit, clock
from .instance import Instance
from .pins import Pins

__all__ = ["OwnEntry"]

_TRY_NS = 1_000_000_000  # how often a reader without an entry tries to claim one


class OwnEntry:
    """A reader's entry, if it has one. The reader keeps it from instance to instance.

    Parameters
    ----------
    address : Address
        The array's.
    reader : object
        It is closed at the end of the process.
    """

    def __init__(self, address: Address, reader: Any) -> None:
        self._address = address
        self._reader = weakref.ref(reader)
        self._entry: Entry | None = None
        self._tried = -_TRY_NS

    def pins(self, instance: Instance, pins: Pins | None) -> Pins | None:
        """Return the pins to use in an instance.

        Parameters
        ----------
        instance : Instance
            The instance.
        pins : Pins or None
            Those that were used there last. (In a forked child they are the parent's, and the child
            gets others.)

        Returns
        -------
        Pins or None
            None: the segment cannot be written to, or all entries are taken.
        """
        memory, entry = instance.memory, self._entry
        if memory.bytes.readonly:
            return None
        if entry is None or not entry.held:
            now = clock.now_ns()
            if now - self._tried < _TRY_NS and entry is None:
                return None
            self._tried = now
            entry = self._entry = claim(self._address, memory)
            at_exit.close_at_exit(self._reader())  # again: this may be a forked child
        elif pins is None and not entry.claim(memory):  # the same entry, of another instance
            entry.abandon()
            entry = self._entry = claim(self._address, memory)
        if entry is None:
            return None
        same = pins is not None and pins.entry is entry
        return pins if same else Pins(entry, memory, instance.side)

    def release(self, pins: Pins | None) -> None:
        """Release the entry, as soon as no array in place needs one of its pins."""
        if pins is not None:
            pins.retire()
        if self._entry is not None and (pins is None or pins.entry is not self._entry):
            self._entry.release()
        self._entry = None
