"""What an array's name stands for now, as a reader sees it.

What may live here: whether what a lookup found counts as there. Not here: when that is asked
(``source``).
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from .._protocol.memory import Fences, make_fences
from .._registry.lookup import Found, State, look
from .._registry.names import Address
from .._system import clock
from .._system.root_watch import RootTime
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
        OSError
            If it cannot be opened.
        """
        now = self._looked = clock.now_ns()
        self._root = RootTime(self._address.transport.root)  # first, so that no change goes unseen
        fences = make_fences()
        found = self._look(fences)
        instance = self._instance(found, known, fences)
        missing = found.state is State.MISSING or known is None
        if missing and instance is None and now - self._hinted >= 4 * LOOK_NS:
            self._hinted = now
            self._hint(known is not None)
        return instance

    def _look(self, fences: Fences) -> Found:
        found = look(self._address, writable=True, fences=fences)
        # A reader needs no right to store: it has no entry then.
        if isinstance(found.error, PermissionError) or (
            isinstance(found.error, OSError) and found.error.errno == errno.EROFS
        ):
            return look(self._address, fences=fences)
        return found

    def _instance(self, found: Found, known: Instance | None, fences: Fences) -> Instance | None:
        if found.state in (State.UNREADABLE, State.FOREIGN, State.DAMAGED):
            raise found.problem()
        header, segment, memory = found.header, found.segment, found.memory
        if header is None or segment is None or memory is None:
            return None  # missing, or being made: it is opened by name again next time
        if known is not None and known.is_instance(header.instance):
            return None
        if not found.is_there(self._address):
            return None
        return Instance(segment, memory, header.instance, fences)
