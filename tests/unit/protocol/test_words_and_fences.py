"""Words, fences and recycled buffers, by themselves."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

from ndsharray._protocol import memory
from ndsharray._protocol.memory import Fences, Memory, make_fence, make_fences, require_whole_words
from ndsharray._reader.buffers import MOST, SMALLEST, Buffers


class Lock:
    """A lock whose calls are written down, and which can be interrupted after a release."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.real = threading.Lock()
        self.interrupt = False

    def acquire(self, blocking: bool = True) -> bool:
        if self.interrupt:
            self.interrupt = False
            raise KeyboardInterrupt
        self.calls.append("acquire")
        return self.real.acquire(blocking)

    def release(self) -> None:
        self.real.release()
        self.calls.append("release")


@pytest.fixture
def lock(monkeypatch: pytest.MonkeyPatch) -> Lock:
    lock = Lock()
    monkeypatch.setattr(memory, "real_lock", lambda: lock)
    return lock


def test_a_fence_is_release_then_acquire_of_a_held_lock(lock: Lock) -> None:
    fence = make_fence()
    lock.calls.clear()
    fence("W1")
    assert lock.calls == ["release", "acquire"]
    assert lock.real.locked()


def test_a_fence_survives_an_interrupt_between_its_two_calls(lock: Lock) -> None:
    fence = make_fence()
    lock.interrupt = True
    with pytest.raises(KeyboardInterrupt):
        fence("W1")
    assert not lock.real.locked()
    lock.calls.clear()
    fence("W1")
    assert lock.calls == ["acquire", "release", "acquire"]
    assert lock.real.locked()


def test_a_fence_inside_a_fence_does_not_deadlock(lock: Lock) -> None:
    release = lock.release
    nested: list[str] = []

    def release_and_be_interrupted() -> None:
        release()
        if not nested:  # a signal handler runs a fence between the two calls
            nested.append("nested")
            fence("W3")

    lock.release = release_and_be_interrupted  # type: ignore[method-assign]
    fence = make_fence()  # picks the interrupted release up
    fence("W1")
    assert nested == ["nested"]
    assert lock.real.locked()


@pytest.mark.parametrize("machine", ["x86_64", "AMD64", "i686"])
def test_x86_needs_no_instruction_for_the_other_orders(
    machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_TSO", True)
    assert make_fences().order is None


def test_other_processors_get_a_full_fence_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_TSO", False)
    fences = make_fences()
    assert isinstance(fences, Fences)
    assert fences.order is fences.full


def test_riscv_is_refused() -> None:
    require_whole_words("x86_64")
    require_whole_words("aarch64")
    with pytest.raises(NotImplementedError, match="riscv64"):
        require_whole_words("riscv64")


def test_words_are_native_and_aligned() -> None:
    buffer = bytearray(20)
    memory = Memory(memoryview(buffer))
    assert len(memory.words) == 2
    memory.words[1] = 0x0102030405060708
    assert np.frombuffer(buffer, np.uint64, 2)[1] == 0x0102030405060708
    memory.bytes[16] = 255
    assert memory.group(16, 18).tobytes() == b"\xff\0"


def test_a_buffer_serves_again_when_the_last_slice_is_gone() -> None:
    buffers = Buffers()
    size = SMALLEST
    array = buffers.empty((size,), np.dtype("u1"), size)
    address = array.__array_interface__["data"][0]
    assert address % 64 == 0
    piece = array[10:20].reshape(2, 5)[1:]
    del array
    other = buffers.empty((size,), np.dtype("u1"), size)
    assert other.__array_interface__["data"][0] != address
    piece[:] = 1
    del piece
    again = buffers.empty((size // 8,), np.dtype("f8"), size)
    assert again.__array_interface__["data"][0] == address
    assert again.flags.writeable
    assert again.flags.c_contiguous


def test_a_buffer_of_another_size_is_not_kept() -> None:
    buffers = Buffers()
    buffers.empty((SMALLEST * 4,), np.dtype("u1"), SMALLEST * 4)
    array = buffers.empty((SMALLEST,), np.dtype("u1"), SMALLEST)
    assert buffers._free == []
    assert array.base.base.obj.nbytes == SMALLEST


def test_who_holds_many_arrays_gets_fresh_memory_and_nothing_piles_up() -> None:
    buffers = Buffers()
    held = [buffers.empty((SMALLEST,), np.dtype("u1"), SMALLEST) for _ in range(20)]
    addresses = {array.__array_interface__["data"][0] for array in held}
    assert len(addresses) == 20
    assert len(buffers._lent) == MOST

    threads = [threading.Thread(target=held.pop) for _ in range(20)]  # dropped in any thread
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gc.collect()
    buffers._collect()
    assert buffers._lent == {}
    assert len(buffers._free) == MOST


def test_arrays_outlive_their_buffers() -> None:
    buffers = Buffers()
    array = buffers.empty((SMALLEST,), np.dtype("u1"), SMALLEST)
    array[:] = 3
    del buffers
    gc.collect()
    assert (array == 3).all()
