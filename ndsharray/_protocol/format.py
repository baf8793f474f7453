"""Format v1: where the bytes are. The specification is ``docs/format.md``; a test compares the two.

What may live here: offsets, encoding, decoding, checks. Not here: the order of accesses
(``seqlock``), names and files (``backends``), who may write (``holding``), what a ``.npy`` record
holds (``layout``, ``npy``).

A *word* is 8 bytes, 8-byte aligned, in native byte order. Byte offsets of the fields (a word each,
if no size is given)::

    control segment     0 magic      8 version   16 ready   24 instance   32 boot id (16 bytes)
    (4096 bytes,       48 clock     56 wall      64 name length   72 name (256 bytes)
    one per array)    384 table 0  448 table 1  512 next
                      576 state    584 last frame   592 pid   600 taken   640 newest
                      768 waiting (62 bytes)   832 pins (62 x 4 bytes)   1152 owners (62 words)
    table               0 segment    8 slots     16 stride  24 before     32 previous
    slot                0 seq        8 frame     16 time    24 header length
    (at i * stride)    32 payload length         40 uuid (16 bytes)   56 stamp   64 .npy record

*Newest* is ``2 * position + table index``; the writer changes only the table that newest does not
name. Newest has cache lines of its own, also of 128 bytes.
"""

from __future__ import annotations

from typing import NamedTuple

from ..errors import FormatError
from .memory import Memory
from .npy import MAX_HEADER

__all__ = [
    "CLOSED",
    "CONTROL_SIZE",
    "ENTRIES",
    "FORMAT_VERSION",
    "LIVE",
    "MAX_POSITION",
    "MAX_SEGMENT",
    "MAX_SLOTS",
    "MIN_SLOTS",
    "OWNERS_WORD",
    "PINS_PER_ENTRY",
    "ControlHeader",
    "Table",
    "foreign_version",
    "load_header",
    "load_table",
    "load_version",
    "store_control",
    "store_table",
    "stride_for",
]

CONTROL_SIZE = 4096
FORMAT_VERSION = 1
MAGIC = int.from_bytes(b"\x93NDSHARR", "little")
LIVE, CLOSED = 1, 2

MIN_SLOTS, MAX_SLOTS = 2, 250
ENTRIES, PINS_PER_ENTRY = 62, 4
MAX_SEGMENT = 2**25 - 1  # what five base-32 digits of a segment's name can tell apart
MAX_POSITION = 2**62  # newest stays below 2**63
MAX_ADOPTED = MAX_POSITION - 2**32  # the largest position and frame number that a successor accepts

# Word indices in the control segment.
MAGIC_WORD, VERSION_WORD, READY_WORD, INSTANCE_WORD = 0, 1, 2, 3
CLOCK_WORD, WALL_WORD, NAME_LENGTH_WORD = 6, 7, 8
TABLE_WORDS = (48, 56)
NEXT_WORD = 64
STATE_WORD, LAST_FRAME_WORD, PID_WORD, TAKEN_WORD = 72, 73, 74, 75
NEWEST_WORD = 80
NEWEST_BYTES = (640, 648)
OWNERS_WORD = 144
# Byte offsets in the control segment.
BOOT_BYTE, NAME_BYTE, MAX_NAME = 32, 72, 255
WAITING_BYTE, PINS_BYTE = 768, 832
PINS_END = PINS_BYTE + ENTRIES * PINS_PER_ENTRY

# Word indices in a slot, and where its .npy record begins.
SEQ_WORD, FRAME_WORD, TIME_WORD, HEADER_WORD, PAYLOAD_WORD, UUID_WORD = 0, 1, 2, 3, 4, 5
STAMP_WORD = 7
RECORD_BYTE = 64

_STRIDE_STEP = 128  # the longest cache line in use (Apple silicon): slots never share one
_HEADER_ROOM = 192  # so that a change of shape seldom fails to fit for its header alone


class ControlHeader(NamedTuple):
    """The static part of a control segment."""

    instance: int
    boot: bytes
    clock_ns: int
    wall_ns: int
    name: str


class Table(NamedTuple):
    """Where the frames are. All zero: nowhere yet."""

    segment: int
    slots: int
    stride: int
    before: int
    previous: int

    @property
    def size(self) -> int:
        """Bytes that the frame segment has at least."""
        return self.slots * self.stride


NO_TABLE = Table(0, 0, 0, 0, 0)


def stride_for(header: int, payload: int) -> int:
    """Return the slot stride in bytes that holds a header and a payload of these lengths."""
    needed = RECORD_BYTE + max(header, _HEADER_ROOM) + payload
    return -(-needed // _STRIDE_STEP) * _STRIDE_STEP


def check_slot_sizes(header: int, payload: int, stride: int) -> None:
    """Raise FormatError unless a header and a payload of these lengths lie inside one slot."""
    if not (64 <= header <= MAX_HEADER and header % 64 == 0 and header <= stride - RECORD_BYTE):
        raise FormatError("length of the .npy header", f"{header} in a slot of {stride} bytes")
    if payload > stride - RECORD_BYTE - header:
        raise FormatError("payload bytes", f"{payload} in a slot of {stride} bytes")


def store_control(memory: Memory, control: ControlHeader) -> None:
    """Write a control segment afresh, all but its ready word, which is left 0."""
    words = memory.words
    for index in range(CONTROL_SIZE // 8):
        words[index] = 0
    name = control.name.encode("utf8")
    memory.bytes[NAME_BYTE : NAME_BYTE + len(name)] = name
    memory.bytes[BOOT_BYTE : BOOT_BYTE + 16] = control.boot
    words[NAME_LENGTH_WORD] = len(name)
    words[CLOCK_WORD] = control.clock_ns
    words[WALL_WORD] = control.wall_ns
    words[INSTANCE_WORD] = control.instance
    words[STATE_WORD] = LIVE
    words[VERSION_WORD] = FORMAT_VERSION
    words[MAGIC_WORD] = MAGIC


def load_version(memory: Memory) -> int:
    """Return the format version of a control segment that is ready.

    Raises
    ------
    FormatError
        If it is no control segment of any version.
    """
    words = memory.words
    if len(memory.bytes) < CONTROL_SIZE:
        raise FormatError("size", f"{len(memory.bytes)} bytes, a control segment has 4096")
    if words[MAGIC_WORD] != MAGIC:
        raise FormatError("magic", f"{words[MAGIC_WORD]:#018x} is not {MAGIC:#018x}")
    return int(words[VERSION_WORD])


def foreign_version(version: int) -> FormatError:
    """Return the error for a control segment of a version that is not ours."""
    return FormatError("format version", f"{version} there, this library knows {FORMAT_VERSION}")


def load_header(memory: Memory, name: str | None = None) -> ControlHeader:
    """Return the static part of a control segment of our version, checked.

    Raises
    ------
    FormatError
        Naming the first field that does not fit.
    """
    words = memory.words
    length = words[NAME_LENGTH_WORD]
    if not 1 <= length <= MAX_NAME:
        raise FormatError("length of the name", f"{length}")
    try:
        found = memory.group(NAME_BYTE, NAME_BYTE + length).tobytes().decode("utf8")
    except UnicodeDecodeError as error:
        raise FormatError("name", str(error)) from None
    if name is not None and found != name:
        raise FormatError("name", f"{found!r}, not {name!r}")
    if words[INSTANCE_WORD] == 0:
        raise FormatError("instance id", "0")
    if words[STATE_WORD] not in (LIVE, CLOSED):
        raise FormatError("state", f"{words[STATE_WORD]}")
    boot = memory.group(BOOT_BYTE, BOOT_BYTE + 16).tobytes()
    return ControlHeader(words[INSTANCE_WORD], boot, words[CLOCK_WORD], words[WALL_WORD], found)


def store_table(memory: Memory, table_index: int, table: Table) -> None:
    """Store one of the two tables (never the one that newest names)."""
    for index, value in enumerate(table, TABLE_WORDS[table_index]):
        memory.words[index] = value


def load_table(memory: Memory, table_index: int) -> Table:
    """Return one of the two tables, unchecked: the caller makes sure that it was stable."""
    start = TABLE_WORDS[table_index]
    return Table(*(memory.words[index] for index in range(start, start + 5)))


def check_table(table: Table) -> None:
    """Raise FormatError unless a table that newest names can be true."""
    if not 1 <= table.segment <= MAX_SEGMENT:
        raise FormatError("segment id", f"{table.segment}")
    if not MIN_SLOTS <= table.slots <= MAX_SLOTS:
        raise FormatError("number of slots", f"{table.slots}")
    if table.stride % _STRIDE_STEP or not _STRIDE_STEP <= table.stride < 2**56:
        raise FormatError("slot stride", f"{table.stride}")
    if table.previous > MAX_SEGMENT:
        raise FormatError("previous", f"{table.previous}")


def check_newest(word: int) -> int:
    """Return the position that a newest word names; raise FormatError if it is impossible."""
    position = word >> 1
    if position > MAX_POSITION:
        raise FormatError("newest", f"position {position}")
    return position
