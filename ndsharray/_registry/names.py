"""Where the parts of one array are found: names of segments and of lock files.

Names only; nothing is opened or listed here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import NamedTuple

from ..backends import base

__all__ = ["Address", "address_of", "alike", "parse_locks"]

_ALIKE = 5  # names that are told at most

_LOCK = re.compile(r"(nd[0-9a-f]{16})-([a-z][a-z0-9_]*)-(w|r[0-9]{2})")


class Address(NamedTuple):
    """One array on one transport.

    Attributes
    ----------
    transport : Transport
        Where it is.
    name : str
        What the user calls it; "" where only `control_name` is known.
    control_name : str
        The system's name of its control segment.
    """

    transport: base.Transport
    name: str
    control_name: str

    def frames(self, instance: int, segment: int) -> str:
        """Return the system's name of a frame segment."""
        return base.frame_name(self.control_name, instance, segment)

    def writer_lock(self) -> str:
        """Return the path of the writer's lock file."""
        return self._lock_file("w")

    def entry_lock(self, entry: int) -> str:
        """Return the path of the lock file of a reader's entry."""
        return self._lock_file(f"r{entry:02}")

    # The transport is part of a lock file's name: a writer that was killed on one transport and
    # started again on another must not look alive to the first one's readers.
    def _lock_file(self, role: str) -> str:
        return os.path.join(
            self.transport.root, f"{self.control_name}-{self.transport.name}-{role}"
        )


def address_of(transport: base.Transport, name: str) -> Address:
    """Return the address of the array `name`."""
    return Address(transport, name, base.control_name(transport.root, name))


def parse_locks(files: Iterable[str]) -> list[tuple[str, str, str]]:
    """Return control segment, transport and role (``"w"``, ``"r07"``) of each lock file there."""
    return [(found[1], found[2], found[3]) for found in map(_LOCK.fullmatch, files) if found]


def alike(name: str, names: Iterable[str]) -> list[str]:
    """Return those of `names` that look like `name`, the most similar ones first."""
    import difflib  # slow to import, and seldom needed

    folded = {each.casefold(): each for each in names if each != name}
    return [folded[each] for each in difflib.get_close_matches(name.casefold(), folded, _ALIKE)]
