"""Each state of a control segment has a name, and what was found leaves no circle behind."""

from __future__ import annotations

import gc
import os
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from ndsharray import FormatError, NdShArray
from ndsharray._protocol import format
from ndsharray._protocol.memory import Memory
from ndsharray._registry.lookup import Found, State, look
from ndsharray._registry.names import Address, address_of
from ndsharray._system import clock
from ndsharray._writer.writer import Writer
from ndsharray.backends import Segment, resolve

# Where the system has no boot id (Windows), a clock that went backwards tells.
ANOTHER_BOOT = (format.BOOT_BYTE // 8, 5) if any(clock.boot_id()) else (format.CLOCK_WORD, 2**62)


@pytest.fixture
def address(name: str, transport: str) -> Iterator[Address]:
    found = address_of(resolve(transport), name)
    yield found
    found.transport.unlink(found.control_name)


@pytest.fixture
def writer(name: str, transport: str, address: Address) -> Iterator[NdShArray]:
    with NdShArray(name, np.zeros(3), "w", transport=transport) as writer:
        yield writer


def test_a_missing_name(address: Address) -> None:
    assert look(address) == Found(State.MISSING)
    assert look(address).word(format.PID_WORD) == 0


def test_a_live_array(writer: NdShArray, address: Address) -> None:
    found = look(address)
    assert found.state is State.LIVE
    assert found.header is not None
    assert found.header.name == address.name
    assert found.word(format.PID_WORD) == os.getpid()
    assert found.memory is not None
    assert found.memory.bytes.readonly
    assert look(Address(address.transport, "", address.control_name)).state is State.LIVE


@pytest.mark.parametrize(
    ("word", "value", "state"),
    [
        (format.READY_WORD, 0, State.UNFINISHED),
        (format.READY_WORD, 2, State.UNFINISHED),
        (format.VERSION_WORD, 2, State.FOREIGN),
        (format.MAGIC_WORD, 2, State.DAMAGED),
        (format.NAME_LENGTH_WORD, 0, State.DAMAGED),
        (format.NAME_LENGTH_WORD, 1, State.DAMAGED),  # another array's name
        (format.STATE_WORD, 7, State.DAMAGED),
        (*ANOTHER_BOOT, State.OTHER_BOOT),
        (format.STATE_WORD, format.CLOSED, State.CLOSED),
    ],
)
def test_every_other_state(
    writer: NdShArray, address: Address, word: int, value: int, state: State
) -> None:
    segment = address.transport.open(address.control_name, writable=True)
    words = Memory(segment.buf).words
    before, words[word] = words[word], value
    try:
        found = look(address, writable=True)
        assert found.state is state
        assert isinstance(found.error, FormatError) == (state in (State.FOREIGN, State.DAMAGED))
        assert (found.header is None) == (state not in (State.OTHER_BOOT, State.CLOSED))
    finally:
        words[word] = before


def test_a_segment_that_is_too_small(address: Address) -> None:
    address.transport.create(address.control_name, 64)
    found = look(address)
    if found.segment is not None and found.segment.size < format.CONTROL_SIZE:
        assert found.state is State.DAMAGED
        assert found.word(format.PID_WORD) == 0


def refuse(*_: Any, **__: Any) -> Segment:
    raise PermissionError(13, "not yours", "path")


def test_a_segment_that_cannot_be_opened(address: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(address.transport), "open", refuse)
    found = look(address)
    assert found.state is State.UNREADABLE
    with pytest.raises(PermissionError, match="not yours") as caught:
        raise found.problem()
    assert caught.value is not found.error
    assert caught.value.filename == "path"


def test_what_is_wrong_keeps_no_memory_and_no_caller(
    writer: NdShArray, address: Address, name: str, transport: str
) -> None:
    """A circle through a traceback would keep both until garbage is collected."""
    memory = writer._writer._holding.control.memory  # type: ignore[union-attr]
    gc.disable()
    try:
        memory.words[format.VERSION_WORD] = 2
        with pytest.raises(FormatError):
            raise look(address, writable=True).problem()
        found = weakref.ref(look(address).memory)
        assert found() is None
        with pytest.raises(FormatError):
            NdShArray(name, r_w="r", transport=transport).read()
        memory.words[format.VERSION_WORD] = format.FORMAT_VERSION
        other = NdShArray(name + "other", r_w="w", transport=transport)  # nothing was there
        inner: weakref.ref[Writer] = weakref.ref(other._writer)  # type: ignore[arg-type]
        other.close()
        del other
        assert inner() is None
    finally:
        gc.enable()
