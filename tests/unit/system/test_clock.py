"""Which clock, and which boot: decisions tried through other platforms' names."""

from __future__ import annotations

import itertools
import time
import uuid

import pytest

from ndsharray._system import clock

MINUTE = 60 * 10**9


def test_the_clock_is_the_same_in_every_process() -> None:
    assert clock.now_ns is time.perf_counter_ns or clock.now_ns() > 0
    if hasattr(time, "CLOCK_MONOTONIC"):
        assert abs(clock.now_ns() - time.clock_gettime_ns(time.CLOCK_MONOTONIC)) < MINUTE


def test_a_boot_id_decides_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    boot = uuid.uuid4().bytes
    monkeypatch.setattr(clock, "boot_id", lambda: boot)
    assert clock.same_boot(boot, 2**62, 0)  # the clocks do not matter
    assert not clock.same_boot(uuid.uuid4().bytes, clock.now_ns(), time.time_ns())


def test_clocks_decide_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "boot_id", lambda: bytes(16))
    now, wall = clock.now_ns(), time.time_ns()
    assert clock.same_boot(bytes(16), now, wall)
    assert clock.same_boot(bytes(16), now, wall + 9 * MINUTE)
    assert not clock.same_boot(bytes(16), now, wall + 11 * MINUTE)
    assert not clock.same_boot(bytes(16), now, wall - 11 * MINUTE)
    assert not clock.same_boot(bytes(16), now + MINUTE, wall + MINUTE)  # it went backwards


def test_the_boot_id_is_16_bytes_and_stays() -> None:
    assert len(clock.boot_id()) == 16
    assert clock.boot_id() == clock.boot_id()


def test_a_system_without_a_boot_id_has_zeros(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock.sys, "platform", "win32")
    assert clock.boot_id.__wrapped__() == bytes(16)


def test_unix_time_is_taken_while_nothing_comes_between(monkeypatch: pytest.MonkeyPatch) -> None:
    """One look at the wall clock, between two at the other: they are close, or it looks again."""
    wall = iter([5_000_000, 7_000_000])
    looks = iter([1_000, 900_000_000, 2_000_000, 2_000_100])  # stopped for a second the first time
    monkeypatch.setattr(clock, "now_ns", lambda: next(looks))
    monkeypatch.setattr(time, "time_ns", lambda: next(wall))
    assert clock.unix_ns(1_000_050) == 6_000_000


def test_unix_time_comes_also_where_every_look_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = itertools.count(0, 1_000_000)
    monkeypatch.setattr(clock, "now_ns", lambda: next(looks))
    monkeypatch.setattr(time, "time_ns", lambda: 10**18)
    assert abs(clock.unix_ns(0) - 10**18) < 10_000_000
