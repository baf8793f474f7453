"""What stands in a control segment, for those who do not own it: looking, and removing it whole.

What may live here: finding out whose an array is, and taking all its names away. Removing needs the
writer's lease to be held. Nothing here trusts what it reads further than to build names from it.
Not here: when an array counts as left (``_sweep``), and what its owner knows (``_control``).
"""

from __future__ import annotations

import logging
import os
from typing import Optional

from . import _layout
from ._address import Address
from ._memory import Memory
from .backends.base import Segment

__all__ = ["exists", "is_foreign", "mark_closed", "recorded_pid", "remove_array", "unlink"]

log = logging.getLogger("ndsharray")


def exists(address: Address) -> Optional[bool]:
    """Tell whether the control segment's name is there, whatever it stands for; None: unknown."""
    try:
        address.transport.open(address.control, writable=False)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    return True


def is_foreign(address: Address) -> bool:
    """Tell whether the name belongs to a whole array of another format version."""
    try:
        segment = address.transport.open(address.control, writable=False)
    except OSError:
        return False
    if segment.size < _layout.CONTROL_SIZE:
        return False
    words = Memory(segment.buf).words
    found: list[int] = [
        words[i] for i in (_layout.MAGIC_WORD, _layout.VERSION_WORD, _layout.READY_WORD)
    ]
    whole = found[0] == _layout.MAGIC and found[2] == 1
    return whole and found[1] != _layout.FORMAT_VERSION


def recorded_pid(address: Address) -> int:
    """Return the process id that the array's writer wrote down; 0 if there is none."""
    try:
        segment = address.transport.open(address.control, writable=False)
    except OSError:
        return 0
    whole = segment.size >= _layout.CONTROL_SIZE
    return int(Memory(segment.buf).words[_layout.PID_WORD]) if whole else 0


def mark_closed(segment: Segment) -> None:
    """Tell readers that still look at it: they leave it once another instance has the name."""
    if segment.size >= _layout.CONTROL_SIZE:
        Memory(segment.buf).words[_layout.STATE_WORD] = _layout.CLOSED


def unlink(address: Address, name: str) -> bool:
    """Remove a name; False if that cannot be done now (mapped, on Windows)."""
    return _unlink(address, name) is not None


def _unlink(address: Address, name: str) -> Optional[bool]:
    """Do the same; None if that cannot be done now, else what the transport says."""
    try:
        return address.transport.unlink(name)
    except OSError as error:
        log.debug("%s stays for now: %s", name, error)
        return None


def remove_array(address: Address) -> bool:
    """Remove every name of an array that can be found: frames first, the control segment last.

    The array's own name may be unknown. What cannot be removed now (Windows) stays: the memory of
    an array that somebody holds, or of a segment that a reader has open.

    Returns
    -------
    bool
        Whether nothing stays.
    """
    frames = _remove_recorded(address)
    control = _unlink(address, address.control) or exists(address) is False
    return frames and control


def _remove_recorded(address: Address) -> bool:
    """Mark what the name stands for as closed, and remove the frame names that it records.

    Returns
    -------
    bool
        Whether none of them stays.
    """
    # Files that lie in the root under the array's name (the mmap transport's) need no record.
    try:
        files = os.listdir(address.transport.root)
    except OSError:
        files = []
    names = {
        file
        for file in files
        if file.startswith(address.control) and len(file) == 29 and file.isalnum()
    }
    names |= _recorded_frames(address)
    stay = [frames for frames in names if not unlink(address, frames)]
    return not stay


def _recorded_frames(address: Address) -> set[str]:
    try:
        segment = address.transport.open(address.control, writable=True)
    except OSError:
        return set()
    mark_closed(segment)
    if segment.size < _layout.CONTROL_SIZE:
        return set()
    words = Memory(segment.buf).words
    instance = words[_layout.INSTANCE_WORD]
    ids = {words[_layout.NEXT_WORD]}
    for start in _layout.TABLE_WORDS:
        ids |= {words[start], words[start + 4]}
    del words
    segment.close()
    return {
        address.frames(instance, segment_id)
        for segment_id in ids - {0}
        if segment_id <= _layout.MAX_SEGMENT
    }
