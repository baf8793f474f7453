"""One kill, or one fault, for each promise of RELIABILITY.md; the folders `faults` and `processes`
try each of them at every step and in every way.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from console import Console, Failed
from patience import until
from processes import remains

from ndsharray import NdShArray, NdShArrayError, WriterExistsError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX signals and limits")

# Frames of one value each, of two layouts in turn, so that a mix of two frames shows.
FLOOD = """
import sys
import numpy as np
from ndsharray import NdShArray
with NdShArray(sys.argv[1], r_w="w", transport=sys.argv[2]) as writer:
    for count in range(10**9):
        writer.write(np.full((100 + count % 2, 300), count))
        if count == 10:
            print(flush=True)
"""
# Random bytes over the words that both sides share, faster than either looks.
SCRIBBLE = """
import os, random, sys
from ndsharray._registry.names import address_of
from ndsharray._protocol.format import NEWEST_WORD, STATE_WORD, TABLE_WORDS
from ndsharray.backends import resolve
address = address_of(resolve(sys.argv[2]), sys.argv[1])
segment = address.transport.open(address.control_name, writable=True)
words = segment.buf.cast("B").cast("Q")
print(flush=True)
while True:
    words[random.choice([NEWEST_WORD, STATE_WORD, *TABLE_WORDS])] = random.getrandbits(64)
"""


@pytest.fixture
def start(name: str, transport: str) -> Iterator[Callable[[str], Any]]:
    """Start a program that writes a line when it is ready; kill it with the test at the latest."""
    children: list[subprocess.Popen[bytes]] = []

    def begin(code: str) -> Any:
        command = [sys.executable, "-W", "error", "-c", code, name, transport]
        child = subprocess.Popen(command, stdout=subprocess.PIPE)
        children.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == b"\n"
        return child

    yield begin
    for child in children:
        child.kill()
        child.communicate()


def whole(array: np.ndarray[Any, Any]) -> bool:
    """Tell whether all of an array is one frame of the flood."""
    value = int(array[0, 0])
    return array.shape == (100 + value % 2, 300) and bool((array == value).all())


def test_a_reader_gets_whole_frames_or_none(name: str, transport: str, start: Any) -> None:
    flood = start(FLOOD)
    with NdShArray(name, r_w="r", transport=transport) as reader:
        got = 0
        for turn in range(300):
            valid, array = reader.read(timeout=10, copy=bool(turn % 2))
            got += valid
            assert whole(array)
    assert got > 150
    with NdShArray(name, r_w="r", transport=transport) as reader:
        last = -1
        for _, array in zip(range(150), reader.frames(timeout=10)):
            assert whole(array)
            assert int(array[0, 0]) > last
            last = int(array[0, 0])
    flood.kill()
    flood.wait()
    NdShArray(name, r_w="w", transport=transport).close()


def test_a_killed_writer_leaves_its_newest_frame(
    name: str, transport: str, root: Path, start: Any
) -> None:
    flood = start(FLOOD)
    with NdShArray(name, r_w="r", transport=transport) as there:
        there.read(timeout=10)
        flood.kill()
        flood.wait()
        there.read()
        newest = there.read()[1]
        assert whole(newest)
        with NdShArray(name, r_w="r", transport=transport) as late:
            assert (late.read(timeout=10)[1] == newest).all()
        with NdShArray(name, r_w="w", transport=transport) as successor:  # at once
            assert (there.read()[1] == newest).all()
            successor.write(newest + 1)
            assert (there.read(timeout=10)[1] == newest + 1).all()
    assert remains(root, name) == []


def test_what_a_killed_writer_left_is_removed_by_the_next_one_of_any_name(
    name: str, transport: str, root: Path, start: Any
) -> None:
    flood = start(FLOOD)
    flood.kill()
    flood.wait()
    assert remains(root, name) != []
    with NdShArray(name + " another", np.zeros(3), "w", transport=transport):
        assert remains(root, name) == []


def test_a_killed_reader_gives_its_slots_back(
    name: str, transport: str, root: Path, console: Callable[..., Console]
) -> None:
    with NdShArray(name, np.zeros(9), "w", transport=transport) as writer:
        child = console()
        child.run(f"r = NdShArray({name!r}, r_w='r', transport={transport!r}); held = []")
        for value in range(4):
            writer.write(np.full(9, value))
            child.run("held.append(r.read(copy=False)[1])")
        child.kill()
        with NdShArray(name, r_w="r", transport=transport) as reader:

            def is_swept() -> bool:
                writer.write(np.full(9, 7))
                assert reader.read(copy=False)[1].tolist() == [7] * 9
                return _lock_files_of_readers(root) == 1

            until(is_swept, "the killed reader's lock file is gone")


def _lock_files_of_readers(root: Path) -> int:
    return sum(1 for entry in os.listdir(root) if entry[-3:-2] == "r")


def test_a_stopped_writer_keeps_its_array(
    name: str, transport: str, console: Callable[..., Console]
) -> None:
    child = console()
    child.run(f"w = NdShArray({name!r}, np.arange(3), 'w', transport={transport!r})")
    child.process.send_signal(signal.SIGSTOP)
    try:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            assert reader.read(timeout=10)[1].tolist() == [0, 1, 2]
            with pytest.raises(WriterExistsError, match=str(child.process.pid)):
                NdShArray(name, r_w="w", transport=transport)
            child.process.send_signal(signal.SIGCONT)
            child.run("w.write(np.arange(4))")
            assert reader.read(timeout=10)[1].tolist() == [0, 1, 2, 3]
    finally:
        child.process.send_signal(signal.SIGCONT)


def test_a_writer_that_is_denied_memory_keeps_its_last_frame(
    name: str, transport: str, console: Callable[..., Console]
) -> None:
    child = console()
    child.run(f"w = NdShArray({name!r}, np.arange(3), 'w', transport={transport!r})")
    child.run("import resource; old = resource.getrlimit(resource.RLIMIT_NOFILE)")
    child.run("resource.setrlimit(resource.RLIMIT_NOFILE, (3, old[1]))")
    with NdShArray(name, r_w="r", transport=transport) as reader:
        with pytest.raises(Failed, match="OSError"):
            child.run("w.write(np.arange(100_000))")
        assert reader.read(timeout=10)[1].tolist() == [0, 1, 2]
        child.run("w.write(np.arange(2))")
        assert reader.read(timeout=10)[1].tolist() == [0, 1]
        child.run("resource.setrlimit(resource.RLIMIT_NOFILE, old)")
        child.run("w.write(np.arange(100_000))")
        assert reader.read(timeout=10)[1].shape == (100_000,)


def test_no_bytes_in_shared_memory_make_it_crash_or_hang(
    name: str, transport: str, start: Any
) -> None:
    frame = np.full((100, 300), 4)
    with NdShArray(name, frame, "w", transport=transport) as writer:
        scribbler = start(SCRIBBLE)
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            writer.write(frame)
            try:
                with NdShArray(name, r_w="r", transport=transport) as reader:
                    valid, array = reader.read()
                    assert not valid or (array == frame).all()
            except NdShArrayError:
                pass
        scribbler.kill()
        scribbler.wait()
        with NdShArray(name, r_w="w", transport=transport) as successor:
            successor.write(frame)
            with NdShArray(name, r_w="r", transport=transport) as reader:
                assert (reader.read(timeout=10)[1] == frame).all()
