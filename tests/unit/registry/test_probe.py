"""A probe follows an array through its whole life, and looks at each head twice."""

from __future__ import annotations

import os
import random
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import hostile
import numpy as np
import pytest
from console import Console
from inprocess import InProcessTransport

import ndsharray
from ndsharray import NdShArray, NoArrayError
from ndsharray._protocol import format
from ndsharray._protocol.reading import ReadSide
from ndsharray._registry import probe as probe_module
from ndsharray._registry.names import address_of
from ndsharray._registry.probe import Head, Probe
from ndsharray._system import clock
from ndsharray.backends import resolve


@pytest.fixture
def probe(name: str, transport: str) -> Iterator[Probe]:
    found = Probe(name, resolve(transport))
    yield found
    found.close()


def frame_id(probe: Probe) -> int:
    head = probe.newest()
    return 0 if head is None else head.frame_id


# --- through an array's life


@pytest.mark.skipif(os.name == "nt", reason="a closed array that is mapped goes on")
def test_absent_live_closed_and_restarted(probe: Probe, name: str, transport: str) -> None:
    assert (probe.state(), probe.newest(), probe.heads()) == ("absent", None, [])
    with pytest.raises(NoArrayError):
        probe.info()
    with NdShArray(name, r_w="w", transport=transport) as writer:
        assert (probe.state(), probe.newest(), probe.heads()) == ("live", None, [])
        assert probe.info().frame_id == 0
        for number in (1, 2):
            writer.write(np.zeros(3))
            assert (probe.state(), frame_id(probe)) == ("live", number)
        first = probe.newest()
        assert first is not None
    assert probe.state() == "closed"
    assert (probe.newest(), probe.info().state) == (first, "closed")  # its last frame stays
    with NdShArray(name, np.zeros((2, 2)), "w", transport=transport):
        assert probe.state() == "live"
        head = probe.newest()
        assert head is not None
        assert (head.frame_id, head.instance != first.instance) == (1, True)
        assert probe.info().shape == (2, 2)
    assert probe.state() == "closed"


@pytest.mark.skipif(os.name == "nt", reason="a closed array that is mapped goes on")
def test_a_new_writer_without_a_frame(probe: Probe, name: str, transport: str) -> None:
    with NdShArray(name, np.zeros(3), "w", transport=transport):
        assert frame_id(probe) == 1
    with NdShArray(name, r_w="w", transport=transport):
        assert (probe.state(), probe.newest(), probe.info().shape) == ("live", None, None)


def test_a_killed_writer_and_its_successor(
    probe: Probe, name: str, transport: str, console: Callable[..., Console]
) -> None:
    child = console()
    child.run(f"w = NdShArray({name!r}, np.zeros(3), 'w', transport={transport!r})")
    before = probe.newest()
    assert before is not None
    child.kill()
    assert (probe.state(), probe.newest()) == ("killed", before)
    with NdShArray(name, r_w="w", transport=transport) as writer:
        assert (probe.state(), probe.newest()) == ("live", before)
        writer.write(np.zeros(3))
        head = probe.newest()
        assert head is not None
        assert (head.frame_id, head.instance) == (2, before.instance)


@pytest.mark.skipif(os.name == "nt", reason="no name of what is mapped goes there")
def test_names_that_were_removed_by_hand(
    probe: Probe, name: str, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with NdShArray(name, np.zeros(3), "w", transport=transport) as writer:
        assert frame_id(probe) == 1
        owner: Any = writer
        address = address_of(writer.transport, name)
        segment = owner._writer._holding.control.followed
        instance = owner._writer._holding.control.instance
        address.transport.unlink(address.frames(instance, segment))
        assert frame_id(probe) == 1  # mapped
        probe.close()
        assert (probe.newest(), probe.state()) == (None, "live")
        address.transport.unlink(address.control_name)
        probe._looked -= probe_module._LOOK_NS
        assert probe.state() == "absent"


def test_closed_and_opened_again(probe: Probe, name: str, transport: str) -> None:
    with NdShArray(name, np.zeros(3), "w", transport=transport):
        assert frame_id(probe) == 1
        probe.close()
        probe.close()
        assert frame_id(probe) == 1


def test_through_many_segments(probe: Probe, name: str, transport: str) -> None:
    with NdShArray(name, r_w="w", transport=transport) as writer:
        for number in range(1, 30):
            writer.write(np.zeros(1 if number % 3 else number * 1000))
            if number % 2:  # two grows in between: the same table index, another segment
                assert frame_id(probe) == number
                assert probe.info().frame_id == number
                assert probe.info().shape == (1 if number % 3 else number * 1000,)


# --- heads


def test_heads_in_order_with_times_and_stamps(probe: Probe, name: str, transport: str) -> None:
    with NdShArray(name, r_w="w", transport=transport, slots=5) as writer:
        times = [clock.now_ns()]
        for _ in range(12):
            writer.write(np.zeros(3), time_ns=1000 + writer.frame_id)
            times.append(clock.now_ns())
        heads = probe.heads()
        assert [head.frame_id for head in heads] == [8, 9, 10, 11, 12]
        for head in heads:
            assert times[head.frame_id - 1] <= head.write_ns <= times[head.frame_id]
            assert head.time_ns == 999 + head.frame_id
        assert heads[-1] == probe.newest()
        assert isinstance(heads[0], Head)


def test_what_was_not_published_is_no_frame(probe: Probe, name: str, transport: str) -> None:
    with NdShArray(name, np.zeros(3), "w", transport=transport) as writer:
        owner: Any = writer
        words = owner._writer._holding.segment._memory.words
        step = owner._writer._holding.segment.table.stride // 8
        words[2 * step] = 2 * 2  # stable, before newest is stored
        words[2 * step + format.FRAME_WORD] = 2
        assert [head.frame_id for head in probe.heads()] == [1]


# --- a writer that is faster


class Overtaken:
    """Has a writer write each time that a probe has looked at seq for the first time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, writer: NdShArray) -> None:
        self.writes: list[list[Any]] = []  # after each of the next looks
        real = ReadSide.head

        def head(side: ReadSide, position: int) -> Any:
            found = real(side, position)
            for array in self.writes.pop(0) if self.writes else ():
                writer.write(array)
            return found

        monkeypatch.setattr(ReadSide, "head", head)


@pytest.fixture
def overtaken(
    name: str, transport: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Overtaken, NdShArray]]:
    with NdShArray(name, r_w="w", transport=transport, slots=2) as writer:
        yield Overtaken(monkeypatch, writer), writer


def test_a_head_that_is_overwritten_meanwhile_is_not_believed(
    probe: Probe, overtaken: tuple[Overtaken, NdShArray]
) -> None:
    by, writer = overtaken
    for _ in range(3):
        writer.write(np.zeros(3))
    by.writes = [[np.zeros(3)] * 2]  # the slot of frame 3 gets number 5
    assert frame_id(probe) == 5
    by.writes = [[], [np.zeros(3)] * 2]  # those of both, while the first one is looked at again
    assert [head.frame_id for head in probe.heads()] == []
    assert [head.frame_id for head in probe.heads()] == [6, 7]


def test_a_segment_that_is_left_meanwhile(
    probe: Probe, overtaken: tuple[Overtaken, NdShArray]
) -> None:
    by, writer = overtaken
    writer.write(np.zeros(3))
    assert frame_id(probe) == 1
    for size in (3000, 6000):  # the same table index as before
        writer.write(np.zeros(size))
    assert frame_id(probe) == 3
    for size in (3, 12000, 24000, 3):
        writer.write(np.zeros(size))
        by.writes = [[np.zeros(size * 3)] * 3]
        found = probe.info()
        assert (found.frame_id, found.shape) == (writer.frame_id - 3, (size,)) or (
            (found.frame_id, found.shape) == (writer.frame_id, (size * 3,))
        )
        assert frame_id(probe) == writer.frame_id


@pytest.mark.parametrize("times", [1, 3])
def test_shape_and_number_are_of_one_frame(
    probe: Probe, overtaken: tuple[Overtaken, NdShArray], times: int
) -> None:
    by, writer = overtaken
    arrays = [np.zeros(number) for number in range(1, 20)]  # frame n has n values
    for _ in range(2):
        writer.write(arrays.pop(0))
    by.writes = [each for _ in range(times) for each in ([], [arrays.pop(0), arrays.pop(0)])]
    found = probe.info()
    assert found.frame_id == writer.frame_id == 2 + 2 * times
    assert (found.state, found.problem) == ("live", None)
    assert found.shape == (found.frame_id,)


def test_a_writer_that_is_always_faster_ends_a_look(
    probe: Probe, overtaken: tuple[Overtaken, NdShArray]
) -> None:
    by, writer = overtaken
    writer.write(np.zeros(3))
    by.writes = [[np.zeros(3)] * 2] * 1000
    assert probe.newest() is None
    assert 0 < len(by.writes) < 1000
    by.writes = [[], [np.zeros(3)] * 2] * 500
    found = probe.info()
    assert found.frame_id > 0
    assert found.shape is None
    assert 0 < len(by.writes) < 1000


def test_a_flood(probe: Probe, name: str, transport: str) -> None:
    """Number and time of each head are those of one frame: later frames, later times."""
    with NdShArray(name, r_w="w", transport=transport, slots=2) as writer:
        end = threading.Event()

        def flood() -> None:
            frame = np.zeros(8)
            while not end.wait(1e-4):  # a writer without a pause may always be faster
                for _ in range(20):
                    writer.write(frame)

        thread, interval = threading.Thread(target=flood), sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        thread.start()
        try:
            seen = dict[int, int]()
            while len(seen) < 50:
                for head in (*probe.heads(), probe.newest()):
                    if head is not None:
                        assert seen.setdefault(head.frame_id, head.write_ns) == head.write_ns
        finally:
            end.set()
            thread.join()
            sys.setswitchinterval(interval)
        assert list(dict(sorted(seen.items())).values()) == sorted(seen.values())
        assert frame_id(probe) == writer.frame_id


# --- damage


@pytest.mark.alternately
def test_scribbled_memory_never_stops_a_look(name: str, transport: str) -> None:
    chance = random.Random(17)
    with NdShArray(name, r_w="w", transport=transport) as writer:
        with NdShArray("another", np.zeros(3), "w", transport=transport):
            probe = Probe(name, writer.transport)
            states = scribble_and_look(writer, probe, chance, 150)
            assert {"live", "damaged"} <= states
            writer.write(hostile.frame_of(7))
            probe._looked -= probe_module._LOOK_NS
            assert probe.info().shape == probe.info().shape == hostile.frame_of(7).shape
            assert [each.state for each in ndsharray.arrays()] == ["live", "live"]


def scribble_and_look(
    writer: NdShArray, probe: Probe, chance: random.Random, rounds: int
) -> set[str]:
    """Damage an array, look at it in every way, and repair it; return the states that were told."""
    states = set[str]()
    owner: Any = writer
    for number in range(1, rounds):
        writer.write(hostile.frame_of(number))
        segment, control = owner._writer._holding.segment, owner._writer._holding.control.memory
        frames = segment._memory
        page, slots = control.bytes.tobytes(), frames.bytes.tobytes()
        spots = hostile.slot_spots(segment.table, (*hostile.LIES, *hostile.NO_LIES))
        for _ in range(chance.choice((1, 1, 2, 8))):
            if chance.random() < 0.6:
                hostile.scribble(chance, control.words, hostile.PAGE)
            else:
                hostile.scribble(chance, frames.words, spots)
        found = {each.name: each for each in ndsharray.arrays()}
        assert found["another"].state == "live"
        states |= {each.state for each in found.values()}
        for each in found.values():
            each.as_dict()
        probe._looked -= chance.choice((0, probe_module._LOOK_NS))
        probe.newest(), probe.heads(), probe.state()
        try:
            probe.info()
        except NoArrayError:
            pass
        control.bytes[:] = page
        frames.bytes[:] = slots
    return states


def test_no_descriptor_is_left(
    probe: Probe, name: str, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is mapped goes on to be looked at."""
    with NdShArray(name, np.zeros(3), "w", transport=transport):
        assert frame_id(probe) == 1

        def full(*_: Any, **__: Any) -> None:
            raise OSError(24, "Too many open files")

        with monkeypatch.context() as patch:
            patch.setattr(type(resolve(transport)), "open", full)
            probe._looked -= probe_module._LOOK_NS
            assert (probe.state(), frame_id(probe)) == ("live", 1)
            fresh = Probe(name, resolve(transport))
            assert (fresh.state(), fresh.newest()) == ("damaged", None)
            assert "Too many open files" in str(fresh.info().problem)


def test_a_frame_segment_that_may_not_be_opened(tmp_path: Any) -> None:
    own = InProcessTransport(tmp_path)
    with NdShArray("camera", np.zeros(3), "w", transport=own):
        name = next(each for each in own.segments if len(each) > 18)
        kept, own.segments[name] = own.segments[name], bytearray(64)
        found = Probe("camera", own).info()
        assert (found.state, found.shape) == ("damaged", None)
        assert found.problem == f"frame segment: 64 of {len(kept)} bytes"
        own.segments[name] = kept


def test_a_table_that_moves_all_the_time_ends_a_look(
    name: str, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with NdShArray(name, np.zeros(3), "w", transport=transport):
        looks = list[int]()
        monkeypatch.setattr(ReadSide, "load_table", lambda _: looks.append(1))
        assert Probe(name, resolve(transport)).newest() is None
        assert len(looks) == 100
