"""The exact order of loads, stores, copies and fences, and hand-made interleavings.

Everything here runs in one thread over bytearrays: the steps of a writer and of a reader are called
one by one, or one is interrupted at a chosen access by the other. `Recorder` shows every access
with every fence, also those that x86 does not need.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from inprocess import InProcessTransport
from recording import Recorder, head

import ndsharray._registry.entries
from ndsharray._protocol import format
from ndsharray._protocol.format import Table
from ndsharray._protocol.memory import Memory, make_fences
from ndsharray._protocol.reading import ReadSide
from ndsharray._protocol.writing import Record, WriteSide
from ndsharray._reader.reader import Reader
from ndsharray._registry.names import address_of
from ndsharray._writer.holding import Stage
from ndsharray._writer.writer import Writer

A = np.arange(8, dtype=np.uint8)
BIG = np.zeros(1000, np.uint8)  # does not fit where A fits
BIG_STRIDE = format.stride_for(128, BIG.nbytes)


class Pair:
    """A writer and a reader on one in-process array, every access recorded."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, slots: int = 3) -> None:
        self.recorder = Recorder(monkeypatch)
        self.address = address_of(InProcessTransport(root), "x")
        self.slots = slots
        self.sides: list[Any] = []

    def writer(self) -> Writer:
        self.sides.append(Writer(self.address, self.slots))
        return self.sides[-1]

    def reader(self) -> Reader:
        self.sides.append(Reader(self.address, np.empty(0, np.uint8), lambda _known: None))
        return self.sides[-1]

    def control(self) -> Memory:
        return Memory(memoryview(self.address.transport.segments[self.address.control_name]))

    def recorded(self) -> list[str]:
        return self.recorder.take()


@pytest.fixture
def pair(root: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    pair = Pair(root, monkeypatch)
    yield pair
    for side in pair.sides:
        side.close()


# --- the writer's order


def test_a_write_that_fits(pair: Pair) -> None:
    writer = pair.writer()
    for _ in range(4):  # once round: every slot has its header
        writer.write(A)
    pair.recorded()
    writer.write(A)  # position 5, slot 2
    assert pair.recorded() == [
        "load pins",
        "store slot2.seq = 9",
        "fence W1",
        "load pins",
        "fence W4",
        "copy in slot2",
        "store slot2.frame",
        "store slot2.time",
        "fence W2",
        "store slot2.seq = 10",
        "store newest = 11",
        "fence W3",
        "load waiting",
    ]


def test_a_stamp_is_stored_with_the_frame_and_cleared_with_the_next_one(pair: Pair) -> None:
    writer = pair.writer()
    writer.write(A)
    assert not any("stamp" in line for line in pair.recorded())
    for stamp, slot in ((5, 2), (0, 0)):
        writer.write(A, stamp)
        steps = pair.recorded()
        before_seq = steps[steps.index("fence W1") : steps.index("fence W2")]
        assert before_seq.count(f"store slot{slot}.stamp") == 1
    reader = pair.reader()
    assert reader.read(reader.by_copy)[0]
    assert reader.last.stamp == 0


def test_a_write_of_another_layout_stores_the_header_first(pair: Pair) -> None:
    writer = pair.writer()
    writer.write(A)
    pair.recorded()
    writer.write(A.reshape(2, 4))
    assert pair.recorded() == [
        "load pins",
        "store slot2.seq = 3",
        "fence W1",
        "load pins",
        "fence W4",
        "store slot2.header",
        "store slot2.header_length",
        "store slot2.payload_bytes",
        "store slot2.uuid",
        "store slot2.uuid2",
        "copy in slot2",
        "store slot2.frame",
        "store slot2.time",
        "fence W2",
        "store slot2.seq = 4",
        "store newest = 5",
        "fence W3",
        "load waiting",
    ]


def test_the_first_write_grows_into_copy_1(pair: Pair) -> None:
    writer = pair.writer()
    pair.recorded()
    writer.write(A)
    assert pair.recorded() == [
        "store next",
        *[f"store table1.{field}" for field in Table._fields],
        "store slot1.seq = 1",
        "store slot1.header",
        "store slot1.header_length",
        "store slot1.payload_bytes",
        "store slot1.uuid",
        "store slot1.uuid2",
        "copy in slot1",
        "store slot1.frame",
        "store slot1.time",
        "fence W2",
        "store slot1.seq = 2",
        "store newest = 3",
        "fence W3",
        "load waiting",
    ]


def test_a_grow_changes_only_the_copy_that_newest_does_not_name(pair: Pair) -> None:
    writer = pair.writer()
    writer.write(A)
    pair.recorder.stride = BIG_STRIDE
    pair.recorded()
    writer.write(BIG)
    lines = pair.recorded()
    stores = [line for line in lines if line != "load pins"]
    assert stores[:6] == ["store next", *[f"store table0.{field}" for field in Table._fields]]
    assert lines[-5:] == [
        "fence W2",
        "store slot2.seq = 4",
        "store newest = 4",
        "fence W3",
        "load waiting",
    ]
    assert not any("table1" in line for line in lines)


def test_creation_stores_ready_last(pair: Pair) -> None:
    pair.writer()
    lines = pair.recorded()
    ready = max(at for at, line in enumerate(lines) if line == "store ready")
    assert lines[ready - 2] == "store magic"  # the last of the static part
    assert lines[ready - 1] == "fence W0"
    after = lines[ready + 1 :]
    assert [line for line in after if line.startswith("store")] == [
        "store pid",
        "store taken",
        "store state",
    ]


def test_close_marks_the_array_closed_before_names_go(pair: Pair) -> None:
    writer = pair.writer()
    writer.write(A)
    segments = pair.address.transport.segments
    seen: list[int] = []
    pair.recorder.before["store state"] = lambda: seen.append(len(segments))
    pair.recorded()
    writer.close()
    assert pair.recorded()[:4] == ["store last_frame", "fence W5", "store state", "wake"]
    assert seen == [2]  # control and frame segment were still there
    assert segments == {}


def test_take_over_changes_nothing_that_readers_follow_before_its_first_publish(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = pair.writer()
    old.write(A)
    page = bytes(pair.control().bytes)
    pair.recorded()
    new = pair.writer()
    lines = [line for line in pair.recorded() if line.startswith("store")]
    assert set(lines) == {"store pid", "store taken", "store state"}
    assert bytes(pair.control().bytes)[640:648] == page[640:648]
    new.write(A)
    assert pair.control().words[format.NEWEST_WORD] >> 1 == 1 + 2**16 + 1


# --- the reader's order


def attached_reader(pair: Pair) -> tuple[Writer, Reader]:
    writer = pair.writer()
    writer.write(A)
    reader = pair.reader()
    assert reader.read(reader.by_copy)[0]
    for _ in range(3):
        writer.write(A)
        assert reader.read(reader.by_copy)[0]
    pair.recorded()
    return writer, reader


def test_a_read_of_nothing_new_loads_state_and_newest(pair: Pair) -> None:
    _, reader = attached_reader(pair)
    assert not reader.read(reader.by_copy)[0]
    assert pair.recorded() == ["load state", "load newest"]


def test_a_read(pair: Pair) -> None:
    writer, reader = attached_reader(pair)
    writer.write(A)  # position 5
    pair.recorded()
    assert reader.read(reader.by_copy)[0]
    assert pair.recorded() == [
        "load state",
        "load newest",
        "load slot2.seq",
        "fence R1",
        *head(2),
        "copy out slot2",
        "fence R2",
        "load slot2.seq",
    ]


def test_a_read_of_another_layout_decodes_the_header_between_the_two_looks(pair: Pair) -> None:
    writer, reader = attached_reader(pair)
    writer.write(A.reshape(2, 4))
    pair.recorded()
    assert reader.read(reader.by_copy)[0]
    assert pair.recorded() == [
        "load state",
        "load newest",
        "load slot2.seq",
        "fence R1",
        *head(2),
        "load slot2.header_length",
        "load slot2.payload_bytes",
        "load slot2.header",
        "copy out slot2",
        "fence R2",
        "load slot2.seq",
    ]


def test_a_read_after_a_grow_reads_the_other_table_copy_between_two_newest(pair: Pair) -> None:
    writer, reader = attached_reader(pair)
    pair.recorder.stride = BIG_STRIDE
    writer.write(BIG)
    pair.recorded()
    assert reader.read(reader.by_copy)[0]
    lines = pair.recorded()
    assert lines[:12] == [
        "load state",
        "load newest",
        "load newest",
        "fence R6",
        *[f"load table0.{field}" for field in Table._fields],
        "fence R7",
        "load newest",
        "load slot2.seq",
    ]


def test_the_second_try_is_pinned_and_reads_the_table_again(pair: Pair) -> None:
    writer, reader = attached_reader(pair)
    writer.write(A)  # position 5, slot 2: overrun while it is copied
    pair.recorder.before["copy out slot2"] = lambda: [writer.write(A) for _ in range(3)]
    pair.recorded()
    assert reader.read(reader.by_copy)[0]
    lines = pair.recorded()
    again = lines[lines.index("load slot2.seq", lines.index("copy out slot2")) + 1 :]
    assert again == [  # position 8 lies in slot 2 as well
        "load newest",
        "fence R6",
        *[f"load table1.{field}" for field in Table._fields],
        "fence R7",
        "load newest",
        "load own pins",
        "store pin0 = 3",
        "fence R3",
        "load slot2.seq",
        "fence R1",
        *head(2),
        "copy out slot2",
        "fence R2",
        "load slot2.seq",
        "fence R5",
        "store pin0 = 0",
    ]


def test_attaching_reads_the_static_part_after_ready(pair: Pair) -> None:
    pair.writer()
    pair.recorded()
    pair.reader()
    lines = pair.recorded()
    assert lines[:4] == ["load ready", "fence R0", "load magic", "load version"]


# --- interleavings


def test_a_copy_that_was_overrun_is_thrown_away(pair: Pair) -> None:
    writer, reader = attached_reader(pair)
    writer.write(A + 1)  # position 5, slot 2

    def overrun() -> None:
        for value in (2, 3, 4):
            writer.write(A + value)

    pair.recorder.before["copy out slot2"] = overrun
    assert reader.read(reader.by_copy)[0]
    assert (reader.last.array == A + 4).all()
    assert reader.last.frame_id == 8


@pytest.mark.parametrize("access", ["load slot2.frame", "load slot2.uuid2", "fence R2"])
def test_an_overrun_at_any_access_is_noticed(pair: Pair, access: str) -> None:
    writer, reader = attached_reader(pair)
    writer.write(A + 1)
    pair.recorder.before[access] = lambda: [writer.write(A + 9) for _ in range(3)]
    assert reader.read(reader.by_copy)[0]
    assert (reader.last.array == A + 9).all()


def test_a_header_that_makes_no_sense_as_it_is_being_overwritten_is_no_error(pair: Pair) -> None:
    writer, reader = attached_reader(pair)
    writer.write(A.reshape(2, 4))  # position 5, slot 2
    words = writer._holding.segment._memory.words
    slot = 2 * pair.recorder.stride // 8

    def overwrite() -> None:
        words[slot], words[slot + 3] = 15, 7  # position 8 was begun; the header has 7 bytes

    pair.recorder.before["load slot2.header_length"] = overwrite
    assert not reader.read(reader.by_copy)[0]


def test_a_pinned_slot_is_passed_by(pair: Pair) -> None:
    writer, reader = attached_reader(pair)
    writer.write(A + 1)  # position 5, slot 2

    def overrun() -> None:  # the second try then reads position 8, slot 2, pinned
        for value in (2, 3, 4):
            writer.write(A + value)
        pair.recorder.before["copy out slot2"] = flood

    def flood() -> None:
        pair.recorded()
        for _ in range(9):
            writer.write(A + 7)
        assert not [line for line in pair.recorded() if line.startswith("store slot2")]

    pair.recorder.before["copy out slot2"] = overrun
    assert reader.read(reader.by_copy)[0]
    assert (reader.last.array == A + 4).all()
    assert (pair.control().bytes[832:1080].tobytes()) == bytes(248)  # the pin is gone again


def test_a_pin_set_just_before_the_mark_is_seen_by_the_second_look(pair: Pair) -> None:
    writer, _ = attached_reader(pair)
    control_bytes = pair.control().bytes

    def pin() -> None:
        control_bytes[832 + 4 * 9] = 3  # slot 2

    pair.recorder.before["store slot2.seq = 9"] = pin
    writer.write(A + 1)
    lines = pair.recorded()
    assert lines[:5] == [
        "load pins",
        "store slot2.seq = 9",
        "fence W1",
        "load pins",
        "store slot2.seq = 4",  # restored: what lay there is as it was
    ]
    assert "copy in slot2" not in lines
    assert "store slot0.seq = 11" in lines  # position 6
    control_bytes[832 + 4 * 9] = 0


def test_a_pin_set_after_the_second_look_finds_an_odd_seq(pair: Pair) -> None:
    writer, reader = attached_reader(pair)
    side = reader._source.cursor.side

    def late() -> None:
        side.pin(5, 0, 2)
        assert not side.holds(2)  # position 2 was in slot 2: it is being overwritten
        side.unpin(5, 0)

    pair.recorder.before["copy in slot2"] = late
    writer.write(A)
    assert reader.read(reader.by_copy)[0]


def test_the_newest_slot_is_never_taken(pair: Pair) -> None:
    writer, reader = attached_reader(pair)
    for _ in range(20):
        writer.write(A)
        assert reader.read(reader.by_copy)[0]
        pair.recorder.take()
        newest = pair.control().words[format.NEWEST_WORD] >> 1
        control_bytes = pair.control().bytes
        others = [slot + 1 for slot in range(3) if slot != newest % 3]
        control_bytes[832:834] = bytes(others)  # nothing but the newest slot is free
        writer.write(A)
        lines = pair.recorder.take()
        assert f"store slot{newest % 3}.seq" not in "".join(lines[: lines.index("store next")])
        control_bytes[832:834] = bytes(2)
        assert reader.read(reader.by_copy)[0]
        break


def test_no_free_slot_makes_the_writer_grow_and_never_thrash(pair: Pair) -> None:
    writer, _ = attached_reader(pair)
    control_bytes = pair.control().bytes
    control_bytes[832:835] = bytes([1, 2, 3])
    segments = pair.address.transport.segments
    before = set(segments)
    for _ in range(50):
        writer.write(A)
    grown = set(segments) - before
    assert len(grown) == 1  # one growth, then the pins no longer matter
    table = format.load_table(pair.control(), pair.control().words[80] & 1)
    assert table.slots == 6
    control_bytes[832:835] = bytes(3)


def test_grow_for_all_pins_there_are(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, _ = attached_reader(pair)
    monkeypatch.setattr(
        ndsharray._registry.entries, "clear_dead", lambda *_: None
    )  # as if all readers lived
    pair.control().bytes[832:1080] = bytes(range(1, 249))
    for _ in range(600):
        writer.write(A)
    table = format.load_table(pair.control(), pair.control().words[80] & 1)
    assert table.slots == 250
    pair.control().bytes[832:1080] = bytes(248)


def test_a_second_growth_into_the_followed_copy_is_noticed(pair: Pair) -> None:
    writer, reader = attached_reader(pair)  # follows copy 1
    writer.write(BIG)  # copy 0
    writer.write(np.zeros(5000, np.uint8) + 3)  # copy 1 again, for another segment
    assert reader.read(reader.by_copy)[0]
    assert reader.last.array.shape == (5000,)


def test_newest_that_moves_while_the_table_is_read_begins_again(pair: Pair) -> None:
    writer, reader = attached_reader(pair)
    writer.write(BIG)
    pair.recorder.before["load table0.stride"] = lambda: writer.write(np.zeros(5000, np.uint8))
    assert reader.read(reader.by_copy)[0]
    assert reader.last.array.shape == (5000,)


def move_newest(pair: Pair, line: str, times: int, write: Callable[[], object]) -> None:
    """Have something written before each of the next accesses of that line."""

    def again() -> None:
        nonlocal times
        times -= 1
        if times:
            pair.recorder.before[line] = again
        write()

    pair.recorder.before[line] = again


@pytest.mark.parametrize("way", ["read", "next"])
def test_a_table_that_is_overtaken_is_no_try(pair: Pair, way: str) -> None:
    writer, reader = pair.writer(), pair.reader()
    writer.write(A)
    move_newest(pair, "load table1.stride", 20, lambda: writer.write(A))
    assert getattr(reader, way)(reader.by_copy, 0.0)[0]


def test_a_table_that_is_overtaken_does_not_make_an_array_invalid(pair: Pair) -> None:
    writer = pair.writer()
    writer.write(A)
    reader = pair.reader()
    reader._source.cursor = None
    reader._source.finder._looked = 0
    move_newest(pair, "load table1.stride", 20, lambda: writer.write(A))
    assert reader.is_valid()


def test_a_slot_that_is_taken_before_it_is_pinned_is_no_copy(pair: Pair) -> None:
    writer, reader = attached_reader(pair)
    writer.write(A)
    move_newest(pair, "load own pins", 20, lambda: [writer.write(A) for _ in range(4)])
    assert reader.read(reader.in_place)[0]


def test_a_reader_ends_whose_table_is_always_overtaken(pair: Pair) -> None:
    writer, reader = pair.writer(), pair.reader()
    writer.write(A)
    move_newest(pair, "load table1.stride", 10**6, lambda: writer.write(A))
    assert not reader.read(reader.by_copy)[0]


class Stop(BaseException):
    """An interrupt, as Ctrl-C would come."""


def interrupt() -> None:
    raise Stop


WRITE_STEPS = [
    "load pins",
    "store slot2.seq = 9",
    "fence W1",
    "fence W4",
    "store slot2.header",
    "store slot2.header_length",
    "store slot2.uuid2",
    "copy in slot2",
    "store slot2.frame",
    "fence W2",
    "store slot2.seq = 10",
    "store newest = 11",
    "fence W3",
]


@pytest.mark.parametrize("step", WRITE_STEPS)
def test_an_interrupted_write_leaves_the_writer_usable(pair: Pair, step: str) -> None:
    writer, reader = attached_reader(pair)  # 4 frames
    pair.recorder.before[step] = interrupt
    with pytest.raises(Stop):
        writer.write((A + 50).reshape(4, 2))
    readable = reader.read(reader.by_copy)[0]
    assert readable == (step == "fence W3")  # published, or as if it had never begun
    for value in range(60, 70):
        writer.write(A + value)
        assert reader.read(reader.by_copy)[0]
        assert (reader.last.array == A + value).all()
    assert reader.last.frame_id == writer.newest_frame[1]
    assert writer.newest_frame[1] in (14, 15)  # no number was left out


GROW_STEPS = ["store next", "store table0.stride", "copy in slot2", "store newest = 10", "fence W3"]


@pytest.mark.parametrize("step", GROW_STEPS)
def test_an_interrupted_grow_leaves_the_last_frame_and_no_segment(pair: Pair, step: str) -> None:
    writer, reader = attached_reader(pair)
    late = pair.reader()
    pair.recorder.stride = BIG_STRIDE
    pair.recorder.before[step] = interrupt
    with pytest.raises(Stop):
        writer.write(BIG)
    pair.recorder.stride = 384
    assert late.read(late.by_copy)[0]
    assert late.last.frame_id == (5 if step == "fence W3" else 4)
    for _ in range(3):
        writer.write(BIG + 1)
        assert reader.read(reader.by_copy)[0]
    assert (reader.last.array == 1).all()
    assert reader.last.frame_id == writer.newest_frame[1] in (7, 8)
    writer.write(np.zeros(5000, np.uint8))
    assert len(pair.address.transport.segments) == 2


def test_a_frame_that_was_whole_but_not_published_is_never_delivered(pair: Pair) -> None:
    writer, reader = attached_reader(pair)
    pair.recorder.before["store newest = 11"] = interrupt
    with pytest.raises(Stop):
        writer.write(A + 99)
    pair.recorder.before["store newest = 13"] = lambda: None
    assert not reader.read(reader.by_copy)[0]
    writer.write(A + 1)
    assert reader.read(reader.by_copy)[0]
    assert (reader.last.array == A + 1).all()


def test_after_an_interrupt_newest_is_stored_again_before_a_slot_is_taken(pair: Pair) -> None:
    pair.slots = 2
    writer, _ = attached_reader(pair)  # position 4 is newest, in slot 0
    pair.recorder.before["store newest = 11"] = interrupt
    with pytest.raises(Stop):
        writer.write(A + 1)  # position 5: recorded as newest, not published
    late: list[int] = []

    def look() -> None:  # slot 0 is being overwritten now
        reader = pair.reader()
        assert reader.read(reader.by_copy)[0]
        late.extend(reader.last.array)

    pair.recorder.before["copy in slot0"] = look
    writer.write(A + 2)
    assert late == (A + 1).tolist()


def test_a_close_after_an_interrupt_publishes_what_is_recorded(pair: Pair) -> None:
    pair.slots = 2
    writer, reader = attached_reader(pair)
    pair.recorder.before["store newest = 11"] = interrupt
    with pytest.raises(Stop):
        writer.write(A + 1)
    writer.close(asked=True)
    assert reader.read(reader.by_copy)[0]  # else its number is counted, and nobody gets it
    assert (reader.last.array == A + 1).all()


def test_a_writer_far_past_newest_grows(pair: Pair) -> None:
    writer, reader = attached_reader(pair)
    writer._holding.record.position += 2**15
    writer._holding.segment.side.begin()  # and an interrupt
    writer._holding.state = Stage.BUSY
    pair.recorded()
    writer.write(A)
    assert "store next" in pair.recorded()
    assert reader.read(reader.by_copy)[0]


# --- the steps by themselves, on a bytearray


def test_steps_on_any_buffer() -> None:
    control, frames = Memory(memoryview(bytearray(4096))), Memory(memoryview(bytearray(3 * 256)))
    table = Table(1, 3, 256, 0, 0)
    writing = WriteSide(control, frames, table, 1, Record(), make_fences())
    reading = ReadSide(control, make_fences())
    reading.follow(frames, table, 1)
    position = writing.begin()
    assert not reading.holds(position)
    writing.publish(position, 7, 0)
    assert reading.holds(position)
    assert reading.newest() == 2 * position + 1
    assert reading.confirm(position)
    for _ in range(3):
        position = writing.begin()
        writing.publish(position, 8, 0)
    assert not reading.confirm(1)
    reading.pin(61, 3, position % 3)
    assert writing.pinned() == 1
    reading.unpin(61, 3)
    assert writing.pinned() == 0


@pytest.mark.parametrize("mixed", [0, 1, 2**32 + 9, (3 << 33) + 1])
def test_a_newest_word_in_two_halves_names_nothing_that_a_slot_holds(
    pair: Pair, mixed: int
) -> None:
    # 32-bit builds store words in halves: a reader may see one half of each store
    _, reader = attached_reader(pair)
    pair.control().words[format.NEWEST_WORD] = mixed
    assert not reader.read(reader.by_copy)[0]
