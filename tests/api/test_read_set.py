"""Sets of several arrays: what is in them, how long it stays, how they end. Writers are in here."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from ndsharray import ClosedError, FrameSet, NdShArray, ReadSet
from ndsharray._protocol import format
from ndsharray._reader import member
from ndsharray._reader.member import Member
from ndsharray._system import clock

MS = 1_000_000
START = 1_700_000_000_000 * MS  # the Unix time of the tests' 0 ms
LARGE = (100, 100)  # uint16: too large to be copied as soon as it is found

Maker = Callable[..., "Source"]


class Source:
    """A writer whose frames are stamped by the test, in ms, and filled with that number."""

    def __init__(self, name: str, transport: str, shape: tuple[int, ...], slots: int) -> None:
        self.writer = NdShArray(name, r_w="w", transport=transport, slots=slots)
        self.name, self.shape = name, shape

    def write(self, *times: int) -> None:
        for time in times:
            self.writer.write(np.full(self.shape, time, np.uint16), time_ns=START + time * MS)


@pytest.fixture
def source(name: str, transport: str) -> Iterator[Maker]:
    """Make writers, named after the test."""
    made: list[Source] = []

    def make(alias: str, shape: tuple[int, ...] = LARGE, slots: int = 3) -> Source:
        made.append(Source(f"{name} {alias}", transport, shape, slots))
        return made[-1]

    yield make
    for each in made:
        each.writer.close()


@pytest.fixture
def together(name: str, transport: str) -> Iterator[Callable[..., ReadSet]]:
    """Make a read set of arrays named after the test."""
    made: list[ReadSet] = []

    def make(*aliases: str, **options: Any) -> ReadSet:
        if options.get("policy", "nearest") == "nearest":
            options.setdefault("tolerance", 0.010)
        names = {alias: f"{name} {alias}" for alias in aliases}
        made.append(ReadSet(names, transport=transport, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def values(found: FrameSet | None) -> list[int]:
    """Return what the frames of a set are filled with, each of one value only."""
    assert found is not None
    assert all((array == array.flat[0]).all() for array in found.values())
    return [int(array.flat[0]) for array in found.values()]


def next_set(readers: ReadSet, time: int, *sources: Source, copy: bool = True) -> FrameSet:
    """Write a frame of one time to each array, and return the set that they make."""
    for each in sources:
        each.write(time)
    found = readers.read(copy=copy)
    assert found is not None
    assert values(found) == [time] * len(sources)
    return found


def test_a_frame_that_is_chosen_is_not_found_again(
    source: Maker, together: Callable[..., ReadSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader goes back to its slot to pin it; what it found since then is not read twice."""
    left, right = source("left", slots=8), source("right", slots=8)
    found: list[int] = []
    real = Member._add

    def add(self: Member, cursor: Any, origin: Any) -> None:
        found.append(origin.last.frame_id)
        real(self, cursor, origin)

    monkeypatch.setattr(Member, "_add", add)
    with together("left", "right") as readers:
        for time in (0, 30, 60, 90):
            left.write(time)
            right.write(time)
        assert all_sets(readers) == [[0, 0], [30, 30], [60, 60], [90, 90]]
    assert sorted(found) == [1, 1, 2, 2, 3, 3, 4, 4]


def all_sets(readers: ReadSet, **options: Any) -> list[list[int]]:
    """Return the values of all sets that are there now."""
    return [values(s) for s in iter(lambda: readers.read(**options), None)]


# --- sets


@pytest.mark.parametrize("copy", [True, False])
@pytest.mark.parametrize("shape", [LARGE, (3,)])
def test_a_set_has_the_nearest_frames(
    source: Maker, together: Callable[..., ReadSet], copy: bool, shape: tuple[int, ...]
) -> None:
    left, imu = source("left", slots=8), source("imu", shape, slots=8)
    with together("left", "imu") as readers:
        left.write(100, 133)
        imu.write(90, 97, 104, 130, 136)
        assert all_sets(readers, copy=copy) == [[100, 97], [133, 130]]
        assert readers.counts == {"left": (2, 0, 0), "imu": (2, 2, 0)}
        assert readers.pivot == "left"


def test_a_set_tells_names_times_numbers_and_spread(
    source: Maker, together: Callable[..., ReadSet]
) -> None:
    left, imu = source("left"), source("the imu", (3,))
    with together("left", "the imu", offsets={"the imu": -0.004}) as readers:
        left.write(100)
        imu.write(98, 105, 120)
        found = readers.read()
        assert found is not None
        assert values(found) == [100, 105]
        assert found.left is found["left"]
        assert list(found) == ["left", "the imu"]
        assert found.times_ns == {"left": START + 100 * MS, "the imu": START + 105 * MS}
        assert found.frame_ids == {"left": 1, "the imu": 2}
        assert found.spread_ms == 1.0
        assert repr(found) == "<FrameSet left #1, the imu #2, spread 1.0 ms>"
        assert "left" in dir(found)
        with pytest.raises(AttributeError, match="no array 'right'"):
            found.right


def test_the_pivot_is_known_at_once_if_it_is_given(
    source: Maker, together: Callable[..., ReadSet]
) -> None:
    assert together("left", "right", pivot="right").pivot == "right"
    left, right = source("left"), source("right")
    with together("left", "right") as readers:
        for time in (100, 133):
            assert readers.pivot is None
            left.write(time)
            right.write(time)
            readers.read()
        assert readers.pivot == "left"
    assert together("left", "right", policy="latest").pivot is None


def test_names_can_be_a_list(name: str, transport: str) -> None:
    with (
        NdShArray(f"{name} a", np.arange(3), "w", transport=transport),
        NdShArray(f"{name} b", np.arange(4), "w", transport=transport),
        ReadSet([f"{name} a", f"{name} b"], policy="latest", transport=transport) as readers,
    ):
        found = readers.read()
        assert found is not None
        assert {key: len(array) for key, array in found.items()} == {f"{name} a": 3, f"{name} b": 4}


@pytest.mark.parametrize("tolerance_ns", [0, 50])
def test_the_tolerance_is_exact(
    source: Maker, together: Callable[..., ReadSet], tolerance_ns: int
) -> None:
    """A float holds Unix time in steps of 256 ns only."""
    left, right = source("left"), source("right")
    with together("left", "right", tolerance=tolerance_ns / 1e9, pivot="left") as readers:
        for late in (0, 1):
            for step in range(8):
                stamp = START + (100 * late + step) * MS + 33 * step
                left.writer.write(np.zeros(LARGE, np.uint16), time_ns=stamp)
                stamp += tolerance_ns + late
                right.writer.write(np.zeros(LARGE, np.uint16), time_ns=stamp)
                assert (readers.read() is None) == bool(late)


def test_without_stamps_the_times_of_the_writes_count(
    source: Maker, together: Callable[..., ReadSet]
) -> None:
    left, right = source("left"), source("right")
    with together("left", "right", tolerance=10.0, pivot="left") as readers:
        for each in (left, right):
            each.writer.write(np.zeros(LARGE, np.uint16))
        found = readers.read()
        assert found is not None
        assert 0 < found.spread_ms < 10_000
        written = [each.writer.write_time_ns for each in (left, right)]
        assert found.times_ns == pytest.approx(dict(zip(found, written, strict=True)), abs=MS)


def test_copies_are_the_users_own_and_arrays_in_place_stay(
    source: Maker, together: Callable[..., ReadSet]
) -> None:
    left, right = source("left"), source("right")
    with together("left", "right", pivot="left") as readers:
        copied = next_set(readers, 10, left, right)
        in_place = next_set(readers, 20, left, right, copy=False)
        assert all(array.flags.writeable and array.base is None for array in copied.values())
        assert not any(array.flags.writeable for array in in_place.values())
        for time in range(100, 120):
            left.write(time)
            right.write(time)
            assert values(copied) == [10, 10]
            assert values(in_place) == [20, 20]


def test_large_copies_use_memory_again(source: Maker, together: Callable[..., ReadSet]) -> None:
    left, right = source("left", (300, 300)), source("right")
    with together("left", "right", pivot="left") as readers:
        places = []
        for time in range(0, 100, 10):
            found = next_set(readers, time, left, right)
            assert found.left.flags.writeable
            places.append(found.left.__array_interface__["data"][0])
            del found
        assert len(set(places)) < 4


def test_a_copy_pins_nothing_once_it_is_there(
    source: Maker, together: Callable[..., ReadSet]
) -> None:
    left, right = source("left"), source("right")
    with together("left", "right", pivot="left") as readers:
        next_set(readers, 10, left, right)
        for member_ in readers._joiner.members:
            pins: Any = member_.reader._source.cursor
            assert pins.pins._own.tobytes() == bytes(4)


def test_shape_and_dtype_may_change(source: Maker, together: Callable[..., ReadSet]) -> None:
    left, right = source("left"), source("right", (5,))
    with together("left", "right", pivot="left") as readers:
        for time, shape in enumerate([(60, 70), (300, 300), (2,), (100, 100, 3)]):
            left.shape = shape
            assert next_set(readers, 100 * time, left, right).left.shape == shape


def test_fields_keep_their_names(name: str, transport: str) -> None:
    dtype = np.dtype([("x", "f8"), ("y", "i4")])
    with (
        NdShArray(f"{name} a", r_w="w", transport=transport) as large,
        NdShArray(f"{name} b", r_w="w", transport=transport) as small,
        ReadSet([f"{name} a", f"{name} b"], policy="latest", transport=transport) as readers,
    ):
        for copy in (True, False, True):
            large.write(np.ones(2000, dtype))
            small.write(np.ones(2, dtype))
            found = readers.read(copy=copy)
            assert found is not None
            for array in found.values():
                assert array.dtype == dtype
                array.dtype.names = ("p", "q")  # the user's own dtype: no later frame has these


# --- what waits for a match


def test_a_chosen_frame_is_kept_while_others_are_waited_for(
    source: Maker, together: Callable[..., ReadSet]
) -> None:
    """Three slots, and 20 frames that are written after it."""
    left, right, imu = source("left"), source("right"), source("imu")
    with together("left", "right", "imu", pivot="left") as readers:
        left.write(100)
        imu.write(95, 101)
        assert readers.read() is None
        for time in range(102, 122):
            imu.write(time)
        right.write(103)
        assert values(readers.read()) == [100, 103, 101]
        assert readers.counts["imu"].missing > 0


def test_a_frame_that_was_overwritten_counts_as_missing(
    source: Maker, together: Callable[..., ReadSet]
) -> None:
    left, imu = source("left"), source("imu")
    with together("left", "imu", pivot="left") as readers:
        imu.write(80, 100)
        assert readers.read() is None  # both are seen, neither is known to be needed
        imu.write(200, 300, 400)
        left.write(100, 300)
        assert all_sets(readers) == [[300, 300]]
        assert readers.counts == {"left": (1, 1, 0), "imu": (1, 2, 1)}


def test_a_frame_that_is_overwritten_gives_way_to_the_next_nearest(
    source: Maker, together: Callable[..., ReadSet]
) -> None:
    left, imu = source("left"), source("imu")
    with together("left", "imu", pivot="left") as readers:
        imu.write(94, 99)
        assert readers.read() is None
        imu.write(105, 107, 140)
        left.write(100)
        assert all_sets(readers) == [[100, 105]]


def test_small_frames_wait_outside_the_slots(
    source: Maker, together: Callable[..., ReadSet]
) -> None:
    """A camera's frame comes 30 ms after its capture, those of a sensor at once."""
    camera, imu = source("camera"), source("imu", (6,))
    with together("camera", "imu") as readers:
        for now in range(0, 400, 5):
            imu.write(now + 1)
            if now % 40 == 30:
                camera.write(now - 30)
            readers.read()
        assert readers.counts["imu"].missing == 0
        assert readers.counts["camera"] == (10, 0, 0)


def test_every_frame_has_one_fate(source: Maker, together: Callable[..., ReadSet]) -> None:
    sources = [source("left"), source("imu", (6,)), source("right")]
    with together("left", "imu", "right", tolerance=0.006) as readers:
        random = np.random.default_rng(1)
        for now in range(0, 900, 3):
            for each, period in zip(sources, (33, 6, 18), strict=True):
                if now % period == 0 and random.random() < 0.9:
                    each.write(now)
            if random.random() < 0.7:
                readers.read()
        all_sets(readers)
        for member_, each in zip(readers._joiner.members, sources, strict=True):
            counts = readers.counts[member_.name]
            assert counts.matched > 15
            assert sum(counts) + len(member_.track.waiting) == each.writer.frame_id


def test_slots_that_do_not_reach_back_are_told_once(
    source: Maker, together: Callable[..., ReadSet]
) -> None:
    left, imu = source("left"), source("imu")
    with together("left", "imu", tolerance=0.020) as readers:
        left.write(10)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            for time in range(10, 70, 5):
                imu.write(time)
                readers.read()
        assert [warning.filename for warning in told] == [__file__]
        assert "the 3 slots of 'imu' reach back 15.0 ms" in str(told[0].message)
        assert "slots=6" in str(told[0].message)


def test_no_more_slots_are_advised_than_there_can_be(
    source: Maker, together: Callable[..., ReadSet]
) -> None:
    left, imu = source("left"), source("imu")
    with (
        together("left", "imu", tolerance=5) as readers,
        warnings.catch_warnings(record=True) as told,
    ):
        warnings.simplefilter("always")
        left.write(10)
        for time in range(10, 70, 5):
            imu.write(time)
            readers.read()
    assert len(told) == 1
    assert "choose a smaller tolerance" in str(told[0].message)
    assert "slots=" not in str(told[0].message)


def test_slots_that_reach_back_far_enough_are_not_told_of(
    source: Maker, together: Callable[..., ReadSet]
) -> None:
    left, imu, small = source("left"), source("imu"), source("small", (6,))
    with together("left", "imu", "small", tolerance=0.014) as readers, warnings.catch_warnings():
        warnings.simplefilter("error")
        left.write(10)
        for time in range(10, 70, 5):
            imu.write(time)
            small.write(*range(time, time + 5))
            readers.read()


# --- policies


def test_exact_joins_equal_stamps(source: Maker, together: Callable[..., ReadSet]) -> None:
    left, right = source("left", slots=8), source("right", slots=8)
    with together("left", "right", policy="exact") as readers:
        left.write(10, 20, 40)
        right.write(20, 30, 40)
        assert all_sets(readers) == [[20, 20], [40, 40]]
        began = clock.now_ns()
        left.write(50)
        right.write(60)
        assert readers.read() is None
        assert "no frames of all arrays have equal stamps" in readers._joiner.fault(began, 1.0)


def test_exact_joins_equal_numbers_where_a_stamp_is_missing(
    source: Maker, together: Callable[..., ReadSet]
) -> None:
    left, right = source("left"), source("right")
    with together("left", "right", policy="exact") as readers:
        for value in (5, 6):
            left.writer.write(np.full(LARGE, value, np.uint16))
        right.write(7, 8)
        assert all_sets(readers) == [[5, 7], [6, 8]]


def test_latest_gives_the_newest_of_each(source: Maker, together: Callable[..., ReadSet]) -> None:
    left, imu = source("left"), source("imu", (3,))
    with together("left", "imu", policy="latest") as readers:
        left.write(10, 20)
        assert readers.read() is None
        imu.write(1, 2, 3)
        first = readers.read()
        assert values(first) == [20, 3]
        assert readers.read() is None
        imu.write(4)
        second = readers.read()
        assert values(second) == [20, 4]
        assert first is not None
        assert second is not None
        assert second.left is first.left
        assert first == first != second
        assert len({first, second}) == 2
        assert readers.counts == {"left": (1, 1, 0), "imu": (2, 2, 0)}
        imu.write(5)
        third = readers.read(copy=False)
        assert third is not None
        assert not third.left.flags.writeable
        assert second.left.flags.writeable  # the user's own


@pytest.mark.parametrize("policy", ["nearest", "latest"])
def test_an_exception_before_a_set_is_returned_loses_none(
    source: Maker,
    together: Callable[..., ReadSet],
    monkeypatch: pytest.MonkeyPatch,
    policy: str,
) -> None:
    """No memory for the copies, or a signal handler that raises."""
    left, right = source("left"), source("right")
    with together("left", "right", policy=policy) as readers:
        left.write(10)
        right.write(10)
        with monkeypatch.context() as patch:
            patch.setattr(Member, "value", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                readers.read()
        assert readers.counts == dict.fromkeys(("left", "right"), (0, 0, 0))
        left.writer.write(np.zeros(LARGE, np.uint16), time_ns=START + 200 * MS)
        if policy == "nearest":
            assert values(readers.read()) == [10, 10]
            assert readers.counts == dict.fromkeys(("left", "right"), (1, 0, 0))
        else:
            assert values(readers.read()) == [0, 10]


# --- ends, timeouts, restarts


def test_sets_end_with_an_array_that_is_closed(
    source: Maker, together: Callable[..., ReadSet]
) -> None:
    left, right = source("left"), source("right")
    with together("left", "right", pivot="left") as readers:
        sets = readers.sets(timeout=10)
        left.write(10, 20)
        right.write(11)
        assert values(next(sets)) == [10, 11]
        right.write(21)
        right.writer.close()
        assert readers.ended is None
        assert [values(s) for s in sets] == [[20, 21]]
        assert readers.ended == "right"
        assert list(sets) == []
        with pytest.raises(TimeoutError, match=r"of 'right' for .* \(writer closed\)"):
            next(readers.sets(timeout=0.01))
        right = source("right")
        left.write(30)
        right.write(31)
        assert values(next(readers.sets(timeout=10))) == [30, 31]
        assert readers.ended is None


def test_a_timeout_names_the_array_at_fault(
    source: Maker, together: Callable[..., ReadSet], console: Any, transport: str, name: str
) -> None:
    left = source("left")
    with together("left", "imu") as readers:
        for state in ("absent", "live", "killed"):
            if state == "live":
                child = console()
                imu = f"w = NdShArray({name + ' imu'!r}, np.zeros(3), 'w', transport={transport!r})"
                child.run(imu)
                readers.read()
            if state == "killed":
                child.process.kill()
                child.process.wait()
            left.write(10)
            with pytest.raises(TimeoutError) as told:
                next(readers.sets(timeout=0.0))
            assert "of 'imu'" in str(told.value)
            assert f"(writer {state})" in str(told.value)
            assert "no frame of 'left'" not in str(told.value)
        assert readers.ended is None
    with NdShArray(f"{name} imu", r_w="w", transport=transport):
        pass  # what the killed writer left is gone


def test_a_timeout_tells_how_far_apart_the_frames_are(
    source: Maker, together: Callable[..., ReadSet]
) -> None:
    left, imu = source("left"), source("imu")
    with together("left", "imu", pivot="left") as readers:
        left.write(100)
        imu.write(60)
        assert readers.read() is None
        began = min(m.track.newest.seen for m in readers._joiner.members if m.track.newest)
        told = readers._joiner.fault(began, 1.0)
        text = "no set for 1.0 s: the newest frame of 'imu' is 40.0 ms before that of 'left'"
        assert told == text


def test_a_timeout_of_one_array_compares_it_with_no_other(
    source: Maker, together: Callable[..., ReadSet]
) -> None:
    left = source("left")
    with together("left") as readers:
        left.write(100)
        assert values(readers.read()) == [100]
        assert readers._joiner.fault(0, 1.0) == "no set for 1.0 s: no frame could be used"


def test_an_iterator_goes_on_after_a_timeout(
    source: Maker, together: Callable[..., ReadSet]
) -> None:
    left, right = source("left"), source("right")
    with together("left", "right", pivot="left") as readers:
        sets = readers.sets(timeout=0.01)
        with pytest.raises(TimeoutError, match=r"no frame of 'left' for 0\.01 s \(writer live\)"):
            next(sets)
        left.write(10)
        right.write(10)
        assert values(next(sets)) == [10, 10]


def test_a_set_waits_for_a_nearer_frame_no_longer_than_the_tolerance(
    source: Maker, together: Callable[..., ReadSet]
) -> None:
    left, right = source("left"), source("right")
    with together("left", "right", pivot="left", tolerance=0.05) as readers:
        left.write(100)
        right.write(90)
        assert readers.read() is None
        assert values(readers.read(timeout=10)) == [100, 90]


def test_a_writer_that_comes_again_is_followed(
    source: Maker, together: Callable[..., ReadSet]
) -> None:
    left = source("left")
    with together("left", "right", pivot="left") as readers:
        for run in range(3):
            right = source("right")
            left.write(1000 * run)
            right.write(1000 * run + 1)
            assert values(readers.read(timeout=10)) == [1000 * run, 1000 * run + 1]
            right.writer.close()
            assert readers.read() is None
            assert readers.ended == "right"
        assert readers.counts == {"left": (3, 0, 0), "right": (3, 0, 0)}


def test_stamps_that_go_back_begin_anew(source: Maker, together: Callable[..., ReadSet]) -> None:
    left, right = source("left"), source("right")
    with together("left", "right", pivot="left") as readers:
        for start in (1000, 0, 2000):
            for time in range(start, start + 100, 33):
                left.write(time)
                right.write(time + 2)
                assert values(readers.read()) == [time, time + 2]


def test_a_closed_set_refuses(source: Maker, together: Callable[..., ReadSet]) -> None:
    readers = together("left", "right")
    assert not readers.closed
    sets = readers.sets()
    readers.close()
    readers.close()
    assert readers.closed
    assert "closed" in repr(readers)
    with pytest.raises(ClosedError):
        readers.read()
    with pytest.raises(ClosedError):
        next(sets)


def test_a_set_that_is_closed_ends_a_wait_of_another_thread(
    source: Maker, together: Callable[..., ReadSet]
) -> None:
    left = source("left")
    readers = together("left", "right")
    left.write(10)
    errors: list[BaseException] = []
    began = threading.Event()

    def wait() -> None:
        try:
            readers.read()
            began.set()
            readers.read(timeout=None)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    assert began.wait(10)
    readers.close()
    thread.join(10)
    assert [type(error) for error in errors] == [ClosedError]
    assert readers._joiner.members[0].track.newest is None


def test_a_set_that_is_closed_during_a_read_holds_no_frame_after_it(
    source: Maker, together: Callable[..., ReadSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    left, right = source("left"), source("right")
    readers = together("left", "right", policy="latest")
    left.write(10)
    right.write(10)
    look = readers._look

    def look_and_be_closed(copy: bool) -> FrameSet | None:
        found = look(copy)
        thread = threading.Thread(target=readers.close)
        thread.start()
        thread.join(10)
        return found

    monkeypatch.setattr(readers, "_look", look_and_be_closed)
    found = readers.read(copy=False)
    assert values(found) == [10, 10]
    assert readers.closed
    pins = left.writer._writer._holding.control.memory.bytes  # type: ignore[union-attr]
    assert any(pins[format.PINS_BYTE : format.PINS_END]), "the user has the arrays"
    del found
    assert not any(pins[format.PINS_BYTE : format.PINS_END])


def test_a_signal_handler_may_close_the_set_during_a_read(
    source: Maker, together: Callable[..., ReadSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    left, right = source("left"), source("right")
    readers = together("left", "right", pivot="left")
    left.write(10)
    right.write(10)
    choose = readers._joiner._choose

    def choose_and_close() -> Any:
        choice = choose()
        readers.close()  # in the thread that reads
        return choice

    monkeypatch.setattr(readers._joiner, "_choose", choose_and_close)
    assert values(readers.read()) == [10, 10]
    assert readers._joiner.members[0].track.newest is None
    with pytest.raises(ClosedError):
        readers.read()


def test_one_thread_reads_at_a_time(source: Maker, together: Callable[..., ReadSet]) -> None:
    left, right = source("left"), source("right")
    readers = together("left", "right", pivot="left")
    found: list[FrameSet | None] = []

    def read() -> None:
        while not found:
            with contextlib.suppress(RuntimeError):  # the other one was faster
                found.append(readers.read(timeout=30))

    thread = threading.Thread(target=read)
    thread.start()
    with pytest.raises(RuntimeError, match="another thread"):
        while thread.is_alive():
            readers.read()
    left.write(10)
    right.write(10)
    thread.join(10)
    assert values(found[0]) == [10, 10]


def test_a_call_inside_another_one_is_refused(together: Callable[..., ReadSet]) -> None:
    readers = together("left", "right")
    with readers._joiner.lock, pytest.raises(RuntimeError, match="interrupted"):
        readers.read()


# --- asyncio


def test_sets_in_an_event_loop(source: Maker, together: Callable[..., ReadSet]) -> None:
    left, right = source("left"), source("right")
    with together("left", "right", pivot="left") as readers:

        async def write() -> None:
            for time in range(0, 50, 10):
                left.write(time)
                right.write(time + 1)
                while readers.counts["left"].matched <= time // 10:
                    await asyncio.sleep(0)
            left.writer.close()

        async def read() -> list[list[int]]:
            return [values(s) async for s in readers.sets(timeout=10)]

        async def both() -> list[list[int]]:
            return (await asyncio.gather(read(), write()))[0]

        assert asyncio.run(both()) == [[t, t + 1] for t in range(0, 50, 10)]
        assert readers.ended == "left"


def test_read_async_needs_an_event_loop_of_asyncio(together: Callable[..., ReadSet]) -> None:
    with together("left") as readers, pytest.raises(RuntimeError, match="asyncio event loop"):
        readers.read_async().send(None)


def test_a_timeout_and_a_cancellation_in_an_event_loop(
    source: Maker, together: Callable[..., ReadSet]
) -> None:
    left = source("left")
    with together("left", "right") as readers:

        async def main() -> None:
            left.write(1)
            with pytest.raises(TimeoutError, match="no frame of 'right'"):
                await readers.sets(timeout=0.01).__anext__()
            task = asyncio.create_task(readers.read_async())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(main())
        right = source("right")
        right.write(1)
        assert values(readers.read(timeout=10)) == [1, 1]


# --- arguments


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({}, "needs a tolerance"),
        ({"tolerance": -1}, "0 or more"),
        ({"tolerance": float("nan")}, "finite"),
        ({"tolerance": 10**400}, "finite"),
        ({"tolerance": "1"}, "number of seconds"),
        ({"tolerance": 1e300}, "at most 9e\\+09 seconds"),
        ({"tolerance": 1, "policy": "first"}, "policy is one of nearest, exact, latest"),
        ({"tolerance": 1, "pivot": "c"}, "no array 'c', it has a, b"),
        ({"tolerance": 1, "offsets": {"c": 1}}, "no array 'c', it has a, b"),
        ({"tolerance": 1, "offsets": {"a": None}}, "number of seconds"),
        ({"tolerance": 1, "offsets": {"a": 1e300}}, "at most 9e\\+09 seconds"),
        ({"tolerance": 1, "offsets": [1]}, "offsets is a mapping"),
        ({"policy": "latest", "pivot": "a"}, "has no pivot"),
        ({"policy": "latest", "names": "ab"}, "a list of names"),
        ({"policy": "latest", "names": 5}, "a list of names"),
        ({"policy": "latest", "names": []}, "at least one"),
        ({"policy": "latest", "names": ["a", "a"]}, "twice"),
        ({"policy": "latest", "names": ["a", 5]}, "a name is a str"),
        ({"policy": "latest", "names": ["a", ""]}, "name"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(options: dict[str, Any], error: str) -> None:
    names = options.pop("names", ["a", "b"])
    with pytest.raises((ValueError, TypeError), match=error):
        ReadSet(names, **options)


def test_the_limit_of_an_early_copy_is_as_documented() -> None:
    assert f"{member.SMALL // 1024} KiB" in str(ReadSet.read.__doc__)


def test_frames_come_in_order_however_often_it_is_looked(
    source: Maker, together: Callable[..., ReadSet]
) -> None:
    left, imu = source("left", slots=40), source("imu", slots=120)
    with together("left", "imu", tolerance=0.004) as readers:
        found: list[list[int]] = []
        for start in range(0, 1000, 250):
            left.write(*range(start, start + 250, 33))
            imu.write(*range(start, start + 250, 5))
            found += all_sets(readers)
        assert len(found) > 25
        assert all(a[0] < b[0] and a[1] < b[1] for a, b in itertools.pairwise(found))
