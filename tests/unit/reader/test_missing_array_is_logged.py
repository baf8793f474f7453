"""A reader that waits for what is not there says so in the log, once, with what is there."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from console import Console
from inprocess import InProcessTransport

from ndsharray import MmapTransport, NdShArray, PosixShmTransport
from ndsharray._registry.lookup import arrays
from ndsharray._registry.names import address_of
from ndsharray._system import clock as system_clock
from ndsharray.backends import resolve

SECOND = 1_000_000_000


@pytest.fixture(autouse=True)
def warnings_alone(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "ndsharray")


class Clock:
    """The library's clock, which the test moves on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.later = 0
        real = system_clock.now_ns
        monkeypatch.setattr(system_clock, "now_ns", lambda: real() + self.later)

    def pass_by(self, seconds: float) -> None:
        self.later += int(seconds * SECOND)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def of(transport: str, directory: Path) -> Any:
    return {"mmap": MmapTransport, "posix_shm": PosixShmTransport}[transport](directory)


def test_a_reader_of_nothing_says_so_once(
    name: str, transport: str, root: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with NdShArray(name, r_w="r", transport=transport) as reader:
        for seconds in (0, 1.5, 1.5, 1.5):
            clock.pass_by(seconds)
            assert reader.read()[0] is False
            assert caplog.messages == []
        clock.pass_by(1.5)
        assert reader.read()[0] is False
        (message,) = caplog.messages
        for part in (repr(name), repr(transport), "NDSHARRAY_TRANSPORT", str(root)):
            assert part in message
        assert "NDSHARRAY_DIR" in message
        assert "no other array is there" in message
        assert "`ndsharray list`" in message
        for _ in range(5):
            clock.pass_by(10)
            assert reader.read()[0] is False
        assert len(caplog.messages) == 1
        with NdShArray(name, np.arange(3), "w", transport=transport):  # later is well, too
            clock.pass_by(1)
            assert reader.read()[1].tolist() == [0, 1, 2]


@pytest.mark.parametrize("how", ["read", "frames", "is_valid", "read_async"])
def test_whichever_way_it_waits(
    name: str, how: str, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    ways: dict[str, Callable[[NdShArray], object]] = {
        "read": lambda reader: reader.read(timeout=0.01),
        "frames": lambda reader: list(reader.frames(timeout=0.01)),
        "is_valid": lambda reader: reader.is_valid,
        "read_async": lambda reader: asyncio.run(reader.read_async(timeout=0.01)),
    }
    with NdShArray(name, r_w="r") as reader:
        for _ in range(4):
            clock.pass_by(2)
            ways[how](reader)
    assert len(caplog.messages) == 1


def test_a_reader_that_never_reads_says_nothing(
    name: str, transport: str, root: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for directory in (root, root / "nowhere" / "x"):
        with NdShArray(name, r_w="r", transport=of(transport, directory)):
            clock.pass_by(100)
    assert caplog.messages == []


def test_names_that_look_alike_are_told(
    name: str, transport: str, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with NdShArray("Camera", np.zeros(3), "w", transport=transport):
        with NdShArray(name, np.zeros(3), "w", transport=transport):
            with NdShArray("camra", r_w="r", transport=transport) as reader:
                clock.pass_by(6)
                reader.read()
    assert "did you mean 'Camera'?" in caplog.text
    assert name not in caplog.text


def test_else_some_of_those_that_are_there(
    transport: str, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with NdShArray("q", r_w="r", transport=transport) as reader:
        writers = [
            NdShArray(f"other {number}", np.zeros(3), "w", transport=transport)
            for number in range(7)
        ]
        clock.pass_by(6)
        reader.read()
        assert "'other 0', 'other 1'" in caplog.text
        assert "'other 4' and 2 more" in caplog.text
        for writer in writers:
            writer.close()


def test_a_root_that_cannot_exist_is_told_soon(
    name: str, transport: str, root: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = root / "nowhere" / "x"
    with NdShArray(name, r_w="r", transport=of(transport, nowhere)) as reader:
        clock.pass_by(1)
        reader.read()
        (message,) = caplog.messages
        assert str(nowhere) in message
        assert f"there is no directory {nowhere.parent}" in message
        os.makedirs(nowhere.parent)  # mounted late
        with NdShArray(name, np.arange(3), "w", transport=of(transport, nowhere)):
            clock.pass_by(1)
            assert reader.read()[1].tolist() == [0, 1, 2]
    for directory in (nowhere, nowhere.parent):
        os.rmdir(directory)


def test_an_array_that_was_there_is_not_missed(
    name: str, transport: str, clock: Clock, caplog: pytest.LogCaptureFixture, console: Any
) -> None:
    with NdShArray(name, r_w="r", transport=transport) as reader:
        with NdShArray(name, r_w="w", transport=transport):  # without a frame yet
            for _ in range(5):
                clock.pass_by(2)
                assert reader.read()[0] is False
        for _ in range(5):  # closed
            clock.pass_by(2)
            assert reader.read()[0] is False
    child = console()
    child.run(f"w = NdShArray({name!r}, np.arange(3), 'w', transport={transport!r})")
    child.kill()
    with NdShArray(name, r_w="r", transport=transport) as reader:
        assert reader.read()[0]
        for _ in range(5):
            clock.pass_by(2)
            assert reader.read()[0] is False
    assert caplog.messages == []
    NdShArray(name, r_w="w", transport=transport).close()


def test_a_control_segment_that_is_never_ready_counts_as_nothing(
    name: str, transport: str, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Its writer was killed while making it."""
    own = resolve(transport)
    control = address_of(own, name).control_name
    os.makedirs(own.root, exist_ok=True)
    segment = own.create(control, 4096)
    with NdShArray(name, r_w="r", transport=transport) as reader:
        clock.pass_by(6)
        reader.read()
    assert len(caplog.messages) == 1
    segment.close()
    own.unlink(control)


def test_another_transport_is_warned_of_instead(
    name: str, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with NdShArray(name, np.zeros(3), "w", transport="mmap"):
        with pytest.warns(UserWarning, match="not on transport"):
            reader = NdShArray(name, r_w="r", transport="posix_shm")
        clock.pass_by(6)
        reader.read()
        reader.close()
    assert caplog.messages == []


def test_python_prints_it_where_nothing_is_configured(
    name: str, console: Callable[..., Console]
) -> None:
    child = console()
    child.run(f"r = NdShArray({name!r}, r_w='r')")
    child.run(
        "from ndsharray._registry import mismatch; "
        "mismatch._SILENCE_NS = 0; r._reader._source.finder._hinted = 0"
    )
    child.run("r.read()")
    child.run("r.close()")
    assert child.end() == 0
    assert repr(name) in child.errors
    assert child.errors.count("\n") == 1


# Which arrays are there


def test_the_arrays_that_are_there(
    transport: str, root: Path, tmp_path: Path, console: Any
) -> None:
    own, other = of(transport, root), of(transport, tmp_path)
    assert arrays(own) == []
    assert arrays(of(transport, root / "missing")) == []
    names = ["Kamera 1/左", "b"]
    writers = [NdShArray(each, np.zeros(3), "w", transport=own) for each in names]
    writers.append(NdShArray("elsewhere", np.zeros(3), "w", transport=other))
    reader = NdShArray("b", r_w="r", transport=own)  # has a lock file of its own
    reader.read(copy=False)
    assert [address.name for address in arrays(own)] == sorted(names)
    assert arrays(own) == [address_of(own, each) for each in sorted(names)]
    for each in (reader, *writers):
        each.close()
    child = console()
    child.run(f"w = NdShArray('killed', np.zeros(3), 'w', transport={transport!r})")
    child.kill()
    assert [address.name for address in arrays(own)] == ["killed"]
    NdShArray("killed", r_w="w", transport=own).close()
    assert arrays(own) == []


def test_of_another_transport_in_the_same_root_are_not(name: str, root: Path) -> None:
    with NdShArray(name, np.zeros(3), "w", transport="mmap"):
        with NdShArray(name + "2", np.zeros(3), "w", transport="posix_shm"):
            assert [each.name for each in arrays(resolve("mmap"))] == [name]
            assert [each.name for each in arrays(resolve("posix_shm"))] == [name + "2"]
    own = InProcessTransport(root)  # of one's own: by the lock files
    with NdShArray(name, np.zeros(3), "w", transport=own):
        assert [each.name for each in arrays(own)] == [name]


def test_what_is_no_array_is_left_out(name: str, root: Path) -> None:
    with NdShArray(name, np.zeros(3), "w", transport="mmap") as writer:
        control = address_of(writer.transport, name).control_name
        copy = root / ("nd" + "0" * 16)
        copy.write_bytes((root / control).read_bytes())  # not the segment of that name
        (root / ("nd" + "1" * 16)).write_bytes(b"short")
        (root / ("nd" + "2" * 16)).write_bytes(bytes(4096))
        (root / ("nd" + "3" * 16)).mkdir()
        assert [each.name for each in arrays(writer.transport)] == [name]
    for path in root.iterdir():
        path.rmdir() if path.is_dir() else path.unlink()
