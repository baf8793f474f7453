"""Every transport keeps the contract; and what each system shows behind the transport's back."""

from __future__ import annotations

import errno
import os
import sys
from multiprocessing import shared_memory
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from console import Failed
from inprocess import InProcessTransport

import ndsharray
from ndsharray import MmapTransport, PosixShmTransport, Transport
from ndsharray.backends import base, pages
from ndsharray.testing import TransportContract

LINUX = sys.platform.startswith("linux")


class TestMmap(TransportContract):
    @pytest.fixture
    def transport(self, root: Path) -> Transport:
        return MmapTransport()


class TestPosixShm(TransportContract):
    @pytest.fixture
    def transport(self, root: Path) -> Transport:
        return PosixShmTransport()


class TestInProcess(TransportContract):
    shared = False
    removes_names = True

    @pytest.fixture
    def transport(self, root: Path) -> Transport:
        return InProcessTransport(root)


def behind(transport: Transport, name: str) -> Path:
    """Where the system keeps a segment, seen without the transport."""
    return Path(transport.root if transport.name == "mmap" else "/dev/shm") / name


@pytest.fixture(params=[MmapTransport, PosixShmTransport])
def linux(request: pytest.FixtureRequest, root: Path) -> Any:
    if not LINUX:
        pytest.skip("looks at Linux' /dev/shm")
    return request.param()


@pytest.fixture
def free(root: Path) -> str:
    """A segment's name that nobody else uses, also in another run at the same time."""
    return base.control_name(str(root), "free")


def test_a_new_segment_has_pages_behind_every_byte(linux: Transport, free: str) -> None:
    linux.create(free, 1_000_000)
    found = behind(linux, free).stat()
    linux.unlink(free)
    assert found.st_blocks * 512 >= 1_000_000
    assert found.st_mode & 0o777 == 0o600


def test_open_of_one_still_being_made_says_not_there(linux: Transport, free: str) -> None:
    path = behind(linux, free)
    path.touch(mode=0o600)
    try:
        for size in (0, 4096):  # just created; then with a size, and holes where pages come
            os.truncate(path, size)
            with pytest.raises(FileNotFoundError):
                linux.open(free, writable=True)
            assert path.exists()
    finally:
        path.unlink()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX flags")
def test_links_are_not_followed(root: Path) -> None:
    transport = MmapTransport()
    target = root / "target"
    target.write_bytes(bytes(4096))
    (root / "ndlink").symlink_to(target)
    with pytest.raises(OSError, match="symbolic links"):
        transport.open("ndlink", writable=True)
    with pytest.raises(FileExistsError):
        transport.create("ndlink", 4096)
    (root / "ndlink").unlink()
    target.unlink()


@pytest.mark.skipif(sys.platform == "win32", reason="permission bits")
def test_a_root_that_others_can_write_to_is_refused(root: Path) -> None:
    root.chmod(0o777)
    with pytest.raises(PermissionError, match="yours"):
        MmapTransport().create("ndroot", 4096)
    shared = MmapTransport(mode=0o660)  # the user said that others may
    shared.create("ndroot", 4096)
    assert (root / "ndroot").stat().st_mode & 0o777 == 0o660
    shared.unlink("ndroot")
    root.chmod(0o700)


def test_a_root_that_is_a_link_is_taken_for_what_it_points_to(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "link"
    link.symlink_to(root)
    if not link.is_symlink():
        pytest.skip("Wine makes none")
    monkeypatch.setenv("NDSHARRAY_DIR", str(link))
    assert MmapTransport().root == os.path.realpath(root)


def test_a_root_path_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="1024"):
        MmapTransport(directory="/tmp/" + "x/" * 600)


def test_a_root_without_a_parent_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="parent"):
        MmapTransport(directory=tmp_path / "no" / "such").create("nd", 1)


def test_shared_memory_of_the_standard_library_opens_our_segments(free: str) -> None:
    transport = PosixShmTransport()
    segment = transport.create(free, 4096)
    segment.buf[5] = 55
    theirs = open_untracked(free)
    assert theirs.buf[5] == 55
    theirs.buf[6] = 66
    assert segment.buf[6] == 66
    theirs.close()
    transport.unlink(free)


def open_untracked(name: str) -> shared_memory.SharedMemory:
    if sys.version_info >= (3, 13):
        return shared_memory.SharedMemory(name, track=False)
    theirs = shared_memory.SharedMemory(name)
    if os.name == "posix":
        from multiprocessing import resource_tracker

        resource_tracker.unregister("/" + name, "shared_memory")
    return theirs


@pytest.mark.skipif(sys.platform == "win32", reason="a tracked segment's pages are a Linux matter")
def test_we_open_segments_of_the_standard_library(free: str) -> None:
    theirs = shared_memory.SharedMemory(free, create=True, size=4096)
    theirs.buf[:] = bytes([7]) * theirs.size  # touched, so that no holes are left
    segment = PosixShmTransport().open(free, writable=False)
    assert segment.buf[4095] == 7
    del segment
    theirs.close()
    theirs.unlink()


@pytest.mark.skipif(not LINUX, reason="RLIMIT_AS")
def test_a_failed_attach_leaves_the_writers_segment(free: str, console: Any) -> None:
    # cpython gh-153279: SharedMemory(name) that cannot map removes what it opened
    for transport in (PosixShmTransport(), MmapTransport()):
        transport.create(free, 64 << 20)
        child = console()
        child.run("import resource; from ndsharray import backends")
        child.run("resource.setrlimit(resource.RLIMIT_AS, (1 << 20, 1 << 20))")
        with pytest.raises(Failed) as caught:
            child.run(f"backends.resolve({transport.name!r}).open({free!r}, writable=True)")
        assert caught.value.args[0] in ("OSError", "MemoryError")
        assert transport.open(free, writable=False).size == 64 << 20
        transport.unlink(free)


def test_a_hopeless_size_is_refused_before_anything_is_filled(linux: Transport) -> None:
    free = pages.free_bytes("/dev/shm")
    with pytest.raises(OSError, match=f"asked for {2**44} bytes, [0-9]+ bytes are free") as caught:
        linux.create("ndhopeless", 2**44)
    assert caught.value.errno == errno.ENOSPC
    assert not behind(linux, "ndhopeless").exists()
    assert pages.free_bytes("/dev/shm") > free // 2


def test_names_fit_every_system() -> None:
    control = base.control_name("/root", "n" * 255)
    frame = base.frame_name(control, 2**64 - 1, 2**25 - 1)
    assert len(control) == 18
    assert len("/" + frame) == 30  # macOS' limit, with the slash
    assert frame == frame.lower()
    assert frame.isalnum()
    assert len({base.frame_name(control, 5, i) for i in range(1, 2000)}) == 1999
    assert (
        base.control_name("/a", "x") != base.control_name("/b", "x") != base.control_name("/b", "y")
    )


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX flags")
def test_memory_of_a_read_only_mapping_cannot_be_made_writable(root: Path) -> None:
    transport = MmapTransport()
    transport.create("ndreadonly", 4096)
    array = np.frombuffer(transport.open("ndreadonly", writable=False).buf, np.uint8)
    with pytest.raises(ValueError, match="WRITEABLE"):
        array.flags.writeable = True
    del array
    transport.unlink("ndreadonly")


def test_the_transports_are_exported() -> None:
    assert ndsharray.MmapTransport is MmapTransport is ndsharray.backends.MmapTransport
    with pytest.raises(AttributeError):
        _ = ndsharray.NoSuchTransport
    with pytest.raises(AttributeError):
        _ = ndsharray.backends.NoSuchTransport
