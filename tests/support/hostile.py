"""Damage: near-valid headers, scribbled words, and frames that show whether they are whole.

Run as a program it is one of the processes of `test_scribbled_memory`: ``hostile.py TASK key=value
...``. A task prints one line of JSON; whatever it did not expect ends it with a traceback.
"""

from __future__ import annotations

import io
import json
import logging
import math
import os
import random
import re
import sys
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ndsharray import FormatError, NdShArray, NdShArrayError
from ndsharray._protocol import format
from ndsharray._protocol.layout import Layout, decode_layout
from ndsharray._protocol.memory import Memory
from ndsharray._reader import delivery
from ndsharray._registry.names import address_of
from ndsharray.backends import resolve

# --- Frames that show whether they are whole -----------------------------------------------------

# Two pairs differ in dtype or shape alone: a mix-up of layouts shows.
LAYOUTS: list[tuple[Any, tuple[int, ...]]] = [
    ("|u1", (40,)),
    ("<f4", (5, 7)),
    ("<i4", (5, 7)),
    ([("id", "<u8"), ("x", "<f4", (3,))], (2,)),
    ("<u8", ()),
    (">u2", (3, 4, 2)),
    (">u2", (2, 4, 3)),
    ("<c16", (90,)),
    ("|V16", (3,)),
]
_TAG = 0xA55A << 48  # no seq, number or length looks like this
_NOISE = random.Random(1).randbytes(1 << 16)


def frame_of(number: int) -> np.ndarray:
    """Return the frame that the test's writers write as number `number`."""
    descr, shape = LAYOUTS[number % len(LAYOUTS)]
    dtype = np.dtype(descr)
    start = number * 61 % 60_000
    noise = _NOISE[start : start + dtype.itemsize * math.prod(shape) - 8]
    return np.frombuffer((_TAG + number).to_bytes(8, "little") + noise, dtype).reshape(shape)


def number_of(array: np.ndarray) -> int:
    return int.from_bytes(array.tobytes()[:8], "little") - _TAG


def is_whole(array: np.ndarray) -> bool:
    """Tell whether it is, in dtype, shape and every byte, a frame that the writers write."""
    number = number_of(array)
    if not 0 < number < 2**40:
        return False
    frame = frame_of(number)
    same = array.dtype == frame.dtype and array.shape == frame.shape
    return same and array.tobytes() == frame.tobytes()


# --- Scribbling ----------------------------------------------------------------------------------

EXTREME = [
    *(0, 1, 2, 3, 64, 127, 128, 192, 250, 251, 2**20, 2**25 - 2, 2**25 - 1, 2**31, 2**32 - 1),
    *(2**32, 2**55, 2**56, 2**62, 2**62 + 1, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1),
]
STATIC = list(range(42))
MOVING = [*range(48, 53), *range(56, 61), 64, 72, 73, 74, 75, 80, 80, 80]
MARKS = list(range(format.WAITING_BYTE // 8, format.PINS_END // 8))
WAITING = MARKS[:8]
# Mostly what is looked at after the first check.
OWNERS = list(range(144, 206))
PAGE = [*MOVING * 8, *MARKS, *OWNERS, *STATIC, *range(208, 512, 20)]
LIES = (format.SEQ_WORD, format.UUID_WORD, format.UUID_WORD + 1)
NO_LIES = (
    format.FRAME_WORD,
    format.TIME_WORD,
    format.STAMP_WORD,
    *[format.HEADER_WORD, format.PAYLOAD_WORD] * 3,
)


def scribble(chance: random.Random, words: Any, spots: Sequence[int]) -> None:
    """Damage one word of `spots`, or swap two."""
    at, kind = chance.choice(spots), chance.randrange(7)
    value = words[at]
    if kind == 0:
        value ^= 1 << chance.randrange(64)
    elif kind == 1:
        shift = 8 * chance.randrange(8)
        value = value & ~(255 << shift) | chance.randrange(256) << shift
    elif kind == 2:
        value = chance.getrandbits(64)
    elif kind == 3:
        value = chance.choice(EXTREME)
    elif kind == 4:
        value += chance.choice((-128, -64, -2, -1, 1, 2, 64, 128))
    elif kind == 5:
        other = chance.choice(spots)
        value, words[other] = words[other], value
    else:
        value = value * 2 if chance.random() < 0.5 else value // 2
    words[at] = value % 2**64


def slot_spots(table: Any, kinds: Sequence[int]) -> list[int]:
    """Return the indices of words of those kinds in all slots."""
    return [slot * table.stride // 8 + kind for slot in range(table.slots) for kind in kinds]


# --- Headers -------------------------------------------------------------------------------------

TYPES = [
    *("|u1", "<f4", ">i8", "<c16", "|b1", "<f2", "|V7", "<M8[ns]", "<m8[7D]", "<f8", "=i4", "i4"),
    *("|O", "O8", "|S5", "<U4", "|S0", "|V0", "<f3", "|V-1", "<U99999999999", "|V2147483647"),
    *("f4,i4", "(2,)i4", "2i4", "i4,", ",", "b," * 40, "<M8[25s/5]", "<m8[999999999999s]", "a4"),
    *("", " ", "T", "\x00", "f4\x00", "é", "中", "int", "object", "float64", "np.f4", "<f4 ", "?"),
    *("<g", "g", "G", "l", "P", "|V9223372036854775807", "<M8", "M8[generic]", "m8[Y/12]"),
]
NAMES = [
    *("a", "b", "c", "a", "", " ", "é", "中", "it's", 'say "x"', "a\\d", "a\nb", "x\x00y"),
    *("f0", "\U0001f600", "n" * 300, "('a'", "#", "\ud7ff"),
]
DIMENSIONS = [
    *(0, 1, 2, 3, 5, 7, 0, 1, 2, 3, 2**31, 2**32, 2**62, 2**63 - 1, 2**63, 2**64, 10**30, -1),
    *(True, "3", 1.5, None, (), [2], 2j),
]
JUNK: list[Any] = [None, True, 5, -1, [], {}, (), ("<f4",), ("a", "<f4"), b"<f4", {"a": 1}, 1e9]
TEXTS = [  # whole descriptions that are no repr of anything
    *(
        "f'{1+1+1}'",
        "b'<f4'",
        "r'<f4'",
        "'<f4' '<f4'",
        "'''<f4'''",
        "'\\d'",
        "'\\777'",
        "'\\x3cf4'",
    ),
    *(
        "1if 1else 2",
        "{}" * 5,
        "'<f4'[0]",
        "'<f4'()",
        "()()",
        "lambda: 0",
        "[x for x in y]",
        "....",
    ),
    *("0x10", "0o7", "1_0", "1e400", "1j", "'", '"', "'\\", "# ", "\x0c", "\\\n", "\t", "١"),
    *("'\\N{BULLET}'", "u'<f4'", "rb''", "None", "nan", "-0", "~1", "not 1", "*()", "**{}", "`"),
]


def random_shape(chance: random.Random) -> Any:
    kind = chance.random()
    if kind < 0.6:
        return tuple(chance.choice(DIMENSIONS[:10]) for _ in range(chance.randrange(4)))
    if kind < 0.9:
        return tuple(chance.choice(DIMENSIONS) for _ in range(chance.randrange(6)))
    if kind < 0.95:
        return (chance.choice((0, 1)),) * chance.choice((31, 32, 33, 63, 64, 65, 300))
    return chance.choice(JUNK)


def random_descr(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.random()
    if kind < 0.55 or depth > 4:
        return chance.choice(TYPES[:12] if chance.random() < 0.7 else TYPES)
    if kind < 0.85:
        return [_random_field(chance, depth) for _ in range(chance.randrange(4))]
    if kind < 0.93:
        return (random_descr(chance, depth + 1), random_shape(chance))
    if kind < 0.96:
        deep: Any = "<f4"
        for _ in range(chance.choice((3, 30, 60, 95, 120, 300))):
            deep = [("a", deep)]
        return deep
    return chance.choice(JUNK)


def _random_field(chance: random.Random, depth: int) -> Any:
    name: Any = chance.choice(NAMES)
    if chance.random() < 0.15:
        name = (chance.choice(NAMES), name)
    field = (name, random_descr(chance, depth + 1))
    return (*field, random_shape(chance)) if chance.random() < 0.3 else field


def random_text(chance: random.Random) -> str:
    """Return a near-valid description of a dtype and a shape."""
    descr, shape = repr(random_descr(chance)), repr(random_shape(chance))
    if chance.random() < 0.1:
        descr = chance.choice(TEXTS)
    if chance.random() < 0.05:
        shape = f"({chance.choice(TEXTS)},)"
    order = "False" if chance.random() < 0.95 else chance.choice(("True", "0", "None", "'C'", "[]"))
    pairs = [f"'descr': {descr}", f"'fortran_order': {order}", f"'shape': {shape}"]
    if chance.random() < 0.05:
        pairs.insert(chance.randrange(4), chance.choice([*pairs, "'x': 1", "1", "**{}"]))
    if chance.random() < 0.03:
        pairs.pop()
    return "{" + ", ".join(pairs) + ", }"


def as_header(text: bytes, major: int = 1, length: int = 0) -> bytes:
    """Return a header around a text, padded; its length field is off by `length`."""
    prefix = 10 if major == 1 else 12
    padded = -(-(prefix + len(text) + 1) // 64) * 64
    told = max(0, padded - prefix + length) % (1 << (16 if major == 1 else 32))
    field = told.to_bytes(2 if major == 1 else 4, "little")
    return b"\x93NUMPY" + bytes((major, 0)) + field + text.ljust(padded - prefix - 1) + b"\n"


def random_header(chance: random.Random) -> bytes:
    text = random_text(chance)
    major = chance.choice((1, 1, 1, 2, 3)) if chance.random() < 0.98 else chance.choice((0, 4, 255))
    encoded = text.encode("utf8" if major == 3 else "latin1", "backslashreplace")
    header = as_header(encoded, major, 0 if chance.random() < 0.98 else chance.choice((-1, 1, 99)))
    if chance.random() < 0.4:
        header = damaged(chance, header)
    return header


def damaged(chance: random.Random, header: bytes) -> bytes:
    """Return a header with some bytes of another value, moved or gone; mostly inside its text."""
    found = bytearray(header)
    end = max(12, len(header.rstrip()))
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(10 if chance.random() < 0.95 else 0, end) % len(found)
        kind = chance.randrange(5)
        if kind == 0:
            found[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            found[at] = chance.choice(b"0123456789'\"\\(){}[],: <>|+-*.#lLfFbBrRuUxN\0\n\xff")
        elif kind == 2:
            other = chance.randrange(10, end) % len(found)
            found[at], found[other] = found[other], found[at]
        elif kind == 3:  # one less, and a space at the end, so that the length stays
            del found[at]
            found.insert(len(found) - 1, 32)
        else:
            part = found[at : at + chance.randrange(1, 9)]
            found[at : at + len(part)] = part[::-1]
    return bytes(found[: chance.randrange(len(found))] if chance.random() < 0.01 else found)


_TOLD = re.compile(r"describes (\d+) bytes")


def judge(header: bytes, payload: int = 0) -> bool:
    """Decode a header, with the payload that it describes; return whether it was accepted.

    FormatError is the only error there may be; what is accepted is what numpy reads in it.
    """
    for _ in range(2):
        try:
            layout = decode_layout(bytes(16), header, payload)
        except FormatError as error:
            if "Unable to allocate" in str(error):
                raise
            told = _TOLD.search(str(error))
            if told is None:
                return False
            payload = int(told[1])  # past the last check
        else:
            _agree_with_numpy(layout, header, payload)
            return True
    return False


def _agree_with_numpy(layout: Layout, header: bytes, payload: int) -> None:
    dtype = layout.dtype
    assert layout.nbytes == payload == dtype.itemsize * math.prod(layout.shape)
    assert dtype.itemsize > 0
    assert not dtype.hasobject
    for field, offset, *_ in (dtype.fields or {}).values():
        assert 0 <= offset <= offset + field.itemsize <= dtype.itemsize, dtype
    if header[6] < 3 and len(header) < 10_000:  # numpy's public functions go so far
        form = np.lib.format
        read = form.read_array_header_1_0 if header[6] == 1 else form.read_array_header_2_0
        assert read(io.BytesIO(header[8:])) == (layout.shape, False, dtype)


# --- What a call may cost ------------------------------------------------------------------------


def peak() -> int:
    """Return the most address space that this process ever had, in bytes; 0: not known here."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return int(re.search(r"VmPeak:\s+(\d+)", status)[1]) * 1024  # type: ignore[index]


class Watch:
    """The longest call."""

    def __init__(self) -> None:
        self.longest = 0.0

    def __call__(self, act: Callable[..., Any], *args: Any, allowed: float = 0.0) -> Any:
        start = time.perf_counter()
        try:
            return act(*args)
        finally:
            self.longest = max(self.longest, time.perf_counter() - start - allowed)


def collect_warnings() -> list[str]:
    """Have all warnings put into a list from now on."""
    found: list[str] = []
    warnings.simplefilter("always")
    warnings.showwarning = lambda message, *_args, **_more: found.append(repr(message))
    return found


# --- Tasks ---------------------------------------------------------------------------------------


def decode(seed: str, times: str) -> dict[str, Any]:
    """Decode random headers."""
    chance, found, watch = random.Random(int(seed)), collect_warnings(), Watch()
    for _ in range(200):
        judge(random_header(chance))
    before, accepted, start = peak(), 0, time.perf_counter()
    for count in range(int(times)):
        header = random_header(chance)
        try:
            accepted += watch(judge, header)
        except BaseException:
            print(f"header {count}: {header!r}", file=sys.stderr)
            raise
        assert not found, (found, header)
    seconds = time.perf_counter() - start
    return {
        "accepted": accepted,
        "longest": watch.longest,
        "memory": peak() - before,
        "rate": int(times) / seconds,
    }


def large() -> dict[str, Any]:
    """Decode one header, told in hexadecimal."""
    header, watch = bytes.fromhex(sys.stdin.readline()), Watch()
    judge(as_header(b"{'descr': '<f4', 'fortran_order': False, 'shape': ()}"))  # imports
    before = peak()
    watch(judge, header)
    return {"longest": watch.longest, "memory": peak() - before}


class Quiet:
    """A live array in this process whose memory is damaged before each look at it."""

    def __init__(self, name: str, transport: str, chance: random.Random) -> None:
        self.name, self.transport, self.chance = name, transport, chance
        self.number = 0
        self.writer = self._new_writer()
        self.old = [self.reader() for _ in range(3)]
        self.buffer = frame_of(1).copy()
        self.outcomes: dict[str, dict[str, int]] = {}
        self.watch = Watch()

    def _new_writer(self) -> Any:
        return NdShArray(self.name, r_w="w", transport=self.transport)

    def reader(self) -> NdShArray:
        return NdShArray(self.name, r_w="r", transport=self.transport)

    def restart(self) -> None:
        self.writer.close()
        self.writer = self._new_writer()

    def close(self) -> None:
        for each in (*self.old, self.writer):
            each.close()

    def round(self, target: str) -> None:
        """Write a frame, damage something, look, and repair it."""
        self.number += 1
        self.writer.write(frame_of(self.number))
        writer = self.writer._writer
        control, frames = writer._holding.control.memory, writer._holding.segment._memory
        page, slots = control.bytes.tobytes(), frames.bytes.tobytes()
        try:
            self._damage(target, control, frames, writer._holding.segment.table)
            outcome = self._look(target, frames, writer._holding.segment)
        finally:
            control.bytes[:] = page
            frames.bytes[:] = slots
        counts = self.outcomes.setdefault(target, {})
        counts[outcome] = counts.get(outcome, 0) + 1

    def _damage(self, target: str, control: Memory, frames: Memory, table: Any) -> None:
        chance = self.chance
        if target == "header":
            self._damage_header(frames, table)
            return
        words, spots = control.words, PAGE
        if target == "slot":
            words, spots = frames.words, slot_spots(table, NO_LIES)
        elif target == "lie":
            words, spots = frames.words, slot_spots(table, (*LIES, *NO_LIES))
        for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
            scribble(chance, words, spots)

    def _damage_header(self, frames: Memory, table: Any) -> None:
        """Give the newest slot another header, mostly one whose length the slot tells."""
        chance = self.chance
        at = self.writer._writer.newest_frame[0] // 2 % table.slots * table.stride
        words, record = frames.words, at + format.RECORD_BYTE
        length = words[at // 8 + format.HEADER_WORD]
        header = frames.bytes[record : record + length].tobytes()
        kind = chance.random()
        if kind < 0.4:
            header = damaged(chance, header)
        elif kind < 0.6:  # consistent, and perhaps longer than the slot
            shape = (chance.randrange(2 * table.stride),)
            text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}"
            header = as_header(text.encode())
            words[at // 8 + format.HEADER_WORD] = len(header)
        else:
            header = random_header(chance)[: table.stride - format.RECORD_BYTE]
            words[at // 8 + format.HEADER_WORD] = len(header)
        frames.bytes[record : record + len(header)] = header
        if chance.random() < 0.7:  # and a payload length that fits, if there is one
            told = re.search(r"describes (\d+) bytes", _told(header))
            if told and int(told[1]) < 2**64:
                words[at // 8 + format.PAYLOAD_WORD] = int(told[1])

    def _look(self, target: str, frames: Memory, owner: Any) -> str:
        """Read in one of all ways; return what came of it."""
        # What a long-lived reader knows by its uuid it does not decode again; so where uuid or
        # header lies, only a newcomer says what stands there now.
        fresh = target in ("header", "lie") or self.chance.random() < 0.4
        reader = self.watch(self.reader) if fresh else self.chance.choice(self.old)
        try:
            found = self.watch(self._read, reader)
        except NdShArrayError:
            return "error"
        except ValueError as error:
            if not str(error).startswith("out is "):
                raise
            return "error"
        finally:
            if fresh:
                self.watch(reader.close)
        for array in found:
            if target == "header":
                assert _is_from(array, frames, owner.table), array.dtype
            else:
                assert is_whole(array), (array.dtype, array.shape, array.tobytes())
        return "frame" if found else "nothing"

    def _read(self, reader: NdShArray) -> list[np.ndarray]:
        how = self.chance.randrange(8)
        if how == 0:
            return [frame for frame, _ in zip(reader.frames(0.0), range(9))]
        if how == 1:
            frames = reader.frames(0.0, copy=False)
            return [frame.copy() for frame, _ in zip(frames, range(9))]
        if how == 2:
            reader.is_valid  # the library's errors do not come out of it
        if how == 3:
            valid, frame = reader.read(out=self.buffer)
            return [frame.copy()] if valid else []
        if how == 4:
            valid, frame = reader.read(copy=False)
            return [frame.copy()] if valid else []
        valid, frame = reader.read(timeout=0.001 if how == 5 else 0.0)
        assert isinstance(reader.read_time_ms, float)
        assert reader.missed >= 0 <= reader.frame_id
        return [frame] if valid else []


def _told(header: bytes) -> str:
    try:
        decode_layout(bytes(16), header, 2**64)
    except FormatError as error:
        return str(error)
    return ""


def _is_from(array: np.ndarray, frames: Memory, table: Any) -> bool:
    """Tell whether an array holds what stands behind the header of one of the slots."""
    data = _without_gaps(array)
    for at in range(0, table.size, table.stride):
        start = at + format.RECORD_BYTE + frames.words[at // 8 + format.HEADER_WORD]
        inside = start + len(data) <= at + table.stride
        if inside:
            there = frames.bytes[start : start + len(data)].tobytes()
            if _without_gaps(np.frombuffer(there, array.dtype).reshape(array.shape)) == data:
                return True
    return False


def _without_gaps(array: np.ndarray) -> bytes:
    """Return the bytes, with zeros between the fields, where numpy copies nothing."""
    result = np.zeros(array.shape, array.dtype)
    result[...] = array
    return result.tobytes()


def quiet(name: str, transport: str, seed: str, times: str, targets: str) -> dict[str, Any]:
    """Damage a live array in this process, and look at it."""
    found = collect_warnings()
    array = Quiet(name, transport, random.Random(int(seed)))
    kinds = targets.split(",")
    for target in kinds * 60:
        array.round(target)
    array.outcomes.clear()
    before, start = peak(), time.perf_counter()
    for count in range(int(times)):
        try:
            array.round(kinds[count % len(kinds)])
        except BaseException:
            print(f"round {count}", file=sys.stderr)
            raise
        if count % 1000 == 999:
            array.restart()
        assert not found, found
    rate = int(times) / (time.perf_counter() - start)
    memory = peak() - before
    array.number += 1  # healed: all are back where they were
    array.writer.write(frame_of(array.number))
    for reader in (array.reader(), *array.old):
        valid, frame = reader.read(timeout=5.0)
        assert valid
        if targets == "page":
            assert frame.tobytes() == frame_of(array.number).tobytes()
        reader.close()
    array.close()
    return {
        "outcomes": array.outcomes,
        "longest": array.watch.longest,
        "memory": memory,
        "rate": rate,
    }


def _told_to_stop() -> list[str]:
    """Return a list that is filled once a line comes in."""
    lines: list[str] = []
    threading.Thread(target=lambda: lines.append(sys.stdin.readline()), daemon=True).start()
    return lines


def begin() -> None:
    print("begin", flush=True)


def write(name: str, transport: str, each: str, look: str = "") -> dict[str, Any]:
    """Write frames, `each` by one writer and then by another one; perhaps look at them.

    A line that comes in says how many more there shall be.
    """
    watch, segments, slots, number, writers = Watch(), 0, 0, 0, 0
    lines: list[str] | None = None
    before, end = 0, math.inf
    while number < end:
        with NdShArray(name, r_w="w", transport=transport) as array:
            writers += 1
            writer: Any = array._writer
            while number < min(end, writers * int(each)):
                before_it = _newest_of(writer)
                number += 1
                watch(array.write, frame_of(number))
                if look:  # where nobody scribbles on the frames themselves
                    _check_own(writer, number)
                    assert before_it[1] is not writer._holding.segment or _stands(
                        *before_it, number - 1
                    )
                if lines is None and number == 2 * len(LAYOUTS):
                    begin()
                    lines, before = _told_to_stop(), peak()
                if lines and end == math.inf:
                    end = number + int(lines[0])
            segments = max(segments, writer._holding.control._next)
            slots = max(slots, writer._holding.segment.table.slots)
    return {
        "written": number,
        "writers": writers,
        "longest": watch.longest,
        "segments": segments,
        "slots": slots,
        "memory": peak() - before,
    }


def _newest_of(writer: Any) -> tuple[int, Any]:
    """Return the newest position, and the frame segment, by the writer's own record."""
    return writer.newest_frame[0] >> 1, writer._holding.segment


def _stands(position: int, frames: Any, number: int) -> bool:
    """Tell whether a frame stands whole in its slot, as the writer maps it."""
    at, words = position % frames.table.slots * frames.table.stride, frames._memory.words
    frame = frame_of(number)
    start = at + format.RECORD_BYTE + words[at // 8 + format.HEADER_WORD]
    data = frames._memory.bytes[start : start + frame.nbytes].tobytes()
    return words[at // 8] == 2 * position and data == frame.tobytes()


def _check_own(writer: Any, number: int) -> None:
    """Look at what was written, and that the frame before it was not overwritten."""
    table = writer._holding.segment.table
    assert 2 <= table.slots <= 250
    assert table.size <= len(writer._holding.segment._memory.bytes) < table.size + 2**16
    assert _stands(*_newest_of(writer), number)


def scribbler(name: str, transport: str, seed: str, how: str) -> dict[str, Any]:
    """Scribble an array's whole control page at full speed, until told to stop."""
    chance = random.Random(int(seed))
    address = address_of(resolve(transport), name)
    memory = Memory(address.transport.open(address.control_name, writable=True).buf)
    act = SCRIBBLES[how]
    begin()
    lines, count = _told_to_stop(), 0
    while not lines:
        act(chance, memory)
        count += 1
    return {"scribbled": count}


def _all_bytes(chance: random.Random, memory: Memory) -> None:
    memory.bytes[:] = chance.randbytes(len(memory.bytes))


def _any_word(chance: random.Random, memory: Memory) -> None:
    scribble(chance, memory.words, PAGE)


def _all_pins(_: random.Random, memory: Memory) -> None:
    memory.bytes[832:1080] = bytes(range(1, 249))


def _two_sets_of_pins(_: random.Random, memory: Memory) -> None:
    memory.bytes[832:1080] = bytes(range(1, 249))
    memory.bytes[832:1080] = bytes(range(3, 251))


def _all_waiting(_: random.Random, memory: Memory) -> None:
    memory.bytes[768:830] = b"\1" * 62


def _moving(chance: random.Random, memory: Memory) -> None:
    words = memory.words
    for word in MOVING:
        words[word] = chance.choice(EXTREME)


SCRIBBLES: dict[str, Callable[[random.Random, Memory], None]] = {
    "all bytes": _all_bytes,
    "any word": _any_word,
    "all pins": _all_pins,
    "two sets of pins": _two_sets_of_pins,
    "all waiting": _all_waiting,
    "moving words": _moving,
}


def mutate(name: str, transport: str, seed: str, times: str, mode: str) -> dict[str, Any]:
    """Damage an array that another process writes, and repair what the writer will not.

    Mode ``strict`` leaves alone what would make a lie: pins, seq, uuid, header and payload.
    """
    chance = random.Random(int(seed))
    address = address_of(resolve(transport), name)
    counts = {"pages": 0, "slots": 0}
    start = found_at = time.perf_counter()
    while sum(counts.values()) < int(times):
        found = _open_live(address)
        if found is None:
            assert time.perf_counter() < found_at + 30, "no writer"
            os.sched_yield() if hasattr(os, "sched_yield") else None
            continue
        found_at = time.perf_counter()
        control, frames, table = found
        for _ in range(300):
            if chance.random() < 0.6:
                _damage_for_a_moment(chance, control.words, _page_spots(mode))
                counts["pages"] += 1
            else:
                _damage_for_a_moment(chance, frames.words, _frame_spots(mode, table))
                counts["slots"] += 1
    seconds = time.perf_counter() - start
    return {**counts, "rate": int(times) / seconds}


def _page_spots(mode: str) -> list[int]:
    return [*MOVING * 6, *WAITING, *STATIC] if mode == "strict" else PAGE


def _frame_spots(mode: str, table: Any) -> list[int]:
    # strict: not the pins' entries, nor what a frame consists of
    if mode == "strict":
        return slot_spots(table, NO_LIES)
    return list(range(table.size // 8))


def _open_live(address: Any) -> tuple[Memory, Memory, Any] | None:
    try:
        control = Memory(address.transport.open(address.control_name, writable=True).buf)
        word = control.words[format.NEWEST_WORD]
        table = format.load_table(control, word & 1)
        format.check_table(table)
        name = address.frames(control.words[format.INSTANCE_WORD], table.segment)
        frames = Memory(address.transport.open(name, writable=True).buf)
    except (FileNotFoundError, FormatError):
        return None
    return (control, frames, table) if table.size <= len(frames.bytes) else None


def _damage_for_a_moment(chance: random.Random, words: Any, spots: Sequence[int]) -> None:
    some = chance.choices(spots, k=6)
    before = [(at, words[at]) for at in some]
    for _ in range(chance.choice((1, 2, 5, 30))):
        scribble(chance, words, some)
    for at, value in before:
        words[at] = value


def read(name: str, transport: str, how: str, mode: str) -> dict[str, Any]:
    """Read in one way until told to stop; then read a frame that is right."""
    warnings.simplefilter("error")
    counts = {"frame": 0, "nothing": 0, "error": 0, "wrong": 0}
    watch, held = Watch(), []
    buffer = frame_of(1).copy()
    reader = NdShArray(name, r_w="r", transport=transport)
    act = _reading(how, reader, name, transport, buffer)
    for _ in range(50):
        _count(act, counts)
    begin()
    lines, before = _told_to_stop(), peak()
    while not lines:
        found = watch(_count, act, counts, allowed=0.02)
        if mode == "strict":
            counts["wrong"] += sum(not is_whole(frame) for frame in found)
            counts["wrong"] += not is_whole(buffer)
            if how == "in place":
                held = [*held, *((frame, frame.tobytes()) for frame in found)][-3:]
                counts["wrong"] += sum(frame.tobytes() != data for frame, data in held)
    memory = peak() - before
    held.clear()
    print(json.dumps({**counts, "longest": watch.longest, "memory": memory}), flush=True)
    number = int(sys.stdin.readline())  # somebody wrote this one: healed
    last = None
    deadline = time.monotonic() + 20
    while last != number:
        assert time.monotonic() < deadline, f"frame {last}, not {number}"
        try:
            valid, frame = reader.read(timeout=0.5)
        except NdShArrayError:
            continue
        last = number_of(frame) if valid and is_whole(frame) else last
    reader.close()
    return {"healed": number}


def _count(act: Callable[[], list[np.ndarray]], counts: dict[str, int]) -> list[np.ndarray]:
    try:
        found = act()
    except NdShArrayError:
        counts["error"] += 1
        return []
    except ValueError as error:
        if not str(error).startswith("out is "):
            raise
        counts["error"] += 1
        return []
    counts["frame" if found else "nothing"] += 1
    return found


def _reading(
    how: str, reader: NdShArray, name: str, transport: str, buffer: np.ndarray
) -> Callable[[], list[np.ndarray]]:
    def one(valid: bool, frame: np.ndarray) -> list[np.ndarray]:
        return [frame] if valid else []

    def fresh() -> list[np.ndarray]:
        with NdShArray(name, r_w="r", transport=transport) as late:
            return one(*late.read())

    return {
        "newest": lambda: one(*reader.read()),
        "timeout": lambda: one(*reader.read(timeout=0.02)),
        "out": lambda: one(*reader.read(out=buffer)),
        "in place": lambda: one(*reader.read(copy=False)),
        "frames": lambda: [frame for frame, _ in zip(reader.frames(0.0), range(20))],
        "fresh": fresh,
    }[how]


def take_over(name: str, transport: str, seed: str, times: str) -> dict[str, Any]:
    """Scribble a page, leave it as a killed writer does, take the array over, and use it."""
    chance, address = random.Random(int(seed)), address_of(resolve(transport), name)
    logging.getLogger("ndsharray").addHandler(logging.NullHandler())  # it tells of each
    lengths = (10, 500, 10, 3000, 20_000)
    for count in range(int(times)):
        array = NdShArray(name, r_w="w", transport=transport)
        for number in range(1 + count % 3):
            array.write(frame_of(number + 1))
        old: Any = array._writer
        words, instance = old._holding.control.memory.words, old._holding.control.instance
        for _ in range(chance.choice((1, 1, 2, 5, 40))):
            scribble(chance, words, PAGE)
        words[format.VERSION_WORD] = 1  # another version is left alone: by design
        old._holding.lock_file.abandon()
        old._holding.begin_end("killed")
        old._holding.abandon()
        del words
        try:
            _use(name, transport, lengths, instance)
        except BaseException:
            print(f"round {count}", file=sys.stderr)
            raise
        for segment in range(1, 4):  # scribbled ids: nobody can know the old segment's name
            address.transport.unlink(address.frames(instance, segment))
    return {}


def _use(name: str, transport: str, lengths: Sequence[int], instance: int) -> None:
    with NdShArray(name, r_w="w", transport=transport) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            for value, length in enumerate(lengths, 1):
                writer.write(np.full(length, value))
                valid, frame = reader.read(timeout=5.0)
                assert valid
                assert frame.tolist() == [value] * length


TASKS: dict[str, Callable[..., dict[str, Any]]] = {
    "decode": decode,
    "large": large,
    "quiet": quiet,
    "write": write,
    "scribbler": scribbler,
    "mutate": mutate,
    "read": read,
    "take over": take_over,
}

if __name__ == "__main__":
    delivery.PINS_FROM = 0  # small frames are read in place here, as large ones are everywhere
    print(json.dumps(TASKS[sys.argv[1]](**dict(each.split("=", 1) for each in sys.argv[2:]))))
