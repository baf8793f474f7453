"""Which arrays are there, on one transport and root.

What may live here: finding them by what lies in the root, and reading their names. Not here: what
an array is to somebody (``finder``, ``sweep``). It changes nothing.
"""

from __future__ import annotations

import os
import re

from .._protocol.format import load_control
from .._protocol.memory import Memory
from ..backends.base import Transport
from ..errors import FormatError
from .names import Address, address_of, parse_lock

__all__ = ["arrays"]

_CONTROL = re.compile("nd[0-9a-f]{16}")  # as `base.control_name` makes them


def arrays(transport: Transport) -> list[Address]:
    """Return the addresses of the arrays that can be seen, by name; killed writers' too.

    A transport that keeps its segments elsewhere than in the root has lock files there.
    """
    try:
        files = os.listdir(transport.root)
    except OSError:
        return []
    lock_files = [lock_file for lock_file in map(parse_lock, files) if lock_file]
    controls = {file for file in files if _CONTROL.fullmatch(file)}
    controls |= {control for control, name, _ in lock_files if name == transport.name}
    found = [_name_in(transport, control) for control in sorted(controls)]
    return sorted((address_of(transport, name) for name in found if name), key=lambda a: a.name)


def _name_in(transport: Transport, control: str) -> str:
    """Return the name that a control segment holds; "" if it is none, or another's."""
    try:
        segment = transport.open(control, writable=False)
        name = load_control(Memory(segment.buf)).name
        return name if address_of(transport, name).control_name == control else ""
    except (OSError, FormatError):
        return ""
