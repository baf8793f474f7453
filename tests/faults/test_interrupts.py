"""Ctrl-C, finalizers and forks at the worst moments: nothing hangs, nothing is lost for ever."""

from __future__ import annotations

import dis
import errno
import gc
import linecache
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from console import Failed
from patience import until

import ndsharray._protocol.reading
import ndsharray._protocol.seqlock
import ndsharray._protocol.writing
import ndsharray._reader.buffers
import ndsharray._reader.cursor
import ndsharray._reader.pins
import ndsharray._registry.cleanup
import ndsharray._registry.entries
import ndsharray._system.clock
import ndsharray._system.lockfile
import ndsharray._writer.control
import ndsharray._writer.holding
import ndsharray._writer.segment
import ndsharray._writer.takeover
import ndsharray._writer.writer
from ndsharray import MmapTransport, NdShArray, PosixShmTransport, ReadSet
from ndsharray._reader.buffers import SMALLEST, Buffers
from ndsharray.backends.base import control_name
from ndsharray.errors import ClosedError


class Stop(BaseException):
    """An interrupt, as Ctrl-C would come."""


def once(monkeypatch: pytest.MonkeyPatch, where: Any, name: str, act: Callable[[], Any]) -> None:
    """Have `act` called in place of the next call of ``where.name``, and then the real one."""
    real = getattr(where, name)

    def instead(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(where, name, real)
        act()
        return real(*args, **kwargs)

    monkeypatch.setattr(where, name, instead)


def stop() -> None:
    raise Stop


def left(root: Path, name: str) -> list[str]:
    control = control_name(str(root), name)
    places = [root, Path("/dev/shm")]
    return [e for p in places if p.is_dir() for e in os.listdir(p) if e.startswith(control)]


CLOSE_STEPS = [
    (ndsharray._writer.control.ControlSegment, "drop"),
    (ndsharray._writer.control, "remove_array"),
    (ndsharray._registry.entries, "clear_dead"),
    (ndsharray._system.lockfile.LockFile, "release"),
]


@pytest.mark.parametrize(("where", "step"), CLOSE_STEPS, ids=[step for _, step in CLOSE_STEPS])
def test_an_interrupted_close_goes_on_when_it_is_called_again(
    name: str, transport: str, root: Path, monkeypatch: pytest.MonkeyPatch, where: Any, step: str
) -> None:
    writer = NdShArray(name, np.zeros(3), "w", transport=transport)
    once(monkeypatch, where, step, stop)
    with pytest.raises(Stop):
        writer.close()
    assert writer.closed
    assert left(root, name)
    del writer  # its finalizer finishes the work
    gc.collect()
    assert left(root, name) == []


@pytest.mark.parametrize("step", ["take_over", "entries.clear_dead"])
def test_what_an_interrupted_constructor_made_can_be_swept(
    name: str, transport: str, root: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    where, attribute = (
        (ndsharray._registry.entries, "clear_dead")
        if "." in step
        else (ndsharray._writer.takeover, "set_ready")
    )
    once(monkeypatch, where, attribute, stop)
    with pytest.raises(Stop):
        NdShArray(name, np.zeros(3), "w", transport=transport)
    ndsharray._registry.cleanup._swept.clear()
    NdShArray(name + "other", r_w="w", transport=transport).close()
    assert left(root, name) == []


def test_a_failed_first_frame_keeps_what_a_killed_writer_left(
    name: str, transport: str, console: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = console()
    child.run(f"w = NdShArray({name!r}, np.arange(3), 'w', transport={transport!r})")
    child.kill()
    kind = {"mmap": MmapTransport, "posix_shm": PosixShmTransport}[transport]

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(kind, "create", full)
        with pytest.raises(OSError, match="full"):
            NdShArray(name, np.arange(9), "w", transport=transport)
    with NdShArray(name, r_w="r", transport=transport) as reader:
        assert reader.read()[1].tolist() == [0, 1, 2]
        with NdShArray(name, np.arange(4), "w", transport=transport):
            assert reader.read()[1].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("step", ["set_table", "begin_first"])
def test_a_grow_and_the_publish_before_it_interrupted(
    name: str, transport: str, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Neither is published; the second one's table is stored where the first one's was."""
    side = ndsharray._protocol.writing.WriteSide
    where = side if step == "begin_first" else ndsharray._writer.control.ControlSegment
    with NdShArray(name, np.full(9, 1), "w", transport=transport) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            assert reader.read()[1].tolist() == [1] * 9
            once(monkeypatch, side, "publish", stop)
            with pytest.raises(Stop):
                writer.write(np.full(1000, 2))
            once(monkeypatch, where, step, stop)
            with pytest.raises(Stop):
                writer.write(np.full(2000, 3))
            for value in (4, 5):
                writer.write(np.full(900, value))
                assert reader.read()[1].tolist() == [value] * 900
                with NdShArray(name, r_w="r", transport=transport) as late:
                    assert late.read()[1].tolist() == [value] * 900
            assert reader.missed == 0


def test_a_finalizer_inside_a_hand_over_neither_waits_nor_closes(
    name: str, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = NdShArray(name, np.arange(3), "w", transport=transport)
    old.me = old  # type: ignore[attr-defined]  # only the collector frees it
    del old
    once(monkeypatch, ndsharray._system.lockfile.LockFile, "standing", gc.collect)
    with NdShArray(name, r_w="w", transport=transport) as new:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            assert reader.read()[1].tolist() == [0, 1, 2]
            new.write(np.arange(4))
            assert reader.read()[1].tolist() == [0, 1, 2, 3]


def test_an_interrupt_during_a_hand_over_does_not_lose_the_lock_file(
    name: str, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = NdShArray(name, np.arange(3), "w", transport=transport)
    once(monkeypatch, ndsharray._system.lockfile.LockFile, "standing", stop)
    with pytest.raises(Stop):
        NdShArray(name, r_w="w", transport=transport)
    assert old.closed
    with NdShArray(name, r_w="w", transport=transport) as new:
        new.write(np.arange(4))


def test_an_interrupted_read_gives_the_frame_again(
    name: str, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with NdShArray(name, np.arange(3), "w", transport=transport):
        with NdShArray(name, r_w="r", transport=transport) as reader:
            core = reader._reader
            assert core is not None
            once(monkeypatch, ndsharray._reader.cursor.clock, "now_ns", stop)
            with pytest.raises(Stop):
                reader.read()
            assert reader.read() == (True, reader.read()[1])
            assert reader.read()[1].tolist() == [0, 1, 2]


def test_a_pin_that_a_broken_off_try_left_goes_with_the_next_read(
    name: str, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with NdShArray(name, np.full(9, 1), "w", transport=transport) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            assert reader.read(copy=False)[0]
            writer.write(np.full(9, 2))
            core: Any = reader._reader
            pins = core._source.cursor.pins
            with monkeypatch.context() as patch:
                once(patch, type(core._source.cursor.side), "head", stop)
                once(patch, type(pins), "settle", stop)  # before it could let the pin go
                with pytest.raises(Stop):
                    reader.read(copy=False)
            assert pins.open is not None
            writer.write(np.full(9, 3))
            assert reader.read(copy=False)[1][0] == 3
            standing = [pin for pin in pins._own.tobytes() if pin]
            assert len(standing) == 1  # this array's


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_reader_leaves_its_parents_pins_alone(name: str, transport: str) -> None:
    writer = NdShArray(name, np.arange(3), "w", transport=transport)
    with NdShArray(name, r_w="r", transport=transport) as reader:
        assert reader.read()[0]
        core: Any = reader._reader
        pins = 832 + 4 * core._source.cursor.pins.entry.index
        core._source.cursor.instance.memory.bytes[pins] = 3
        child = os.fork()
        if child == 0:
            core._source._attach(core._source.cursor.instance)  # as for another instance
            os._exit(core._source.cursor.instance.memory.bytes[pins])
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
        core._source.cursor.instance.memory.bytes[pins] = 0
    writer.close()


def read_pinned(reader: NdShArray) -> None:
    core: Any = reader._reader
    assert core._source.cursor._held_pins().entry.held  # as a second try does
    kept.append(reader)


kept: list[NdShArray] = []


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_an_entry_claimed_in_a_forked_child_goes_with_it(
    name: str, transport: str, root: Path
) -> None:
    with NdShArray(name, np.arange(3), "w", transport=transport):
        with NdShArray(name, r_w="r", transport=transport) as reader:
            before = sorted(os.listdir(root))
            child = multiprocessing.get_context("fork").Process(target=read_pinned, args=(reader,))
            child.start()
            child.join()
            assert child.exitcode == 0
            child.close()
            assert sorted(os.listdir(root)) == before


def test_a_late_end_of_the_old_writer_leaves_the_new_ones_lock_file(
    name: str, transport: str, console: Any
) -> None:
    old = NdShArray(name, np.arange(3), "w", transport=transport)
    with NdShArray(name, r_w="w", transport=transport) as new:
        assert old._writer is not None
        old._writer.abandon()  # as its own constructor would, had its first write failed just now
        old.close()
        assert new._writer is not None
        assert new._writer._holding.lock_file.held
        with pytest.raises(Failed, match="WriterExistsError"):
            console().run(f"NdShArray({name!r}, r_w='w', transport={transport!r})")
        new.write(np.arange(4))


@pytest.mark.skipif(os.name != "posix", reason="an open file cannot be removed on Windows")
def test_a_writer_that_could_not_make_its_control_segment_anew_tries_again(
    name: str, transport: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = NdShArray(name, np.arange(3), "w", transport=transport)
    core: Any = writer._writer
    for entry in os.listdir(root):
        os.unlink(root / entry)
    core._holding.control._address.transport.unlink(core._holding.control._address.control_name)

    def full() -> None:
        raise OSError(errno.ENOSPC, "full")

    core._holding.due = 0
    once(monkeypatch, ndsharray._writer.holding, "take_over", full)
    with pytest.raises(OSError, match="full"):
        writer.write(np.arange(4))
    writer.write(np.arange(5))
    with NdShArray(name, r_w="r", transport=transport) as reader:
        assert reader.read()[1].tolist() == [0, 1, 2, 3, 4]
    writer.close()


def test_close_removes_frames_by_its_own_record(name: str, transport: str, root: Path) -> None:
    writer = NdShArray(name, np.arange(3), "w", transport=transport)
    core: Any = writer._writer
    core._holding.control.memory.bytes[384:520] = bytes(136)  # both table copies and next
    writer.close()
    assert left(root, name) == []


@pytest.mark.parametrize("kind", ["directory", "link"])
def test_odd_files_in_the_root_disturb_nobody(
    name: str, transport: str, root: Path, kind: str
) -> None:
    odd = root / f"nd{'0' * 16}-{transport}-w"
    if kind == "directory":
        odd.mkdir()
    elif os.name == "posix":
        odd.symlink_to(root / "nowhere")
    ndsharray._registry.cleanup._swept.clear()
    with NdShArray(name, np.arange(3), "w", transport=transport):
        with NdShArray(name, r_w="r", transport=transport) as reader:
            assert reader.read()[0]
    if kind == "directory":
        odd.rmdir()
    else:
        odd.unlink()


def test_a_nested_close_comes_to_the_end_first(
    name: str, transport: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = NdShArray(name, np.arange(3), "w", transport=transport)
    once(
        monkeypatch, ndsharray._system.lockfile.LockFile, "standing", writer.close
    )  # a signal handler's
    writer.close()
    assert left(root, name) == []


@pytest.mark.parametrize("size", [9, 9000], ids=["short", "growing"])
@pytest.mark.parametrize("nested", ["write", "loan", "close", "new writer"])
def test_a_call_inside_a_write_of_its_thread_is_refused(
    name: str, transport: str, monkeypatch: pytest.MonkeyPatch, nested: str, size: int
) -> None:
    refused = []
    with NdShArray(name, np.full(9, 1), "w", transport=transport) as writer:

        def call() -> None:  # as a signal handler would
            try:
                if nested == "write":
                    writer.write(np.full(9, 7))
                elif nested == "loan":
                    with writer.loan():
                        pass
                elif nested == "close":
                    writer.close()
                else:
                    NdShArray(name, r_w="w", transport=transport)
            except RuntimeError as error:
                refused.append(str(error))

        once(monkeypatch, ndsharray._writer.segment.FrameSegment, "fill", call)
        writer.write(np.full(size, 2))
        assert refused == ["a call of this thread is under way: this one interrupted it"]
        with NdShArray(name, r_w="r", transport=transport) as reader:
            assert reader.read()[1].tolist() == [2] * size
            writer.write(np.full(size, 3))
            assert reader.read()[1].tolist() == [3] * size


def test_a_write_inside_a_close_of_its_thread_is_told_that_it_is_closed(
    name: str, transport: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    writer = NdShArray(name, np.arange(3), "w", transport=transport)

    def write() -> None:
        with pytest.raises(ClosedError, match="it was closed"):
            writer.write(np.arange(3))
        told.append(True)

    once(monkeypatch, ndsharray._system.lockfile.LockFile, "standing", write)
    writer.close()
    assert told
    assert left(root, name) == []


def test_a_loan_whose_end_waits_for_a_close_takes_nothing_again(
    name: str, transport: str, root: Path
) -> None:
    writer = NdShArray(name, np.arange(3), "w", transport=transport)
    core: Any = writer._writer
    loan: Any = writer.loan()
    loan.__enter__()
    writer.close()  # in another thread, which has the lock
    core._holding.due = 0  # a second has passed
    with pytest.raises(ClosedError, match="it was closed"):
        core._publisher.take_back(loan._begun, True)
    assert left(root, name) == []
    loan.__exit__(ValueError, ValueError(), None)


def test_a_writers_repr_tells_its_state(
    name: str, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = NdShArray(name, r_w="w", transport=transport)
    writer = array._writer
    assert repr(writer) == f"<Writer {name!r} on {transport}, busy, frame 0>"
    array.write(np.arange(3))
    assert repr(writer) == f"<Writer {name!r} on {transport}, ready, frame 1>"
    with array.loan():
        assert "busy, frame 1" in repr(writer)
    assert "ready, frame 2" in repr(writer)
    with monkeypatch.context() as patch:
        once(patch, ndsharray._protocol.writing.WriteSide, "publish", stop)
        with pytest.raises(Stop):
            array.write(np.arange(3))
    assert "busy, frame 2" in repr(writer)
    with monkeypatch.context() as patch:
        once(patch, ndsharray._writer.control.ControlSegment, "close", stop)
        with pytest.raises(Stop):
            array.close()
    assert "closing, frame 2" in repr(writer)
    array.close()
    assert "ended, frame 2" in repr(writer)


def test_an_array_that_dies_in_another_thread_is_not_forgotten() -> None:
    buffers = Buffers()
    size = SMALLEST
    one, two = (buffers.empty((size,), np.dtype("u1"), size) for _ in range(2))
    del one

    class Lent(dict[int, Any]):
        def pop(self, *args: Any) -> Any:
            nonlocal two
            two = None  # type: ignore[assignment]  # just now
            return super().pop(*args)

    buffers._lent = Lent(buffers._lent)
    buffers._collect()
    assert buffers._lent == {}
    assert len(buffers._free) == 2


@pytest.mark.parametrize("size", [3, 30_000])
def test_renaming_fields_of_an_array_renames_nobody_elses(
    name: str, transport: str, size: int
) -> None:
    mine = np.zeros(size, [("a", "i4"), ("b", "f8")])
    with NdShArray(name, mine, "w", transport=transport) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            reader.read()[1].dtype.names = ("x", "y")
            writer.write(mine)
            assert reader.read()[1].dtype.names == ("a", "b")
            mine.dtype.names = ("c", "d")
            writer.write(mine)
            assert reader.read()[1].dtype.names == ("c", "d")


def test_a_close_that_comes_inside_a_read_does_not_replace_its_frame(
    name: str, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with NdShArray(name, np.arange(3), "w", transport=transport):
        reader = NdShArray(name, r_w="r", transport=transport)
        once(
            monkeypatch, ndsharray._reader.cursor.clock, "now_ns", reader.close
        )  # a signal handler's
        valid, frame = reader.read()
        assert (valid, frame.tolist()) == (True, [0, 1, 2])
        assert reader.closed
        with pytest.raises(ClosedError):
            reader.read()


@pytest.mark.parametrize("moment", ["retire", "before its pins are retired"])
def test_an_interrupted_close_keeps_all_arrays_in_place(
    name: str, transport: str, root: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    with NdShArray(name, np.full(9, 1), "w", transport=transport, slots=8) as writer:
        reader = NdShArray(name, r_w="r", transport=transport)
        one = reader.read(copy=False)[1]
        writer.write(np.full(9, 2))
        two = reader.read(copy=False)[1]
        if moment == "retire":
            once(monkeypatch, ndsharray._reader.pins, "partial", stop)
        else:
            once(monkeypatch, ndsharray._reader.pins.at_exit, "keep_until_exit", stop)
        with pytest.raises(Stop):
            reader.close()
        del one
        for value in range(20):
            writer.write(np.full(9, value))
        assert (two == 2).all()
        reader.close()
        for value in range(20):
            writer.write(np.full(9, value))
        assert (two == 2).all()
        del two
        assert [entry for entry in os.listdir(root) if entry[-3:-2] == "r"] == []


def test_a_loan_that_could_not_begin_is_over(
    name: str, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with NdShArray(name, np.arange(3), "w", transport=transport) as writer:
        loan = writer.loan()
        once(monkeypatch, ndsharray._writer.segment.FrameSegment, "prepare", stop)
        with pytest.raises(Stop):
            loan.__enter__()
        writer.write(np.arange(4))
        with loan as frame:
            frame[:] = 5
        once(monkeypatch, ndsharray._protocol.writing.WriteSide, "publish", stop)
        with pytest.raises(Stop) as kept, loan as frame:  # the traceback keeps the slot
            frame[:] = 6
        writer.write(np.arange(5))
        assert kept
        with NdShArray(name, r_w="r", transport=transport) as reader:
            assert reader.read()[1].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("how", ["loan", "read", "in place"])
def test_renaming_nested_fields_renames_nobody_elses(name: str, transport: str, how: str) -> None:
    dtype = np.dtype([("p", [("a", "f4"), ("b", "f4")]), ("q", "f8")])
    with NdShArray(name, np.zeros(3, dtype), "w", transport=transport) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            if how == "loan":
                with writer.loan() as frame:
                    frame.dtype["p"].names = ("x", "y")
                    frame.dtype.names = ("r", "s")
            else:
                frame = reader.read(copy=how == "read")[1]
                frame.dtype["p"].names = ("x", "y")
            writer.write(np.zeros(3, np.dtype([("p", [("a", "f4"), ("b", "f4")]), ("q", "f8")])))
            got = reader.read()[1].dtype
            assert (got.names, got["p"].names) == (("p", "q"), ("a", "b"))


def test_frames_tells_the_end_of_an_adopted_segment_again(name: str, transport: str) -> None:
    with NdShArray(name, r_w="r", transport=transport) as reader:
        for _ in range(3):
            writer = NdShArray(name, np.arange(3), "w", transport=transport, slots=8)
            assert reader.read(timeout=5)[0]
            words = writer._writer._holding.control.memory.words  # type: ignore[union-attr]
            writer.write(np.arange(4))
            words[72] = 2  # as if it were killed while closing: marked, its names still there
            assert [frame.size for frame in reader.frames(20)] == [4]
            words[72] = 1
            writer.write(np.arange(5))
            words[72] = 2
            assert [frame.size for frame in reader.frames(20)] == [5]
            words[72] = 1
            writer.close()


def test_a_close_after_an_interrupted_write_counts_what_was_published(
    name: str, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = NdShArray(name, r_w="r", transport=transport)
    with NdShArray(name, np.array(1), "w", transport=transport) as writer:
        assert [int(frame) for frame in reader.frames(0)] == [1]
        side = writer._writer._holding.segment.side  # type: ignore[union-attr]
        full = side._full
        side._full = lambda where: stop() if where == "W3" else full(where)
        with pytest.raises(Stop):
            writer.write(np.array(2))
        side._full = full
    # Recorded, so it counts as written; then it is published, too.
    assert [int(frame) for frame in reader.frames(0)] == [2]
    assert list(reader.frames(0)) == []
    assert (reader.frame_id, reader.missed) == (2, 0)
    reader.close()


def can_be_struck(frame: FrameType) -> bool:
    """Tell whether a signal handler can raise before the line that a frame is about to run.

    A `with` line comes again as its block ends: to raise there would leave a lock taken. Before
    POP_EXCEPT no handler runs, and what is raised there leaves the handled exception to the thread
    for good: later tests would find it as the context of their own errors. Nor does one run between
    the beginning of a `finally` clause and its first call, if the clause begins with `try`: Python
    3.10 runs handlers as an exception gets to another clause, but not before SETUP_FINALLY.
    """
    lines = linecache.getlines(frame.f_code.co_filename)[: frame.f_lineno][-3:]
    *_, before, above, source = ["", "", *(line.partition("  # ")[0].strip() for line in lines)]
    begins = (above, source) == ("finally:", "try:") or (before, above) == ("finally:", "try:")
    is_pop = frame.f_code.co_code[frame.f_lasti] == dis.opmap["POP_EXCEPT"]
    return not (source.startswith("with ") or begins or is_pop)


def raise_at(line: int, act: Callable[[], object]) -> bool:
    """Run `act`, with an interrupt before its `line`-th line in the package; False: it has less."""
    count = 0

    def local(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        if not can_be_struck(frame):
            return local
        count += event == "line"
        if count == line:
            count += 1
            sys.settrace(None)
            raise Stop
        return local

    def trace(frame: FrameType, _event: str, _: object) -> Any:
        # Not inside a transport, where one descriptor that nobody locks could be lost.
        file = frame.f_code.co_filename
        return local if file.startswith(PACKAGE) and "backends" not in file else None

    sys.settrace(trace)
    try:
        act()
    except Stop:
        return True
    finally:
        sys.settrace(None)
        assert sys.exc_info()[1] is None, "it goes on as if it handled an exception"
    return False


PACKAGE = os.path.dirname(ndsharray.__file__)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork makes killed writers at little cost")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.alternately
@pytest.mark.parametrize("array", [(), (np.arange(4),)], ids=["bare", "with a frame"])
def test_an_interrupted_constructor_leaves_a_killed_writers_frame(
    name: str, transport: str, root: Path, request: pytest.FixtureRequest, array: tuple[Any, ...]
) -> None:
    step, line = (1 if request.config.getoption("--long") else 41), 1
    kept: list[Any] = []  # a traceback holds what the constructor has, as in a console

    def make(this: str) -> None:
        try:
            kept.append(NdShArray(this, *array, r_w="w", transport=transport))
        except Stop as stop:
            kept.append(stop)
            raise

    while True:
        this = f"{name} {line}"
        pid = os.fork()
        if pid == 0:
            kept.append(NdShArray(this, np.arange(3), "w", transport=transport))
            os._exit(0)
        os.waitpid(pid, 0)
        struck = raise_at(line, partial(make, this))
        with NdShArray(this, r_w="r", transport=transport) as reader:
            assert reader.read()[0], f"line {line}"
        if not struck:
            kept[0].close()
            break
        with NdShArray(this, np.arange(5), "w", transport=transport) as writer:
            writer.write(np.arange(6))  # nobody holds the lock file
        kept.clear()
        gc.collect()
        assert left(root, this) == [], f"line {line}"
        line += step
    assert line > 5 * step


def test_a_writer_that_used_nothing_leaves_a_killed_writers_frame(
    name: str, transport: str, console: Any
) -> None:
    """An interrupt can come when the constructor has ended, and nobody got what it made."""
    child = console()
    child.run(f"w = NdShArray({name!r}, np.arange(3), 'w', transport={transport!r})")
    child.kill()
    NdShArray(name, r_w="w", transport=transport)  # collected at once
    gc.collect()
    with NdShArray(name, r_w="r", transport=transport) as reader:
        assert reader.read()[1].tolist() == [0, 1, 2]
    NdShArray(name, r_w="w", transport=transport).close()  # who asks for the end gets it


def test_a_descriptor_of_an_interrupted_lock_file_is_closed(name: str, transport: str) -> None:
    line = 1
    before = descriptors()
    path = os.path.join(os.environ["NDSHARRAY_DIR"], "lock_file")
    while raise_at(line, lambda: taken.append(ndsharray._system.lockfile.acquire(path))):
        gc.collect()
        assert descriptors() == before, f"line {line}"
        line += 1
    taken.pop().release()
    assert line > 20


taken: list[Any] = []


def descriptors() -> int:
    place = "/proc/self/fd"
    return len(os.listdir(place)) if os.path.isdir(place) else 0


def test_the_waiting_byte_of_an_interrupted_wait_is_cleared(
    name: str, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with NdShArray(name, np.full(9, 1), "w", transport=transport) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            reader.read()
            core: Any = reader._reader
            follower = core._source.cursor
            if not follower.can_sleep():
                pytest.skip("nobody sleeps on this system")
            memory, byte = follower.instance.memory, 768 + follower.pins.entry.index
            once(monkeypatch, type(follower.side), "end_waiting", stop)
            with pytest.raises(Stop):
                reader.read(timeout=0.05)
            assert memory.bytes[byte] == 0
            # The same again, and the clearing is interrupted as well: the next frame does it.
            with monkeypatch.context() as patch:
                patch.setattr(type(follower.side), "end_waiting", lambda *_: stop())
                with pytest.raises(Stop):
                    reader.read(timeout=0.05)
            assert memory.bytes[byte] == 1
            writer.write(np.full(9, 2))
            assert reader.read()[0]
            assert memory.bytes[byte] == 0


@pytest.mark.parametrize("way", ["write", "loan"])
def test_the_orphan_of_an_interrupted_grow_goes_at_the_next_call(
    name: str, transport: str, root: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    with NdShArray(name, np.full(9, 1), "w", transport=transport) as writer:
        before = left(root, name)
        once(monkeypatch, ndsharray._protocol.writing.WriteSide, "publish", stop)
        with pytest.raises(Stop):
            writer.write(np.zeros(10_000))
        assert len(left(root, name)) == len(before) + (os.name == "posix")
        if way == "write":
            writer.write(np.full(9, 2))
        else:
            with writer.loan():
                pass
        assert len(left(root, name)) == len(before)  # another segment, and that one alone


def test_a_newer_writer_that_cannot_be_made_ends_the_array_that_it_took(
    name: str, transport: str, root: Path
) -> None:
    old = NdShArray(name, np.zeros(3), "w", transport=transport)
    with pytest.raises(OSError, match="asked for"):
        NdShArray(name, np.broadcast_to(np.zeros(1), (10**6, 10**6)), "w", transport=transport)
    assert old.closed
    assert left(root, name) == []
    old.close()
    with NdShArray(name, np.arange(3), "w", transport=transport) as again:
        again.write(np.arange(4))


def test_a_control_segment_that_an_interrupt_left_half_made_goes(
    name: str, transport: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make_half(self: Any, control: str, size: int) -> Any:
        place = root if transport == "mmap" else Path("/dev/shm")
        (place / control).touch(mode=0o600)
        raise Stop

    if transport == "posix_shm" and not Path("/dev/shm").is_dir():
        pytest.skip("its objects are files on Linux alone")
    kind = {"mmap": MmapTransport, "posix_shm": PosixShmTransport}[transport]
    monkeypatch.setattr(kind, "create", make_half)
    with pytest.raises(Stop):
        NdShArray(name, np.zeros(3), "w", transport=transport)
    assert left(root, name) == []


class Striking:
    """A lock at whose next taking a signal handler raises, just after the call."""

    def __init__(self, lock: Any) -> None:
        self.lock = lock

    def acquire(self, *how: Any) -> bool:
        self.lock.acquire(*how)
        raise Stop

    __enter__ = acquire

    def __exit__(self, *_: object) -> None:
        self.lock.release()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.lock, name)


def strike(core: Any, act: Callable[[], object]) -> None:
    """Have a call interrupted as it has taken the lock, or has not got it."""
    lock = core._lock
    core._lock = Striking(lock)
    try:
        with pytest.raises(Stop):
            act()
    finally:
        core._lock = lock


@pytest.mark.parametrize("call", ["write", "loan", "end of a loan", "close", "hand over"])
def test_an_interrupt_as_a_writer_has_its_lock_leaves_it_free(
    name: str, transport: str, root: Path, call: str
) -> None:
    """So it comes in Python 3.14, at the head of a `with` block."""
    writer = NdShArray(name, np.arange(3), "w", transport=transport)
    loan = writer.loan()
    if call == "end of a loan":
        loan.__enter__()
    calls: dict[str, Callable[[], object]] = {
        "write": lambda: writer.write(np.arange(4)),
        "loan": loan.__enter__,
        "end of a loan": lambda: loan.__exit__(None, None, None),
        "close": writer.close,
        "hand over": lambda: NdShArray(name, r_w="w", transport=transport),
    }
    strike(writer._writer, calls[call])
    written: list[int] = []

    def write() -> None:
        writer.write(np.arange(5))
        written.append(writer.frame_id)

    thread = threading.Thread(target=write, daemon=True)  # another thread may have it, too
    thread.start()
    thread.join(30)
    assert written
    with writer.loan((2,), np.uint8) as array:
        array[:] = 7
    writer.close()
    assert left(root, name) == []


def test_an_interrupt_anywhere_in_a_wait_for_several_leaves_nothing(
    name: str, transport: str
) -> None:
    with NdShArray(name, np.arange(3), "w", transport=transport) as writer:
        with NdShArray(name + "?", r_w="r", transport=transport) as absent:
            readers = [NdShArray(name, r_w="r", transport=transport) for _ in range(2)]
            cells = writer._writer._holding.control.memory.bytes  # type: ignore[union-attr]
            for chosen in (readers, [absent, *readers]):
                struck, line = True, 1
                while struck:
                    for reader in readers:
                        reader.read()
                    struck = raise_at(line, partial(ndsharray.wait, chosen, 1e-4))
                    writer.write(np.arange(3))
                    for reader in readers:  # another call of each, and no mark is left
                        assert reader.read()[0], f"line {line}"
                    assert not any(cells[768:832]), f"line {line}"
                    line += 1
                assert line > 50
            for reader in readers:
                reader.close()


@pytest.mark.alternately
@pytest.mark.parametrize("copy", [True, False])
def test_an_interrupt_anywhere_in_a_read_of_a_set_costs_one_set_at_most(
    name: str, transport: str, copy: bool
) -> None:
    names = [f"{name} {each}" for each in range(3)]
    sizes = [100, 8, 100]  # in pairs of 8 bytes, times 9: the second one is copied when it is found
    writers = [NdShArray(each, r_w="w", transport=transport, slots=8) for each in names]
    readers = ReadSet(names, tolerance=0.001, pivot=names[0], transport=transport)
    stamp = last = 0
    struck, line = True, 1
    while struck:
        for _ in range(2):
            stamp += 10**9
            for writer, size in zip(writers, sizes):
                writer.write(np.full(18 * size, stamp), time_ns=stamp)
        struck = raise_at(line, partial(readers.read, copy=copy))
        stamp += 10**9
        for writer, size in zip(writers, sizes):
            writer.write(np.full(18 * size, stamp), time_ns=stamp)
        found: list[int] = []
        for s in iter(partial(readers.read, copy=copy), None):
            assert all((array == s.times_ns[each]).all() for each, array in s.items())
            assert s.spread_ms == 0
            found.append(int(s[names[0]][0]))
        assert found == sorted(set(found)), f"line {line}"
        assert found[0] > last, f"line {line}"
        assert found[-1] == stamp, f"line {line}"
        assert len(found) >= 2, f"line {line}"
        last = stamp
        line += 1
    assert line > 300
    readers.close()
    for writer in writers:
        writer.close()


@pytest.mark.parametrize("call", ["read", "close"])
def test_an_interrupt_as_another_thread_has_the_readers_lock_comes_through(
    name: str, transport: str, call: str
) -> None:
    with NdShArray(name, np.arange(3), "w", transport=transport) as writer:
        reader = NdShArray(name, r_w="r", transport=transport)
        reader.read()

        def wait() -> None:
            with suppress(ClosedError):
                reader.read(timeout=30)

        waiting = threading.Thread(target=wait)
        core: Any = reader._reader
        lock = core._lock
        waiting.start()
        until(lambda: repr(lock).startswith("<locked"), "it reads")  # taking it might refuse it
        strike(core, getattr(reader, call))
        writer.write(np.arange(4))
        waiting.join(30)
        assert not waiting.is_alive()
        reader.close()


@pytest.mark.skipif(os.name != "posix", reason="POSIX rights")
def test_a_writer_that_a_root_refuses_leaves_the_one_before_it(
    name: str, transport: str, root: Path
) -> None:
    with NdShArray(name, np.arange(3), "w", transport=transport) as writer:
        root.chmod(0o777)
        with pytest.raises(PermissionError):
            NdShArray(name, r_w="w", transport=transport)
        root.chmod(0o700)
        writer.write(np.arange(4))
        assert writer.frame_id == 2
    assert left(root, name) == []


def test_the_outer_one_of_two_closes_leaves_the_array_of_a_successor(
    name: str, transport: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal handler closes inside a close; a process that waits takes the array at once."""
    writer = NdShArray(name, np.arange(3), "w", transport=transport)
    successors: list[NdShArray] = []

    def close_and_be_followed() -> None:
        writer.close()
        ndsharray._writer.writer._writers.clear()  # as in another process
        successors.append(NdShArray(name, np.arange(9), "w", transport=transport))

    once(monkeypatch, ndsharray._writer.control, "remove_array", close_and_be_followed)
    writer.close()
    with successors[0] as successor, NdShArray(name, r_w="r", transport=transport) as reader:
        assert reader.read()[1].tolist() == list(range(9))
        successor.write(np.arange(2))
        assert reader.read()[1].tolist() == [0, 1]
    assert left(root, name) == []
