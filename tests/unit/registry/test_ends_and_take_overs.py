"""What a second look at the code found: ends, beginnings and loans beside other faults."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ndsharray._registry.cleanup
import ndsharray._registry.entries
import ndsharray._system.clock
import ndsharray._system.lockfile
from ndsharray import MmapTransport, NdShArray, PosixShmTransport
from ndsharray._protocol.format import BOOT_BYTE, ENTRIES, INSTANCE_WORD, OWNERS_WORD
from ndsharray._registry.names import address_of
from ndsharray.backends import resolve

pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX")


def leave_one_killed(console: Any, name: str, transport: str) -> None:
    child = console()
    child.run(f"w = NdShArray({name!r}, np.arange(3), 'w', transport={transport!r})")
    child.kill()


def test_the_end_of_a_replaced_writer_stores_nothing(
    name: str, transport: str, console: Any
) -> None:
    first = NdShArray(name, np.full(4, 1), "w", transport=transport)
    loan = first.loan()
    loan.__enter__()[:] = 2
    os.unlink(address_of(resolve(transport), name).writer_lock())
    second = console()
    second.run(f"w = NdShArray({name!r}, np.full(4, 3), 'w', transport={transport!r})")
    first.close()
    with NdShArray(name, r_w="r", transport=transport) as late:
        assert late.read()[1].tolist() == [3] * 4
    second.run("w.close()")


def test_memory_of_another_boot_is_absent_whoever_holds_the_lock_file(
    name: str, transport: str, console: Any
) -> None:
    if ndsharray._system.clock.boot_id() == bytes(16):
        pytest.skip("no boot id here")
    leave_one_killed(console, name, transport)
    address = address_of(resolve(transport), name)
    page = address.transport.open(address.control_name, writable=True)
    page.buf[BOOT_BYTE : BOOT_BYTE + 16] = bytes(range(16))
    page.close()
    lock_file = ndsharray._system.lockfile.acquire(
        address.writer_lock()
    )  # a sweep, or a writer that begins
    with NdShArray(name, r_w="r", transport=transport) as reader:
        assert reader.read()[0] is False
    assert lock_file is not None
    lock_file.abandon()
    NdShArray(name, r_w="w", transport=transport).close()


def test_entry_of_killed_readers_are_free_again_where_the_control_segment_stays(
    name: str, root: Path, console: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as windows:

        def unlink(self: MmapTransport, segment: str) -> bool:
            path = os.path.join(self.root, segment)
            if not os.path.exists(path):
                return False
            if len(segment) == 18:
                raise PermissionError("mapped by another process")
            os.unlink(path)
            return True

        windows.setattr(MmapTransport, "unlink", unlink)
        for _ in range(3):
            with NdShArray(name, np.arange(3), "w", transport="mmap") as writer:
                words = writer._writer._holding.control.memory.words  # type: ignore[union-attr]
                assert not any(words[OWNERS_WORD : OWNERS_WORD + ENTRIES])
                del words
                child = console()
                child.run(f"r = NdShArray({name!r}, r_w='r', transport='mmap')")
                child.run("held = r.read(copy=False)")
                child.kill()
    NdShArray(name, r_w="w", transport="mmap").close()


def test_a_successor_that_is_interrupted_leaves_the_dead_writers_frame(
    name: str, transport: str, console: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    leave_one_killed(console, name, transport)
    with monkeypatch.context() as patch:
        patch.setattr(ndsharray._registry.entries, "clear_dead", stop)
        with pytest.raises(KeyboardInterrupt):
            NdShArray(name, r_w="w", transport=transport)
    with NdShArray(name, r_w="r", transport=transport) as reader:
        assert reader.read()[1].tolist() == [0, 1, 2]
    NdShArray(name, r_w="w", transport=transport).close()


def test_lock_files_of_strangers_choose_nothing_that_is_swept(name: str, root: Path) -> None:
    private = PosixShmTransport(root)
    shared = root / "shared"
    shared.mkdir()
    shared.chmod(0o770)
    with NdShArray(name, np.arange(3), "w", transport=private) as writer:
        control = writer._address.control_name
        bait = shared / f"{control}-posix_shm-w"
        bait.touch()
        ndsharray._registry.cleanup._swept.clear()
        NdShArray(name, np.zeros(3), "w", transport=MmapTransport(shared, mode=0o660)).close()
        with NdShArray(name, r_w="r", transport=private) as late:
            assert late.read()[0]
    bait.unlink(missing_ok=True)
    shared.rmdir()


def test_a_lock_file_whose_mode_cannot_be_set_leaves_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_fd: int, _mode: int) -> None:
        raise PermissionError("no modes here")

    old = os.umask(0o777)
    monkeypatch.setattr(os, "fchmod", refuse)
    try:
        with pytest.raises(PermissionError):
            ndsharray._system.lockfile.acquire(str(root / "lock_file"))
    finally:
        os.umask(old)
    assert list(root.iterdir()) == []  # the descriptor: the fixture looks


def test_a_transport_may_refuse_writing_without_a_number(name: str, root: Path) -> None:
    class Reading(MmapTransport):
        def open(self, name: str, *, writable: bool) -> Any:
            if writable:
                raise PermissionError("for reading only")
            return super().open(name, writable=False)

    with NdShArray(name, np.arange(3), "w", transport="mmap"):
        with NdShArray(name, r_w="r", transport=Reading(root)) as reader:
            assert reader.read()[1].tolist() == [0, 1, 2]


def test_a_loan_that_is_over_holds_nothing(name: str, root: Path) -> None:
    writer = NdShArray(name, np.arange(3), "w", transport="mmap")
    loan = writer.loan()
    with loan as out:
        out[:] = 1
    del writer
    assert list(root.iterdir()) == []
    del loan


def test_an_empty_directory_is_the_current_one(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.chdir(root)
    assert MmapTransport(directory="").root == os.path.realpath(root)
    assert MmapTransport(directory="/").root == "/"


def test_a_frame_lent_while_names_were_removed_is_found_again(
    name: str, transport: str, root: Path
) -> None:
    transport_object = resolve(transport)
    with NdShArray(name, np.arange(3), "w", transport=transport) as writer:
        ours: Any = writer._writer
        with writer.loan() as out:
            out[:] = 6
            os.unlink(ours._holding.lock_file.path)
            transport_object.unlink(
                writer._address.frames(
                    ours._holding.control.instance, ours._holding.segment.table.segment
                )
            )
            ours._holding.due = 0  # a second has passed
        ours._holding.due = 0  # and another
        writer.write(np.full(3, 7))
        with NdShArray(name, r_w="r", transport=transport) as late:
            assert late.read()[1].tolist() == [7] * 3


def test_an_instance_id_that_is_scribbled_over_costs_no_pin(name: str, transport: str) -> None:
    with NdShArray(name, np.full(50, 1), "w", transport=transport) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            _, held = reader.read(copy=False)
            words = writer._writer._holding.control.memory.words  # type: ignore[union-attr]
            own = words[INSTANCE_WORD]
            for value in range(2, 30):
                words[INSTANCE_WORD] = value
                writer.write(np.full(50, value))
                reader.read()
                reader._reader._source.finder._looked = 0  # type: ignore[union-attr]  # time to look
                reader.read()  # nothing new: so it looks
                assert (held == 1).all()
            words[INSTANCE_WORD] = own
            del words, held


def test_an_entry_that_is_claimed_twice_in_one_memory_keeps_its_pins(
    name: str, transport: str
) -> None:
    with NdShArray(name, np.full(50, 1), "w", transport=transport) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            _, held = reader.read(copy=False)
            inner: Any = reader._reader
            pins = inner._source.cursor.pins
            assert pins.entry.claim(inner._source.cursor.instance.memory)
            for value in range(2, 9):
                writer.write(np.full(50, value))
            assert (held == 1).all()
            del held, pins, inner
