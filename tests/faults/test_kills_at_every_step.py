"""Stopped or killed at every step, and at random moments: the others go on, nothing is lost.

A *step* is each load, store, copy, fence, wake and sleep of the library, and each call that touches
the name of a file: a kill before the next step is one after this step's store.
"""

from __future__ import annotations

import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import crashing
import numpy as np
import pytest
from crashing import AFTER, BEFORE, Nursery, frame, value_of

import ndsharray._writer.holding
from ndsharray import NdShArray, WriterExistsError
from ndsharray._protocol.format import PINS_END, WAITING_BYTE

pytestmark = [
    pytest.mark.alternately,
    pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no SIGSTOP"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs fork without threads"),
    pytest.mark.timeout(300),
]

Account = Callable[[str, int], None]
Steps = Callable[[int], range]
EachStep = Callable[[str, signal.Signals], Iterator[NdShArray]]


@pytest.fixture(scope="module")
def forkery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.end()


@pytest.fixture
def nursery(forkery: Nursery, monkeypatch: pytest.MonkeyPatch, root: Path) -> Iterator[Nursery]:
    """Have children that look at this test's root."""
    monkeypatch.setattr(
        ndsharray._writer.holding, "_PATIENCE", 0.0
    )  # nobody is about to let go here
    forkery.environment = {"NDSHARRAY_DIR": str(root)}
    yield forkery
    forkery.settle()


@pytest.fixture
def every_step(request: pytest.FixtureRequest) -> Callable[[int], range]:
    """Return every step; without --long not each one of the 512 that zero a control segment."""
    long = request.config.getoption("--long")
    return lambda count: range(0, count, 1 if long or count < 200 else 9)


def points(nursery: Nursery, what: str, name: str, transport: str) -> int:
    """Return how many steps an operation has, after it was done to the end."""
    nursery.begin(what, name, transport, point=10**9)
    nursery.go()
    lines = nursery.hear_until("ended")
    assert lines[-1] == "ended 0", lines
    return int(lines[-2].split()[1])


def assert_goes_on(name: str, transport: str, reader: NdShArray, published: bool) -> None:
    """See that a next writer follows the last one; `published`: whether that one left a frame."""
    late = NdShArray(name, r_w="r", transport=transport)
    last = late.read()[1]
    number = late.frame_id
    with NdShArray(name, r_w="w", transport=transport) as writer:
        if published:
            again = NdShArray(name, r_w="r", transport=transport)
            assert value_of(again.read()[1]) == value_of(last)
            again.close()
        for value in (100, 101):
            writer.write(frame(value, value))
            for each in (reader, late):
                valid, found = each.read()
                assert valid
                assert value_of(found) == value
        if published:
            assert late.frame_id == number + 2
    late.close()


def assert_readable(name: str, transport: str, reader: NdShArray, allowed: set[int]) -> None:
    """See that all readers find one and the same of the frames that may be newest now."""
    with NdShArray(name, r_w="r", transport=transport) as late:
        found = {value_of(each.read()[1]) for each in (reader, late)}
    assert len(found) == 1
    assert found <= allowed


@pytest.fixture
def each_step(
    name: str, transport: str, nursery: Nursery, account: Account, every_step: Steps
) -> EachStep:
    """Send a signal at each step of a writer's operation; each time, yield an older reader."""

    def leave_one_killed(what: str) -> None:
        if what in crashing.TAKING:
            nursery.begin("write", name, transport)
            nursery.kill()
            account("SIGKILL of a writer that was idle", 1)

    def each(what: str, sent: signal.Signals) -> Iterator[NdShArray]:
        before = 0 if what in crashing.FROM_NOTHING else BEFORE
        leave_one_killed(what)
        count = points(nursery, what, name, transport)
        for point in every_step(count):
            leave_one_killed(what)
            with NdShArray(name, r_w="r", transport=transport) as reader:
                nursery.begin(what, name, transport, point, sent)
                assert value_of(reader.read()[1]) == before
                nursery.go()
                if sent == signal.SIGKILL:
                    lines = nursery.hear_until("ended")
                    assert lines[-1] == "ended -9", (point, lines)
                    yield reader
                else:
                    nursery.hear_until("stopped")
                    yield reader
                    nursery.send(signal.SIGCONT)
                    lines = nursery.hear_until("ended")
                    assert lines[-1] == "ended 0", (point, lines)
                    assert value_of(reader.read()[1]) in (before, AFTER)
        account(f"{sent.name} of a writer at a named step", len(every_step(count)))

    return each


@pytest.mark.parametrize("what", {**crashing.WRITING, **crashing.TAKING})
def test_a_writer_killed_at_any_step(
    what: str, name: str, transport: str, each_step: EachStep
) -> None:
    for reader in each_step(what, signal.SIGKILL):
        assert_readable(name, transport, reader, {BEFORE, AFTER})
        assert_goes_on(name, transport, reader, published=True)


@pytest.mark.parametrize("what", crashing.FROM_NOTHING)
def test_a_writer_killed_while_it_makes_the_array(
    what: str, name: str, transport: str, each_step: EachStep
) -> None:
    for reader in each_step(what, signal.SIGKILL):
        assert_readable(name, transport, reader, {0, AFTER})
        assert_goes_on(name, transport, reader, published=False)


@pytest.mark.parametrize("what", crashing.ENDING)
def test_a_writer_killed_while_it_closes(
    what: str, name: str, transport: str, each_step: EachStep
) -> None:
    for reader in each_step(what, signal.SIGKILL):
        assert value_of(reader.read()[1]) == BEFORE
        with NdShArray(name, r_w="r", transport=transport) as late:
            assert value_of(late.read()[1]) in (0, BEFORE)
        assert_goes_on(name, transport, reader, published=False)


@pytest.mark.parametrize("what", crashing.WRITING)
def test_a_writer_stopped_at_any_step(
    what: str, name: str, transport: str, nursery: Nursery, each_step: EachStep
) -> None:
    for reader in each_step(what, signal.SIGSTOP):
        assert_readable(name, transport, reader, {BEFORE, AFTER})
        with pytest.raises(WriterExistsError, match=str(nursery.pid)):
            NdShArray(name, r_w="w", transport=transport)


@pytest.mark.parametrize("what", {**crashing.FROM_NOTHING, **crashing.TAKING, **crashing.ENDING})
def test_a_writer_stopped_while_it_begins_or_ends(
    what: str, name: str, transport: str, each_step: EachStep
) -> None:
    for reader in each_step(what, signal.SIGSTOP):
        last = value_of(reader.read()[1])
        assert last in (0, BEFORE, AFTER)
        with NdShArray(name, r_w="r", transport=transport) as late:
            assert value_of(late.read()[1]) in (0, last)


def bytes_set(writer: NdShArray) -> int:
    control_bytes = writer._writer._holding.control.memory.bytes  # type: ignore[union-attr]
    return sum(1 for byte in control_bytes[WAITING_BYTE:PINS_END] if byte)


def look_twice(writer: NdShArray) -> None:
    """Have the writer look for dead readers as after two seconds."""
    ours: Any = writer._writer
    for _ in range(2):
        ours._holding.due -= 2_000_000_000
        writer.write(frame(AFTER))


@pytest.mark.parametrize("what", crashing.READING)
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSTOP])
def test_a_reader_killed_or_stopped_at_any_step(
    what: str,
    sent: signal.Signals,
    name: str,
    transport: str,
    nursery: Nursery,
    account: Account,
    every_step: Steps,
) -> None:
    writer = NdShArray(name, frame(BEFORE), "w", transport=transport)
    count = points(nursery, what, name, transport)
    reader = NdShArray(name, r_w="r", transport=transport)
    for point in every_step(count):
        nursery.begin(what, name, transport, point, sent)
        nursery.go()
        nursery.hear_until("ended" if sent == signal.SIGKILL else "stopped")
        for value in range(5, 13):  # the last one of the shape of the first
            writer.write(frame(value, 20 + value % 3))
            valid, found = reader.read()
            assert valid
            assert value_of(found) == value
        if sent == signal.SIGKILL:
            look_twice(writer)
            assert bytes_set(writer) == 0
        else:
            nursery.send(signal.SIGCONT)
            lines = nursery.hear_until("ended")
            assert lines[-1] == "ended 0", (point, lines)
        assert bytes_set(writer) == 0
    slots = writer._writer._holding.segment.table.slots  # type: ignore[union-attr]
    assert slots <= 6  # grown once at most, for the pins of one that was stopped
    reader.close()
    writer.close()
    account(f"{sent.name} of a reader at a named step", len(every_step(count)))


@pytest.mark.times(60, 3000)
def test_writers_killed_at_random_moments(
    name: str, transport: str, nursery: Nursery, account: Account, times: int
) -> None:
    moments = seeded()
    reader = NdShArray(name, r_w="r", transport=transport)
    frames = 0
    for run in range(1, times + 1):
        base = run * 10**6
        nursery.begin("write_on", name, transport, base=base)
        end = time.monotonic() + moments.expovariate(1 / 0.004)
        last = 0
        while time.monotonic() < end:
            valid, found = reader.read()
            if valid:
                frames += 1
                value = value_of(found)
                assert value > last
                last = value
        said = nursery.kill()
        assert said == ["ended -9"]
        newest = value_of(reader.read()[1])
        assert newest >= max(last, base + 1)
        with NdShArray(name, r_w="r", transport=transport) as late:
            assert value_of(late.read()[1]) == newest
    reader.close()
    NdShArray(name, r_w="w", transport=transport).close()
    account("SIGKILL of a writer at a random moment", times)
    account("frames read around them, all whole", frames)


@pytest.mark.times(40, 2000)
def test_readers_killed_at_random_moments(
    name: str, transport: str, nursery: Nursery, account: Account, times: int
) -> None:
    moments = seeded()
    writer = NdShArray(name, frame(1), "w", transport=transport)
    value = 1
    for _ in range(times):
        nursery.begin("read_on", name, transport)
        end = time.monotonic() + moments.expovariate(1 / 0.004)
        while time.monotonic() < end:
            value += 1
            writer.write(frame(value, 20 + value % 3 + 1000 * (value % 64 == 0)))
        said = nursery.kill()
        assert said == ["ended -9"]
    look_twice(writer)
    assert bytes_set(writer) == 0
    assert writer._writer._holding.segment.table.slots <= 250  # type: ignore[union-attr]
    writer.close()
    account("SIGKILL of a reader at a random moment", times)
    account("frames written around them", value)


def seeded() -> random.Random:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    return random.Random(seed)


def test_a_torn_frame_would_be_seen() -> None:
    torn = frame(5)
    torn[3:] = 4
    assert value_of(torn) == -1
    assert value_of(frame(5)) == 5
    assert value_of(np.empty(0)) == 0
