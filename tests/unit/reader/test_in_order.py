"""``frames()``: every frame in order, and the exact number of those that were missed."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest

import ndsharray._reader.delivery
from ndsharray import NdShArray


def numbers(reader: NdShArray, timeout: float = 0, **options: Any) -> list[int]:
    return [int(frame.flat[0]) for frame in reader.frames(timeout, **options)]


def test_a_new_reader_begins_with_the_oldest_frame_there(name: str, transport: str) -> None:
    with NdShArray(name, r_w="w", transport=transport, slots=5) as writer:
        for value in range(9):
            writer.write(np.full(3, value))
        with NdShArray(name, r_w="r", transport=transport) as reader:
            assert numbers(reader) == [4, 5, 6, 7, 8]
            assert (reader.frame_id, reader.missed) == (9, 0)
            assert numbers(reader) == []
            assert reader.read()[0] is False


def test_it_goes_on_after_a_read_and_read_goes_on_after_it(name: str, transport: str) -> None:
    with NdShArray(name, r_w="w", transport=transport, slots=8) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            writer.write(np.full(3, 0))
            assert reader.read()[0]
            for value in (1, 2, 3):
                writer.write(np.full(3, value))
            frames = reader.frames(0)
            assert next(frames)[0] == 1
            valid, newest = reader.read()
            assert valid
            assert newest[0] == 3
            assert reader.missed == 1
            assert list(frames) == []
            with pytest.raises(StopIteration):
                next(frames)  # an iterator that ended stays so


def test_missed_is_exact(name: str, transport: str) -> None:
    rng = random.Random(5)
    with NdShArray(name, r_w="w", transport=transport, slots=6) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            written, seen = 0, []
            for _ in range(60):
                for _ in range(rng.randint(0, 12)):
                    written += 1
                    writer.write(np.full(rng.choice([3, 3, 3, 500]), written))
                if rng.random() < 0.3:
                    valid, frame = reader.read()
                    seen += [int(frame[0])] if valid else []
                else:
                    seen += numbers(reader)
                if seen:
                    assert reader.frame_id == seen[-1]
                    assert reader.missed == seen[-1] - seen[0] + 1 - len(seen)
            assert seen == sorted(set(seen))
            assert len(seen) > 60


@pytest.mark.parametrize("copy", [True, False])
def test_every_frame_through_changing_shapes_and_grows(
    name: str, transport: str, copy: bool
) -> None:
    with NdShArray(name, r_w="w", transport=transport, slots=16) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            got = []
            for value in range(60):
                size = 3 + value % 4 if value % 15 else 100 * (1 + value)
                writer.write(np.full(size, value, ["u1", "f8", ">i4"][value % 3]))
                if value % 5 == 4:
                    got += numbers(reader, copy=copy)
            assert got == list(range(60))
            assert reader.missed == 0


def test_frames_that_are_held_do_not_change(name: str, transport: str) -> None:
    with NdShArray(name, r_w="w", transport=transport, slots=8) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            held = []
            for value in range(30):
                writer.write(np.full(3000, value))  # large enough for a pin
                held += list(reader.frames(0, copy=False))
            for value, frame in enumerate(held):
                assert (frame == value).all()
                assert not frame.flags.writeable


def opened(script: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a writer that says when its array is there; it goes on at a line of input."""
    child = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "open\n"
    return child


BURSTS = """
import sys, threading
import numpy as np
from ndsharray import NdShArray
name, transport = sys.argv[1:3]
with NdShArray(name, r_w="w", transport=transport, slots=64) as writer:
    print("open", flush=True)
    value = 0
    for line in sys.stdin:
        for _ in range(48):
            value += 1
            writer.write(np.full(3000, value))
        print(value, flush=True)
"""


@pytest.mark.parametrize("copy", [True, False])
def test_nothing_is_missed_across_bursts(name: str, transport: str, copy: bool) -> None:
    """64 slots, bursts of 48, and a reader that keeps up on average."""
    child = opened(BURSTS, name, transport)
    assert child.stdin is not None
    assert child.stdout is not None
    got = []
    with NdShArray(name, r_w="r", transport=transport) as reader:
        frames = reader.frames(20, copy=copy)
        for burst in range(1, 41):
            child.stdin.write("\n")
            child.stdin.flush()
            while len(got) < 48 * burst:
                frame = next(frames)
                got.append(int(frame[0]))
                assert (frame == got[-1]).all()
            child.stdout.readline()  # not before: the last burst is still being read meanwhile
        child.stdin.close()
        assert list(frames) == []  # it ends as the writer closes
        assert got == list(range(1, 48 * 40 + 1))
        assert reader.missed == 0
    assert child.wait(20) == 0
    child.stdout.close()


FLOOD = """
import sys, time
import numpy as np
from ndsharray import NdShArray
name, transport, seconds = sys.argv[1:4]
with NdShArray(name, r_w="w", transport=transport, slots=16) as writer:
    print("open", flush=True)
    sys.stdin.readline()
    end, value = time.monotonic() + float(seconds), 0
    while time.monotonic() < end:
        value += 1
        writer.write(np.full(3000, value))
    print(value, flush=True)
"""


@pytest.mark.parametrize("copy", [True, False])
def test_in_order_under_a_flood(name: str, transport: str, copy: bool) -> None:
    child = opened(FLOOD, name, transport, "1.5")
    with NdShArray(name, r_w="r", transport=transport) as reader:
        frames = reader.frames(20, copy=copy)
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
        first = last = count = 0
        for frame in frames:
            value = int(frame[0])
            assert value > last
            assert (frame == value).all()
            first = first or value
            last = value
            count += 1
        out, _ = child.communicate(timeout=20)
        assert last == int(out)  # the final frame is never lost
        assert reader.frame_id == last
        assert reader.missed == last - first + 1 - count
    assert count > 200


def test_it_ends_at_a_clean_close_and_the_next_call_waits(
    name: str, transport: str, console: Any
) -> None:
    child = console()
    child.run(f"w = NdShArray({name!r}, np.arange(3), 'w', transport={transport!r}, slots=8)")
    with NdShArray(name, r_w="r", transport=transport) as reader:
        assert reader.read(timeout=10)[0]
        child.run("[w.write(np.full(3, value)) for value in (7, 8, 9)]")
        child.run("w.close()")
        assert numbers(reader, 20) == [7, 8, 9]  # and not after 20 seconds
        begin = time.monotonic()
        assert numbers(reader, 0.05) == []  # waits for another writer now
        assert time.monotonic() - begin >= 0.05
        frames = reader.frames(20)
        child.begin(f"w = NdShArray({name!r}, np.full(3, 5), 'w', transport={transport!r})")
        assert next(frames)[0] == 5
        child.result()
        # Windows removes nothing that a reader maps: the next writer takes it over, and counts on.
        assert (reader.frame_id, reader.missed) == (5 if os.name == "nt" else 1, 0)
        child.run("w.close()")
        assert list(frames) == []


def test_what_is_gone_with_a_close_counts_as_missed(
    name: str, transport: str, console: Any
) -> None:
    child = console()
    child.run(f"w = NdShArray({name!r}, np.arange(3), 'w', transport={transport!r}, slots=8)")
    with NdShArray(name, r_w="r", transport=transport) as reader:
        assert reader.read(timeout=10)[0]
        child.run("w.write(np.full(3, 5))")
        child.run("w.write(np.zeros(100_000)); w.write(np.zeros(100_001)); w.close()")
        assert numbers(reader, 20) == [5]
        assert reader.missed == 2
        assert numbers(reader, 0) == []
        assert reader.missed == 2


def test_it_waits_through_a_crash_and_restart(name: str, transport: str, console: Any) -> None:
    with NdShArray(name, r_w="r", transport=transport) as reader:
        frames = reader.frames(20)
        got = []
        for life in range(4):
            child = console()
            child.run(f"w = NdShArray({name!r}, r_w='w', transport={transport!r}, slots=8)")
            for value in range(5):
                child.run(f"w.write(np.full(3, {10 * life + value}))")
            got += [int(next(frames)[0]) for _ in range(3)]
            child.kill()  # two frames of its last five were not seen yet
            got += [int(next(frames)[0]) for _ in range(2)]
        assert got == [10 * life + value for life in range(4) for value in range(5)]
        assert (reader.frame_id, reader.missed) == (20, 0)
        NdShArray(name, r_w="w", transport=transport).close()
        assert list(frames) == []


def test_frames_of_a_crashed_writer_come_before_those_of_the_next(
    name: str, transport: str, console: Any
) -> None:
    with NdShArray(name, r_w="r", transport=transport) as reader:
        child = console()
        child.run(f"w = NdShArray({name!r}, r_w='w', transport={transport!r}, slots=8)")
        child.run("[w.write(np.full(3, value)) for value in range(3)]")
        assert reader.read(timeout=10)[1][0] == 2
        child.run("[w.write(np.full(3, value)) for value in range(3, 6)]")
        child.kill()
        with NdShArray(name, r_w="w", transport=transport, slots=8) as writer:
            for value in range(6, 9):
                writer.write(np.full(3, value))
            assert numbers(reader) == [3, 4, 5, 6, 7, 8]
            assert reader.missed == 0


def test_the_timeout_is_for_each_frame(name: str, transport: str) -> None:
    with NdShArray(name, np.arange(2), "w", transport=transport) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            frames = reader.frames(0.35)
            next(frames)
            for _ in range(5):  # which take longer than that
                threading.Event().wait(0.1)
                writer.write(np.arange(2))
                next(frames)
            begin = time.monotonic()
            assert list(frames) == []
            assert time.monotonic() - begin > 0.33


def test_an_exception_in_a_loop_loses_no_frame(
    name: str, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with NdShArray(name, r_w="w", transport=transport, slots=8) as writer:
        for value in range(5):
            writer.write(np.full(3, value))
        with NdShArray(name, r_w="r", transport=transport) as reader:
            frames = reader.frames(0)
            assert next(frames)[0] == 0
            with monkeypatch.context() as patch:
                patch.setattr(ndsharray._reader.delivery.Delivery, "copy", lambda *_: 1 / 0)
                with pytest.raises(ZeroDivisionError):
                    next(frames)
            assert [int(frame[0]) for frame in frames] == [1, 2, 3, 4]
