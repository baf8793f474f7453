"""End to end, on both transports: what users see."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from console import Failed
from hypothesis import HealthCheck, given, settings
from hypothesis.extra import numpy as hnp

import ndsharray
from ndsharray import AccessError, ClosedError, NdShArray, WriterExistsError, supported_types
from ndsharray._protocol.format import NEWEST_WORD
from ndsharray._reader.instance import _LAYOUTS

Sides = tuple[NdShArray, NdShArray]


@pytest.fixture
def sides(name: str, transport: str) -> Any:
    with NdShArray(name, r_w="w", transport=transport) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            yield writer, reader


def assert_same(found: np.ndarray[Any, Any], array: np.ndarray[Any, Any]) -> None:
    assert type(found) is np.ndarray
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    if array.dtype.names is None:
        assert found.tobytes() == array.tobytes()
    else:  # what lies between fields is nobody's
        assert (found == array).all()
    assert found.flags.writeable
    assert found.flags.c_contiguous


def give_and_take(sides: Sides, array: np.ndarray[Any, Any]) -> None:
    writer, reader = sides
    writer.write(array)
    valid, found = reader.read()
    assert valid
    assert_same(found, array)
    assert reader.ndarray_mmap_name == writer.ndarray_mmap_name
    again, same = reader.read()
    assert not again
    assert same is found


@pytest.mark.parametrize("dtype", supported_types)
def test_every_supported_type(sides: Sides, dtype: Any) -> None:
    rng = np.random.default_rng(5)
    for shape in [(72, 128), (4,) * 6, (3, 5, 7), (300, 400)]:
        give_and_take(sides, (rng.random(shape) * 255).astype(dtype))


@pytest.mark.parametrize(
    "array",
    [
        np.array(5),
        np.array(2.5 + 1j),
        np.empty((0,)),
        np.empty((3, 0, 2), np.int16),
        np.arange(100)[::7],
        np.arange(100)[::-1],
        np.arange(24).reshape(2, 3, 4).T,
        np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        np.broadcast_to(np.arange(4), (3, 4)),
        np.arange(6, dtype=">i4"),
        np.arange(6, dtype="<f8").astype(">f8"),
        np.array(["2026-01-01", "NaT"], "M8[D]"),
        np.array([1, 2], "m8[ms]"),
        np.zeros((1,) * 32),
        np.zeros(3, [("a", "i4"), ("b", "f8", (2,)), ("c", [("d", "S3"), ("e", "?")])]),
        np.zeros(3, np.dtype([("a", "i1"), ("b", "f8")], align=True)),
        np.array([b"\0\xff", b"ab"], "V2"),
        np.array([True, False]),
        np.zeros((200, 300, 3), np.uint8)[10:190:3, ::-2, 1],
        np.zeros((200, 3000), np.float64).T,
    ],
    ids=lambda array: f"{array.dtype}{array.shape}"[:40],
)
def test_every_kind_of_array(sides: Sides, array: Any) -> None:
    array = array.copy(order="K") if array.flags.owndata else array
    array.flags.writeable = False
    give_and_take(sides, array)
    give_and_take(sides, array)


def test_as_many_dimensions_as_numpy_has(sides: Sides) -> None:
    most = 64 if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else 32
    give_and_take(sides, np.full((1,) * most, 7))


def test_subclasses_are_stored_as_plain_arrays(sides: Sides, tmp_path: Path) -> None:
    writer, reader = sides

    class Sub(np.ndarray[Any, Any]):
        pass

    writer.write(np.arange(6).reshape(2, 3).view(Sub))
    assert_same(reader.read()[1], np.arange(6).reshape(2, 3))
    mapped = np.memmap(tmp_path / "file", np.float32, "w+", shape=(5,))
    mapped[:] = 3
    writer.write(mapped)
    assert_same(reader.read()[1], np.full(5, 3, np.float32))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(hnp.arrays(hnp.scalar_dtypes(), hnp.array_shapes(min_dims=0, min_side=0, max_dims=5)))
def test_any_array(sides: Sides, array: Any) -> None:
    give_and_take(sides, array)


def test_the_callers_array_stays_the_callers(sides: Sides) -> None:
    writer, reader = sides
    mine = np.zeros(5)
    writer.write(mine)
    mine[:] = 1
    _, first = reader.read()
    assert (first == 0).all()
    first[:] = 9  # writable, and nobody else's
    writer.write(mine)
    _, second = reader.read()
    assert (first == 9).all()
    assert (second == 1).all()


def test_frames_that_are_held_never_change(sides: Sides) -> None:
    writer, reader = sides
    held = []
    for value in range(12):  # large enough for recycled buffers
        writer.write(np.full((300, 300), value, np.uint8))
        held.append(reader.read()[1][value:])
    for value, frame in enumerate(held):
        assert (frame == value).all()


def test_a_write_from_one_process_is_read_in_another(
    name: str, transport: str, console: Any
) -> None:
    child = console()
    child.run(f"w = NdShArray({name!r}, r_w='w', transport={transport!r})")
    with NdShArray(name, r_w="r", transport=transport) as reader:
        for i in range(20):
            child.run(f"w.write(np.full(({i}, 2 + {i} % 3), {i}, '{'u2' if i % 2 else 'f8'}'))")
            valid, found = reader.read()
            assert valid
            assert found.shape == (i, 2 + i % 3)
            assert (found == i).all()
            assert child.run("w.ndarray_mmap_name") == reader.ndarray_mmap_name


# --- properties


def test_the_properties(sides: Sides, name: str, transport: str) -> None:
    writer, reader = sides
    assert (writer.name, writer.access) == (name, "w")
    assert (reader.name, reader.access) == (name, "r")
    assert writer.transport.name == reader.transport.name == transport
    assert writer.is_valid
    assert not reader.is_valid  # no frame yet
    assert not writer.closed
    assert not reader.closed
    assert reader.read_time_ms == writer.read_time_ms == 0.0
    writer.write(np.zeros(3))
    assert reader.is_valid
    assert reader.read()[0]
    assert 0 < reader.read_time_ms < 60_000
    before = reader.read_time_ms
    reader.read()
    assert reader.read_time_ms == before
    assert ndsharray.__version__ == "2.0.0"


def test_the_mmap_name_changes_with_the_layout_and_only_then(sides: Sides) -> None:
    writer, reader = sides
    names = []
    swapped = np.dtype("f4").newbyteorder()
    for array in [
        np.zeros(6),
        np.ones(6),
        np.zeros((2, 3)),
        np.ones((2, 3)),
        np.zeros((2, 3), np.float32),
        np.zeros((2, 3), swapped),
        np.zeros((2, 3, 1), swapped),
        np.zeros(6),
    ]:
        writer.write(array)
        names.append(writer.ndarray_mmap_name)
        reader.read()
        assert reader.ndarray_mmap_name == names[-1]
    assert names[0] == names[1]
    assert names[2] == names[3]
    assert len(set(names)) == 5
    assert names[7] == names[0]  # a layout that comes back is the same
    for each in names:
        start, _, digits = each.rpartition("_")
        assert start == writer.name
        assert len(digits) == 32
        int(digits, 16)


def test_supported_types_in_order() -> None:
    order = (
        "int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 float128 "
        "complex64 complex128 complex256 bool"
    ).split()
    there = [bool if each == "bool" else getattr(np, each, None) for each in order]
    assert type(supported_types) is list
    assert supported_types == [kind for kind in there if kind is not None]
    assert np.dtype(np.uint8) in supported_types  # as the original's own check did


def test_repr_tells_the_state(sides: Sides, name: str, transport: str, root: Path) -> None:
    writer, reader = sides
    writer.write(np.zeros(3))
    where = f"on {transport} in {root}"
    assert repr(writer) == f"<NdShArray {name!r} writer {where}, open, frame 1>"
    assert repr(reader) == f"<NdShArray {name!r} reader {where}, open, writer live, frame 0>"
    writer.close()
    assert "open, writer closed, frame 0" in repr(reader)
    reader.close()
    assert repr(reader).endswith("closed, frame 0>")


# --- before, between and after frames


def test_before_any_frame_read_returns_the_constructors_array(name: str, transport: str) -> None:
    mine = np.arange(3)
    with NdShArray(name, mine, "r", transport=transport) as reader:
        assert reader.read() == (False, mine)
        assert reader.read()[1] is mine
        assert not reader.is_valid
        with NdShArray(name, r_w="w", transport=transport):
            assert reader.read()[0] is False  # a writer without an array publishes nothing
            assert reader.read()[1] is mine
    with NdShArray(name, r_w="R", transport=transport) as reader:
        valid, empty = reader.read()
        assert (valid, empty.shape, empty.dtype) == (False, (0,), np.uint8)


def test_a_reader_gets_the_newest_frame_once(sides: Sides) -> None:
    writer, reader = sides
    for value in range(100):
        writer.write(np.array(value))
    assert reader.read() == (True, np.array(99))
    assert reader.read() == (False, np.array(99))


def test_a_reader_keeps_its_last_frame_after_the_writer_is_gone(name: str, transport: str) -> None:
    writer = NdShArray(name, np.arange(3), "w", transport=transport)
    reader = NdShArray(name, r_w="r", transport=transport)
    unread = NdShArray(name, r_w="r", transport=transport)
    assert reader.read()[0]
    writer.write(np.arange(3) + 5)
    writer.close()
    assert unread.is_valid  # attached while it lived: the final frame is still there
    assert unread.read()[1].tolist() == [5, 6, 7]
    assert reader.read()[1].tolist() == [5, 6, 7]
    valid, last = reader.read()
    assert not valid
    assert last.tolist() == [5, 6, 7]
    assert reader.is_valid
    late = NdShArray(name, r_w="r", transport=transport)
    gone = os.name != "nt"  # Windows removes nothing that a reader maps
    assert late.is_valid != gone
    assert late.read()[0] != gone
    for each in (reader, unread, late):
        each.close()


def test_many_readers(name: str, transport: str) -> None:
    with NdShArray(name, np.arange(5), "w", transport=transport) as writer:
        readers = [NdShArray(name, r_w="r", transport=transport) for _ in range(70)]  # 62 entries
        for value in range(3):
            for reader in readers:
                valid, found = reader.read()
                assert valid
                assert (found == np.arange(5) + value).all()
            writer.write(np.arange(5) + value + 1)
        for reader in readers:
            reader.close()


# --- roles and misuse


def test_roles(sides: Sides) -> None:
    writer, reader = sides
    with pytest.raises(AccessError, match=r"read\(\) on a writer"):
        writer.read()
    with pytest.raises(AccessError, match=r"write\(\) on a reader"):
        reader.write(np.zeros(3))


def test_use_after_close(sides: Sides) -> None:
    writer, reader = sides
    writer.write(np.zeros(3))
    for side in (writer, reader):
        side.close()
        side.close()
        assert side.closed
        assert not side.is_valid
        assert side.name
        assert side.ndarray_mmap_name
    with pytest.raises(ClosedError, match="closed"):
        writer.write(np.zeros(3))
    with pytest.raises(ClosedError, match="closed"):
        reader.read()


@pytest.mark.parametrize("r_w", [None, "", "x", "rw", 5, b"w"])
def test_a_bad_role(name: str, r_w: Any, root: Path) -> None:
    with pytest.raises(ValueError, match="r_w"):
        NdShArray(name, r_w=r_w)
    assert os.listdir(root) == []


def test_roles_in_either_case(name: str) -> None:
    with NdShArray(name, r_w="W") as writer, NdShArray(name, r_w="R") as reader:
        assert (writer.access, reader.access) == ("w", "r")


@pytest.mark.parametrize("slots", [0, 1, -3, 251, 10**9])
def test_slots_out_of_range(name: str, slots: int, root: Path) -> None:
    for r_w in "rw":
        with pytest.raises(ValueError, match="2 to 250"):
            NdShArray(name, r_w=r_w, slots=slots)
    assert os.listdir(root) == []


@pytest.mark.parametrize("slots", ["3", 3.0, None, True])
def test_slots_of_another_type(name: str, slots: Any) -> None:
    with pytest.raises(TypeError, match="slots"):
        NdShArray(name, r_w="w", slots=slots)


@pytest.mark.parametrize("slots", [2, 3, 250])
def test_any_number_of_slots(name: str, transport: str, slots: int) -> None:
    with NdShArray(name, r_w="w", transport=transport, slots=slots) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            for value in range(3 * slots):
                writer.write(np.full(7, value))
                assert (reader.read()[1] == value).all()


@pytest.mark.parametrize("bad", [[1, 2], 5, None, b"x", memoryview(b"x"), np.float64(3)])
def test_what_is_no_array(sides: Sides, name: str, bad: Any) -> None:
    with pytest.raises(TypeError, match="ndarray"):
        sides[0].write(bad)
    with pytest.raises(TypeError, match="ndarray"):
        NdShArray(name + "2", bad, "w")


def test_masked_arrays_are_refused(sides: Sides) -> None:
    with pytest.raises(TypeError, match="mask"):
        sides[0].write(np.ma.masked_array([1, 2], [True, False]))


UNSUPPORTED = [
    np.array([object()]),
    np.array(["text"]),
    np.array([b"bytes"]),
    np.zeros(2, [("a", "O")]),
    np.zeros(2, [("a", [("b", "O", (2,))])]),
    np.zeros(2, {"names": ["a", "b"], "formats": ["i4", "i2"], "offsets": [0, 2]}),
]


@pytest.mark.parametrize("array", UNSUPPORTED, ids=lambda array: str(array.dtype)[:30])
def test_dtypes_that_cannot_be_shared(sides: Sides, name: str, array: Any, root: Path) -> None:
    writer, reader = sides
    writer.write(np.arange(3))
    with pytest.raises(NotImplementedError, match="shared"):
        writer.write(array)
    with pytest.raises(NotImplementedError, match="shared"):
        NdShArray(name + "2", array, "w", transport=writer.transport)
    writer.write(np.arange(3) + 1)  # it goes on
    assert reader.read()[1].tolist() == [1, 2, 3]


def test_the_error_lists_the_supported_dtypes(sides: Sides) -> None:
    with pytest.raises(NotImplementedError) as caught:
        sides[0].write(np.array(["text"]))
    for kind in ("int8", "uint64", "float16", "complex128", "bool", "datetime64", "structured"):
        assert kind in str(caught.value)


def test_user_defined_dtypes_are_refused(sides: Sides) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    for array in (
        np.zeros(3, ml_dtypes.bfloat16),
        np.zeros(3, [("a", ml_dtypes.bfloat16)]),
    ):
        with pytest.raises(NotImplementedError, match="shared"):
            sides[0].write(array)


# --- one writer


def test_a_second_writer_in_another_process_is_refused(
    name: str, transport: str, console: Any
) -> None:
    child = console()
    child.run(f"w = NdShArray({name!r}, np.arange(3), 'w', transport={transport!r})")
    with pytest.raises(WriterExistsError) as caught:
        NdShArray(name, np.zeros(5), "w", transport=transport)
    assert (caught.value.name, caught.value.pid) == (name, child.process.pid)
    child.run("w.write(np.arange(3) + 1)")
    with NdShArray(name, r_w="r", transport=transport) as reader:
        assert reader.read()[1].tolist() == [1, 2, 3]
    child.run("w.close()")
    with NdShArray(name, np.zeros(5), "w", transport=transport):
        with pytest.raises(Failed) as failed:
            child.run(f"NdShArray({name!r}, r_w='w', transport={transport!r})")
        assert failed.value.args[0] == "WriterExistsError"


def test_inside_one_process_the_newest_writer_takes_over(
    name: str, transport: str, console: Any
) -> None:
    reader = NdShArray(name, r_w="r", transport=transport)
    old = NdShArray(name, np.array(1), "w", transport=transport)
    assert reader.read() == (True, np.array(1))
    new = NdShArray(name, r_w="w", transport=transport)
    assert old.closed
    assert not old.is_valid
    with pytest.raises(ClosedError, match="newer writer"):
        old.write(np.array(2))
    with NdShArray(name, r_w="r", transport=transport) as late:
        assert late.read() == (True, np.array(1))  # until the new one publishes
    new.write(np.array(3))
    assert reader.read() == (True, np.array(3))
    old.close()  # touches nothing
    del old
    gc.collect()
    child = console()
    with pytest.raises(Failed, match="WriterExistsError"):
        child.run(f"NdShArray({name!r}, r_w='w', transport={transport!r})")
    new.write(np.array(4))
    assert reader.read() == (True, np.array(4))
    new.close()
    reader.close()


def test_a_rerun_notebook_cell(name: str, transport: str) -> None:
    reader = NdShArray(name, r_w="r", transport=transport)
    for run in range(10):
        writer = NdShArray(name, np.array(run), "w", transport=transport)
        assert reader.read() == (True, np.array(run))
        assert not writer.closed
    writer.close()
    reader.close()


def test_a_removed_lock_file_is_made_again(name: str, transport: str, root: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("an open file cannot be removed there")
    with NdShArray(name, np.zeros(3), "w", transport=transport) as writer:
        (lock_file,) = root.glob("*-w")
        lock_file.unlink()
        writer._writer._holding.due = 0  # type: ignore[union-attr]  # a second has passed
        writer.write(np.ones(3))
        assert lock_file.exists()


def test_a_writer_whose_lock_file_was_given_away_finds_out(
    name: str, transport: str, root: Path, console: Any
) -> None:
    if sys.platform == "win32":
        pytest.skip("an open file cannot be removed there")
    writer = NdShArray(name, np.zeros(3), "w", transport=transport)
    (lock_file,) = root.glob("*-w")
    lock_file.unlink()
    child = console()
    child.run(f"w = NdShArray({name!r}, np.arange(3), 'w', transport={transport!r})")
    writer._writer._holding.due = 0  # type: ignore[union-attr]  # a second has passed
    with pytest.raises(WriterExistsError):
        writer.write(np.ones(3))
    assert writer.closed
    writer.close()
    child.run("w.write(np.arange(3) + 7)")
    with NdShArray(name, r_w="r", transport=transport) as reader:
        assert reader.read()[1].tolist() == [7, 8, 9]


# --- threads, signals, pickles


def test_several_threads_may_write(sides: Sides) -> None:
    writer, reader = sides
    errors: list[BaseException] = []

    def write(value: int) -> None:
        try:
            for i in range(300):
                writer.write(np.full(50 + i % 3, value))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        valid, found = reader.read()
        assert not valid or len(set(found.tolist())) == 1
    for thread in threads:
        thread.join()
    assert errors == []
    reader.read()
    assert reader._reader.last.frame_id == 1200  # type: ignore[union-attr]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="POSIX signals")
def test_a_signal_handler_that_writes_raises_and_does_not_deadlock(sides: Sides) -> None:
    writer, reader = sides
    outcomes: set[str] = set()

    def handler(*_: object) -> None:
        try:
            writer.write(np.zeros(3))
            outcomes.add("wrote")
        except RuntimeError:
            outcomes.add("refused")

    old = signal.signal(signal.SIGALRM, handler)
    big = np.zeros((720, 1280), np.uint8)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        while "refused" not in outcomes:
            writer.write(big)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    writer.write(np.arange(3))
    assert reader.read()[1].tolist() == [0, 1, 2]


INTERRUPTS = """
import gc, os, signal, sys
import numpy as np
from ndsharray import NdShArray

class Interrupt(Exception):
    pass

def handler(*_):
    raise Interrupt

name, transport = sys.argv[1:]
writer = NdShArray(name, r_w="w", transport=transport)
reader = NdShArray(name, r_w="r", transport=transport)
signal.signal(signal.SIGALRM, handler)
interrupts = value = 0

def run():
    global value
    while interrupts < 4000:
        value += 1
        # 5 to 300 us: a write and a read take 30 to 200, and a longer timer would never strike
        signal.setitimer(signal.ITIMER_REAL, 0.000005 * (1 + value % 60))
        writer.write(np.full(30_000 + value % 5 * 20_000, value % 250, np.uint8))
        valid, found = reader.read()
        assert not valid or (found == found[0]).all()
        signal.setitimer(signal.ITIMER_REAL, 0)

while interrupts < 4000:
    try:
        run()
    except Interrupt:  # the timer strikes once, so none comes before the next run
        interrupts += 1
for value in range(5):
    writer.write(np.full(10, value))
    assert (reader.read()[1] == value).all()
writer.close()
reader.close()
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="POSIX signals")
def test_signals_that_raise_leave_both_sides_usable(name: str, transport: str) -> None:
    # in a process of its own: test tools do not survive exceptions between any two lines
    command = [sys.executable, "-c", INTERRUPTS, name, transport]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    # the standard library's own finalizers may be hit as well, which Python reports and ignores
    assert ended.returncode == 0, ended.stderr


def test_more_layouts_than_a_reader_remembers(sides: Sides) -> None:
    writer, reader = sides
    writer.write(np.zeros(1000))  # no other segment later: what it held is forgotten with it
    assert reader.read()[0]
    shapes = [(length,) for length in range(_LAYOUTS + 3)]
    for shape in shapes + shapes[:3]:
        writer.write(np.full(shape, shape[0]))
        valid, frame = reader.read()
        assert (valid, frame.shape) == (True, shape)
        assert (frame == shape[0]).all()
    core: Any = reader._reader
    assert len(core._source.cursor.instance._layouts) <= _LAYOUTS


def test_a_reader_can_be_pickled(sides: Sides) -> None:
    writer, reader = sides
    writer.write(np.arange(3))
    again = pickle.loads(pickle.dumps(reader))
    assert (again.name, again.access) == (reader.name, "r")
    assert again.transport.name == reader.transport.name
    assert again.transport.root == reader.transport.root
    assert again.read()[1].tolist() == [0, 1, 2]
    again.close()
    with pytest.raises(TypeError, match="writer"):
        pickle.dumps(writer)


# --- frames that readers of one transport find in memory of the other kind of numbers


def test_frame_numbers_go_on_through_a_take_over(name: str, transport: str, console: Any) -> None:
    reader = NdShArray(name, r_w="r", transport=transport)
    child = console()
    child.run(f"w = NdShArray({name!r}, r_w='w', transport={transport!r})")
    child.run("[w.write(np.arange(3)) for _ in range(7)][:0]")
    assert reader.read()[0]
    assert reader._reader.last.frame_id == 7  # type: ignore[union-attr]
    child.kill()
    with NdShArray(name, np.arange(4), "w", transport=transport):
        assert reader.read()[0]
        assert reader._reader.last.frame_id == 8  # type: ignore[union-attr]
        word = reader._reader._source.cursor.side.newest()  # type: ignore[union-attr]
        assert word >> 1 == 7 + 2**16 + 1
        assert reader._reader._source.cursor.instance.memory.words[NEWEST_WORD] == word  # type: ignore[union-attr]
    reader.close()
