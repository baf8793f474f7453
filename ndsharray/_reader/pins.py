"""A reader's pins: each stands as long as somebody holds an array that lies in its slot.

What may live here: which of the four pins is free, and what lets one go. Not here: which slot is
pinned and when (``cursor``), nor the order of the stores (``seqlock``).
"""

from __future__ import annotations

import weakref
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from .._protocol.format import PINS_PER_ENTRY
from .._protocol.memory import Memory
from .._protocol.reading import ReadSide, Watch
from .._registry.entries import Entry, claim
from .._registry.names import Address
from .._system import at_exit, clock
from .._system.fork import PINS, detach_in_child
from .instance import Instance

__all__ = ["OwnEntry", "Pins"]

_TRY_NS = 1_000_000_000  # how often a reader without an entry tries to get one


def _lifeline(array: npt.NDArray[Any]) -> Any:
    """Return what lives exactly as long as an array made by ``np.frombuffer``, or any slice of it.

    numpy ends every chain of views at the array that ``np.frombuffer`` returned, whose base is a
    memoryview of numpy's own (never the one that it was given, which dies at once; before numpy
    1.22.4 it was that one, so pins would have stood for ever).
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
        False once the entry was let go, and in a forked child: there it is still the parent's.
    open : int or None
        A pin that is set and not guarded; left standing by an exception.
    """

    def __init__(self, entry: Entry, control: Memory, side: ReadSide) -> None:
        self.entry = entry
        self._control = control
        self._side = side
        self.ours = True
        self.open: int | None = None
        self._own = side.own_pins(entry.index)
        # For each pin what let it go last, or will.
        self._watches: list[list[weakref.ref[Any]] | None] = [None] * PINS_PER_ENTRY
        self._unpin = [side.unpin_callbacks(entry.index, pin) for pin in range(PINS_PER_ENTRY)]
        self._closing = [entry]
        detach_in_child(PINS, self)

    def pin(self, index: int) -> int:
        """Pin a slot; return the number of the pin, -1 if all four are in use."""
        # By what stands in memory: zero is stored as the last thing when an array dies, perhaps in
        # another thread just now.
        which: int = self._own.tobytes().find(0)
        if which >= 0:
            self.open = which
            self._side.pin(self.entry.index, which, index)
        return which

    def guard(self, which: int, array: npt.NDArray[Any]) -> None:
        """Let pin `which` go when nobody holds `array` or a slice of it any more, not before."""
        base = _lifeline(array)  # guard: pin-lives-as-long-as-the-base
        watches: list[weakref.ref[Any]] = []
        for unpin in self._unpin[which]:
            watches.append(Watch(base, unpin))  # no frame more; guard: array-in-place-guarded
        self._watches[which] = watches
        self.open = None

    def settle(self) -> None:
        """Let go of a pin that was set and is not guarded."""
        which = self.open  # guard: pin-let-go-after-an-interrupt
        if which is not None:
            watches = self._watches[which]
            if watches is None or watches[0]() is None:
                self._side.unpin(self.entry.index, which)
            self.open = None

    def retire(self) -> None:
        """Let the entry go, now or as soon as no array needs a pin of it any more."""
        self.settle()
        at_exit.keep_until_exit(self)
        # Held until the end: nothing of it dies meanwhile.
        bases = [watches[0]() if watches else None for watches in self._watches]
        # From now on in Python: whoever is the last gives the entry back. One store puts these in
        # the place of the ones that only unpin.
        self._watches = [
            None if base is None else [weakref.ref(base, partial(self._let_go, which))]
            for which, base in enumerate(bases)
        ]
        if not any(base is not None for base in bases):  # guard: entry-kept-for-the-last-array
            self.close()

    def _let_go(self, which: int, _dead: object) -> None:
        self._side.unpin(self.entry.index, which)
        if not any(watches and watches[0]() is not None for watches in self._watches):
            self.close()

    def close(self) -> None:
        """Let the entry go, whatever still needs it. Harmless when repeated."""
        at_exit.ended(self)
        self._forget()
        try:
            entry = self._closing.pop()  # one thread gets it
        except IndexError:
            return
        if entry.held:
            for which in range(PINS_PER_ENTRY):
                self._side.unpin(entry.index, which)
            entry.release()

    def detach(self) -> None:
        """In a forked child: an array that dies there must not take its parent's pins away."""
        self._forget()  # guard: pins-forgotten-in-a-child
        at_exit.ended(self)

    def _forget(self) -> None:
        """Let go of nothing any more."""
        self._watches = [None] * PINS_PER_ENTRY
        self.open = None
        self.ours = False


class OwnEntry:
    """A reader's entry, if it can have one; it goes with the reader from instance to instance.

    Parameters
    ----------
    address : Address
        The array's.
    reader : object
        Who is to be closed at the end of the process.
    """

    def __init__(self, address: Address, reader: Any) -> None:
        self._address = address
        self._reader = weakref.ref(reader)
        self._entry: Entry | None = None
        self._tried = -_TRY_NS

    def pins(self, attached: Instance, pins: Pins | None) -> Pins | None:
        """Return the pins to use in an instance.

        Parameters
        ----------
        attached : Attached
            The instance.
        pins : Pins or None
            Those that were used there last; a forked child has to get itself other ones.

        Returns
        -------
        Pins or None
            None: without the right to write there, or while all entries are taken.
        """
        memory, entry = attached.memory, self._entry
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
        return pins if same else Pins(entry, memory, attached.side)

    def release(self, pins: Pins | None) -> None:
        """Let the entry go, as soon as no array in place needs one of its pins."""
        if pins is not None:
            pins.retire()
        if self._entry is not None and (pins is None or pins.entry is not self._entry):
            self._entry.release()
        self._entry = None
