"""Large chunks go past the page cache, to aligned places, and every reader reads the file."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("mcap")

from mcap.reader import make_reader
from recordings import add_frames, judged, metadata, read_recording, same

from ndsharray import NdShArray
from ndsharray.tools import cli
from ndsharray.tools.record import Recorder
from ndsharray.tools.record.files import Files, Limits
from ndsharray.tools.recording.direct import ALIGNMENT
from ndsharray.tools.recording.messages import encode, kind_of
from ndsharray.tools.recording.output import Output
from ndsharray.tools.recording.writer import FileWriter

TIMEOUT = 60

HAS_DIRECT = hasattr(os, "O_DIRECT")
if HAS_DIRECT:
    import fcntl

needs_direct = pytest.mark.skipif(not HAS_DIRECT, reason="no writes past the cache")


class Writes:
    """Counts the bytes that go past the page cache; may cut writes short, or refuse one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.nbytes, self.most, self.refused_at = 0, 1 << 40, -1
        self.error = OSError(errno.EINVAL, "Invalid argument")
        real = os.write

        def write(fd: int, data: memoryview) -> int:
            if not is_direct(fd):
                return real(fd, data)
            if self.nbytes >= self.refused_at >= 0:
                raise self.error
            assert len(data) % ALIGNMENT == os.lseek(fd, 0, os.SEEK_CUR) % ALIGNMENT == 0
            assert np.frombuffer(data, np.uint8).ctypes.data % ALIGNMENT == 0
            written = real(fd, data[: self.most])
            self.nbytes += written
            return written

        monkeypatch.setattr(os, "write", write)


def is_direct(fd: int) -> bool:
    return hasattr(os, "O_DIRECT") and bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT)


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> Writes:
    return Writes(monkeypatch)


def some_frames() -> list[tuple[str, np.ndarray[Any, Any]]]:
    """Return small and large frames, in an order that meets all misalignments."""
    large = np.arange(1_500_001, dtype=np.uint8)
    frames: list[tuple[str, np.ndarray[Any, Any]]] = []
    for number in range(7):
        frames.append(("small", np.full(number * 500, number)))
        frames.append(("large", np.roll(large, number)))
        frames.append(("image", np.full((900, 801, 3), number, np.uint8)))
    return frames


def write_all(path: Path, is_behind: bool = False) -> None:
    file = FileWriter(Output(str(path), False), None, "test")
    file.is_behind = is_behind
    for number, frame in enumerate(some_frames()):
        add_frames(file, [frame])
        if number % 3:
            file.flush()
        if number % 5 == 0:
            file.add_metadata("note", {"number": str(number)})
    file.close()


def assert_whole(path: Path) -> None:
    found, source = read_recording(path)
    assert source.account.is_clean()
    assert source.account.notes == []
    written = some_frames()
    assert len(found) == len(written)
    for topic in ("small", "large", "image"):
        mine = [frame for name, frame in written if name == topic]
        theirs = [frame.values.array() for frame in found if frame.topic == topic]
        assert all(map(same, mine, theirs)), topic
    assert {topic: len(messages) for topic, messages in judged(path).items()} == {
        "small": 7,
        "large": 7,
        "image": 7,
    }
    assert len(metadata(path, "note")) == 5


def large_chunks(path: Path) -> list[int]:
    """Return where the chunks of 1 MiB and more begin."""
    with path.open("rb") as stream:
        summary = make_reader(stream).get_summary()
    assert summary is not None
    chunks = summary.chunk_indexes
    return [each.chunk_start_offset for each in chunks if each.uncompressed_size >= 1 << 20]


@needs_direct
def test_large_chunks_go_past_the_page_cache(tmp_path: Path, writes: Writes) -> None:
    path = tmp_path / "run.mcap"
    write_all(path)
    assert_whole(path)
    begins = large_chunks(path)
    assert len(begins) == 14
    assert [begin % ALIGNMENT for begin in begins] == [0] * 14
    assert writes.nbytes > 7 * (1_500_001 + 900 * 801 * 3)


@needs_direct
def test_a_write_may_be_cut_short(tmp_path: Path, writes: Writes) -> None:
    writes.most = 5 * ALIGNMENT
    write_all(tmp_path / "run.mcap")
    assert_whole(tmp_path / "run.mcap")


@needs_direct
@pytest.mark.parametrize("refused_at", [0, 1, 3_000_000])
@pytest.mark.parametrize("error", [errno.EINVAL, errno.EOPNOTSUPP])
def test_a_file_system_may_refuse(
    tmp_path: Path, writes: Writes, refused_at: int, error: int
) -> None:
    """At once, in the middle of a chunk, or at a later one: the page cache takes it."""
    writes.most, writes.refused_at = 16 * ALIGNMENT, refused_at
    writes.error = OSError(error, os.strerror(error))
    write_all(tmp_path / "run.mcap")
    assert_whole(tmp_path / "run.mcap")


def test_a_system_may_have_no_such_writes(
    tmp_path: Path, writes: Writes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "O_DIRECT", raising=False)
    write_all(tmp_path / "run.mcap")
    assert_whole(tmp_path / "run.mcap")
    assert writes.nbytes == 0
    assert len({begin % ALIGNMENT for begin in large_chunks(tmp_path / "run.mcap")}) > 1


def test_the_page_cache_takes_what_the_disk_is_too_slow_for(tmp_path: Path, writes: Writes) -> None:
    write_all(tmp_path / "run.mcap", is_behind=True)
    assert_whole(tmp_path / "run.mcap")
    assert writes.nbytes == 0


@needs_direct
def test_a_disk_that_is_full_in_the_middle_of_a_chunk(tmp_path: Path, writes: Writes) -> None:
    """The file is closed whole, without the chunk."""
    path = tmp_path / "run.mcap"
    writes.error = OSError(28, "No space left on device")
    writes.most, writes.refused_at = 16 * ALIGNMENT, 5_000_000
    file = FileWriter(Output(str(path), False), None, "test")
    count = 0
    with pytest.raises(OSError, match="No space"):
        while count < 9:
            add_frames(file, [("a", np.full(2_000_000, count, np.uint8))])
            file.flush()
            count += 1
    file.close()
    assert count == len(judged(path)["a"]) == 2


@needs_direct
def test_a_recorder_that_died_leaves_whole_chunks(tmp_path: Path, writes: Writes) -> None:
    path, recovered = tmp_path / "run.mcap", tmp_path / "recovered.mcap"
    file = FileWriter(Output(str(path), False), None, "test")
    for number in range(4):
        add_frames(file, [("a", np.full(1_300_000, number, np.uint8))])
        file.flush()
    size = os.path.getsize(path)
    assert writes.nbytes > 4 * 1_300_000
    file.close()
    os.truncate(path, size - 600_000)
    assert cli.main(["recover", str(path), "-o", str(recovered)]) == 0
    assert len(judged(recovered)["a"]) == 3


@needs_direct
@pytest.mark.parametrize("max_memory", [1, 1 << 30])
def test_a_recorder_that_falls_behind_writes_into_the_page_cache(
    tmp_path: Path, writes: Writes, max_memory: int
) -> None:
    path, frame = tmp_path / "run.mcap", np.zeros(2_000_000, np.uint8)
    with NdShArray("a", frame, "w", slots=4) as writer:
        with Recorder(["a"], path, max_memory=max_memory, frames=3) as recorder:
            for _ in range(3):
                writer.write(frame)
            assert recorder.wait(TIMEOUT)
    assert (writes.nbytes > 0) == (max_memory > 1)
    assert len(judged(path)["a"]) == 3


@needs_direct
def test_a_file_that_was_renamed_gets_all_and_its_successor_nothing(
    tmp_path: Path, writes: Writes
) -> None:
    path, moved = tmp_path / "run.mcap", tmp_path / "moved.mcap"
    output = Output(str(path), False)
    path.rename(moved)
    path.write_bytes(b"another file")
    file = FileWriter(output, None, "test")
    for frame in some_frames():
        add_frames(file, [frame])
    file.close()
    assert path.read_bytes() == b"another file"
    assert writes.nbytes > 0
    assert sum(map(len, judged(moved).values())) == len(some_frames())


@pytest.mark.parametrize("room", range(0, 20_000, 2000))
def test_what_aligns_chunks_counts_for_the_size_of_a_file(tmp_path: Path, room: int) -> None:
    """So no file is larger than it may be, whatever is left of it after its last frame."""
    frame = np.zeros(1_499_000, np.uint8)
    files = Files(str(tmp_path / "run"), Limits(6 * frame.nbytes + room), dict, {})
    schema = kind_of(frame.dtype, frame.shape)
    for number in range(1, 14):
        files.put(encode("a", frame, schema, "rgb8", number, number, number))
    files.close()
    sizes = [os.path.getsize(path) for path in files.paths]
    assert len(sizes) > 2
    assert max(sizes) <= 6 * frame.nbytes + room
