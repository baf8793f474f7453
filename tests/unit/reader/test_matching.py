"""Matching by made-up times: against the best that is possible once all frames are known."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndsharray._reader.matching import Choice, Exact, Latest, Nearest, Policy
from ndsharray._reader.tracks import MOST, Frame, Track

MS = 1_000_000
Set = tuple[int, ...]  # the times of a set's frames


def new_tracks(count: int) -> list[Track]:
    return [Track() for _ in range(count)]


def add(track: Track, *times: int, seen: int = 0, stamped: bool = True, first: int = 0) -> None:
    """Add frames that are numbered one after the other."""
    first = first or (track.newest.number + 1 if track.newest else 1)
    for number, time in enumerate(times, first):
        track.add(Frame(time, number, stamped, seen), new_count=False)


def sets(policy: Policy, now: int = 0) -> list[Set]:
    """Take all sets that are there."""
    taken = []
    while (choice := policy.choose(now)).ready:
        policy.take(choice)
        taken.append(times_of(choice))
    return taken


def times_of(choice: Choice) -> Set:
    return tuple(frame.time for frame in choice.frames if frame is not None)


def played(
    policy: Policy, arrays: Sequence[Iterable[int]], delays: Sequence[int]
) -> list[tuple[int, Set]]:
    """Add all frames as they would arrive; return when each set was taken, and its times."""
    arrivals = sorted(
        (time + delay, index, time)
        for index, (times, delay) in enumerate(zip(arrays, delays, strict=True))
        for time in times
    )
    taken: list[tuple[int, Set]] = []
    wake: int | None = None
    for now, index, time in [*arrivals, (arrivals[-1][0] + 10**12, -1, 0)]:
        if wake is not None and wake < now:  # time told, before this frame came
            taken += [(wake, found) for found in sets(policy, wake)]
        if index >= 0:
            add(policy.tracks[index], time, seen=now)
        taken += [(now, found) for found in sets(policy, now)]
        wake = policy.choose(now).again
    return taken


def most(pivot: Sequence[int], others: Sequence[Sequence[int]], tolerance: int) -> int:
    """Return the largest number of sets that anybody could make, in order, each frame once.

    For each frame of the pivot it takes the earliest frames that are possible, which leave the most
    for those after it.
    """
    places = [0] * len(others)
    count = 0
    for time in pivot:
        for index, times in enumerate(others):
            while places[index] < len(times) and times[places[index]] < time - tolerance:
                places[index] += 1
        if all(
            place < len(times) and times[place] <= time + tolerance
            for place, times in zip(places, others, strict=True)
        ):
            count += 1
            places = [place + 1 for place in places]
    return count


def ticks(random_: random.Random, rate: float, seconds: float, jitter: float) -> list[int]:
    """Return the times of an array with jitter (in periods), lost frames and pauses."""
    period, times, pause = 1e9 / rate, [], 0.0
    for number in range(int(rate * seconds)):
        due = number * period
        if random_.random() < 0.005:
            pause = due + random_.uniform(0, 0.5e9)
        if due >= pause and random_.random() > 0.01:
            times.append(int(due + random_.uniform(-jitter, jitter) * period))
    return sorted(times)


# --- nearest


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.05, 0.45), st.integers(2, 4), st.booleans())
def test_nearest_finds_as_many_sets_as_are_possible(
    seed: int, tolerance: float, count: int, given_pivot: bool
) -> None:
    """The tolerance is less than half of what lies between two frames of the slowest array."""
    random_ = random.Random(seed)
    rate = random_.uniform(5, 20)
    within = int(tolerance * 0.9 / rate * 1e9)
    pivot = ticks(random_, rate, 6, 0.05)
    others = [ticks(random_, rate * random_.uniform(2, 8), 6, 0.3) for _ in range(count - 1)]
    arrays = [*others, pivot]
    delays = [random_.randrange(int(1e9 / rate)) for _ in arrays]
    policy = Nearest(new_tracks(count), within, count - 1 if given_pivot else None)
    taken = [found for _, found in played(policy, arrays, delays)]

    best = most(pivot, others, within)
    if given_pivot:
        assert len(taken) == best
        assert all(abs(time - found[-1]) <= within for found in taken for time in found)
    else:  # another array is the pivot until the periods are known
        assert len(taken) >= math.floor(0.99 * best) - 1
        assert all(max(found) - min(found) <= 2 * within for found in taken)
    for earlier, later in itertools.pairwise(taken):
        assert all(a < b for a, b in zip(earlier, later, strict=True))


@pytest.mark.parametrize("seed", range(3))
def test_three_rates_with_jitter(seed: int) -> None:
    random_ = random.Random(seed)
    arrays = [ticks(random_, rate, 20, 0.1) for rate in (30, 60, 200)]
    tolerance = 10 * MS
    policy = Nearest(new_tracks(3), tolerance)
    taken = played(policy, arrays, [2 * MS, MS, 0])
    assert len(taken) >= 0.99 * most(arrays[0], arrays[1:], tolerance) > 300
    assert policy.pivot == 0
    period = 1.2e9 / 30
    for now, found in taken:
        assert now - max(found) <= period + tolerance
        assert all(abs(time - found[0]) <= tolerance for time in found)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 60), min_size=1, max_size=12), min_size=2, max_size=3),
    st.integers(0, 30),
    st.sampled_from([Nearest, Exact, Latest]),
)
def test_whatever_the_times_are_each_frame_has_one_fate(
    arrays: list[list[int]], tolerance: int, kind: type[Policy]
) -> None:
    """Times that go backwards, too."""
    tracks = new_tracks(len(arrays))
    policy = kind(tracks, tolerance)
    matched: list[set[int]] = [set() for _ in arrays]
    order = sorted((n, i) for i, times in enumerate(arrays) for n in range(len(times)))
    now = 0
    for now, (number, index) in enumerate(order):
        add(tracks[index], arrays[index][number], seen=now)
        while (choice := policy.choose(now)).ready:
            for numbers, frame in zip(matched, choice.frames, strict=True):
                assert frame is not None
                assert kind is Latest or frame.number > max(numbers, default=0)
                numbers.add(frame.number)
            times = times_of(choice)
            assert kind is not Exact or len(set(times)) == 1
            assert choice.spread <= (2 if kind is Nearest else 1) * tolerance
            policy.take(choice)
    for track, numbers, published in zip(tracks, matched, arrays, strict=True):
        assert track.matched == len(numbers)
        left = sum(not frame.used for frame in track.waiting)
        assert track.matched + track.unmatched + track.missing + left == len(published)


def test_the_nearest_of_the_other_frames_is_taken() -> None:
    slow, fast = tracks = new_tracks(2)
    policy = Nearest(tracks, 10, 0)
    add(slow, 100, 200)
    add(fast, 92, 97, 104, 120, 195, 203)
    assert sets(policy) == [(100, 97), (200, 203)]
    assert (slow.matched, fast.matched, fast.unmatched) == (2, 2, 4)


def test_a_frame_is_not_matched_before_a_nearer_one_could_come() -> None:
    slow, fast = tracks = new_tracks(2)
    policy = Nearest(tracks, 10, 0)
    add(slow, 100, seen=1000)
    add(fast, 95)
    choice = policy.choose(1000)
    assert (choice.ready, choice.frames[1], choice.again) == (False, None, 1010)
    add(fast, 102)
    assert sets(policy, 1001) == [(100, 102)]


def test_the_tolerance_is_the_longest_wait_for_a_nearer_one() -> None:
    slow, fast = tracks = new_tracks(2)
    policy = Nearest(tracks, 10, 0)
    add(slow, 100, seen=1000)
    add(fast, 95)
    assert sets(policy, 1009) == []
    assert sets(policy, 1010) == [(100, 95)]


def test_a_late_array_is_waited_for() -> None:
    """Results of a long calculation carry the stamp of what they were made of."""
    slow, fast = tracks = new_tracks(2)
    policy = Nearest(tracks, 10, 0)
    add(slow, 100, 200, 300)
    assert sets(policy, 10**6) == []
    add(fast, 101, 201, 301)
    assert sets(policy, 10**6) == [(100, 101), (200, 201), (300, 301)]


def test_a_frame_without_a_partner_is_passed_over() -> None:
    slow, fast = tracks = new_tracks(2)
    policy = Nearest(tracks, 10, 0)
    add(slow, 100, 200)
    add(fast, 150, 201)
    assert sets(policy) == [(200, 201)]
    assert (slow.unmatched, fast.unmatched) == (1, 1)


def test_the_slowest_array_becomes_the_pivot() -> None:
    fast, slow = tracks = new_tracks(2)
    policy = Nearest(tracks, 3)
    add(fast, *range(0, 100, 10))
    add(slow, 0, 50)
    policy.choose(0)
    assert policy.pivot == 1
    add(slow, 55, 60, 65, 70, 75, 80)  # it is the faster one now
    policy.choose(0)
    assert policy.pivot == 0


def test_arrays_of_one_rate_do_not_swap_the_pivot() -> None:
    left, right = tracks = new_tracks(2)
    policy = Nearest(tracks, 3)
    add(left, *range(0, 1000, 100))
    add(right, *range(0, 1100, 110))
    policy.choose(0)
    assert policy.pivot == 0


@pytest.mark.parametrize("seed", range(3))
def test_a_lost_frame_does_not_shift_the_sets_after_it(seed: int) -> None:
    """Even if the tolerance is longer than a period, so that each frame has several partners."""
    random_ = random.Random(seed)
    arrays = [ticks(random_, 30, 20, 0.1) for _ in range(3)]
    taken = played(Nearest(new_tracks(3), 100 * MS), arrays, [2 * MS, MS, 0])
    assert len(taken) >= 0.97 * most(arrays[0], arrays[1:], 15 * MS) > 400
    apart = [max(abs(time - found[0]) for time in found) for _, found in taken]
    assert sum(distance < 0.5e9 / 30 for distance in apart) > 0.99 * len(taken)


def test_a_frame_is_left_to_the_nearest_of_the_pivots_frames() -> None:
    slow, fast = tracks = new_tracks(2)
    policy = Nearest(tracks, 200, 0)
    add(slow, 0, 100)
    add(fast, 98)
    assert sets(policy, 200) == [(100, 98)]
    add(slow, 200)  # the next one is expected at 300
    add(fast, 290)
    choice = policy.choose(199)
    assert (choice.ready, times_of(choice), choice.again) == (False, (200, 290), 200)  # both held
    add(slow, 300)
    add(fast, 301)
    assert sets(policy) == [(300, 301)]
    assert (slow.unmatched, fast.unmatched) == (2, 1)


@pytest.mark.parametrize("end", [False, True])
def test_a_late_frame_is_taken_if_the_pivot_has_no_next_one(end: bool) -> None:
    slow, fast = tracks = new_tracks(2)
    policy = Nearest(tracks, 200, 0)
    add(slow, 0, 100)
    add(fast, 280)
    assert sets(policy, 199) == []
    if end:
        slow.end(2)
    assert sets(policy, 199 if end else 200) == [(100, 280)]


def test_a_lost_frame_gives_way_to_the_next_nearest() -> None:
    slow, fast = tracks = new_tracks(2)
    policy = Nearest(tracks, 10, 0)
    add(slow, 100)
    add(fast, 95, 101, 106)
    lost = policy.choose(0).frames[1]
    assert lost is not None
    assert lost.time == 101
    fast.lose(lost)
    assert sets(policy) == [(100, 95)]
    assert (fast.missing, fast.matched) == (1, 1)


# --- restarts, clocks, ends


def test_a_clock_that_was_set_back_begins_anew() -> None:
    slow, fast = tracks = new_tracks(2)
    policy = Nearest(tracks, 10, 0)
    add(slow, 1000, 1100)
    add(fast, 1001)
    assert sets(policy) == [(1000, 1001)]
    add(fast, 500, 610)
    assert sets(policy) == []
    add(slow, 505)  # what came while the clocks differed is lost
    add(fast, 702, 801, 900)
    add(slow, 705, 805)
    assert sets(policy) == [(705, 702), (805, 801)]
    assert (slow.matched, slow.unmatched) == (3, 2)


def test_a_clock_that_was_set_forward_costs_what_has_no_partner_any_more() -> None:
    slow, fast = tracks = new_tracks(2)
    policy = Nearest(tracks, 10, 0)
    add(slow, 100)
    add(fast, 5000, 5100)
    assert sets(policy) == []
    add(slow, 5005, 5100)
    assert sets(policy) == [(5005, 5000), (5100, 5100)]


def test_a_count_that_begins_again_is_no_gap() -> None:
    (track,) = new_tracks(1)
    add(track, 10, 20, first=7)
    add(track, 30, 40, first=1)
    assert (track.missing, track.unmatched, len(track.waiting)) == (0, 2, 2)
    add(track, 50, first=6)
    assert track.missing == 3
    track.add(Frame(60, 99), new_count=True)
    assert track.missing == 3


def test_an_end_counts_what_was_not_seen_before_it() -> None:
    (track,) = new_tracks(1)
    track.end(5)
    assert track.missing == 0  # nothing was seen of it at all
    add(track, 10, first=6)
    assert not track.ended
    track.end(9)
    track.end(9)
    assert (track.ended, track.missing) == (True, 3)


def test_sets_end_with_the_frames_of_a_closed_array() -> None:
    slow, fast = tracks = new_tracks(2)
    policy = Nearest(tracks, 10, 0)
    add(slow, 100)
    add(fast, 95)
    fast.end(1)
    assert (sets(policy), policy.ended()) == ([(100, 95)], 1)


def test_the_last_frames_of_a_closed_array_wait_for_theirs() -> None:
    slow, fast = tracks = new_tracks(2)
    policy = Nearest(tracks, 10, 0)
    add(fast, 95)
    fast.end(1)
    assert (sets(policy), policy.ended()) == ([], None)
    add(slow, 100)
    assert (sets(policy), policy.ended()) == ([(100, 95)], 1)


def test_sets_end_when_all_arrays_have() -> None:
    slow, fast = tracks = new_tracks(2)
    policy = Nearest(tracks, 10, 0)
    add(fast, 95)
    fast.end(1)
    slow.end(0)
    assert (sets(policy), policy.ended()) == ([], 0)


def test_what_waits_for_a_match_is_bounded() -> None:
    _slow, fast = tracks = new_tracks(2)
    policy = Nearest(tracks, 10, 0)
    add(fast, *range(MOST + 5))
    assert (sets(policy), len(fast.waiting), fast.unmatched) == ([], MOST, 5)


# --- exact and latest


def test_exact_matches_equal_times() -> None:
    a, b = tracks = new_tracks(2)
    policy = Exact(tracks, math.inf)
    add(a, 10, 20, 30)
    assert sets(policy) == []
    add(b, 20, 30, 40, first=7)
    assert sets(policy) == [(20, 20), (30, 30)]
    assert (a.unmatched, b.unmatched, len(b.waiting)) == (1, 0, 1)


def test_exact_matches_numbers_where_times_were_not_told() -> None:
    a, b = tracks = new_tracks(2)
    policy = Exact(tracks, math.inf)
    add(a, 10, 20, 30, stamped=False)
    add(b, 11, 32, first=2)
    assert sets(policy) == [(20, 11), (30, 32)]


def test_exact_refuses_equal_numbers_that_are_too_far_apart() -> None:
    a, b = tracks = new_tracks(2)
    policy = Exact(tracks, 5)
    add(a, 10, 20, 30, stamped=False)
    add(b, 11, 32, 30 + 4, stamped=False)
    assert sets(policy) == [(10, 11), (30, 34)]
    assert (a.unmatched, b.unmatched) == (1, 1)


def test_latest_gives_what_is_newest_once() -> None:
    a, b = tracks = new_tracks(2)
    policy = Latest(tracks, math.inf)
    add(a, 10, 20)
    assert sets(policy) == []
    add(b, 5)
    assert sets(policy) == [(20, 5)]
    add(b, 30, 31)
    assert sets(policy) == [(20, 31)]
    assert (a.matched, a.unmatched, b.matched, b.unmatched) == (1, 1, 2, 1)


def test_latest_waits_for_frames_within_the_tolerance() -> None:
    a, b = tracks = new_tracks(2)
    policy = Latest(tracks, 5)
    add(a, 10)
    add(b, 20)
    assert sets(policy) == []
    add(a, 16)
    assert sets(policy) == [(16, 20)]
