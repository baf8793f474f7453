"""How a new writer gets its control segment: it adopts the existing one, or makes one.

The writer's lock file has to be held. Not here: what its owner does with it (``control``).
"""

from __future__ import annotations

import logging
import os
import time

from .._protocol import format
from .._protocol.memory import Fences, Memory
from .._protocol.seqlock import set_ready
from .._registry.cleanup import refuse_in_child, remove_array, unlink
from .._registry.lookup import Found, State, look
from .._registry.names import Address
from .._system import clock
from .._system.lockfile import LockFile
from ..backends.base import Segment
from ..errors import FormatError
from .control import ControlSegment

__all__ = ["take_over"]

log = logging.getLogger("ndsharray")


def take_over(address: Address, fences: Fences, lock_file: LockFile) -> ControlSegment:
    """Adopt the array's control segment, or make one.

    Raises
    ------
    FormatError
        If another format version owns the name; nothing is touched then.
    OSError
        If the segment cannot be opened or made.
    """
    found = look(address, writable=True, fences=fences)
    match found.state:
        case State.LIVE | State.CLOSED:
            try:
                return _adopt(address, found, lock_file)
            except FormatError as error:
                problem = str(error)
        case State.FOREIGN | State.UNREADABLE:
            raise found.problem()
        case State.MISSING:
            # Perhaps half made by a writer that was killed: no other process can be making it.
            unlink(address, address.control_name, lock_file)
            refuse_in_child(lock_file)  # its parent is about to make it
            segment = address.transport.create(address.control_name, format.CONTROL_SIZE)
            return _make(address, fences, lock_file, segment)
        case State.UNFINISHED:
            problem = "ready: 0: its writer was killed while making it"
        case State.OTHER_BOOT:
            problem = "boot id: of another boot"
        case State.DAMAGED:
            problem = str(found.error)
    log.warning("%r is not whole (%s): made anew", address.name, problem)
    del found  # a mapping goes before its name does: Windows
    return _make_anew(address, fences, lock_file)


def _adopt(address: Address, found: Found, lock_file: LockFile) -> ControlSegment:
    """Adopt what a former writer left; FormatError if any of it cannot be true."""
    assert found.segment is not None
    assert found.header is not None
    control = ControlSegment(address, found.segment, found.header.instance, lock_file)
    refuse_in_child(lock_file)
    control.adopt()
    log.info("%r taken over after frame %d", address.name, control.record.newest_frame[1])
    return control


def _make_anew(address: Address, fences: Fences, lock_file: LockFile) -> ControlSegment:
    """Remove what is not whole, and make a control segment."""
    remove_array(address, lock_file, [])
    refuse_in_child(lock_file)
    first = 0
    try:
        segment = address.transport.create(address.control_name, format.CONTROL_SIZE)
    except FileExistsError:
        # Windows, while a reader maps it: written afresh in place. That reader follows newest there
        # until it looks up the name: no slot that it maps has such a position, no segment such an
        # id, so it finds nothing.
        segment = address.transport.open(address.control_name, writable=True)
        if segment.size < format.CONTROL_SIZE:
            raise
        first = _random(5)  # guard: other-positions-in-place
    return _make(address, fences, lock_file, segment, first)


def _random(nbytes: int) -> int:
    return int.from_bytes(os.urandom(nbytes), "little")  # as secrets, whose import takes 2 ms


def _make(
    address: Address, fences: Fences, lock_file: LockFile, segment: Segment, first: int = 0
) -> ControlSegment:
    """Write a control segment afresh; its first position and segment id come after `first`."""
    memory = Memory(segment.buf)
    refuse_in_child(lock_file)
    memory.words[format.READY_WORD] = 0
    instance = _random(8) or 1
    format.store_control(
        memory,
        format.ControlHeader(
            instance, clock.boot_id(), clock.now_ns(), time.time_ns(), address.name
        ),
    )
    set_ready(memory, fences)
    control = ControlSegment(address, segment, instance, lock_file, first)
    refuse_in_child(lock_file)
    return control
