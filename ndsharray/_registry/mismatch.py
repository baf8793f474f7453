"""Telling a user why an array is not found: it is on another transport, or nobody writes it.

A warning names the transport that has it; a line in the log names arrays that are nearly called so.
Not here: when to look (``finder``). It changes nothing.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from typing import Any

from .. import backends
from .._system import clock, lockfile
from ..backends.base import DIR_VARIABLE
from .lookup import State, arrays, look
from .names import Address, address_of, alike

__all__ = ["Hint"]

log = logging.getLogger("ndsharray")

_SILENCE_NS = 5_000_000_000  # after that time without its array, a reader says so in the log
_NAMED = 5  # arrays that are named at most


class Hint:
    """Tells a reader, once, why it finds no array.

    It warns if another transport has a living writer of that name; else it logs that nobody
    writes the array.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._warned = False
        self._began = 0  # when a reader first looked in vain

    def __call__(self, seen: bool) -> None:
        """Look at the other transports with the same root, and then at this one.

        Parameters
        ----------
        seen : bool
            Whether the array was ever there: then its writer has only stopped.
        """
        if not self._warned:
            self._look_beside()
        if not self._warned and not seen:
            self._look_here()

    def _look_beside(self) -> None:
        own = self._address.transport
        for name in backends.known():
            other = None if name == own.name else backends.beside(own, name)
            if other is not None and _is_written(address_of(other, self._address.name)):
                self._warned = True
                warnings.warn(
                    f"array {self._address.name!r} is not on transport {own.name!r}, it is on "
                    f"{other.name!r}: give both sides the same one "
                    f"(transport=, {backends.TRANSPORT_VARIABLE})",
                    stacklevel=level_of_caller(),
                )

    def _look_here(self) -> None:
        now = clock.now_ns()
        if not self._began:  # a reader was made; perhaps nobody ever reads
            self._began = now
            return
        transport = self._address.transport
        parent = os.path.dirname(transport.root)
        possible = os.path.isdir(parent)
        if possible and now - self._began < _SILENCE_NS:
            return
        self._warned = True
        log.warning(
            "array %r: nobody writes it, on transport %r (%s) in %s (%s); %s",
            self._address.name,
            transport.name,
            backends.TRANSPORT_VARIABLE,
            transport.root,
            DIR_VARIABLE,
            f"{_neighbours(self._address)} (`ndsharray list` shows more)"
            if possible
            else f"there is no directory {parent}",
        )


def _neighbours(address: Address) -> str:
    """Return what there is instead: names that look alike, else some of those that are there."""
    names = [each.name for each in arrays(address.transport) if each.name != address.name]
    similar = alike(address.name, names)
    if similar:
        return f"did you mean {' or '.join(map(repr, similar))}?"
    if not names:
        return "no other array is there"
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"what is there: {', '.join(map(repr, names[:_NAMED]))}{more}"


def _is_written(address: Address) -> bool:
    """Tell whether an array is there and has a living writer."""
    there = look(address).state not in (State.MISSING, State.UNREADABLE)
    return there and lockfile.may_be_held(address.writer_lock())


def level_of_caller() -> int:
    """Return the stacklevel for `warnings.warn`, called by our caller, of the user's line."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and _is_ours(frame.f_globals):
        level, frame = level + 1, frame.f_back
    return level


def _is_ours(names: dict[str, Any]) -> bool:
    return str(names.get("__package__")).partition(".")[0] == __name__.partition(".")[0]
