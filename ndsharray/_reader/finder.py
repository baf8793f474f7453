"""What an array's name stands for now, as a reader sees it.

What may live here: opening a control segment by name, and whether what it holds counts as there.
Not here: when that is asked (``reader``).
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from .._protocol import format
from .._protocol.memory import Memory, make_fences
from .._protocol.seqlock import is_ready
from .._registry.names import Address
from .._system import clock, lockfile
from .._system.root_watch import RootTime
from ..backends.base import Segment
from .instance import Instance

__all__ = ["LOOK_NS", "Finder"]

LOOK_NS = 250_000_000  # how often a reader that gets nothing new looks up the name


class Finder:
    """Looks up one name.

    Parameters
    ----------
    address : Address
        The array's.
    hint : callable
        Called at most once a second while there is no such array, and told whether one was known.
    """

    def __init__(self, address: Address, hint: Callable[[bool], None]) -> None:
        self._address = address
        self._hint = hint
        self._looked = self._hinted = 0
        self._root = RootTime(address.transport.root)

    def is_due(self) -> bool:
        """Tell whether it is time to look again."""
        return clock.now_ns() - self._looked >= LOOK_NS

    def is_old(self) -> bool:
        """Tell whether the root may have changed since the last look."""
        return self._root.is_old()

    def find(self, known: Instance | None) -> Instance | None:
        """Return the instance that the name stands for; None: there is none but `known`.

        Raises
        ------
        FormatError
            If the memory of that name is not what it says.
        """
        now = self._looked = clock.now_ns()
        self._root = RootTime(self._address.transport.root)  # first, so that no change goes unseen
        try:
            found = self._find(known)
            missing = found is None and known is None
        except FileNotFoundError:
            found, missing = None, True
        if missing and now - self._hinted >= 4 * LOOK_NS:
            self._hinted = now
            self._hint(known is not None)
        return found

    def _find(self, known: Instance | None) -> Instance | None:
        segment = self._open()
        memory = Memory(segment.buf)
        fences = make_fences()
        if segment.size >= format.CONTROL_SIZE and not is_ready(memory, fences):
            return None  # being made: opened by name again next time
        static = format.load_control(memory, self._address.name)
        if known is not None and known.is_instance(static.instance):
            return None
        same = clock.same_boot(static.boot, static.clock_ns, static.wall_ns)
        # Where the system has no boot id, a clock that was set looks like another boot.
        if not same and (
            clock.is_sure(static.boot) or not lockfile.probe(self._address.writer_lock())
        ):
            return None
        return Instance(segment, memory, static.instance, fences)

    def _open(self) -> Segment:
        transport, control = self._address.transport, self._address.control_name
        try:
            return transport.open(control, writable=True)
        except OSError as error:
            if not isinstance(error, PermissionError) and error.errno != errno.EROFS:
                raise
            return transport.open(control, writable=False)
