"""Any order, any restart, no delay: writers and readers that come, go and are killed."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ndsharray import MmapTransport, NdShArray, PosixShmTransport, Segment, WriterExistsError
from ndsharray._registry import cleanup
from ndsharray._registry.names import address_of
from ndsharray._system import lockfile

FLOOD = """
import os, sys, threading
import numpy as np
from ndsharray import NdShArray

name, transport, base = sys.argv[1], sys.argv[2], int(sys.argv[3])
w = NdShArray(name, r_w="w", transport=transport)
value = base
while True:
    value += 1
    w.write(np.full((60 + value % 7, 100), value, np.int64))
    if value == base + 1:
        print("=writing", flush=True)
"""


def test_a_reader_first_gets_the_first_frame_at_its_next_read(
    name: str, transport: str, console: Any
) -> None:
    reader = NdShArray(name, r_w="r", transport=transport)
    for _ in range(3):
        assert reader.read() == (False, reader.read()[1])
    child = console()
    child.run(f"w = NdShArray({name!r}, np.arange(3), 'w', transport={transport!r})")
    valid, found = reader.read()
    assert valid
    assert found.tolist() == [0, 1, 2]
    reader.close()


@pytest.mark.alternately
@pytest.mark.parametrize("kill", [False, True])
def test_a_writer_restarted_20_times_under_a_running_reader(
    name: str, transport: str, root: Path, console: Any, kill: bool
) -> None:
    reader = NdShArray(name, r_w="r", transport=transport)
    numbers = []
    for run in range(20):
        child = console()
        child.run(f"w = NdShArray({name!r}, r_w='w', transport={transport!r})")
        if kill and run:  # what the killed one published last is still there
            with NdShArray(name, r_w="r", transport=transport) as late:
                assert late.read()[1].tolist() == [run - 1, 99]
        child.run(f"w.write(np.array([{run}]))")
        valid, found = reader.read()  # at once
        assert valid
        assert found.tolist() == [run]
        child.run(f"w.write(np.array([{run}, 99]))")
        if kill:
            child.kill()
        else:
            child.run("w.close()")
        valid, found = reader.read()  # the final frame arrives, though its writer is gone
        assert valid
        assert found.tolist() == [run, 99]
        assert not reader.read()[0]
        numbers.append(reader._reader.last.frame_id)  # type: ignore[union-attr]
    # a new instance counts from 1 again; a successor continues
    assert numbers == ([2 * run + 2 for run in range(20)] if kill else [2] * 20)
    reader.close()
    NdShArray(name, r_w="w", transport=transport).close()


def test_a_writer_killed_at_random_moments_leaves_its_last_frame(
    name: str, transport: str, tmp_path: Path
) -> None:
    import subprocess
    import sys

    script = tmp_path / "flood.py"
    script.write_text(FLOOD)
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    moments = random.Random(seed)
    reader = NdShArray(name, r_w="r", transport=transport)
    for run in range(10):
        base = (run + 1) * 10**9
        command = [sys.executable, "-W", "error", str(script), name, transport, str(base)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert child.stdout is not None
        assert child.stdout.readline() == "=writing\n"
        seen, wanted = 0, moments.randrange(1, 60)
        newest = 0
        while seen < wanted:
            valid, found = reader.read()
            if valid:
                assert (found == found[0, 0]).all()
                assert found[0, 0] > newest
                newest = int(found[0, 0])
                seen += newest > base
        child.kill()
        assert child.communicate()[1] == ""
        valid, found = reader.read()
        last = int(found[0, 0])
        assert (found == last).all()
        assert found.shape == (60 + last % 7, 100)
        assert last >= newest
        with NdShArray(name, r_w="r", transport=transport) as late:
            valid, found = late.read()
            assert valid
            assert (found == last).all()
    reader.close()
    NdShArray(name, r_w="w", transport=transport).close()


@pytest.mark.alternately
@pytest.mark.parametrize("kill", [False, True])
def test_a_reader_restarted_20_times_under_a_running_writer(
    name: str, transport: str, console: Any, kill: bool
) -> None:
    with NdShArray(name, r_w="w", transport=transport) as writer:
        for run in range(20):
            writer.write(np.array([run, 0]))
            child = console()
            child.run(f"r = NdShArray({name!r}, r_w='r', transport={transport!r})")
            assert child.run("r.read()[1].tolist()") == [run, 0]
            writer.write(np.array([run, 1]))
            assert child.run("r.read()[1].tolist()") == [run, 1]
            if kill:
                child.kill()
            else:
                child.run("r.close()")
                child.end()


def test_both_sides_restarted_in_one_process(name: str, transport: str) -> None:
    for run in range(30):
        with NdShArray(name, np.array(run), "w", transport=transport):
            with NdShArray(name, r_w="r", transport=transport) as reader:
                assert reader.read() == (True, np.array(run))


def test_a_half_made_control_segment_is_made_afresh(name: str, transport: str) -> None:
    from ndsharray._registry.names import address_of
    from ndsharray.backends import resolve

    made = resolve(transport)
    made.create("warm", 64)
    made.unlink("warm")
    reader = NdShArray(name, r_w="r", transport=transport)
    half = made.create(address_of(made, name).control_name, 4096)  # its writer was killed just here
    assert reader.read()[0] is False
    half.close()
    del half
    with NdShArray(name, np.arange(3), "w", transport=transport):
        assert reader.read()[1].tolist() == [0, 1, 2]
    reader.close()


def test_memory_of_another_boot_counts_as_absent(
    name: str, transport: str, console: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ndsharray._system.clock

    child = console()
    child.run(f"w = NdShArray({name!r}, np.arange(3), 'w', transport={transport!r})")
    child.kill()
    monkeypatch.setattr(ndsharray._system.clock, "boot_id", lambda: b"another boot id.")
    with NdShArray(name, r_w="r", transport=transport) as reader:
        assert reader.read()[0] is False
        with NdShArray(name, np.arange(4), "w", transport=transport):
            assert reader.read()[1].tolist() == [0, 1, 2, 3]
            assert reader._reader.last.frame_id == 1  # type: ignore[union-attr]  # made anew


class Watched:
    """What keeps a segment mapped; it says what is held when it goes."""

    def __init__(self, owner: Any, log: list[str], lock_file: str) -> None:
        self.owner, self.log, self.lock_file = owner, log, lock_file

    def __del__(self) -> None:
        self.log.append(
            "freed under the lock file" if lockfile.may_be_held(self.lock_file) else "freed"
        )


@pytest.fixture
def memory_log(transport: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happens to the memory of frame segments, in order."""
    kind = {"mmap": MmapTransport, "posix_shm": PosixShmTransport}[transport]
    log: list[str] = []

    def watched(real: Any) -> Any:
        def make(self: Any, name: str, *args: Any, **kwargs: Any) -> Segment:
            segment = real(self, name, *args, **kwargs)
            if len(name) < 29:
                return segment
            lock_file = os.path.join(self.root, f"{name[:18]}-{self.name}-w")
            return Segment(name, segment.buf, Watched(segment, log, lock_file))

        return make

    def unlink(self: Any, name: str) -> bool:
        if len(name) == 29:
            log.append("unlinked")
        return real_unlink(self, name)

    real_unlink = kind.unlink
    monkeypatch.setattr(kind, "create", watched(kind.create))
    monkeypatch.setattr(kind, "open", watched(kind.open))
    monkeypatch.setattr(kind, "unlink", unlink)
    return log


@pytest.mark.skipif(os.name != "posix", reason="Windows frees memory with the last handle")
def test_a_sweep_frees_memory_after_it_let_the_lock_file_go(
    name: str, transport: str, console: Any, memory_log: list[str]
) -> None:
    child = console()
    child.run(f"w = NdShArray({name!r}, np.arange(3), 'w', transport={transport!r})")
    child.kill()
    cleanup._swept.clear()
    NdShArray(name + " other", r_w="w", transport=transport).close()
    assert memory_log == ["unlinked", "freed"]


@pytest.mark.skipif(os.name != "posix", reason="Windows frees memory with the last handle")
def test_a_close_frees_memory_after_it_let_the_lock_file_go(
    name: str, transport: str, memory_log: list[str]
) -> None:
    NdShArray(name, np.arange(3), "w", transport=transport).close()
    assert memory_log[0] == "unlinked"
    assert memory_log[-1] == "freed"
    assert "freed under the lock file" not in memory_log


@pytest.mark.skipif(os.name != "posix", reason="nobody asks for a process on Windows")
def test_a_refusal_does_not_call_a_dead_process_living(
    name: str, transport: str, console: Any
) -> None:
    child = console()
    child.run(f"w = NdShArray({name!r}, np.arange(3), 'w', transport={transport!r})")
    pid = child.process.pid
    with pytest.raises(WriterExistsError, match=rf"living writer \(process {pid}\)"):
        NdShArray(name, r_w="w", transport=transport)
    child.process.kill()
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # a zombie
    core = NdShArray(name + " other", r_w="r", transport=transport)
    lock_file = lockfile.acquire(address_of(core.transport, name).writer_lock())
    assert lock_file is not None  # as a sweep has it
    for reap in (False, True):
        if reap:
            child.end()
        with pytest.raises(WriterExistsError, match=rf"writer \(process {pid}\) has ended, or"):
            NdShArray(name, r_w="w", transport=transport)
    lock_file.abandon()
    core.close()
    NdShArray(name, r_w="w", transport=transport).close()
