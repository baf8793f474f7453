"""What the library does where the system is called macOS, as far as Linux can show it.

`macos/sitecustomize.py` says what is pretended; `tox -e macos` runs the tests of unit,
api and tools that way.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from console import Console, Failed

from ndsharray.backends.base import control_name

PRETENCE = Path(__file__).parents[2] / "macos"
PAGE = 16384

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="a Linux pretends to be macOS"
)


@pytest.fixture
def mac(console: Callable[..., Console], monkeypatch: pytest.MonkeyPatch) -> Callable[[], Console]:
    monkeypatch.setenv("PYTHONPATH", str(PRETENCE))

    def start() -> Console:
        child = console()
        child.run("import sitecustomize, os, sys")
        assert child.run("(sys.platform, hasattr(os, 'posix_fallocate'))") == ("darwin", False)
        return child

    return start


def test_an_array_lives_grows_and_survives_a_kill(name: str, transport: str, mac: Any) -> None:
    writer, reader = mac(), mac()
    options = f"transport={transport!r}"
    reader.run(f"r = NdShArray({name!r}, r_w='r', {options})")
    writer.run(f"w = NdShArray({name!r}, np.arange(5), 'w', {options})")
    assert reader.run("r.read(timeout=10)[1].tolist()") == [0, 1, 2, 3, 4]
    assert not reader.run("r._reader._source.cursor.waiter.sleeps")  # there is no futex
    for size in (2_000, 70_000):
        writer.run(f"w.write(np.full({size}, 7, np.int16))")
        assert reader.run("(a := r.read(timeout=10)[1]).shape + (int(a.sum()),)") == (
            size,
            7 * size,
        )
    writer.run("w.write(np.arange(3))")
    writer.kill()
    writer = mac()
    assert reader.run("r.read(copy=False)[1].tolist()") == [0, 1, 2]
    writer.run(f"w = NdShArray({name!r}, np.arange(4), 'w', {options})")
    assert reader.run("r.read(timeout=10, copy=False)[1].tolist()") == [0, 1, 2, 3]
    writer.run("w.close()")
    assert reader.run("r.frame_id") == 5
    reader.run("r.close()")


def test_what_a_killed_writer_left_is_found_without_a_list_of_memory(
    name: str, transport: str, root: Path, mac: Any
) -> None:
    child = mac()
    child.run(f"w = NdShArray({name!r}, np.zeros(9), 'w', transport={transport!r})")
    child.run("w.write(np.zeros(90_000))")
    child.kill()
    child = mac()
    child.run(f"NdShArray({name + 'other'!r}, np.zeros(9), 'w', transport={transport!r}).close()")
    assert list(root.iterdir()) == []  # and the fixture looks at /dev/shm


def test_only_one_process_holds_the_lock_file(name: str, transport: str, mac: Any) -> None:
    one, other = mac(), mac()
    one.run(f"w = NdShArray({name!r}, np.zeros(9), 'w', transport={transport!r})")
    with pytest.raises(Failed, match="WriterExistsError"):
        other.run(f"w = NdShArray({name!r}, np.zeros(9), 'w', transport={transport!r})")
    one.run("w.close()")


def test_memory_is_mapped_once_and_stays(name: str, transport: str, mac: Any) -> None:
    # each map of a file costs a flush of the disk there
    child = mac()
    child.run(f"w = NdShArray({name!r}, np.zeros(9000), 'w', transport={transport!r})")
    child.run(f"r = NdShArray({name!r}, r_w='r', transport={transport!r})")
    child.run("r.read()[0]")
    # Within one of the looks at the name, which come once a second.
    child.run(
        "from ndsharray._system import clock; now = clock.now_ns(); clock.now_ns = lambda: now"
    )
    before = child.run("sitecustomize.maps")
    child.run("for i in range(300): w.write(np.full(9000, i)); r.read()")
    child.run("for i in range(300): w.write(np.full(9000 - i % 2, i)); r.read(copy=False)")
    assert child.run("r.frame_id") == 601
    assert child.run("sitecustomize.maps") == before
    child.run("(w.close(), r.close())")


def test_objects_are_rounded_up_and_sized_once(name: str, root: Path, mac: Any) -> None:
    segment = control_name(str(root), name)
    child = mac()
    child.run("from ndsharray.backends.posix_shm import PosixShmTransport")
    child.run("t = PosixShmTransport()")
    child.run(f"made = t.create({segment!r}, 5000)")
    assert child.run(f"t.open({segment!r}, writable=False).size") == PAGE
    assert child.run("made.size") >= 5000
    child.run("made.buf[4999] = 7")
    assert child.run(f"t.open({segment!r}, writable=False).buf[4999]") == 7
    with pytest.raises(Failed, match="OSError"):  # the pretence is that strict
        child.run(f"t.create({segment!r} + 14 * 'x', 5000)")
    assert child.run(f"t.unlink({segment!r})") is True


def test_a_file_has_blocks_behind_every_byte(root: Path, mac: Any) -> None:
    child = mac()
    child.run("from ndsharray.backends.mmap import MmapTransport")
    child.run("made = MmapTransport().create('ndfile', 3_000_001)")
    found = (root / "ndfile").stat()
    assert found.st_size == 3_000_001
    assert found.st_blocks * 512 >= found.st_size  # macOS has no posix_fallocate: zeros are written
    child.run("MmapTransport().unlink('ndfile')")


def test_the_boot_session_stands_for_a_boot(mac: Any) -> None:
    child = mac()
    child.run("from ndsharray._system import clock; from pathlib import Path; import uuid")
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    assert child.run("str(uuid.UUID(bytes=clock.boot_id()))") == boot
    assert child.run("clock.is_sure(bytes(16))") is False
