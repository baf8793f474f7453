"""``loan()``: a frame that is filled where it lies."""

from __future__ import annotations

import errno
import gc
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ndsharray import MmapTransport, NdShArray, PosixShmTransport
from ndsharray.errors import ClosedError


def test_a_loan_is_published_at_its_end(name: str, transport: str, console: Any) -> None:
    child = console()
    child.run(f"r = NdShArray({name!r}, r_w='r', transport={transport!r})")
    with NdShArray(name, r_w="w", transport=transport) as writer:
        with writer.loan((2, 3), np.float32) as frame:
            assert (frame.shape, frame.dtype, frame.flags.writeable) == ((2, 3), np.float32, True)
            assert frame.flags.c_contiguous
            frame[:] = 7
            assert child.run("r.read()[0]") is False
        assert not frame.flags.writeable
        assert writer.frame_id == 1
        assert child.run("(r.read(timeout=10)[0], r.last if False else 0)") == (True, 0)
        child.run("array = r.read()[1]")
        assert child.run("(array.tolist(), str(array.dtype))") == ([[7.0] * 3] * 2, "float32")


def test_the_default_is_the_last_layout(name: str, transport: str) -> None:
    with NdShArray(name, r_w="w", transport=transport) as writer:
        for missing in ({}, {"shape": 3}, {"dtype": "f4"}):
            with pytest.raises(ValueError, match="nothing was written yet"):
                writer.loan(**missing)  # type: ignore[arg-type]
        writer.write(np.zeros((2, 5), ">i2"))
        uuid = writer.ndarray_mmap_name
        with NdShArray(name, r_w="r", transport=transport) as reader:
            with writer.loan() as frame:
                assert (frame.shape, frame.dtype) == ((2, 5), np.dtype(">i2"))
                frame[:] = 3
            assert writer.ndarray_mmap_name == uuid
            assert (reader.read()[1] == 3).all()
            with writer.loan(4) as frame:
                assert (frame.shape, frame.dtype) == ((4,), np.dtype(">i2"))
                frame[:] = 4
            with writer.loan(dtype="f8") as frame:
                assert (frame.shape, frame.dtype) == ((4,), np.dtype("f8"))
                frame[:] = 5
            assert reader.read()[1].tolist() == [5.0] * 4


@pytest.mark.parametrize("size", [3, 100_000], ids=["fits", "grows"])
def test_an_exception_publishes_nothing(name: str, transport: str, root: Path, size: int) -> None:
    with NdShArray(name, np.arange(10), "w", transport=transport) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            assert reader.read()[0]
            segments = sorted(os.listdir(root))
            for _ in range(5):
                with pytest.raises(KeyError), writer.loan(size) as frame:
                    frame[:] = 9
                    raise KeyError
                assert not frame.flags.writeable
                assert not reader.read()[0]
            del frame
            assert writer.frame_id == 1
            if os.name != "nt":  # Windows removes nothing that is mapped: at the next grow
                assert sorted(os.listdir(root)) == segments  # what was made for it is gone
            writer.write(np.arange(4))
            assert reader.read()[1].tolist() == [0, 1, 2, 3]
            with writer.loan(size) as frame:
                frame[:] = 2
            assert reader.read()[1].tolist() == [2] * size
            assert (reader.frame_id, reader.missed) == (3, 0)


def test_write_and_a_second_loan_are_refused_meanwhile(name: str, transport: str) -> None:
    with NdShArray(name, np.arange(3), "w", transport=transport) as writer:
        with writer.loan() as frame:
            frame[:] = 5
            with pytest.raises(RuntimeError, match="loan"):
                writer.write(np.arange(3))
            with pytest.raises(RuntimeError, match="loan"):
                with writer.loan():
                    pass
        with NdShArray(name, r_w="r", transport=transport) as reader:
            assert reader.read()[1].tolist() == [5, 5, 5]
            writer.write(np.arange(3))
            assert reader.read()[1].tolist() == [0, 1, 2]


def test_each_loan_is_for_one_block(name: str, transport: str) -> None:
    with NdShArray(name, np.arange(3), "w", transport=transport) as writer:
        loan = writer.loan()
        for value in (1, 2):  # one after the other
            with loan as frame:
                frame[:] = value
                with pytest.raises(RuntimeError, match="in use"):
                    loan.__enter__()
        assert writer.frame_id == 3


def test_a_loan_that_was_never_ended_is_over_when_it_is_gone(name: str, transport: str) -> None:
    with NdShArray(name, np.arange(3), "w", transport=transport) as writer:
        loan = writer.loan()
        loan.__enter__()[:] = 9
        del loan
        gc.collect()
        writer.write(np.arange(3) + 1)
        with NdShArray(name, r_w="r", transport=transport) as reader:
            assert reader.read()[1].tolist() == [1, 2, 3]
            assert writer.frame_id == 2


@pytest.mark.parametrize("layout", [((0, 4), "f4"), ((), "i8"), ((2,), [("a", "f8"), ("b", "S2")])])
def test_every_kind_of_layout(name: str, transport: str, layout: Any) -> None:
    with NdShArray(name, r_w="w", transport=transport) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            with writer.loan(*layout) as frame:
                frame[...] = np.zeros(*layout)
            valid, array = reader.read()
            assert valid
            assert (array.shape, array.dtype) == (layout[0], np.dtype(layout[1]))


@pytest.mark.parametrize(
    ("layout", "error"),
    [
        ((-1, "f4"), ValueError),
        (((2, -3), "f4"), ValueError),
        ((2.5, "f4"), TypeError),
        (("ab", "f4"), TypeError),
        (("", "f4"), TypeError),
        (((0, 2**63), "u1"), ValueError),
        (((2,), object), NotImplementedError),
        (((2,), "U5"), NotImplementedError),
        (((2,), "nonsense"), TypeError),
        (((1,) * 70, "f4"), ValueError),
        (((2**40, 2**40), "f4"), (ValueError, OSError, OverflowError)),
    ],
)
def test_what_cannot_be_lent(name: str, transport: str, layout: Any, error: Any) -> None:
    with NdShArray(name, np.arange(3), "w", transport=transport) as writer:
        with pytest.raises(error):
            with writer.loan(*layout):
                pass
        writer.write(np.arange(4))
        with NdShArray(name, r_w="r", transport=transport) as reader:
            assert reader.read()[1].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("how", ["close", "newer writer"])
def test_a_writer_that_ends_during_a_loan(name: str, transport: str, how: str) -> None:
    writer = NdShArray(name, np.arange(3), "w", transport=transport)
    newer = None
    with NdShArray(name, r_w="r", transport=transport) as reader:
        assert reader.read()[0]
        with pytest.raises(ClosedError), writer.loan() as frame:
            if how == "close":
                writer.close()
            else:
                newer = NdShArray(name, r_w="w", transport=transport)
            frame[:] = 9  # still memory
        if newer is not None:
            newer.write(np.arange(4))
            assert reader.read()[1].tolist() == [0, 1, 2, 3]
            newer.close()
    writer.close()


def test_the_own_exception_of_a_block_comes_first(name: str, transport: str) -> None:
    writer = NdShArray(name, np.arange(3), "w", transport=transport)
    with pytest.raises(KeyError), writer.loan():
        writer.close()
        raise KeyError


def test_a_full_memory_is_told_at_the_start(
    name: str, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "full")

    with NdShArray(name, np.arange(3), "w", transport=transport) as writer:
        with monkeypatch.context() as patch:
            for kind in (MmapTransport, PosixShmTransport):
                patch.setattr(kind, "create", full)
            with pytest.raises(OSError, match="full"):
                with writer.loan(10_000):
                    pytest.fail("nothing was lent")
        with writer.loan() as frame:
            frame[:] = 1
        with NdShArray(name, r_w="r", transport=transport) as reader:
            assert reader.read()[1].tolist() == [1, 1, 1]


def test_pinned_slots_are_not_lent(name: str, transport: str) -> None:
    with NdShArray(name, r_w="w", transport=transport) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            held = []
            for value in range(8):
                with writer.loan((3000,), "i8") as frame:  # large enough for a pin
                    frame[:] = value
                held.append(reader.read(copy=False)[1])
            for value, array in enumerate(held):
                assert (array == value).all()


def test_another_threads_write_is_refused_during_a_loan(name: str, transport: str) -> None:
    with NdShArray(name, np.arange(3), "w", transport=transport) as writer:
        told: list[str] = []

        def write() -> None:
            try:
                writer.write(np.arange(3))
            except RuntimeError as error:
                told.append(str(error))

        with writer.loan() as frame:
            thread = threading.Thread(target=write)
            thread.start()
            thread.join()
            frame[:] = 0
        assert len(told) == 1
