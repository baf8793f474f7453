"""In place, in order, waiting: the exact order of accesses, and both orders of every race.

As in `test_access_order`: one thread, every access recorded, one side interrupted at a chosen
access by the other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recording import head
from test_access_order import BIG, BIG_STRIDE, A, Pair, attached_reader

from ndsharray._protocol import format
from ndsharray._protocol.format import Table
from ndsharray._reader import delivery
from ndsharray._writer.writer import Writer
from ndsharray.errors import ClosedError


@pytest.fixture(autouse=True)
def small_frames_pin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "PINS_FROM", 0)


@pytest.fixture
def pair(root: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    pair = Pair(root, monkeypatch)
    yield pair
    for side in pair.sides:
        side.close()


PINS = slice(format.PINS_BYTE, format.PINS_END)


def pins(pair: Pair) -> list[int]:
    return [pin for pin in pair.control().bytes[PINS] if pin]


# --- in place


def test_a_read_in_place_pins_before_it_looks_and_copies_nothing(pair: Pair) -> None:
    writer, reader = attached_reader(pair)
    writer.write(A)  # position 5, slot 2
    pair.recorded()
    assert reader.read(reader.in_place)[0]
    assert pair.recorded() == [
        "load state",
        "load newest",
        "load own pins",
        "store pin0 = 3",
        "fence R3",
        "load slot2.seq",
        "fence R1",
        *head(2),
        "fence R2",
        "load slot2.seq",
    ]


def test_the_end_of_an_array_in_place_fences_before_it_unpins(pair: Pair) -> None:
    writer, reader = attached_reader(pair)
    writer.write(A)
    assert reader.read(reader.in_place)[0]
    part = reader.last.array[2:5]
    writer.write(A)
    assert reader.read(reader.by_copy)[0]
    pair.recorded()
    assert (part == A[2:5]).all()
    del part
    assert pair.recorded() == ["fence R5", "store pin0 = 0"]


def test_the_pin_comes_first(pair: Pair) -> None:
    """The pin is stored just before the writer marks the slot: it gives the slot back."""
    writer, reader = attached_reader(pair)  # position 4 in slot 1 is newest
    seen: list[Any] = []

    def read() -> None:
        seen.append(reader.read(reader.in_place)[0])
        seen.append(reader.last.array)

    for _ in range(2):
        writer.write(A + 5)  # positions 5 and 6; the next is 7, slot 1
    reader._source.cursor.position = 0  # type: ignore[union-attr]
    pair.recorder.before["store slot1.seq = 13"] = read
    writer.write(A + 9)
    assert seen[0]
    for value in range(20):
        writer.write(A + value)
        assert (seen[1] == A + 5).all()


def test_the_mark_comes_first(pair: Pair) -> None:
    """The writer marks the slot just before the pin is stored: the reader takes another frame."""
    writer, reader = attached_reader(pair)
    writer.write(A + 1)  # position 5, slot 2
    pair.recorder.before["store pin0 = 3"] = lambda: [writer.write(A + v) for v in (2, 3, 4)]
    assert reader.read(reader.in_place)[0]
    assert (reader.last.array == A + 4).all()
    assert len(pins(pair)) == 1
    for value in range(20):
        writer.write(A + value)
        assert (reader.last.array == A + 4).all()


@pytest.mark.parametrize(
    "access", ["fence R3", "load slot2.seq", "fence R1", "load slot2.uuid", "fence R2"]
)
def test_a_flood_at_any_access_changes_no_array_in_place(pair: Pair, access: str) -> None:
    writer, reader = attached_reader(pair)
    writer.write(A + 1)
    pair.recorder.before[access] = lambda: [writer.write(A + v) for v in range(2, 12)]
    assert reader.read(reader.in_place)[0]
    value = int(reader.last.array[0])
    for other in range(20, 40):
        writer.write(A + other)
        assert (reader.last.array == A + value).all()


def test_every_slot_pinned_in_turn_and_no_slot_lost(pair: Pair) -> None:
    writer, reader = attached_reader(pair)
    held: list[Any] = []
    for value in range(40):
        writer.write(A + value)
        assert reader.read(reader.in_place)[0]
        held.append((value, reader.last.array))
        del held[:-3]
        for expected, array in held:
            assert (array == A + expected).all()
        assert len(pins(pair)) == len(held)
    held.clear()
    assert len(pins(pair)) == 1  # the last one, which the reader itself holds


def test_an_interrupt_after_the_pin_is_stored_does_not_lose_it(pair: Pair) -> None:
    writer, reader = attached_reader(pair)
    for access in ("fence R3", "load slot2.seq", "fence R1", "fence R2"):
        while (pair.control().words[format.NEWEST_WORD] >> 1) % 3 != 2:
            writer.write(A)
        pair.recorder.before[access] = interrupt
        with pytest.raises(Stop):
            reader.read(reader.in_place)[0]
        assert pins(pair) == []
        assert reader.read(reader.in_place)[0]
        writer.write(A)
        assert reader.read(reader.by_copy)[0]
        assert pins(pair) == []


class Stop(BaseException):
    pass


def interrupt() -> None:
    raise Stop


def test_out_is_filled_under_a_pin(pair: Pair) -> None:
    writer, reader = attached_reader(pair)
    writer.write(A + 1)
    out = np.zeros_like(A)
    pair.recorder.before["copy out slot2"] = lambda: [writer.write(A + v) for v in range(2, 12)]
    pair.recorded()
    assert reader.read(reader.into(out))[0]
    assert (out == A + 1).all()
    lines = pair.recorded()
    assert lines[3] == "store pin0 = 3"
    assert pins(pair) == []


def test_out_without_an_entry_is_touched_by_whole_frames_only(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, reader = attached_reader(pair)
    monkeypatch.setattr(reader._source.cursor, "_held_pins", lambda: None)
    out = np.zeros_like(A)
    overrun = {"left": 3}

    def flood() -> None:  # each time that it copies
        overrun["left"] -= 1
        for value in (50, 60, 70):
            writer.write(A + value)
        if overrun["left"]:
            for slot in range(3):
                pair.recorder.before[f"copy out slot{slot}"] = flood

    writer.write(A + 1)
    pair.recorder.before["copy out slot2"] = flood
    assert not reader.read(reader.into(out))[0]
    assert (out == 0).all()
    pair.recorder.before.clear()
    assert reader.read(reader.into(out))[0]
    assert (out == A + 70).all()


# --- in order


def test_the_next_frame_is_looked_for_in_the_slots_after_newest(pair: Pair) -> None:
    writer, reader = attached_reader(pair)
    writer.write(A + 1)
    writer.write(A + 2)  # positions 5 and 6
    pair.recorded()
    assert reader.next(reader.by_copy, 0.0)[0]
    assert (reader.last.array == A + 1).all()
    lines = pair.recorded()
    assert lines[:13] == [
        "load state",
        "load newest",
        "load newest",
        "fence R6",
        *[f"load table1.{field}" for field in Table._fields],
        "fence R7",
        "load newest",
        "fence R8",
        "load slot2.seq",
    ]
    assert lines[12] == "load slot2.seq"  # position 5 follows 4: no other slot is looked at
    assert reader.next(reader.by_copy, 0.0)[0]
    assert (reader.last.array == A + 2).all()
    assert not reader.next(reader.by_copy, 0.0)[0]


def test_positions_have_gaps_and_frames_have_none(pair: Pair) -> None:
    writer, reader = attached_reader(pair)
    control_bytes = pair.control().bytes
    for value in range(30):
        control_bytes[900] = value % 3 + 1  # somebody pins this slot and that
        writer.write(A + value)
        assert reader.next(reader.by_copy, 0.0)[0]
        assert (reader.last.array == A + value).all()
    control_bytes[900] = 0
    assert reader.missed == 0


def test_frames_after_newest_are_not_delivered(pair: Pair) -> None:
    """A stable slot that was never published may carry a number that is used again."""
    writer, reader = attached_reader(pair)
    pair.recorder.before["store newest = 11"] = interrupt  # position 5 is whole, not published
    with pytest.raises(Stop):
        writer.write(A + 1)
    assert not reader.next(reader.by_copy, 0.0)[0]


def test_a_segment_left_behind_gives_what_was_published_there_and_no_more(pair: Pair) -> None:
    old, reader = attached_reader(pair)
    old.write(A + 1)  # position 5
    pair.recorder.before["store newest = 13"] = interrupt  # 6 is whole, and never published
    with pytest.raises(Stop):
        old.write(A + 2)
    new = pair.writer()
    for value in (3, 4, 5):
        new.write(A + value)
    got = []
    while reader.next(reader.by_copy, 0.0)[0]:
        got.append(int(reader.last.array[0]))
    assert got == [1, 3, 4, 5]
    assert reader.missed == 0


def test_frames_before_a_grow_come_first(pair: Pair) -> None:
    writer, reader = attached_reader(pair)
    writer.write(A + 1)
    writer.write(A + 2)
    pair.recorder.stride = BIG_STRIDE
    writer.write(BIG + 3)
    writer.write(BIG + 4)
    pair.recorder.stride = 384
    got = []
    while reader.next(reader.by_copy, 0.0)[0]:
        got.append(int(reader.last.array[0]))
        pair.recorder.stride = BIG_STRIDE
    assert got == [1, 2, 3, 4]
    assert reader.missed == 0


def test_two_grows_lose_what_lies_between_and_it_is_counted(pair: Pair) -> None:
    writer, reader = attached_reader(pair)
    for size in (100, 1000, 10000):
        writer.write(np.full(size, size % 251, np.uint8))
    got = []
    while reader.next(reader.by_copy, 0.0)[0]:
        got.append(reader.last.array.size)
    assert got == [10000]
    assert reader.missed == 2


def test_frames_in_the_wrong_segment_of_the_same_copy_are_not_delivered(pair: Pair) -> None:
    """Killed before publishing, taken over, grown again into the same copy of the table."""
    old, reader = attached_reader(pair)  # copy 1
    pair.recorder.before["store newest = 11"] = interrupt
    with pytest.raises(Stop):
        old.write(A + 1)  # stable in slot 2, never published
    new = pair.writer()
    new.write(A + 2)  # copy 0
    new.write(BIG + 3)  # copy 1 once more
    assert pair.control().words[format.NEWEST_WORD] & 1 == 1
    pair.recorder.stride = BIG_STRIDE
    got = []
    while reader.next(reader.by_copy, 0.0)[0]:
        got.append(int(reader.last.array[0]))
    assert got == [3]
    assert reader.missed == 1


def test_an_overrun_in_order_goes_on_with_the_next_that_is_left(pair: Pair) -> None:
    writer, reader = attached_reader(pair)
    writer.write(A + 1)
    pair.recorder.before["copy out slot2"] = lambda: [writer.write(A + v) for v in (2, 3, 4)]
    got = []
    while reader.next(reader.by_copy, 0.0)[0]:
        got.append(int(reader.last.array[0]))
    assert got == [2, 3, 4]
    assert reader.missed == 1


def test_the_end_is_told_after_the_last_frame_and_once(pair: Pair) -> None:
    writer, reader = attached_reader(pair)
    writer.write(A + 1)
    writer.write(A + 2)
    pair.recorder.before["load state"] = writer.close
    assert reader.next(reader.by_copy, None)[0]
    assert reader.next(reader.by_copy, None)[0]
    pair.recorded()
    assert not reader.next(reader.by_copy, None)[0]  # for ever, and still it comes back
    assert pair.recorded()[:3] == ["load state", "fence R9", "load newest"]
    another = pair.writer()
    another.write(A + 3)
    assert reader.next(reader.by_copy, 0.0)[0]
    assert reader.missed == 0


# --- waiting


def sleeping_reader(pair: Pair) -> tuple[Writer, Any]:
    writer, reader = attached_reader(pair)
    pair.recorded()
    return writer, reader


def test_a_waiting_read_says_so_before_it_looks_once_more(pair: Pair) -> None:
    writer, reader = sleeping_reader(pair)
    pair.recorder.before["sleep on 9"] = lambda: writer.write(A + 1)
    assert reader.read(reader.by_copy, 5.0)[0]
    lines = pair.recorded()
    assert lines[:6] == [
        "load state",
        "load newest",
        "load state",
        "store waiting = 1",
        "fence R4",
        "load newest",
    ]
    assert lines[6] == "load state"
    at = lines.index("sleep on 9")
    written = lines[7:at]
    assert written[-3:] == ["fence W3", "load waiting", "wake"]
    assert lines[at + 1] == "store waiting = 0"
    assert (reader.last.array == A + 1).all()


@pytest.mark.parametrize("access", ["store waiting = 1", "fence R4", "load newest"])
def test_a_frame_published_before_the_last_look_is_not_slept_over(pair: Pair, access: str) -> None:
    writer, reader = sleeping_reader(pair)
    seen = {"at": 0}

    def publish() -> None:
        if access == "load newest" and not seen["at"]:
            seen["at"] = 1  # the second load of newest is the one after R4
            pair.recorder.before[access] = publish
        else:
            writer.write(A + 1)

    pair.recorder.before[access] = publish
    assert reader.read(reader.by_copy, 5.0)[0]
    assert not [line for line in pair.recorded() if line.startswith("sleep")]


@pytest.mark.parametrize("access", ["store newest = 11", "fence W3", "load waiting"])
def test_a_reader_that_goes_to_sleep_while_a_frame_is_published(pair: Pair, access: str) -> None:
    """It sees the frame, or the writer sees it: never neither."""
    writer, reader = sleeping_reader(pair)
    side = reader._source.cursor.side
    seen: list[int] = []
    pair.recorder.before[access] = lambda: seen.append(side.begin_waiting(0))
    writer.write(A + 1)
    woken = "wake" in pair.recorded()
    assert woken or seen == [11]
    side.end_waiting(0)


def test_nobody_waits_nobody_is_woken(pair: Pair) -> None:
    writer, _ = sleeping_reader(pair)
    writer.write(A)
    assert "wake" not in pair.recorded()


def test_a_close_wakes(pair: Pair) -> None:
    writer, reader = sleeping_reader(pair)
    pair.recorder.before["sleep on 9"] = lambda: (writer.close(), reader.close())
    with pytest.raises(ClosedError):
        reader.read(reader.by_copy, 5.0)[0]
    lines = pair.recorded()
    assert lines.index("store state") < lines.index("wake")


def test_a_reader_does_not_sleep_on_a_closed_array(pair: Pair) -> None:
    writer, reader = sleeping_reader(pair)
    pair.recorder.before["fence R4"] = writer.close
    assert not reader.read(reader.by_copy, 0.02)[0]
    assert not [line for line in pair.recorded() if line.startswith("sleep")]


def test_a_newest_that_cannot_be_read_lets_the_reader_sleep(pair: Pair) -> None:
    writer, reader = sleeping_reader(pair)
    control = pair.control()
    control.words[format.NEWEST_WORD] = 2 * 1000 + 1  # no slot holds it

    def come() -> None:
        control.words[format.NEWEST_WORD] = 9  # what the writer had stored
        writer.write(A + 1)

    pair.recorder.before["sleep on 2001"] = come
    assert reader.read(reader.by_copy, 5.0)[0]


def test_an_interrupted_wait_clears_its_byte(pair: Pair) -> None:
    writer, reader = sleeping_reader(pair)
    pair.recorder.before["sleep on 9"] = interrupt
    with pytest.raises(Stop):
        reader.read(reader.by_copy, 5.0)[0]
    assert not any(pair.control().bytes[format.WAITING_BYTE : format.PINS_BYTE])
    writer.write(A + 1)
    assert reader.read(reader.by_copy, 5.0)[0]


def test_what_a_dead_reader_left_is_cleared_within_two_seconds_of_writes(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, _ = sleeping_reader(pair)
    control_bytes = pair.control().bytes
    control_bytes[format.WAITING_BYTE + 40] = 1
    control_bytes[format.PINS_BYTE + 4 * 41] = 2
    for expected in (2, 2, 0):  # seen, seen again: then its lock file is tried
        found = control_bytes[format.WAITING_BYTE : format.PINS_END]
        assert sum(1 for byte in found if byte) == expected
        writer._holding.due = -(10**12)
        writer.write(A)
    writer.write(A)
    assert "wake" not in pair.recorded()[-5:]


# --- a loan


def test_a_loan_has_the_order_of_a_write(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    from ndsharray._writer.loan import Loan

    writer, reader = attached_reader(pair)
    with Loan(writer, writer.layout) as array:
        assert pair.recorded() == [
            "load pins",
            "store slot2.seq = 9",
            "fence W1",
            "load pins",
            "fence W4",
        ]
        array[:] = A + 3
        assert not reader.read(reader.by_copy)[0]
        pair.recorded()
    assert pair.recorded() == [
        "store slot2.frame",
        "store slot2.time",
        "fence W2",
        "store slot2.seq = 10",
        "store newest = 11",
        "fence W3",
        "load waiting",
    ]
    assert reader.read(reader.by_copy)[0]
    assert (reader.last.array == A + 3).all()
