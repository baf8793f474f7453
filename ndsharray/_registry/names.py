"""Where the parts of one array are found: names of segments and of leases.

Names only; nothing is opened here.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from ..backends import base

__all__ = ["Address", "address_of", "parse_lease"]

_LEASE = re.compile(r"(nd[0-9a-f]{16})-([a-z][a-z0-9_]*)-(w|r[0-9]{2})")


class Address(NamedTuple):
    """One array on one transport.

    Attributes
    ----------
    transport : Transport
        Where it is.
    name : str
        What the user calls it; "" where only `control` is known.
    control : str
        The system's name of its control segment.
    """

    transport: base.Transport
    name: str
    control: str

    def frames(self, instance: int, segment: int) -> str:
        """Return the system's name of a frame segment."""
        return base.frame_name(self.control, instance, segment)

    def writer_lease(self) -> str:
        """Return the path of the writer's lease."""
        return self._lease("w")

    def cell_lease(self, cell: int) -> str:
        """Return the path of the lease of a reader's cell."""
        return self._lease(f"r{cell:02}")

    # The transport is part of a lease's name: a writer that was killed on one transport and
    # started again on another must not look alive to the first one's readers.
    def _lease(self, role: str) -> str:
        return os.path.join(self.transport.root, f"{self.control}-{self.transport.name}-{role}")


def address_of(transport: base.Transport, name: str) -> Address:
    """Return the address of the array `name`."""
    return Address(transport, name, base.control_name(transport.root, name))


def parse_lease(file: str) -> tuple[str, str, str] | None:
    """Return control segment, transport and role (``"w"``, ``"r07"``) of a lease's file name."""
    found = _LEASE.fullmatch(file)
    return None if found is None else (found[1], found[2], found[3])
