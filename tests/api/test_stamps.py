"""Times: of capture, as the writer says (``time_ns``), and of the write."""

from __future__ import annotations

import re
import time
from typing import Any

import numpy as np
import pytest

from ndsharray import NdShArray
from ndsharray.errors import AccessError

CAPTURED = 1_700_000_000_123_456_789


@pytest.fixture
def writer(name: str, transport: str) -> Any:
    with NdShArray(name, r_w="w", transport=transport) as made:
        yield made


@pytest.fixture
def reader(writer: NdShArray, name: str, transport: str) -> Any:
    with NdShArray(name, r_w="r", transport=transport) as made:
        yield made


def test_a_stamp_arrives_with_its_frame(writer: NdShArray, reader: NdShArray) -> None:
    assert (reader.time_ns, reader.write_time_ns) == (0, 0)
    assert (writer.time_ns, writer.write_time_ns) == (0, 0)
    writer.write(np.arange(3), time_ns=CAPTURED)
    assert reader.read()[0]
    assert reader.time_ns == CAPTURED == writer.time_ns
    with writer.loan(time_ns=2**63 - 1):
        pass
    assert reader.time_ns == CAPTURED, "it belongs to the last frame that was read"
    assert reader.read(out=np.empty_like(np.arange(3)))[0]
    assert reader.time_ns == 2**63 - 1 == writer.time_ns


def test_a_stamp_arrives_in_another_process(
    writer: NdShArray, name: str, transport: str, console: Any
) -> None:
    child = console()
    child.run(f"r = NdShArray({name!r}, r_w='r', transport={transport!r})")
    writer.write(np.arange(3), time_ns=CAPTURED)
    assert child.run("(r.read(timeout=10)[0], r.time_ns)") == (True, CAPTURED)
    assert abs(child.run("r.write_time_ns") - writer.write_time_ns) < 5e7


def test_a_frame_without_a_stamp_has_the_time_of_its_write(
    writer: NdShArray, reader: NdShArray
) -> None:
    for value in range(8):  # each slot was a stamped frame's
        writer.write(np.array([value]), time_ns=CAPTURED)
    before = time.time_ns()
    writer.write(np.array([9]))
    after = time.time_ns()
    assert reader.read()[0]
    assert reader.time_ns == reader.write_time_ns
    for written in (reader.write_time_ns, writer.write_time_ns, writer.time_ns):
        assert before - 2e7 < written < after + 2e7  # the step of Windows' timer
    for value in range(8):
        with writer.loan() as frame:
            frame[:] = value
        assert reader.read()[0]
        assert reader.time_ns == reader.write_time_ns != CAPTURED


def test_every_frame_has_its_own_times(name: str, transport: str) -> None:
    with NdShArray(name, r_w="w", transport=transport, slots=6) as writer:
        with NdShArray(name, np.zeros(1), "r", transport=transport) as reader:
            for number in (1, 2, 3):
                writer.write(np.array([number]), time_ns=CAPTURED + number)
            times = []
            for frame in reader.frames(timeout=0, copy=False):
                assert reader.time_ns == CAPTURED + frame[0]
                times.append(reader.write_time_ns)
            assert len(times) == 3
            assert times == sorted(times)


def test_the_time_of_a_write_stays_the_same_until_the_next_frame(
    writer: NdShArray, reader: NdShArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.write(np.arange(3))
    reader.read()
    written = reader.write_time_ns
    real, hour = time.time_ns, 3600 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: real() + hour)  # the wall clock is set
    assert reader.write_time_ns == written
    writer.write(np.arange(3))
    assert reader.read()[0]
    assert reader.write_time_ns - written > hour


def test_a_loan_takes_its_stamp_until_it_ends(writer: NdShArray, reader: NdShArray) -> None:
    loan = writer.loan(3, np.uint8)
    assert loan.time_ns is None
    with loan as frame:
        frame[:] = 1
        loan.time_ns = CAPTURED
        with pytest.raises(ValueError, match="1 to"):
            loan.time_ns = 0
    assert reader.read()[0]
    assert reader.time_ns == CAPTURED
    with writer.loan(time_ns=CAPTURED) as _, pytest.raises(RuntimeError):
        writer.write(np.arange(3), time_ns=CAPTURED + 1)
    forgotten = writer.loan(time_ns=CAPTURED)
    with forgotten:
        forgotten.time_ns = None
    assert reader.read()[0]
    assert reader.time_ns == reader.write_time_ns


def test_a_stamp_that_cannot_be_one_is_refused(writer: NdShArray, reader: NdShArray) -> None:
    array = np.arange(3)
    bad: list[tuple[Any, type[Exception], str]] = [
        (0, ValueError, "1 to 2**63 - 1, not 0"),
        (-5, ValueError, "not -5"),
        (2**63, ValueError, "not 9223372036854775808"),
        (1.5e18, TypeError, "Unix time in nanoseconds, not float"),
        (True, TypeError, "not bool"),
        (np.bool_(True), TypeError, "not bool"),
        ("now", TypeError, "not str"),
        (np.datetime64(5, "ns"), TypeError, "not datetime64"),
    ]
    for stamp, kind, said in bad:
        for call in (writer.write, lambda _, **more: writer.loan(3, "u1", **more)):
            with pytest.raises(kind, match=re.escape(said)):
                call(array, time_ns=stamp)  # type: ignore[operator]
    assert not reader.read()[0], "nothing was published"
    writer.write(array, time_ns=np.int64(7))  # type: ignore[arg-type]
    assert reader.read()[0]
    assert reader.time_ns == 7
    with pytest.raises(AccessError):
        reader.write(array, time_ns=CAPTURED)


@pytest.mark.usefixtures("lasting_memory")
def test_a_writer_that_takes_over_has_written_nothing_yet(
    name: str, transport: str, console: Any
) -> None:
    child = console()
    child.run(f"w = NdShArray({name!r}, r_w='w', transport={transport!r})")
    child.run(f"w.write(np.arange(3), time_ns={CAPTURED})")
    child.kill()
    with NdShArray(name, r_w="r", transport=transport) as reader:
        assert reader.read()[0]
        assert reader.time_ns == CAPTURED
        with NdShArray(name, r_w="w", transport=transport) as writer:
            assert writer.frame_id == 1
            assert (writer.time_ns, writer.write_time_ns) == (0, 0)
            writer.write(np.arange(3))
            assert reader.read()[0]
            assert reader.time_ns == reader.write_time_ns > CAPTURED
