"""Bridges between roots of one process, over an engine without a network."""

from __future__ import annotations

import contextlib
import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from bridging import Machine, MemoryEngine, Net, Payload
from patience import until

import ndsharray
from ndsharray import NdShArray
from ndsharray.tools import cli
from ndsharray.tools.bridge import Bridge, Offer, Totals, ZenohEngine, engines
from ndsharray.tools.bridge.counts import Lines, Table
from ndsharray.tools.bridge.marks import Mark

FRAMES = [
    np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
    np.array(3.5, np.float32),
    np.empty((0, 3)),
    np.arange(4, dtype=">i2"),
    np.zeros((), [("a", "<f4"), ("b", "S3", (2,))]),
    np.array(["2026-01-01", "NaT"], "M8[ns]"),
    np.ones((3, 2), bool).T,
]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have bridges look more often: what they do is the same, and tests wait less."""
    for constant, seconds in (
        ("exports._LOOK", 0.02),
        ("sources.LOOK", 0.02),
        ("taking._LOOK", 0.05),
        ("imports._GRACE", 0.1),
        ("imports._RETRY", 0.1),
        ("question._FIRST", 0.1),
    ):
        monkeypatch.setattr(f"ndsharray.tools.bridge.{constant}", seconds)


@pytest.fixture
def net() -> Net:
    return Net()


@pytest.fixture
def here(root: Path, transport: str) -> Iterator[Machine]:
    machine = Machine(root / "here", transport)
    yield machine
    machine.close()


@pytest.fixture
def there(here: Machine, root: Path, transport: str) -> Iterator[Machine]:
    machine = Machine(root / "there", transport)  # closed first: its bridge takes from here
    yield machine
    machine.close()


def read(reader: NdShArray) -> npt.NDArray[Any]:
    valid, frame = reader.read(20.0)
    assert valid
    return frame


def state(machine: Machine, name: str) -> str:
    try:
        return ndsharray.info(name, transport=machine.transport).state
    except ndsharray.NoArrayError:
        return "absent"


def names(machine: Machine) -> set[str]:
    found = ndsharray.arrays(transport=machine.transport)
    return {i.name for i in found if not i.name.startswith("ndsharray.bridge/")}


def test_frames_of_any_dtype_and_shape_arrive_with_their_stamps(
    net: Net, here: Machine, there: Machine
) -> None:
    writer, reader = here.writer("a/b ä*"), there.reader("a/b ä*")
    here.bridge(net.engine(), export=["a*"])
    there.bridge(net.engine(), import_=["*"])
    for stamp, frame in enumerate(FRAMES, 1_000_000_000):
        writer.write(frame, time_ns=stamp)
        got = read(reader)
        assert (got.dtype, got.shape) == (frame.dtype, frame.shape)
        assert got.tobytes() == frame.tobytes()
        assert reader.time_ns == stamp
    writer.write(FRAMES[0])
    read(reader)
    # The time of the write over here, as far as the two clocks of a machine agree.
    assert abs(reader.time_ns - writer.write_time_ns) < 1_000_000


def test_one_who_comes_late_gets_the_newest_frame(net: Net, here: Machine, there: Machine) -> None:
    writer = here.writer("late")
    sent = here.bridge(net.engine(), export=["late"])
    for number in range(3):
        writer.write(np.array([number]))
    first = there.bridge(net.engine(), import_=["late"])
    assert read(there.reader("late"))[0] == 2
    first.close()
    there.bridge(net.engine(), import_=["late"])
    assert read(there.reader("late"))[0] == 2  # nothing was written since
    assert sent.counts()[0].dropped == 0  # nobody was there to take them


def test_one_whose_question_was_lost_asks_again(net: Net, here: Machine, there: Machine) -> None:
    here.writer("once").write(np.array([1]))
    here.bridge(net.engine(), export=["once"])
    net.broken = True
    there.bridge(net.engine(), import_=["once"])
    assert "'once' is not sent" in here.first_line()  # it was lost, too
    until(lambda: net.asked > 1, "a second question")
    net.broken = False
    assert read(there.reader("once"))[0] == 1


def test_one_whose_link_was_gone_for_a_moment_asks_again(
    net: Net, here: Machine, there: Machine
) -> None:
    writer, reader = here.writer("cam"), there.reader("cam")
    here.bridge(net.engine(), export=["cam"])
    there.bridge(net.engine(), import_=["cam"])
    writer.write(np.array([1]))
    assert read(reader)[0] == 1
    (offer,) = net.outlets
    net.broken = True
    writer.write(np.array([2]))
    here.first_line()
    net.broken = False
    for appeared, vanished in net.watchers:
        vanished(offer)
        appeared(offer)
    assert read(reader)[0] == 2


def test_two_lives_of_one_array_are_not_worth_a_line(net: Net, there: Machine) -> None:
    engine = net.engine()
    there.bridge(net.engine(), import_=["*"])
    old = engine.offer(Offer("0" * 16, 7, "cam"), lambda reply: None)
    new: Any = engine.offer(Offer("0" * 16, 8, "cam"), lambda reply: None)
    until(old.wanted.is_set, "the old array is taken")
    other = engine.offer(Offer("0" * 16, 7, "other"), lambda reply: None)
    until(other.wanted.is_set, "the other array is taken")  # it has looked at all of them
    old.close()
    until(new.wanted.is_set, "the new array is taken")
    assert there.lines == []
    engine.close()


def test_the_far_array_is_closed_with_its_writer_and_comes_back(
    net: Net, here: Machine, there: Machine
) -> None:
    here.bridge(net.engine(), export=["cam"])
    there.bridge(net.engine(), import_=["cam"])
    reader = there.reader("cam")
    for life in range(2):
        with here.writer("cam") as writer:
            writer.write(np.array([life]))
            assert read(reader)[0] == life
            writer.write(np.array([life + 10]))  # the last frame is not lost
        assert read(reader)[0] == life + 10
        until(lambda: state(there, "cam") in ("absent", "closed"), "the far array is closed")


def test_a_killed_writer_closes_the_far_array(
    net: Net, here: Machine, there: Machine, console: Any
) -> None:
    here.bridge(net.engine(), export=["cam"])
    there.bridge(net.engine(), import_=["cam"])
    reader = there.reader("cam")
    child = console()
    child.run("from ndsharray.backends import at")
    child.run(f"t = at({here.transport.name!r}, {str(here.directory)!r})")
    child.run("w = NdShArray('cam', np.arange(3), 'w', transport=t)")
    assert read(reader).shape == (3,)
    child.process.kill()
    child.process.wait()
    until(lambda: state(there, "cam") in ("absent", "closed"), "the far array is closed")
    here.writer("cam").write(np.arange(4))  # it takes over; the frame before may come once more
    until(lambda: read(reader).shape == (4,), "the next writer's frame")


def test_the_far_array_is_closed_with_the_bridge(net: Net, here: Machine, there: Machine) -> None:
    writer, reader = here.writer("cam"), there.reader("cam")
    there.bridge(net.engine(), import_=["cam"])
    for number in range(2):
        writer.write(np.array([number]))  # before: else the frame before it comes first
        bridge = here.bridge(net.engine(), export=["cam"])
        assert read(reader)[0] == number
        bridge.close()
        until(lambda: state(there, "cam") in ("absent", "closed"), "the far array is closed")


def test_only_what_is_exported_is_offered_and_only_what_is_imported_is_made(
    net: Net, here: Machine, there: Machine
) -> None:
    for name in ("cam1", "cam2", "secret"):
        here.writer(name).write(np.arange(3))
    here.bridge(net.engine(), export=["cam*"])
    there.bridge(net.engine(), import_=["cam1", "secret"])
    read(there.reader("cam1"))
    until(lambda: len(net.outlets) >= 2, "two offers")
    assert {offer.name for offer in net.outlets} == {"cam1", "cam2"}
    assert names(there) == {"cam1"}


def test_two_bridges_that_export_and_import_everything_make_no_loop(
    net: Net, here: Machine, there: Machine
) -> None:
    ours, theirs = here.writer("ours"), there.writer("theirs")
    bridges = [m.bridge(net.engine(), export=["*"], import_=["*"]) for m in (here, there)]
    for number in range(3):
        ours.write(np.array([number]))
        theirs.write(np.array([number + 100]))
        if number == 0:
            readers = there.reader("ours"), here.reader("theirs")
        assert [read(reader)[0] for reader in readers] == [number, number + 100]
    assert names(here) == names(there) == {"ours", "theirs"}
    assert len(net.outlets) == 2
    assert {(t.name, t.direction) for t in bridges[0].counts()} == {
        ("ours", "out"),
        ("theirs", "in"),
    }
    assert not here.lines
    assert not there.lines


def test_what_one_bridge_imports_no_other_bridge_of_the_root_exports(
    net: Net, here: Machine, there: Machine
) -> None:
    back = Net()
    writer = here.writer("cam")
    here.bridge(net.engine(), export=["*"])
    there.bridge(net.engine(), import_=["*"])
    there.bridge(back.engine(), export=["*"])  # such as another process would
    here.bridge(back.engine(), import_=["*"])
    there.writer("own").write(np.arange(2))
    writer.write(np.arange(3))
    read(there.reader("cam"))
    read(here.reader("own"))  # they have looked
    assert {offer.name for offer in back.outlets} == {"own"}


def test_bridges_of_one_root_take_nothing_from_each_other(net: Net, here: Machine) -> None:
    here.writer("cam").write(np.arange(3))
    taking = here.bridge(net.engine(), import_=["*"])
    here.bridge(net.engine(), export=["cam"])
    until(lambda: net.outlets, "an offer")
    far = net.engine()
    far.offer(Offer("0" * 16, 7, "far"), lambda reply: None)
    until(lambda: [each.name for each in taking.counts()] == ["far"], "a later offer is taken")
    assert not here.lines
    far.close()


def test_a_name_with_a_living_writer_is_refused_and_tried_again(
    net: Net, here: Machine, there: Machine
) -> None:
    here.writer("cam").write(np.array([1]))
    local = there.writer("cam")
    local.write(np.array([2]))
    reader = there.reader("cam")
    here.bridge(net.engine(), export=["cam"])
    there.bridge(net.engine(), import_=["cam"])
    line = there.first_line()
    assert "'cam' is not imported: it has a living writer here" in line
    assert read(reader)[0] == 2
    assert not local.closed
    local.close()
    assert read(reader)[0] == 1
    assert len(there.lines) == 1


def test_one_name_of_two_bridges_is_taken_from_the_first(
    net: Net, here: Machine, there: Machine, root: Path, transport: str
) -> None:
    third = Machine(root / "third", transport)
    try:
        here.writer("cam").write(np.array([1]))
        third.writer("cam").write(np.array([3]))
        first = here.bridge(net.engine(), export=["cam"])
        until(lambda: net.outlets, "an offer")
        there.bridge(net.engine(), import_=["cam"])
        reader = there.reader("cam")
        assert read(reader)[0] == 1
        third.bridge(net.engine(), export=["cam"])
        assert "is not imported: that of bridge" in there.first_line()
        first.close()
        assert read(reader)[0] == 3
    finally:
        there.close_bridges()
        third.close()


def test_a_second_bridge_of_a_name_is_worth_one_line_however_many_frames_come(
    net: Net, here: Machine, there: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ndsharray.tools.bridge.counts._BETWEEN", 0.0)
    writer, reader = here.writer("cam"), there.reader("cam")
    here.bridge(net.engine(), export=["cam"])
    there.bridge(net.engine(), import_=["*"])
    writer.write(np.array([0]))
    read(reader)
    engine = net.engine()
    for bridge in "01":
        engine.offer(Offer(bridge * 16, 7, "cam"), lambda reply: None)
    until(lambda: len(there.lines) == 2, "two lines of the taking bridge")
    for number in range(1, 4):
        writer.write(np.array([number]))
        read(reader)
        outlet: Any = engine.offer(Offer("2" * 16, 7, f"other{number}"), lambda reply: None)
        until(outlet.wanted.is_set, "the array is taken")  # all offers were looked at
    assert len(there.lines) == 2
    engine.close()


def test_a_slow_link_drops_old_frames_and_sends_the_newest(
    net: Net, here: Machine, there: Machine
) -> None:
    writer, reader = here.writer("cam"), there.reader("cam")
    bridge = here.bridge(net.engine(), export=["cam"])
    there.bridge(net.engine(), import_=["cam"])
    writer.write(np.array([0]))
    assert read(reader)[0] == 0
    with net.gate:  # the link is full
        writer.write(np.array([1]))
        for number in range(2, 100):
            writer.write(np.array([number]))
    until(lambda: read(reader)[0] == 99, "the newest frame")
    until(lambda: (c := bridge.counts()[0]).frames + c.dropped == 100, "all frames are counted")
    assert bridge.counts()[0].frames <= 3


def test_every_frame_is_sent_in_order_within_its_memory(
    net: Net, here: Machine, there: Machine
) -> None:
    writer, reader = here.writer("cam", slots=64), there.reader("cam")
    bridge = here.bridge(net.engine(), export=["cam"], every=True, max_memory=80)
    there.bridge(net.engine(), import_=["cam"], slots=64)
    writer.write(np.array([0.0]))
    assert read(reader)[0] == 0
    with net.gate:
        for number in range(1, 31):  # eight bytes each: ten of them may wait
            writer.write(np.array([float(number)]))
        until(lambda: bridge.counts()[0].dropped >= 19, "19 dropped frames")
    got = [int(frame[0]) for _, frame in zip(range(10), reader.frames(20.0))]
    assert got[-10:] == sorted(set(got[-10:]))
    until(lambda: there_counts(there) == bridge.counts()[0].frames, "what was sent has come")
    counts = bridge.counts()[0]
    assert counts.frames + counts.dropped == 31
    assert 11 <= counts.frames <= 12


def there_counts(machine: Machine) -> int:
    return int(machine.bridges[-1].counts()[0].frames)


def test_a_broken_link_loses_frames_and_says_so(net: Net, here: Machine, there: Machine) -> None:
    writer, reader = here.writer("cam"), there.reader("cam")
    bridge = here.bridge(net.engine(), export=["cam"])
    there.bridge(net.engine(), import_=["cam"])
    writer.write(np.array([0]))
    read(reader)
    net.broken = True
    writer.write(np.array([1]))
    assert "'cam' is not sent: the link is broken" in here.first_line()
    net.broken = False
    writer.write(np.array([2]))
    assert read(reader)[0] == 2
    until(lambda: bridge.counts()[0].frames == 2, "two frames are counted")
    assert bridge.counts()[0].dropped == 1


def test_a_frame_that_the_link_cannot_take_is_refused(
    net: Net, here: Machine, there: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = net.engine()
    engine.max_frame = 100
    bridge = here.bridge(engine, export=["cam"])
    there.bridge(net.engine(), import_=["cam"])
    writer, reader = here.writer("cam"), there.reader("cam")
    writer.write(np.zeros(101, np.uint8))
    assert "101 bytes, the link takes 100" in here.first_line()
    writer.write(np.zeros(100, np.uint8))
    assert read(reader).shape == (100,)
    assert bridge.counts()[0].refused == 1


@pytest.mark.parametrize("every", [False, True])
def test_a_frame_for_which_there_is_no_memory_is_told(
    every: bool, net: Net, here: Machine, there: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def message(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("ndsharray.tools.bridge.message.Encoder.message", message)
    monkeypatch.setattr("ndsharray.tools.bridge.sending.Sending._answer", lambda *_: None)
    here.writer("cam").write(np.array([0]))
    here.bridge(net.engine(), export=["cam"], every=every)
    there.bridge(net.engine(), import_=["cam"])
    assert until(lambda: here.lines, "a line about the end") == [
        "'cam' is not sent any more: MemoryError"
    ]


def test_a_mark_for_which_there_is_no_room_is_tried_again(
    net: Net, here: Machine, there: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, refused = Mark.write, list[Mark]()

    def write(mark: Mark, names: Any) -> None:
        if names and not refused:
            refused.append(mark)
            raise OSError(28, "No space left on device")
        real(mark, names)

    monkeypatch.setattr(Mark, "write", write)
    here.writer("cam").write(np.array([7]))
    here.bridge(net.engine(), export=["cam"])
    there.bridge(net.engine(), import_=["cam"])
    assert read(there.reader("cam"))[0] == 7
    assert "imports wait: [Errno 28]" in there.lines[0]


# --- what a hostile far side sends

HEADER = b"{'descr': '|u1', 'fortran_order': False, 'shape': (%s,), }"


def head(
    *,
    shape: bytes = b"3",
    magic: bytes = b"ndsbrdg1",
    flags: int = 0,
    frame: int = 1,
    at: int = 1,
) -> bytes:
    text = HEADER % shape
    text = text.ljust(117) + b"\n"
    npy = b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text
    return struct.pack("<8sQQQ", magic, flags, frame, at) + npy


HOSTILE = {
    "no head": (b"", b"abc"),
    "half a head": (head()[:20], b"abc"),
    "other magic": (head(magic=b"ndsbrdg9"), b"abc"),
    "longer payload": (head(), b"abcd"),
    "shorter payload": (head(), b"ab"),
    "huge shape": (head(shape=b"1000000000000"), b"abc"),
    "overflowing shape": (head(shape=b"9223372036854775807, 9223372036854775807"), b"abc"),
    "negative shape": (head(shape=b"-3"), b"abc"),
    "another shape": (head(shape=b"4"), b"abc"),
    "code in the header": (head().replace(b"'shape': (3,)", b"'shape': exit()"), b"abc"),
    "objects": (head().replace(b"'|u1'", b"'|O8'"), b"abcdefgh"),
    "a huge head": (head() + bytes(1 << 18), b"abc"),
    "frame 0": (head(frame=0), b"abc"),
    "a frame from the end of time": (head(frame=2**63), b"abc"),
    "a stamp from the end of time": (head(at=2**63), b"abc"),
}


def test_hostile_messages_are_refused_and_counted(net: Net, there: Machine) -> None:
    engine = net.engine()
    outlet: Any = engine.offer(Offer("0" * 16, 7, "cam"), lambda reply: None)
    bridge = there.bridge(net.engine(), import_=["*"])
    until(outlet.wanted.is_set, "the array is taken")
    reader = there.reader("cam")
    for number, (bad, payload) in enumerate(HOSTILE.values(), 1):
        outlet.send(bad, Payload(payload))
        until(lambda n=number: bridge.counts()[0].refused == n, "it is refused")
    outlet.send(head(), b"abc")
    assert read(reader).tobytes() == b"abc"
    until(lambda: bridge.counts()[0].frames == 1, "a frame is counted")
    assert bridge.counts()[0].refused == len(HOSTILE)
    engine.close()


def test_a_frame_that_comes_twice_or_late_is_written_once(net: Net, there: Machine) -> None:
    engine = net.engine()
    outlet: Any = engine.offer(Offer("0" * 16, 7, "cam"), lambda reply: None)
    bridge = there.bridge(net.engine(), import_=["*"])
    until(outlet.wanted.is_set, "the array is taken")
    for number in (5, 4, 5, 8):
        outlet.send(head(flags=1, frame=number), b"abc")  # each of them is looked at
    until(lambda: bridge.counts()[0].dropped == 2, "two dropped frames")
    assert bridge.counts()[0].frames == 2
    engine.close()


def test_offers_that_nobody_should_make_are_ignored(net: Net, there: Machine) -> None:
    engine = net.engine()
    there.bridge(net.engine(), import_=["*"])
    for name in ("", "nul\0", "x" * 256, "ndsharray.bridge/0000000000000000"):
        engine.offer(Offer("0" * 16, 7, name), lambda reply: None)
    engine.offer(Offer("0" * 16, 7, "good"), lambda reply: None)
    until(lambda: "good" in names(there), "the good array")
    assert names(there) == {"good"}
    engine.close()


def test_a_flood_of_offers_makes_a_bounded_number_of_arrays(
    net: Net, there: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ndsharray.tools.bridge.imports._ARRAYS", 3)
    monkeypatch.setattr("ndsharray.tools.bridge.imports._OFFERS", 6)
    engine = net.engine()
    bridge = there.bridge(net.engine(), import_=["*"])
    for number in range(20):
        engine.offer(Offer("0" * 16, 7, f"flood{number}"), lambda reply: None)
    line = there.first_line()
    assert len(names(there)) == 3
    assert len(bridge._imports._offers) == 6
    assert line == "3 arrays are imported, and others that are offered are not"
    assert len(there.lines) == 1
    engine.close()


def test_lines_and_counts_are_bounded_whatever_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ndsharray.tools.bridge.counts._REMEMBERED", 5)
    said: list[str] = []
    lines, table = Lines(said.append), Table("in")
    for number in range(20):
        lines.say("in", "one", f"bad {number}")
        lines.forget("in", "one")  # a good frame comes between
    assert said == ["bad 0"]
    for number in range(20):
        lines.say("in", f"cam{number}", "bad")
        table.of(f"cam{number}", {"cam0"}).add(1)
    assert len(lines._last) == 5
    assert [each.name for each in table.totals()] == ["cam0", "cam16", "cam17", "cam18", "cam19"]


def test_a_flood_of_offers_does_not_keep_the_bridge_from_other_work(
    net: Net, there: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ndsharray.tools.bridge.imports._ARRAYS", 3)
    engine = net.engine()
    there.bridge(net.engine(), import_=["*"])
    for number in range(20):
        there.writer(f"local{number}").write(np.zeros(1))
    first = engine.offer(Offer("0" * 16, 7, "first"), lambda reply: None)
    for number in range(2000):
        engine.offer(Offer("0" * 16, 7, f"flood{number}"), lambda reply: None)
    there.first_line()
    first.close()
    until(lambda: "flood2" in names(there), "the next array of the flood", 3.0)
    engine.close()


# --- the command


def test_a_bridge_without_names_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bridge", "zenoh"]) == 2
    assert "give --export NAME or --import NAME" in capsys.readouterr().err
    assert cli.main(["bridge", "zenoh", "--export", "a", "--slots", "1"]) == 2
    assert "--slots is 2 to 250" in capsys.readouterr().err


def test_without_zenoh_one_line_names_the_extra(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "zenoh", None)
    assert cli.main(["bridge", "zenoh", "--export", "a"]) == 2
    error = capsys.readouterr().err
    assert 'pip install "ndsharray[bridge]"' in error
    assert error.count("\n") == 1


class Entry:
    """An entry point of somebody else's package."""

    def __init__(self, name: str, loaded: Any) -> None:
        self.name, self._loaded = name, loaded

    def load(self) -> Any:
        if isinstance(self._loaded, Exception):
            raise self._loaded
        return self._loaded


def test_engines_of_other_packages_are_found_and_broken_ones_harm_nobody(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = [Entry("memory", MemoryEngine), Entry("broken", ImportError("no such thing"))]
    groups: list[str] = []

    def entry_points(group: str) -> list[Entry]:
        groups.append(group)
        return entries

    monkeypatch.setattr("importlib.metadata.entry_points", entry_points)
    assert engines() == {"zenoh": ZenohEngine, "memory": MemoryEngine}
    assert "engine 'broken' cannot be loaded: no such thing" in capsys.readouterr().err
    assert set(groups) == {"ndsharray.bridges"}
    options = cli.parser_of("bridge").parse_args(
        ["memory", "--net", "x", "--import", "a", "--import", "b*"]
    )
    assert (options.engine, options.net, options.import_) == ("memory", "x", ["a", "b*"])


@pytest.mark.parametrize("as_json", [False, True])
def test_it_prints_a_line_a_second_for_each_array(
    as_json: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Stop:
        asked = False

        def wait(self, seconds: float) -> bool:
            until(lambda: net.outlets, "an offer")
            self.asked, before = True, self.asked
            return before

    net = Net()
    monkeypatch.setattr(ndsharray.tools.bridge, "engines", lambda: {"zenoh": MemoryEngine})
    monkeypatch.setattr(MemoryEngine, "arguments", classmethod(lambda cls, parser: None))
    monkeypatch.setattr(MemoryEngine, "of_options", classmethod(lambda cls, options: cls(net)))
    monkeypatch.setattr(
        ndsharray.tools.bridge, "stop_on_signals", lambda: contextlib.nullcontext(Stop())
    )
    with NdShArray("cam", np.arange(3), "w"):
        assert cli.main(["bridge", "zenoh", "--export", "*"] + ["--json"] * as_json) == 0
    line = capsys.readouterr().out.strip()
    if as_json:
        record = json.loads(line)
        assert (record["name"], record["direction"], record["frames"]) == ("cam", "out", 0)
        assert set(record) == {*Totals._fields, "hz", "bytes_per_s"}
    else:
        assert line == "cam out  0.0 Hz  0 B/s  sent 0  dropped 0"


def test_a_bridge_needs_lists_of_names(net: Net) -> None:
    with pytest.raises(TypeError, match="sequences of names"):
        Bridge(net.engine(), export="cam")
    with pytest.raises(ValueError, match="names to export or to import"):
        Bridge(net.engine())
