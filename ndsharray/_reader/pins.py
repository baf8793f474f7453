"""A reader's pins: a pin keeps the writer out of a slot while an array over it is referenced.

In the literature this is a *hazard pointer*. What may live here: which of the four pins is free,
and what clears one. Not here: which slot is pinned and when (``cursor``), the order of the stores
(``reading``).
"""

from __future__ import annotations

import weakref
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from .._protocol.format import PINS_PER_ENTRY
from .._protocol.memory import Memory
from .._protocol.reading import ReadSide, ZeroReference
from .._registry.entries import Entry
from .._system import at_exit
from .._system.fork import PINS, detach_in_child

__all__ = ["Pins"]


def _lifeline(array: npt.NDArray[Any]) -> Any:
    """Return the object that lives as long as an array by ``np.frombuffer``, or any slice of it.

    numpy ends every chain of views at the array that ``np.frombuffer`` returned. The base of that
    array is a memoryview that numpy made, not the given one. (Before numpy 1.22.4 it was the given
    one, and pins would have stood for ever.)
    """
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    return base


class Pins:
    """The four pins of one entry, on slots of one instance.

    Parameters
    ----------
    entry : Entry
        The reader's.
    control : Memory
        The instance's control segment.
    side : ReadSide
        The steps of reading it.

    Attributes
    ----------
    ours : bool
        False once the entry was released, and in a forked child, where it is the parent's.
    open : int or None
        A pin that is set and not guarded; an exception may leave it so.
    """

    def __init__(self, entry: Entry, control: Memory, side: ReadSide) -> None:
        self.entry = entry
        self._control = control
        self._side = side
        self.ours = True
        self.open: int | None = None
        self._own = side.own_pins(entry.index)
        # For each pin the references whose callbacks clear it.
        self._references: list[list[weakref.ref[Any]] | None] = [None] * PINS_PER_ENTRY
        self._unpin = [side.unpin_callbacks(entry.index, pin) for pin in range(PINS_PER_ENTRY)]
        self._closing = [entry]
        detach_in_child(PINS, self)

    def pin(self, index: int) -> bool:
        """Pin a slot; False if all four pins are in use."""
        # Memory tells which pin is free: its zero is the last store of an array's end, perhaps in
        # another thread just now.
        which: int = self._own.tobytes().find(0)
        if which < 0:
            return False
        self.open = which
        self._side.pin(self.entry.index, which, index)
        return True

    def guard(self, array: npt.NDArray[Any]) -> None:
        """Have the open pin cleared when `array` and all slices of it are gone, not before."""
        which: Any = self.open
        base = _lifeline(array)  # guard: pin-lives-as-long-as-the-base
        references: list[weakref.ref[Any]] = []
        for unpin in self._unpin[which]:
            references.append(ZeroReference(base, unpin))  # guard: array-in-place-guarded
        self._references[which] = references
        self.open = None

    def settle(self) -> None:
        """Clear the open pin, if it is not guarded."""
        which = self.open  # guard: pin-cleared-after-an-interrupt
        if which is not None:
            references = self._references[which]
            if references is None or references[0]() is None:
                self._side.unpin(self.entry.index, which)
            self.open = None

    def retire(self) -> None:
        """Release the entry, now or as soon as no array needs one of its pins."""
        self.settle()
        at_exit.keep_until_exit(self)
        # References to all of them, so that none dies in here.
        bases = [references[0]() if references else None for references in self._references]
        # From now on the callbacks are Python code: that of the last array releases the entry. One
        # store replaces the callbacks that only clear a pin.
        self._references = [
            None if base is None else [weakref.ref(base, partial(self._unpin_or_close, which))]
            for which, base in enumerate(bases)
        ]
        if not any(base is not None for base in bases):  # guard: entry-kept-for-the-last-array
            self.close()

    def _unpin_or_close(self, which: int, _dead: object) -> None:
        self._side.unpin(self.entry.index, which)
        if not any(references and references[0]() is not None for references in self._references):
            self.close()

    def close(self) -> None:
        """Release the entry, even if an array needs it. Harmless when repeated."""
        at_exit.ended(self)
        self._forget()
        try:
            entry = self._closing.pop()  # only one thread gets it
        except IndexError:
            return
        if entry.held:
            for which in range(PINS_PER_ENTRY):
                self._side.unpin(entry.index, which)
            entry.release()

    def detach(self) -> None:
        """In a forked child: an array that dies there must not clear its parent's pins."""
        self._forget()  # guard: pins-forgotten-in-a-child
        at_exit.ended(self)

    def _forget(self) -> None:
        """Clear no pin any more."""
        self._references = [None] * PINS_PER_ENTRY
        self.open = None
        self.ours = False
