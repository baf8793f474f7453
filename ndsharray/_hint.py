"""Telling a user that writer and reader chose different transports.

What may live here: looking for the same name on the other transports, and the warning. Not here:
when that is worth a look (``_find``, the facade). It changes nothing.
"""

from __future__ import annotations

import sys
import warnings

from . import _lease, backends
from ._address import Address, address_of

__all__ = ["Hint"]


class Hint:
    """Warns once when an array of that name is written on another transport."""

    def __init__(self, address: Address, role: str) -> None:
        self._address = address
        self._problem = (
            "is not on transport {own!r}, it is on {other!r}"
            if role == "r"
            else "has another living writer, on transport {other!r} (this one is on {own!r})"
        )
        self._warned = False

    def __call__(self) -> None:
        """Look at the other transports with the same root."""
        if self._warned:
            return
        own = self._address.transport
        for name in backends.known():
            other = None if name == own.name else backends.beside(own, name)
            if other is not None and _is_written(address_of(other, self._address.name)):
                self._warned = True
                problem = self._problem.format(own=own.name, other=other.name)
                warnings.warn(
                    f"array {self._address.name!r} {problem}: give both sides the same one "
                    f"(transport=, {backends.TRANSPORT_VARIABLE})",
                    stacklevel=_level_of_caller(),
                )


def _is_written(address: Address) -> bool:
    """Tell whether an array is there and has a living writer."""
    try:
        address.transport.open(address.control, writable=False)
    except OSError:
        return False
    return _lease.probe(address.writer_lease())


def _level_of_caller() -> int:
    """Return the stacklevel for `warnings.warn`, called by our caller, of the user's line."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__package__") == __package__:
        level, frame = level + 1, frame.f_back
    return level
