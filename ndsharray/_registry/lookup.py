"""What the name of an array stands for: the one place that opens and judges a control segment.

It changes nothing, and it trusts what it reads no further than `State` says. Not here: what a
caller does about it (a reader: ``finder``; a writer: ``takeover``; a sweep: ``cleanup``).
"""

from __future__ import annotations

import copy
import os
import re
import sys
from enum import Enum
from typing import Literal, NamedTuple

from .._protocol import format
from .._protocol.format import ControlHeader
from .._protocol.memory import Fences, Memory, make_fences
from .._protocol.seqlock import is_ready
from .._system import clock, lockfile
from .._system.held import is_held
from ..backends.base import Segment, Transport
from ..errors import FormatError, WriterExistsError
from .names import Address, address_of, parse_locks

__all__ = [
    "Found",
    "State",
    "WriterState",
    "arrays",
    "controls",
    "living",
    "look",
    "writer_exists",
    "writer_state",
]

WriterState = Literal["absent", "live", "killed", "closed"]

_CONTROL = re.compile("nd[0-9a-f]{16}")  # as `base.control_name` makes them


class State(Enum):
    """What a control segment is; each member excludes those before it."""

    MISSING = "no segment has the name, or it is being made"
    UNREADABLE = "the segment cannot be opened"
    UNFINISHED = "its writer has not finished it, or was killed before"
    FOREIGN = "it belongs to another format version"
    DAMAGED = "it is not a control segment of this array"
    OTHER_BOOT = "it was written before the system started"
    CLOSED = "its writer has closed the array"
    LIVE = "a writer uses it, or was killed"


class Found(NamedTuple):  # `dataclasses` takes longer to import than the rest of the room
    """What stands under an array's name.

    It keeps the segment mapped: a caller that removes the name drops it first (Windows).

    Attributes
    ----------
    state : State
        What it is.
    segment : Segment or None
        The segment; None: it could not be opened.
    memory : Memory or None
        Its bytes.
    header : ControlHeader or None
        Its static part, for `OTHER_BOOT`, `CLOSED` and `LIVE`.
    error : FormatError or OSError or None
        What is wrong: an OSError for `UNREADABLE`, a FormatError for `FOREIGN` and `DAMAGED`. It
        has no traceback.
    """

    state: State
    segment: Segment | None = None
    memory: Memory | None = None
    header: ControlHeader | None = None
    error: FormatError | OSError | None = None

    def word(self, index: int) -> int:
        """Return a word of the segment, whatever its state; 0 if it has no such word."""
        if self.memory is None or len(self.memory.bytes) < format.CONTROL_SIZE:
            return 0
        return int(self.memory.words[index])

    def is_there(self, address: Address) -> bool:
        """Tell whether it is an array that can be read; memory of another boot is none."""
        # Where the system has no boot id, a clock that was set looks like another boot.
        return self.header is not None and (
            self.state is not State.OTHER_BOOT
            or (not clock.is_sure(self.header.boot) and lockfile.may_be_held(address.writer_lock()))
        )

    def frame_names(self, address: Address) -> set[str]:
        """Return the names of the frame segments on record; they need not exist."""
        ids = {self.word(format.NEXT_WORD)}
        for start in format.TABLE_WORDS:
            ids |= {self.word(start), self.word(start + 4)}
        instance = self.word(format.INSTANCE_WORD)
        return {address.frames(instance, id_) for id_ in ids if 0 < id_ <= format.MAX_SEGMENT}

    def problem(self) -> Exception:
        """Return a copy of `error`, to be raised.

        The traceback of `error` itself would close a circle through the frame that holds this
        object, and the memory would stay mapped until the garbage collector runs.
        """
        return copy.copy(self.error) or AssertionError(self.state)


def look(address: Address, *, writable: bool = False, fences: Fences | None = None) -> Found:
    """Open an array's control segment and judge it.

    Parameters
    ----------
    address : Address
        The array's; without its name, a segment of any name will do.
    writable : bool
        Whether the caller is going to store there.
    fences : Fences, optional
        Those of the caller, if it has some.
    """
    try:
        segment = address.transport.open(address.control_name, writable=writable)
    except FileNotFoundError:
        return Found(State.MISSING)
    except OSError as error:
        return Found(State.UNREADABLE, error=copy.copy(error))  # without a traceback
    memory = Memory(segment.buf)
    if segment.size >= format.CONTROL_SIZE and not is_ready(memory, fences or make_fences()):
        return Found(State.UNFINISHED, segment, memory)
    try:
        version = format.load_version(memory)
        if version != format.FORMAT_VERSION:
            return Found(State.FOREIGN, segment, memory, error=format.foreign_version(version))
        header = format.load_header(memory, address.name or None)
    except FormatError as error:
        return Found(State.DAMAGED, segment, memory, error=copy.copy(error))
    if not clock.same_boot(header.boot, header.clock_ns, header.wall_ns):
        return Found(State.OTHER_BOOT, segment, memory, header)
    closed = memory.words[format.STATE_WORD] == format.CLOSED
    return Found(State.CLOSED if closed else State.LIVE, segment, memory, header)


def writer_state(address: Address, control: Memory | None = None) -> WriterState:
    """Return what has become of an array's writer.

    Parameters
    ----------
    address : Address
        The array's.
    control : Memory, optional
        The control segment that a reader follows.
    """
    if control is not None and control.words[format.STATE_WORD] != format.CLOSED:
        state = living(address, control)
        if state != "closed":
            return state
    # A closed array, or none: perhaps another one has the name.
    found = look(address)
    if found.memory is not None and found.state is not State.CLOSED and found.is_there(address):
        return living(address, found.memory)
    return "absent" if control is None and found.state is not State.CLOSED else "closed"


def living(address: Address, control: Memory) -> Literal["live", "killed", "closed"]:
    """Return the state of a writer that had not closed the array a moment ago."""
    if is_held(address.writer_lock()):
        return "live"
    # Once more: a writer that closes the array stores that before it unlocks.
    # guard: state-after-the-lock-file
    return "closed" if control.words[format.STATE_WORD] == format.CLOSED else "killed"


def controls(transport: Transport) -> list[str]:
    """Return the names of the control segments that there may be under a root.

    A transport that keeps its segments elsewhere than in the root has lock files there. A segment
    in the root that only another transport has lock files for is that one's.

    Raises
    ------
    OSError
        If the root cannot be listed.
    """
    files = os.listdir(transport.root)
    lock_files = parse_locks(files)
    own = {control for control, name, _ in lock_files if name == transport.name}
    others = {control for control, _, _ in lock_files} - own
    return sorted(own | {file for file in files if _CONTROL.fullmatch(file)} - others)


def arrays(transport: Transport) -> list[Address]:
    """Return the addresses of the arrays that can be seen, by name; those of killed writers too."""
    try:
        found = [Address(transport, "", control) for control in controls(transport)]
    except OSError:
        return []
    named = [with_name(address, look(address)) for address in found]
    return sorted((address for address in named if address.name), key=lambda a: a.name)


def with_name(address: Address, found: Found) -> Address:
    """Return an address with the array's name, if that is there to be read; else as it is.

    A digest of the name is the segment's name: so one that fits is right, whatever is damaged.
    """
    length = min(found.word(format.NAME_LENGTH_WORD), format.MAX_NAME)
    if found.memory is not None and length:
        text = found.memory.group(format.NAME_BYTE, format.NAME_BYTE + length).tobytes()
        named = address_of(address.transport, text.decode("utf8", "replace"))
        if named.control_name == address.control_name:
            return named
    return address


def writer_exists(address: Address) -> WriterExistsError:
    """Return the error for an array whose writer's lock file another process holds."""
    pid = look(address).word(format.PID_WORD)
    return WriterExistsError(address.name, pid, ended=_has_ended(pid))


def _has_ended(pid: int) -> bool:
    """Tell whether a process has ended, as far as it can be seen from this PID namespace."""
    if pid == 0 or sys.platform == "win32":
        return False
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat", "rb") as file:  # a zombie can be signalled
            return file.read().rpartition(b")")[2].split()[0] == b"Z"
    except ProcessLookupError:
        return True
    except (OSError, LookupError):
        return False
