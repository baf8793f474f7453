"""How much memory an array takes: what is written now decides, not the largest frame ever."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from leftovers import HAS_SHM, SHM

import ndsharray._system.clock
from ndsharray import NdShArray
from ndsharray._protocol.format import PINS_BYTE
from ndsharray._reader import delivery
from ndsharray._writer.sizing import Need
from ndsharray.backends import base

SECOND = 1_000_000_000
PERIOD = 5 * SECOND  # after which a writer looks whether its segment fits
SMALL, LARGE = 1000, 1_000_000


class Clock:
    """The writer's clock, which moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1000 * SECOND

    def __call__(self) -> int:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += int(seconds * SECOND)


@pytest.fixture(autouse=True)
def small_frames_pin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "PINS_FROM", 0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(ndsharray._system.clock, "now_ns", clock)
    return clock


def frame(size: int, value: int = 0) -> npt.NDArray[np.uint8]:
    return np.full(size, value, np.uint8)


def table(writer: NdShArray) -> Any:
    return writer._writer._holding.segment.table  # type: ignore[union-attr]


def segment(writer: NdShArray) -> int:
    return int(table(writer).segment)


def slots(writer: NdShArray) -> int:
    return int(table(writer).slots)


def on_disk(writer: NdShArray) -> int:
    """Return the bytes of all files that the array has."""
    prefix = writer._address.control_name
    places = [Path(writer._address.transport.root), *([SHM] if HAS_SHM else [])]
    files = [file for place in places for file in place.glob(prefix + "*")]
    return sum(file.stat().st_size for file in files)


def hold(readers: list[NdShArray], count: int, writer: NdShArray, size: int = SMALL) -> list[Any]:
    """Write so many frames and hold each of them in place."""
    held = []
    for value in range(count):
        writer.write(frame(size, value))
        held.append(readers[value % len(readers)].read(copy=False)[1])
    return held


@pytest.fixture
def readers(name: str, transport: str) -> Any:
    made = [NdShArray(name, r_w="r", transport=transport) for _ in range(4)]
    yield made
    for reader in made:
        reader.close()


@pytest.fixture
def writer(name: str, transport: str, clock: Clock) -> Any:
    with NdShArray(name, r_w="w", transport=transport) as writer:
        yield writer


def grows(writer: NdShArray, sizes: list[int], clock: Clock, every: float) -> int:
    """Return how many segments these writes began, that came at such intervals in seconds."""
    before = segment(writer)
    for size in sizes:
        clock.pass_by(every)
        writer.write(frame(size))
    return segment(writer) - before


def small_frames(writer: NdShArray, clock: Clock, seconds: float, size: int = SMALL) -> None:
    for _ in range(int(10 * seconds)):
        clock.pass_by(0.1)
        writer.write(frame(size))


# --- more slots, of the size of what is written now


def test_slots_for_pins_have_the_size_of_the_frames_now(
    writer: NdShArray, readers: list[NdShArray]
) -> None:
    writer.write(frame(LARGE))
    held = hold(readers, 12, writer)
    assert slots(writer) >= 12
    assert table(writer).stride < 2 * SMALL
    if os.name != "nt":
        assert on_disk(writer) < LARGE / 4
    assert [int(array[0]) for array in held] == list(range(12))


def test_a_large_frame_after_pins_that_are_gone_has_the_slots_that_were_asked_for(
    writer: NdShArray, readers: list[NdShArray], clock: Clock
) -> None:
    held = hold(readers, 12, writer)
    held.clear()
    for reader in readers:
        reader.read()
    small_frames(writer, clock, 6)  # a period
    writer.write(frame(LARGE))
    assert slots(writer) == 3


@pytest.mark.parametrize("now", [SMALL, LARGE])
def test_slots_for_pins_have_room_for_both_of_two_shapes_in_turn(
    writer: NdShArray, readers: list[NdShArray], now: int
) -> None:
    writer.write(frame(LARGE))
    before, held = segment(writer), []
    for size in (now, SMALL + LARGE - now, now, SMALL + LARGE - now):
        writer.write(frame(size))
        held.append(readers[len(held)].read(copy=False)[1])
    assert segment(writer) == before + 1  # the fourth found no free slot
    assert table(writer).stride > LARGE


def test_slots_for_more_and_more_pins_are_few_segments(
    writer: NdShArray, readers: list[NdShArray]
) -> None:
    """Though each time a larger frame comes between."""
    writer.write(frame(LARGE))
    before, held = segment(writer), []
    for number in range(12):
        writer.write(frame(LARGE))
        writer.write(frame(SMALL, number))
        held.append(readers[number % 4].read(copy=False)[1])
        writer.write(frame(SMALL))
        writer.write(frame(SMALL))  # finds no free slot
    assert segment(writer) - before <= 6  # 6, 12 and 24 slots, and the same for the larger frame


def test_two_shapes_in_turn_and_frames_held_do_not_thrash(
    writer: NdShArray, readers: list[NdShArray], clock: Clock
) -> None:
    writer.write(frame(SMALL))
    before, held = segment(writer), []
    for number in range(3000):
        clock.pass_by(0.01)
        writer.write(frame(LARGE if number % 2 else SMALL))
        held.append(readers[number % 4].read(copy=False)[1])
        del held[: -(number // 100 % 10) - 1]  # now few of them, now many
    assert segment(writer) - before <= 6  # a larger frame, and twice the slots, now and then


# --- memory that is full


@pytest.fixture
def room(transport: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Have no room for segments above so many bytes; return what was asked for."""
    kind = type(base_transport(transport))
    create, asked = kind.create, []
    limits: list[tuple[int, int]] = []

    def limited(self: Any, name: str, size: int) -> Any:
        asked.append(size)
        if limits and size > limits[-1][0]:
            raise OSError(limits[-1][1], f"asked for {size}")
        return create(self, name, size)

    def limit(size: int, code: int = errno.ENOSPC) -> list[int]:
        limits.append((size, code))
        asked.clear()
        return asked

    monkeypatch.setattr(kind, "create", limited)
    return limit


def base_transport(transport: str) -> base.Transport:
    with NdShArray("other", r_w="r", transport=transport) as reader:
        return reader.transport


Room = Callable[..., list[int]]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.ENOMEM, getattr(errno, "EDQUOT", 28)])
@pytest.mark.parametrize(("fits", "expected"), [(6, 6), (5, 5), (4, 4), (3, 0)])
def test_for_pins_it_takes_as_few_slots_as_there_is_room_for(
    writer: NdShArray, readers: list[NdShArray], room: Room, code: int, fits: int, expected: int
) -> None:
    held = hold(readers, 3, writer)
    stride = table(writer).stride
    asked = room(fits * stride, code)
    if expected:
        writer.write(frame(SMALL, 9))
    else:
        with pytest.raises(OSError, match=f"asked for {6 * stride}") as caught:  # the first one
            writer.write(frame(SMALL, 9))
        assert caught.value.errno == code
        assert asked == [6 * stride, 5 * stride, 4 * stride]
        held.pop(0)  # the last frame stays, and with one let go the array goes on
        assert readers[0].read()[0]
        assert readers[3].read()[1][0] == 2
        writer.write(frame(SMALL, 9))
    assert slots(writer) == (expected or 3)
    assert readers[3].read()[1].tolist() == [9] * SMALL
    assert [int(array[0]) for array in held] == [0, 1, 2][-len(held) :]


@pytest.mark.parametrize("frames", [0, 1, 2, 3])
def test_for_a_larger_frame_it_takes_two_slots_if_there_is_no_room_for_more(
    writer: NdShArray, readers: list[NdShArray], room: Room, frames: int
) -> None:
    for value in range(frames):
        writer.write(frame(SMALL, value))
    asked = room(2 * LARGE + 1000)
    writer.write(frame(LARGE, 9))
    assert slots(writer) == 2
    assert readers[0].read()[1].tolist() == [9] * LARGE
    assert len(asked) == 2
    asked = room(LARGE)
    with pytest.raises(OSError, match=f"asked for {3 * 2 * LARGE}"[:12]):
        writer.write(frame(2 * LARGE))
    assert readers[1].read()[1].tolist() == [9] * LARGE
    writer.write(frame(SMALL, 8))
    assert readers[0].read()[1].tolist() == [8] * SMALL


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_a_reader_may_pin_newest_while_two_slots_are_made(
    writer: NdShArray,
    readers: list[NdShArray],
    room: Room,
    frames: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whichever slot newest is in: pins of the old segment do not keep the new one's frame out."""
    for value in range(frames):
        writer.write(frame(SMALL, value))
    room(2 * LARGE + 1000)
    kind = type(writer.transport)
    create, held = kind.create, []

    def pin(self: Any, name: str, size: int) -> Any:
        made = create(self, name, size)
        held.append(readers[0].read(copy=False)[1])
        return made

    with monkeypatch.context() as patch:
        patch.setattr(kind, "create", pin)
        writer.write(frame(LARGE, 9))
    assert slots(writer) == 2
    assert held[0].tolist() == [frames - 1] * SMALL
    assert readers[1].read()[1].tolist() == [9] * LARGE
    held.clear()


def test_slots_that_there_was_no_room_for_come_when_there_is(
    writer: NdShArray, room: Room, clock: Clock
) -> None:
    room(2 * LARGE + 1000)
    writer.write(frame(LARGE))
    before = segment(writer)
    asked = room(2 * LARGE + 1000)
    small_frames(writer, clock, 21, LARGE)
    assert segment(writer) == before
    assert 3 <= len(asked) <= 5  # tried once in a period, and never the same once more
    room(3 * LARGE + 1000)
    small_frames(writer, clock, 6, LARGE)
    assert slots(writer) == 3
    assert segment(writer) == before + len(asked) + 4


# --- memory comes back


def test_memory_comes_back_after_a_large_frame(
    writer: NdShArray, readers: list[NdShArray], clock: Clock
) -> None:
    writer.write(frame(LARGE))
    assert table(writer).size >= 3 * LARGE
    small_frames(writer, clock, 4.9)
    assert table(writer).size >= 3 * LARGE
    readers[0].read()
    small_frames(writer, clock, 5.2)
    assert table(writer).size < 8 * SMALL
    if os.name != "nt":
        assert on_disk(writer) < LARGE / 4
    small_frames(writer, clock, 30)
    assert slots(writer) == 3
    assert readers[0].read()[0]


def test_memory_comes_back_while_the_same_array_is_written_over_and_over(
    writer: NdShArray, clock: Clock
) -> None:
    same = frame(SMALL)
    writer.write(frame(LARGE))
    for _ in range(1000):
        clock.pass_by(0.0101)
        writer.write(same)
    assert table(writer).size < 8 * SMALL


def test_five_seconds_count_from_the_last_large_frame(writer: NdShArray, clock: Clock) -> None:
    """Also where it was written in the short way, which notes nothing."""
    for _ in range(4):
        large = frame(LARGE)
        for seconds in (4.5, 0.9):  # to the end of a period, and on: noted in the one before
            writer.write(large)
            clock.pass_by(seconds)
        writer.write(large)
        before = segment(writer)
        small_frames(writer, clock, 4.9)
        assert segment(writer) == before


def test_what_is_needed_by_a_quarter_stays(writer: NdShArray, clock: Clock) -> None:
    writer.write(frame(LARGE))
    before = segment(writer)
    small_frames(writer, clock, 60, LARGE // 4)
    assert segment(writer) == before
    small_frames(writer, clock, 11, LARGE // 5)
    assert segment(writer) == before + 1


def test_slots_go_when_nobody_holds_frames_any_more(
    writer: NdShArray, readers: list[NdShArray], clock: Clock
) -> None:
    held = hold(readers, 14, writer)
    many, before = slots(writer), segment(writer)
    assert many >= 16
    small_frames(writer, clock, 30)
    assert segment(writer) == before  # they are needed
    assert [int(array[0]) for array in held] == list(range(14))
    held.clear()
    for reader in readers:
        reader.read()  # which lets the last one go
    small_frames(writer, clock, 11)
    assert slots(writer) == 3


def test_what_was_pinned_inside_a_period_counts(
    writer: NdShArray, readers: list[NdShArray], clock: Clock
) -> None:
    hold(readers, 14, writer).clear()
    before = segment(writer)
    assert slots(writer) == 24
    for _ in range(10):  # most of the time nobody holds any
        for reader in readers:
            reader.read()
        small_frames(writer, clock, 2)
        held = hold(readers, 12, writer)
        small_frames(writer, clock, 1.1)
        held.clear()
    assert segment(writer) == before


def test_what_is_pinned_at_the_end_of_a_period_counts(
    writer: NdShArray, readers: list[NdShArray], clock: Clock
) -> None:
    hold(readers, 14, writer).clear()
    for reader in readers:
        reader.read()
    clock.pass_by(5)
    writer.write(frame(SMALL))  # ends a period with pins
    before = segment(writer)
    clock.pass_by(4.5)
    writer.write(frame(SMALL))  # looks at the pins: there are none
    held = hold(readers, 12, writer)
    clock.pass_by(0.6)
    writer.write(frame(SMALL + 1))
    assert segment(writer) == before
    held.clear()


def test_loans_count_as_frames_of_their_layout(writer: NdShArray, clock: Clock) -> None:
    def lend(size: int) -> None:
        with writer.loan((size,), np.uint8) as out:
            out[:] = 5

    lend(LARGE)
    before = segment(writer)
    for _ in range(100):
        clock.pass_by(0.5)
        lend(LARGE)
        lend(SMALL)
    assert segment(writer) == before
    for _ in range(30):
        clock.pass_by(0.5)
        lend(SMALL)
    assert table(writer).size < 8 * SMALL


def test_a_loan_that_is_dropped_changes_nothing(
    writer: NdShArray, readers: list[NdShArray], clock: Clock
) -> None:
    writer.write(frame(LARGE, 1))
    before = on_disk(writer)
    for _ in range(4):
        clock.pass_by(5)
        with pytest.raises(KeyError), writer.loan((SMALL,), np.uint8):
            raise KeyError
    assert on_disk(writer) == before
    assert readers[0].read()[1].tolist() == [1] * LARGE
    writer.write(frame(SMALL, 2))
    assert readers[0].read()[1].tolist() == [2] * SMALL


@pytest.mark.parametrize("every", [0.001, 0.033, 1, 3, 7, 100])
def test_two_shapes_in_turn_keep_their_segment(
    writer: NdShArray, clock: Clock, every: float
) -> None:
    writer.write(frame(LARGE))
    assert grows(writer, [SMALL, LARGE] * 300, clock, every) == 0


@pytest.mark.parametrize("seconds", [1, 4.9])
def test_a_large_frame_now_and_then_keeps_its_segment(
    writer: NdShArray, clock: Clock, seconds: float
) -> None:
    writer.write(frame(LARGE))
    sizes = ([SMALL] * int(30 * seconds - 1) + [LARGE]) * 20
    assert grows(writer, sizes, clock, 1 / 30) == 0


def test_a_larger_frame_seldom_begins_two_segments_each_time(
    writer: NdShArray, clock: Clock
) -> None:
    writer.write(frame(LARGE))
    sizes = ([SMALL] * (30 * 20 - 1) + [LARGE]) * 10
    assert grows(writer, sizes, clock, 1 / 30) == 20


def test_in_order_nothing_is_lost(name: str, transport: str, clock: Clock) -> None:
    with NdShArray(name, r_w="w", transport=transport, slots=8) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            writer.write(frame(LARGE, 1))
            number = 1
            assert [int(array[0]) for array in reader.frames(0)] == [1]
            before = segment(writer)
            for _ in range(40):
                expected = []
                for _ in range(6):  # not read before the writer went on to the other one
                    clock.pass_by(0.11)
                    number = number % 200 + 1
                    expected.append(number)
                    writer.write(frame(SMALL, number))
                assert [int(array[0]) for array in reader.frames(0)] == expected
            assert segment(writer) == before + 1
            assert reader.missed == 0


def test_an_array_in_place_outlives_its_segment(
    writer: NdShArray, readers: list[NdShArray], clock: Clock
) -> None:
    writer.write(frame(LARGE, 7))
    held = readers[0].read(copy=False)[1]
    small_frames(writer, clock, 11)
    assert table(writer).size < 8 * SMALL
    assert (held == 7).all()
    assert readers[1].read()[1].shape == (SMALL,)
    late = readers[0].read(copy=False)[1]
    small_frames(writer, clock, 1)
    assert (held == 7).all()
    assert late.tolist() == [0] * SMALL


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EMFILE])
def test_a_smaller_segment_that_cannot_be_made_is_no_error(
    writer: NdShArray, readers: list[NdShArray], clock: Clock, room: Room, code: int
) -> None:
    writer.write(frame(LARGE))
    before = segment(writer)
    asked = room(0, code)
    small_frames(writer, clock, 21)
    assert segment(writer) == before
    assert 2 <= len(asked) <= 4  # tried again after each period
    writer.write(frame(SMALL, 3))
    assert readers[0].read()[1].tolist() == [3] * SMALL
    room(LARGE)
    small_frames(writer, clock, 6)
    assert table(writer).size < 8 * SMALL


def test_a_name_that_cannot_be_removed_goes_later(
    writer: NdShArray, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows while a reader maps it; there may never be another growth."""
    writer.write(frame(LARGE))
    with monkeypatch.context() as patch:
        patch.setattr(ndsharray._writer.control, "unlink", lambda *_: False)
        small_frames(writer, clock, 11)
        assert table(writer).size < 8 * SMALL
        if os.name != "nt":
            assert on_disk(writer) >= 3 * LARGE
    small_frames(writer, clock, 1.5)
    if os.name != "nt":
        assert on_disk(writer) < LARGE / 4


def test_the_segment_of_an_interrupted_publish_keeps_its_name(
    writer: NdShArray, readers: list[NdShArray], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer goes on in it, though newest does not name it yet."""
    writer.write(frame(SMALL, 1))

    def interrupt(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ndsharray._protocol.writing.WriteSide, "publish", interrupt)
        with pytest.raises(KeyboardInterrupt):
            writer.write(frame(LARGE, 2))
    clock.pass_by(1.5)  # the look of each second
    writer.write(frame(LARGE, 3))
    assert readers[0].read()[1].tolist() == [3] * LARGE


# --- the figures by themselves


def test_the_fewest_slots_leave_out_pins(writer: NdShArray, readers: list[NdShArray]) -> None:
    writer.write(frame(SMALL))
    side: Any = writer._writer._holding.segment.side  # type: ignore[union-attr]
    control_bytes: Any = writer._writer._holding.control.memory.bytes  # type: ignore[union-attr]
    for pins, fewest in [((), 2), ((1,), 2), ((1, 2), 3), ((4, 1, 2), 3), ((9, 250), 2)]:
        control_bytes[PINS_BYTE : PINS_BYTE + len(pins)] = bytes(pins)
        assert side.fewest_slots() == fewest
        control_bytes[PINS_BYTE : PINS_BYTE + len(pins)] = bytes(len(pins))
    control_bytes[PINS_BYTE : PINS_BYTE + 248] = bytes(range(1, 249))
    assert side.fewest_slots() == 249
    control_bytes[PINS_BYTE : PINS_BYTE + 248] = bytes(248)


def test_a_need_has_no_more_slots_than_there_can_be() -> None:
    need = Need(3, 0)
    need.note_pins(248)
    assert need.slots == 250
