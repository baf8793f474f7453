"""What a reader says about its writer: alive, killed, closed or never there."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from console import Console

from ndsharray import AccessError, NdShArray
from ndsharray._protocol import format
from ndsharray._registry import lookup
from ndsharray._registry.names import address_of
from ndsharray.backends import resolve


def test_absent_live_closed_live(name: str, transport: str) -> None:
    with NdShArray(name, r_w="r", transport=transport) as reader:
        assert reader.writer_state == "absent"
        writer = NdShArray(name, r_w="w", transport=transport)
        assert reader.writer_state == "live"  # before the reader has looked at it
        writer.close()
        assert reader.writer_state == "absent"  # it never was this reader's
        writer = NdShArray(name, np.zeros(3), "w", transport=transport)
        assert reader.read()[0]
        assert reader.writer_state == "live"
        writer.close()
        assert reader.writer_state == "closed"
        assert not reader.read()[0]
        assert reader.writer_state == "closed"
        with NdShArray(name, r_w="w", transport=transport):
            assert reader.writer_state == "live"  # another one
            assert not reader.read()[0]
            assert reader.writer_state == "live"
        assert reader.writer_state == "closed"
    # A closed reader has none; on Windows the name of what is mapped stays.
    assert reader.writer_state == ("closed" if (os.name, transport) == ("nt", "mmap") else "absent")


def test_it_tells_how_frames_ended(name: str, transport: str) -> None:
    with NdShArray(name, r_w="r", transport=transport) as reader:
        with NdShArray(name, np.zeros(3), "w", transport=transport):
            assert len(list(reader.frames(timeout=0))) == 1
            assert reader.writer_state == "live"  # so the time had passed
        assert list(reader.frames(timeout=None)) == []
        assert reader.writer_state == "closed"
        with NdShArray(name, np.zeros(3), "w", transport=transport):
            assert reader.writer_state == "live"
            assert len(list(reader.frames(timeout=0))) == 1
        assert reader.writer_state == "closed"


def test_a_killed_writer_and_its_successor(
    name: str, transport: str, console: Callable[..., Console]
) -> None:
    child = console()
    child.run(f"w = NdShArray({name!r}, np.zeros(3), 'w', transport={transport!r})")
    with NdShArray(name, r_w="r", transport=transport) as reader:
        with NdShArray(name, r_w="r", transport=transport) as late:
            assert reader.read()[0]
            assert reader.writer_state == "live"
            child.kill()
            assert reader.writer_state == late.writer_state == "killed"
            assert list(reader.frames(timeout=0)) == []
            assert reader.writer_state == "killed"
            with NdShArray(name, r_w="w", transport=transport):
                assert reader.writer_state == late.writer_state == "live"
            assert reader.writer_state == late.writer_state == "closed"


def test_handed_over_inside_one_process(name: str, transport: str) -> None:
    with NdShArray(name, np.zeros(3), "w", transport=transport):
        with NdShArray(name, r_w="r", transport=transport) as reader:
            assert reader.read()[0]
            with NdShArray(name, r_w="w", transport=transport):
                assert reader.writer_state == "live"
            assert reader.writer_state == "closed"


def test_a_writer_that_closes_was_not_killed(
    name: str, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stores "closed" and then unlocks: both may come between two looks."""
    with NdShArray(name, np.zeros(3), "w", transport=transport) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            assert reader.read()[0]

            def may_be_held(path: str, real: Any = lookup.lockfile.may_be_held) -> bool:
                writer.close()
                return bool(real(path))

            monkeypatch.setattr(lookup.lockfile, "may_be_held", may_be_held)
            assert reader.writer_state == "closed"


def test_a_writer_that_is_closing_does_not_live(
    name: str, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds the lock file until all names are gone, which takes a while for large memory."""
    with NdShArray(name, np.zeros(3), "w", transport=transport) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            assert reader.read()[0]
            owner: Any = writer
            words = owner._writer._holding.control.memory.words
            words[format.STATE_WORD] = format.CLOSED
            assert reader.writer_state == "closed"
            words[format.STATE_WORD] = format.LIVE


@pytest.mark.parametrize("word", [format.MAGIC_WORD, format.VERSION_WORD, format.READY_WORD])
def test_what_cannot_be_read_is_no_array(name: str, transport: str, word: int) -> None:
    with NdShArray(name, np.zeros(3), "w", transport=transport) as writer:
        owner: Any = writer
        words = owner._writer._holding.control.memory.words
        before, words[word] = words[word], 9
        with NdShArray(name, r_w="r", transport=transport) as reader:
            assert reader.writer_state == "absent"
            assert "writer absent" in repr(reader)
        words[word] = before


def test_it_can_be_asked_while_another_thread_waits(name: str, transport: str) -> None:
    with NdShArray(name, np.zeros(3), "w", transport=transport) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            reader.read()
            waits = threading.Event()

            def wait() -> None:
                waits.set()
                reader.read(timeout=30)

            thread = threading.Thread(target=wait)
            thread.start()
            waits.wait()
            for _ in range(100):
                assert reader.writer_state == "live"
            writer.write(np.zeros(3))
            thread.join()


def test_asking_changes_nothing(name: str, transport: str) -> None:
    with NdShArray(name, np.zeros(3), "w", transport=transport) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            frame = reader.read(copy=False)
            owner: Any = writer
            control = owner._writer._holding.control.memory.bytes
            before = control.tobytes()
            assert reader.writer_state == "live"
            assert repr(reader)
            assert control.tobytes() == before
            del frame


def test_a_writer_has_none(name: str, transport: str) -> None:
    with NdShArray(name, r_w="w", transport=transport) as writer:
        with pytest.raises(AccessError, match="writer_state"):
            writer.writer_state
        assert "writer on" in repr(writer)


@pytest.mark.skipif(os.name == "nt", reason="no boot id: it compares clocks")
def test_memory_of_another_boot_is_no_array(
    name: str, transport: str, console: Callable[..., Console]
) -> None:
    child = console()
    child.run(f"w = NdShArray({name!r}, np.zeros(3), 'w', transport={transport!r})")
    child.kill()
    address = address_of(resolve(transport), name)
    segment = address.transport.open(address.control_name, writable=True)
    segment.buf[format.BOOT_BYTE] ^= 1
    with NdShArray(name, r_w="r", transport=transport) as reader:
        assert reader.writer_state == "absent"
    segment.close()
    NdShArray(name, r_w="w", transport=transport).close()
