"""Traps of Python itself: its resource tracker, living views, free threads."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import queue
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import processes
import pytest
from processes import remains, run_script

import ndsharray
from ndsharray import ClosedError, NdShArray

pytestmark = pytest.mark.alternately

SUPPORT = str(Path(processes.__file__).parent)
LIBRARY = str(Path(ndsharray.__file__).parent.parent)
POSIX = pytest.mark.skipif(os.name != "posix", reason="POSIX")

# --- the resource tracker of multiprocessing: what it tracks, it removes with its own processes


@POSIX
@pytest.mark.parametrize("end", ["child returns", "child is killed", "parent is killed"])
@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_the_resource_tracker_takes_nothing_from_the_living(
    name: str, transport: str, root: Path, console: Any, account: Any, method: str, end: str
) -> None:
    orders = NdShArray(name + " orders", r_w="w", transport=transport)
    parent = console("-W", "ignore:.*fork:DeprecationWarning")
    parent.run(f"import sys; sys.path.insert(0, {SUPPORT!r})")
    parent.run("from multiprocessing import resource_tracker, shared_memory; import processes")
    parent.run("import multiprocessing.util")
    parent.run("resource_tracker.ensure_running()")
    block = ""
    if end != "parent is killed":  # or the tracker, rightly, complains about that one
        block = parent.run("(block := shared_memory.SharedMemory(create=True, size=99)).name")
    parent.run(f"w = processes.side({name + ' parent' + chr(39) + 's'!r}, 'w', {transport!r})")
    how = f"root={str(root)!r}, name={name!r}, transport={transport!r}, block={block!r}"
    child = parent.run(f"processes.start_obeying({method!r}, {how})")
    parent.run(f"r = processes.side({name + ' child' + chr(39) + 's'!r}, 'r', {transport!r})")
    of_child = NdShArray(name + " child's", r_w="r", transport=transport)
    of_parent = NdShArray(name + " parent's", r_w="r", transport=transport)
    held = of_child.read(copy=False)[1], of_parent.read(copy=False)[1]
    assert parent.run("r.read()[1].tolist()") == [0, 1, 2]

    if end == "parent is killed":
        account("SIGKILL of the parent of a resource tracker", 1)
        fork_server = parent.run("multiprocessing.util.get_temp_dir()")  # its socket is there
        parent.process.kill()
        parent.process.wait()
        shutil.rmtree(fork_server)  # which a parent that ends by itself does
        for size in (5, 5000):  # the child goes on, and whoever comes finds it
            orders.write(np.array(size))
            assert of_child.read(timeout=30)[1].tolist() == list(range(size))
            with NdShArray(name + " child's", r_w="r", transport=transport) as late:
                assert late.read()[1].size == size
        assert of_parent.read()[1].tolist() == [0, 1, 2]
        with NdShArray(name + " parent's", r_w="r", transport=transport) as late:
            assert late.read()[1].tolist() == [0, 1, 2]
        orders.write(np.array(-1))
    else:
        if end == "child returns":
            orders.write(np.array(-1))
        else:
            account("SIGKILL of a child that shares a resource tracker", 1)
            os.kill(child, signal.SIGKILL)
        parent.run("processes.kept[0].join()")
        for size in (5, 5000):
            parent.run(f"w.write(np.arange({size}))")
            assert of_parent.read()[1].tolist() == list(range(size))
            with NdShArray(name + " parent's", r_w="r", transport=transport) as late:
                assert late.read()[1].size == size
        assert of_child.read()[1].tolist() == [0, 1, 2]
        if end == "child is killed":
            with NdShArray(name + " child's", r_w="r", transport=transport) as late:
                assert late.read()[1].tolist() == [0, 1, 2]
        assert parent.run("block.buf[0]") == 1
        parent.run("block.close(); block.unlink()")
    parent.end()  # with all who write to the same stderr: child, fork server, tracker
    assert parent.errors == ""
    assert [array.tolist() for array in held] == [[0, 1, 2]] * 2
    for suffix in (" child's", " parent's"):
        NdShArray(name + suffix, r_w="w", transport=transport).close()
    orders.close()
    of_child.close()
    of_parent.close()
    del held
    for suffix in (" child's", " parent's", " orders"):
        assert remains(root, name + suffix) == []


@POSIX
def test_nothing_of_ours_is_ever_tracked(name: str, transport: str, console: Any) -> None:
    child = console()
    child.run(f"w = NdShArray({name!r}, np.arange(3), 'w', transport={transport!r})")
    child.run(f"r = NdShArray({name!r}, r_w='r', transport={transport!r})")
    child.run("w.write(np.zeros(5000))")
    child.run("r.read()")
    child.run("from multiprocessing import resource_tracker")
    # No tracker process was even started.
    assert child.run("resource_tracker._resource_tracker._fd") is None
    child.end()
    assert child.errors == ""


@POSIX
def test_an_ordinary_user_beside_us_may_track_and_unlink_its_own(
    name: str, transport: str, root: Path
) -> None:
    code = f"""
import sys
import numpy as np
from multiprocessing import shared_memory
from ndsharray import NdShArray
w = NdShArray({name!r}, np.arange(3), "w", transport={transport!r})
block = shared_memory.SharedMemory(create=True, size=99)
r = NdShArray({name!r}, r_w="r", transport={transport!r})
same = shared_memory.SharedMemory(block.name)
w.write(np.zeros(5000))
assert r.read()[0]
same.close()
block.close()
block.unlink()
assert r.read()[1].size == 5000
"""
    ended = run_script(code)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert os.listdir(root) == []


# --- living views at close

VIEWS: dict[str, Callable[[Any], Any]] = {
    "array": lambda a: a,
    "slice": lambda a: a[1::2],
    "reshaped": lambda a: a.reshape(10, 10).T,
    "another dtype": lambda a: a.view("u1"),
    "memoryview": lambda a: memoryview(a),
    "cast memoryview": lambda a: memoryview(a).cast("B")[8:],
    "frombuffer": lambda a: np.frombuffer(a, a.dtype)[3:],
    "pickle buffer": lambda a: pickle.PickleBuffer(a),
    "iterator": lambda a: iter(a),
    "flat": lambda a: a.flat,
}


def content(view: Any) -> bytes:
    if isinstance(view, pickle.PickleBuffer):
        view = view.raw()
    if hasattr(view, "__next__") and not isinstance(view, np.flatiter):
        return b"".join(bytes(each) for each in view)
    return bytes(view[:]) if isinstance(view, np.flatiter) else bytes(view)


@pytest.mark.parametrize("kind", VIEWS)
def test_views_of_an_array_in_place_outlive_both_sides(
    name: str, transport: str, root: Path, kind: str
) -> None:
    frame = np.arange(100)
    writer = NdShArray(name, frame, "w", transport=transport)
    reader = NdShArray(name, r_w="r", transport=transport)
    view = VIEWS[kind](reader.read(copy=False)[1])
    reader.close()  # no BufferError
    for value in range(10):
        writer.write(frame + value)
        writer.write(np.arange(1000 + value))
    writer.close()
    other = NdShArray(name, np.full(100, 9), "w", transport=transport)
    other.write(np.full(100, 9))
    assert content(view) == content(VIEWS[kind](frame))
    other.close()
    del view
    assert remains(root, name) == []


def test_views_in_other_threads_outlive_both_sides(name: str, transport: str, root: Path) -> None:
    writer = NdShArray(name, np.arange(100), "w", transport=transport)
    readers = [NdShArray(name, r_w="r", transport=transport) for _ in range(4)]
    began, closed = threading.Barrier(5), threading.Event()
    wrong: list[Any] = []

    def look(array: Any) -> None:
        view = array[1:]
        del array
        began.wait()
        while not closed.is_set():
            if view.tolist() != list(range(1, 100)):
                wrong.append(view.tolist())
        if view.tolist() != list(range(1, 100)):
            wrong.append(view.tolist())

    threads = [
        threading.Thread(target=look, args=(reader.read(copy=False)[1],)) for reader in readers
    ]
    for thread in threads:
        thread.start()
    began.wait()
    for reader in readers:
        reader.close()
        for value in range(10):
            writer.write(np.full(100, value))
    writer.close()
    closed.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    del threads
    assert remains(root, name) == []


@pytest.mark.parametrize("end", ["inside", "after"])
def test_a_loans_array_outlives_the_writer(name: str, transport: str, root: Path, end: str) -> None:
    writer = NdShArray(name, np.arange(3), "w", transport=transport)
    with NdShArray(name, r_w="r", transport=transport) as reader:
        assert reader.read()[0]
        if end == "inside":
            with pytest.raises(ClosedError), writer.loan(5000, "f8") as frame:
                view = frame[1:]
                writer.close()
                frame[:] = 1  # nobody's memory but ours
        else:
            with writer.loan(5000, "f8") as frame:
                frame[:] = 1
                view = frame[1:]
            assert reader.read()[1].size == 5000
            writer.close()
        assert not frame.flags.writeable
        with NdShArray(name, np.full(5000, 2.0), "w", transport=transport) as other:
            view[:] = 3  # still writable, as documented; the memory of no frame any more
            assert (view == 3).all()
            valid, got = reader.read()
            assert valid
            assert (got == 2).all()
            other.write(got)
    del view, frame
    assert remains(root, name) == []


def test_a_read_array_outlives_everything(name: str, transport: str) -> None:
    writer = NdShArray(name, np.arange(50_000), "w", transport=transport)
    reader = NdShArray(name, r_w="r", transport=transport)
    copies = [reader.read()[1]]
    out = np.empty(50_000, copies[0].dtype)
    writer.write(np.arange(50_000))
    reader.read(out=out)
    reader.close()
    writer.close()
    for array in (*copies, out):
        array += 1  # the caller's own
        assert array[-1] == 50_000


# --- threads, with the lock of the interpreter and without it


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="free-threaded Python")
def test_importing_the_library_does_not_bring_the_lock_back(name: str, transport: str) -> None:
    code = f"""
import sys
import numpy as np
from ndsharray import NdShArray
w = NdShArray({name!r}, np.arange(3), "w", transport={transport!r})
r = NdShArray({name!r}, r_w="r", transport={transport!r})
assert r.read(timeout=1)[0]
assert not sys._is_gil_enabled()
"""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHON_GIL"}
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def together(*acts: Callable[[], None]) -> list[BaseException]:
    """Run all at the same time, each in a thread of its own; return what they raised."""
    start = threading.Barrier(len(acts))
    errors: list[BaseException] = []

    def run(act: Callable[[], None]) -> None:
        try:
            start.wait()
            act()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


THREADS = 4


def is_whole(frame: Any) -> bool:
    return bool((frame == frame[0]).all())


@pytest.mark.times(200, 20_000)
def test_one_writer_that_many_threads_write_with(
    name: str, transport: str, root: Path, times: int
) -> None:
    wrong: list[Any] = []
    with NdShArray(name, np.zeros(500), "w", transport=transport) as writer:

        def write(which: int) -> Callable[[], None]:
            def act() -> None:
                for count in range(times):
                    writer.write(np.full(500 + 100 * (count % 20 == which), 10 * count + which))

            return act

        def read() -> None:
            with NdShArray(name, r_w="r", transport=transport) as reader:
                before = 0
                while reader.frame_id < THREADS * times + 1:
                    valid, frame = reader.read(timeout=10)
                    if not valid or not is_whole(frame) or reader.frame_id <= before:
                        wrong.append((valid, reader.frame_id, frame))
                    before = reader.frame_id

        assert together(*[write(which) for which in range(THREADS)], read) == []
        assert writer.frame_id == THREADS * times + 1
    assert wrong == []
    assert remains(root, name) == []


@pytest.mark.times(300, 20_000)
@pytest.mark.parametrize("copy", [True, False], ids=["copy", "in place"])
def test_one_reader_for_each_thread(
    name: str, transport: str, root: Path, times: int, copy: bool
) -> None:
    wrong: list[Any] = []
    with NdShArray(name, np.zeros(5000), "w", transport=transport) as writer:

        def read() -> None:
            with NdShArray(name, r_w="r", transport=transport) as reader:
                last, held = -1, []
                while last < times:
                    valid, frame = reader.read(timeout=20, copy=copy)
                    if not valid or not is_whole(frame) or frame[0] < last:
                        wrong.append((valid, last, frame))
                        return
                    last = int(frame[0])
                    held = [*held[-2:], (last, frame)]
                    if not all((array == value).all() for value, array in held):
                        wrong.append(held)

        def write() -> None:
            for value in range(1, times + 1):
                writer.write(np.full(5000 + value % 3, value))

        assert together(*[read] * THREADS, write) == []
    assert wrong == []
    assert remains(root, name) == []


@pytest.mark.times(300, 20_000)
@pytest.mark.parametrize("copy", [True, False], ids=["copy", "in place"])
def test_one_reader_that_threads_share_tells_them_and_survives(
    name: str, transport: str, root: Path, times: int, copy: bool
) -> None:
    wrong: list[Any] = []
    with NdShArray(name, np.zeros(5000), "w", transport=transport) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:

            def read() -> None:
                for _ in range(times):
                    try:
                        valid, frame = reader.read(copy=copy)
                    except RuntimeError as error:
                        assert "one reader belongs to one thread" in str(error)  # noqa: PT017
                    else:
                        if len(frame) and not is_whole(frame):
                            wrong.append((valid, frame))

            def write() -> None:
                for value in range(times):
                    writer.write(np.full(5000 + value % 3, value))

            assert together(*[read] * THREADS, write) == []
            writer.write(np.full(9, 7))
            assert reader.read()[1].tolist() == [7] * 9
    assert wrong == []
    assert remains(root, name) == []


@pytest.mark.times(20, 2000)
@pytest.mark.parametrize("timeout", [0.0, 30.0], ids=["looking", "waiting"])
def test_a_reader_that_is_closed_while_another_thread_reads(
    name: str, transport: str, root: Path, times: int, timeout: float
) -> None:
    with NdShArray(name, np.zeros(5000), "w", transport=transport) as writer:
        for _ in range(times):
            reader = NdShArray(name, r_w="r", transport=transport)
            reading = threading.Event()
            held: list[Any] = []

            def read(reader: NdShArray = reader, reading: Any = reading, held: Any = held) -> None:
                with pytest.raises(ClosedError):
                    while True:
                        held[:] = [reader.read(timeout=timeout, copy=False)[1]]
                        reading.set()

            def close(reader: NdShArray = reader, reading: Any = reading) -> None:
                reading.wait()
                writer.write(np.full(5000, 1.0))
                reader.close()

            assert together(read, close) == []
            assert is_whole(held[0])
            held.clear()
    assert remains(root, name) == []


@pytest.mark.times(20, 2000)
def test_a_writer_that_is_closed_while_other_threads_write_and_lend(
    name: str, transport: str, root: Path, times: int
) -> None:
    for _ in range(times):
        writer = NdShArray(name, np.zeros(500), "w", transport=transport)
        written = threading.Barrier(3)

        def write(writer: NdShArray = writer, written: Any = written) -> None:
            written.wait()
            with pytest.raises(ClosedError):
                while True:
                    try:
                        writer.write(np.zeros(700))
                    except RuntimeError:
                        pass  # the other one's loan

        def lend(writer: NdShArray = writer, written: Any = written) -> None:
            written.wait()
            with pytest.raises(ClosedError):
                while True:
                    with writer.loan() as frame:
                        frame[:] = 1

        def close(writer: NdShArray = writer, written: Any = written) -> None:
            written.wait()
            writer.close()

        assert together(write, lend, close) == []
        assert remains(root, name) == []


@pytest.mark.times(300, 20_000)
def test_arrays_in_place_that_die_in_other_threads_give_their_pins_back(
    name: str, transport: str, root: Path, times: int
) -> None:
    handed: queue.Queue[Any] = queue.Queue(maxsize=3)
    wrong: list[Any] = []
    with NdShArray(name, np.zeros(3000), "w", transport=transport) as writer:

        def look() -> None:
            while True:
                given = handed.get()
                if given is None:
                    return
                value, array = given
                if not (array == value).all():
                    wrong.append(given)

        def read() -> None:
            with NdShArray(name, r_w="r", transport=transport) as reader:
                for value in range(times):
                    writer.write(np.full(3000, value))
                    array = reader.read(copy=False)[1]
                    handed.put((value, array[value % 50 :]))
            for _ in range(THREADS):
                handed.put(None)

        assert together(*[look] * THREADS, read) == []
        control: Any = writer._writer._holding.control.memory  # type: ignore[union-attr]
        assert control.group(832, 1080).tobytes() == bytes(248)
        assert writer._writer._holding.segment.table.slots <= 3 + 2 * 4  # type: ignore[union-attr]
    assert wrong == []
    assert remains(root, name) == []


@pytest.mark.times(15, 1000)
def test_readers_that_come_and_go_in_many_threads(
    name: str, transport: str, root: Path, times: int
) -> None:
    with NdShArray(name, np.arange(100), "w", transport=transport) as writer:

        def come_and_go() -> None:
            for count in range(times):
                reader = NdShArray(name, r_w="r", transport=transport)
                held = reader.read(copy=False)[1]
                if count % 2:
                    reader.close()
                del reader
                assert held.tolist() == list(range(100))

        def write() -> None:
            for _ in range(10 * times):
                writer.write(np.arange(100))

        assert together(*[come_and_go] * THREADS, write) == []
        assert [entry for entry in remains(root, name) if entry[-3:-2] == "r"] == []
    assert remains(root, name) == []


@pytest.mark.times(10, 500)
def test_writers_that_replace_each_other_in_many_threads(
    name: str, transport: str, root: Path, times: int
) -> None:
    def replace() -> None:
        for count in range(times):
            try:
                with NdShArray(name, np.full(50, count), "w", transport=transport) as writer:
                    writer.write(np.full(60, count))
            except ClosedError:
                pass  # another thread's took the array over, perhaps before the first frame

    assert together(*[replace] * THREADS) == []
    assert remains(root, name) == []


# --- objects that nobody holds but what they gave out


def test_frames_of_a_reader_that_nobody_else_holds(name: str, transport: str, root: Path) -> None:
    with NdShArray(name, np.arange(3), "w", transport=transport):
        frames = NdShArray(name, r_w="r", transport=transport).frames(0)
        assert [frame.tolist() for frame in frames] == [[0, 1, 2]]
        del frames
        assert [entry for entry in remains(root, name) if entry[-3:-2] == "r"] == []


def test_a_loan_of_a_writer_that_nobody_else_holds(name: str, transport: str, root: Path) -> None:
    with NdShArray(name, r_w="r", transport=transport) as reader:
        with NdShArray(name, np.arange(3), "w", transport=transport).loan() as frame:
            frame[:] = 7
            reader.read()
        assert [frame.tolist() for frame in reader.frames(0)] == [[7, 7, 7]]
    assert remains(root, name) == []
