"""Rates from frames' numbers and times, of which some are seen."""

from __future__ import annotations

import numpy as np
import pytest

from ndsharray import ArrayInfo, SlotInfo
from ndsharray._registry.probe import Head
from ndsharray.tools.common.rates import (
    _MOST_SEEN,
    Meter,
    Rate,
    has_not_written,
    rate_of,
)

SECOND = 1_000_000_000


def heads(times: list[float], first: int = 1, instance: int = 7) -> list[Head]:
    """Return the heads of frames that were written at some times, in seconds."""
    return [Head(first + i, int(t * SECOND), 0, instance) for i, t in enumerate(times)]


def measured(times: list[float], window: float = 5.0, seen: slice = slice(None)) -> Rate:
    meter = Meter(window)
    found = heads(times)[seen]
    meter.add(found, found[-1].write_ns)
    return meter.measure()


@pytest.mark.parametrize("hz", [0.1, 1, 30, 2000, 100_000])
@pytest.mark.parametrize("every", [1, 2, 7, 50])
def test_the_rate_is_exact_whichever_frames_are_seen(hz: float, every: int) -> None:
    rate = measured([i / hz for i in range(201)], window=300, seen=slice(None, None, every))
    assert rate.hz == pytest.approx(hz, rel=1e-5)
    assert rate.gaps == 0


def test_jitter_is_the_standard_deviation_of_intervals() -> None:
    rng = np.random.default_rng(3)
    intervals = rng.normal(0.033, 0.001, 500)
    rate = measured(np.cumsum(intervals).tolist(), window=60)
    assert rate.jitter_ms == pytest.approx(1000 * intervals[1:].std(), rel=1e-3)
    assert rate.max_gap_ms == pytest.approx(1000 * intervals[1:].max(), rel=1e-3)
    assert rate.gaps == 0


def test_intervals_beyond_twice_the_median_are_gaps() -> None:
    times = np.cumsum([0.01] * 50 + [0.021] + [0.01] * 50 + [0.019] + [0.3] + [0.01]).tolist()
    rate = measured(times)
    assert rate.gaps == 2
    assert rate.max_gap_ms == pytest.approx(300)


def test_a_gap_among_frames_that_were_not_seen_is_found() -> None:
    times = np.cumsum([0.01] * 50 + [0.2] + [0.01] * 50).tolist()
    meter = Meter(5.0)
    all_heads = heads(times)
    meter.add([h for h in all_heads if not 47 <= h.frame_id <= 54], all_heads[-1].write_ns)
    rate = meter.measure()
    assert rate.gaps == 1
    assert rate.max_gap_ms == pytest.approx(200, rel=0.01)


def test_a_rate_that_was_seen_seldom_has_no_gaps_by_guess() -> None:
    """The median of a few intervals says little about a thousand others."""
    rng = np.random.default_rng(5)
    times = np.cumsum(rng.normal(0.0005, 0.00002, 10_000)).tolist()
    meter = Meter(60.0)
    meter.add([h for h in heads(times) if h.frame_id % 1000 < 2], int(times[-1] * SECOND))
    rate = meter.measure()
    assert rate.gaps == 0
    assert rate.hz == pytest.approx(2000, rel=0.01)


def test_silence_counts_as_a_gap_and_lowers_the_rate() -> None:
    meter = Meter(5.0)
    found = heads([i * 0.1 for i in range(11)])  # 10 Hz for a second
    meter.add(found, int(1.1 * SECOND))
    assert meter.measure().hz == pytest.approx(10)
    meter.add(found, 2 * SECOND)
    rate = meter.measure()
    assert rate.hz == pytest.approx(5)
    assert (rate.gaps, rate.max_gap_ms) == (1, pytest.approx(1000))


def test_only_the_window_counts_but_two_frames_always_do() -> None:
    meter = Meter(1.0)
    times = [i * 0.1 for i in range(50)] + [5 + i * 0.01 for i in range(200)]
    meter.add(heads(times), int(6.99 * SECOND))
    assert meter.measure().hz == pytest.approx(100)
    slow = Meter(1.0)
    slow.add(heads([0, 20, 40]), 41 * SECOND)
    assert slow.measure().hz == pytest.approx(0.05)


def test_too_few_frames_have_no_rate() -> None:
    meter = Meter(5.0)
    assert meter.measure() == Rate()
    meter.add(heads([1.0]), 2 * SECOND)
    assert meter.measure() == Rate()
    meter.add(heads([1.0, 1.0]), 2 * SECOND)  # a clock that stood still
    assert meter.measure() == Rate()


def test_the_writer_after_a_clean_close_begins_anew() -> None:
    meter = Meter(5.0)
    meter.add(heads([i * 0.1 for i in range(20)]), 2 * SECOND)
    meter.add(heads([3.0, 3.5], instance=8), int(3.5 * SECOND))
    assert meter.measure().hz == pytest.approx(2)
    after_a_killed_one = heads([4.0, 4.5], first=3, instance=9)  # whose numbers go on
    meter.add(after_a_killed_one, int(4.5 * SECOND))
    assert meter.measure().hz == pytest.approx(2)


def test_what_was_seen_is_bounded() -> None:
    meter = Meter(1e6)
    found = [Head(i + 1, i * 1000, 0, 1) for i in range(_MOST_SEEN + 100)]
    meter.add(found, found[-1].write_ns)
    assert len(meter._seen) == _MOST_SEEN
    assert meter.measure().hz == pytest.approx(1e6)


@pytest.mark.parametrize(
    ("age", "state", "hz"),
    [(0.0, "live", 1000), (0.01, "live", 1000), (1.0, "live", 2 / 1.002), (0.0, "killed", None)],
)
def test_the_slots_show_a_rate(age: float, state: str, hz: float | None) -> None:
    now = 10**18
    slots = tuple(
        SlotInfo(i, "stable", i + 5, now + i * 1_000_000, now, 0)
        if i < 3
        else SlotInfo(i, "writing", 0, None, None, 0)
        for i in range(4)
    )
    info = ArrayInfo(
        "a", "mmap", "/", state, age=age, write_time_ns=now + 2_000_000, slot_list=slots
    )
    assert rate_of(info).hz == (None if hz is None else pytest.approx(hz))


@pytest.mark.parametrize(
    ("taken", "state", "waits", "hz"),
    [
        (-1.0, "live", False, 1000),
        (0.01, "live", False, 1000),  # no later, as far as two clocks can tell
        (1.0, "live", True, None),
        (1.0, "killed", False, None),
        (None, "live", False, 1000),
    ],
)
def test_frames_of_a_former_writer_have_no_rate(
    taken: float | None, state: str, waits: bool, hz: float | None
) -> None:
    now = 10**18
    slots = tuple(SlotInfo(i, "stable", i + 5, now + i * 1_000_000, now, 0) for i in range(3))
    info = ArrayInfo(
        "a", "mmap", "/", state,
        since_ns=None if taken is None else now + int(taken * SECOND),
        age=0.0, write_time_ns=slots[-1].write_time_ns, slot_list=slots,
    )  # fmt: skip
    assert has_not_written(info) == waits
    assert rate_of(info).hz == (None if hz is None else pytest.approx(hz))
