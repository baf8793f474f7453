"""``read(copy=False)``: frames used where they lie, between processes."""

from __future__ import annotations

import gc
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ndsharray import NdShArray
from ndsharray._protocol.format import ENTRIES, PINS_BYTE, PINS_END
from ndsharray._protocol.reading import ReadSide
from ndsharray._reader.delivery import PINS_FROM


def control(writer: NdShArray) -> Any:
    return writer._writer._holding.control.memory  # type: ignore[union-attr]


def pins(writer: NdShArray) -> int:
    return sum(1 for pin in control(writer).bytes[PINS_BYTE:PINS_END] if pin)


def slots(writer: NdShArray) -> int:
    return int(writer._writer._holding.segment.table.slots)  # type: ignore[union-attr]


def cell_files(root: Path) -> list[str]:
    return [entry for entry in os.listdir(root) if entry[-3:-2] == "r"]


def test_an_array_in_place_is_read_only_and_the_frame(name: str, transport: str) -> None:
    frame = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    with NdShArray(name, frame, "w", transport=transport):
        with NdShArray(name, r_w="r", transport=transport) as reader:
            valid, array = reader.read(copy=False)
            assert valid
            assert (array == frame).all()
            assert (array.dtype, array.shape) == (frame.dtype, frame.shape)
            assert not array.flags.writeable
            with pytest.raises(ValueError, match=r"read-only|WRITEABLE"):
                array[0] = 1
            with pytest.raises(ValueError, match=r"WRITEABLE"):
                array.flags.writeable = True
            again, same = reader.read(copy=False)
            assert not again
            assert same is array


@pytest.mark.parametrize(
    "frame",
    [
        np.array(3.5),
        np.empty((0, 4), np.int16),
        np.arange(6, dtype=">i4"),
        np.zeros(3, [("a", "<f8"), ("b", "S3", (2,))]),
        np.arange(3).astype("datetime64[s]"),
        np.arange(10)[::-3],
        np.array([True, False]),
    ],
    ids=["0-d", "empty", "big endian", "structured", "dates", "strided", "bool"],
)
def test_every_kind_of_array(name: str, transport: str, frame: np.ndarray[Any, Any]) -> None:
    with NdShArray(name, frame, "w", transport=transport) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            array = reader.read(copy=False)[1]
            assert array.dtype == frame.dtype
            assert array.shape == frame.shape
            assert array.tobytes() == np.ascontiguousarray(frame).tobytes()
            assert not array.flags.writeable
            assert pins(writer) == (1 if frame.nbytes else 0)


def test_it_does_not_change_while_any_slice_is_alive(
    name: str, transport: str, console: Any
) -> None:
    child = console()
    child.run(f"w = NdShArray({name!r}, np.full((10, 100), 7), 'w', transport={transport!r})")
    with NdShArray(name, r_w="r", transport=transport) as reader:
        array = reader.read(copy=False)[1]
        part = array[3:5].view("u1")[:, ::2].T
        expected = part.tobytes()
        del array
        child.run("for value in range(30): w.write(np.full((10, 100), value))")
        valid, newest = reader.read(copy=False)  # the reader itself lets go of the first one
        assert valid
        assert (newest == 29).all()
        gc.collect()
        child.run("for value in range(30): w.write(np.full((10, 100), value))")
        assert part.tobytes() == expected
        child.run("w.close()")
        assert part.tobytes() == expected


@pytest.mark.parametrize(
    "keep",
    [
        lambda a: memoryview(a),
        lambda a: np.frombuffer(a, np.uint8),
        lambda a: a.view(np.recarray),
        lambda a: np.broadcast_to(a, (4, *a.shape)),
        lambda a: [a[i : i + 1] for i in range(2)],
        lambda a: np.lib.stride_tricks.as_strided(a, (2, 2), (8, 8)),
        lambda a: iter(a.reshape(-1, 1)),
    ],
    ids=["memoryview", "frombuffer", "subclass", "broadcast", "rows", "strided", "iterator"],
)
def test_whatever_keeps_the_memory_keeps_the_pin(name: str, transport: str, keep: Any) -> None:
    with NdShArray(name, np.arange(4), "w", transport=transport) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            kept = keep(reader.read(copy=False)[1])
            writer.write(np.arange(4))
            reader.read()
            gc.collect()
            assert pins(writer) == 1
            del kept
            gc.collect()
            assert pins(writer) == 0


def test_a_copy_of_it_needs_no_pin(name: str, transport: str) -> None:
    with NdShArray(name, np.arange(4), "w", transport=transport) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            copies = [reader.read(copy=False)[1].copy()]
            copies.append(pickle.loads(pickle.dumps(reader.read()[1])))
            writer.write(np.arange(4) + 1)
            reader.read()
            assert pins(writer) == 0
            for copy in copies:
                assert (copy == np.arange(4)).all()
            assert copies[0].flags.writeable  # pickled by protocol 5 (3.14's), it stays read-only


def test_four_in_place_then_private_copies(name: str, transport: str) -> None:
    with NdShArray(name, r_w="w", transport=transport, slots=10) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            held = []
            for value in range(7):
                writer.write(np.full(3, value))
                valid, array = reader.read(copy=False)
                assert valid
                assert not array.flags.writeable
                held.append(array)
                assert pins(writer) == min(value + 1, 4)
            for value in range(40):
                writer.write(np.full(3, value))
            assert [int(array[0]) for array in held] == list(range(7))
            assert slots(writer) == 10
            del array, held
            reader.read()
            assert pins(writer) == 0


def test_many_readers_and_a_63rd_one(name: str, transport: str) -> None:
    readers, arrays = [], []
    with NdShArray(name, np.arange(5), "w", transport=transport, slots=4) as writer:
        for _ in range(ENTRIES + 2):
            readers.append(NdShArray(name, r_w="r", transport=transport))
            valid, array = readers[-1].read(copy=False)
            assert valid
            arrays.append(array)
        assert pins(writer) == ENTRIES
        for value in range(20):
            writer.write(np.full(5, value))
        for array in arrays:
            assert (array == np.arange(5)).all()
            assert not array.flags.writeable
        out = np.empty(5, int)
        assert readers[-1].read(out=out) == (True, out)
        assert (out == 19).all()
        writer.write(np.full(5, 20))
        assert readers[-1].read(timeout=1)[0]
        del array
        arrays.clear()
        for reader in readers:
            reader.close()


def test_the_writer_passes_pinned_slots_and_grows_when_none_is_free(
    name: str, transport: str
) -> None:
    with NdShArray(name, r_w="w", transport=transport) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            held = []
            for value in range(4):
                writer.write(np.full(3, value))
                held.append(reader.read(copy=False)[1])
            assert slots(writer) > 3
            grown = slots(writer)
            for value in range(100):
                writer.write(np.full(3, value))
            assert slots(writer) == grown
            assert [int(array[0]) for array in held] == [0, 1, 2, 3]


def test_it_outlives_a_closed_reader_and_the_writer(name: str, transport: str, root: Path) -> None:
    writer = NdShArray(name, np.arange(4), "w", transport=transport)
    reader = NdShArray(name, r_w="r", transport=transport)
    array = reader.read(copy=False)[1]
    part = array[1:]
    reader.close()
    del reader
    assert len(cell_files(root)) == 1  # the entry is needed still
    for value in range(20):
        writer.write(np.full(4, value))
    assert (array == np.arange(4)).all()
    with NdShArray(name, r_w="r", transport=transport) as other:  # gets another entry
        other.read(copy=False)
        assert len(cell_files(root)) == 2
    del array
    writer.close()
    assert (part == np.arange(1, 4)).all()
    assert len(cell_files(root)) == 1
    del part
    assert cell_files(root) == []


def test_a_collected_reader_gives_its_entry_back_with_the_last_array(
    name: str, transport: str, root: Path
) -> None:
    with NdShArray(name, np.arange(4), "w", transport=transport, slots=8) as writer:
        reader = NdShArray(name, r_w="r", transport=transport)
        arrays = [reader.read(copy=False)[1]]
        writer.write(np.arange(4) + 1)
        arrays.append(reader.read(copy=False)[1])
        del reader
        gc.collect()
        assert (pins(writer), len(cell_files(root))) == (2, 1)
        del arrays[0]
        assert (pins(writer), len(cell_files(root))) == (1, 1)
        for value in range(30):
            writer.write(np.full(4, value))
        assert (arrays[0] == np.arange(4) + 1).all()
        arrays.clear()
        assert (pins(writer), len(cell_files(root))) == (0, 0)


def test_a_cycle_of_reader_and_array_is_collected(name: str, transport: str, root: Path) -> None:
    class Holder:
        pass

    with NdShArray(name, np.arange(4), "w", transport=transport) as writer:
        holder: Any = Holder()
        holder.me = holder
        holder.reader = NdShArray(name, r_w="r", transport=transport)
        holder.array = holder.reader.read(copy=False)[1]
        del holder
        gc.collect()
        assert (pins(writer), cell_files(root)) == (0, [])


def test_arrays_alive_at_exit_leave_nothing(
    name: str, transport: str, root: Path, console: Any
) -> None:
    with NdShArray(name, np.arange(4), "w", transport=transport) as writer:
        child = console()
        child.run(f"r = NdShArray({name!r}, r_w='r', transport={transport!r})")
        child.run("array = r.read(copy=False)[1]")
        child.run(f"closed = NdShArray({name!r}, r_w='r', transport={transport!r})")
        child.run("other = closed.read(copy=False)[1]; closed.close()")
        assert len(cell_files(root)) == 2
        assert child.end() == 0
        assert child.errors == ""
        assert cell_files(root) == []
        assert pins(writer) == 0


def test_a_handler_at_exit_can_still_use_an_array(
    name: str, transport: str, root: Path, console: Any
) -> None:
    with NdShArray(name, np.arange(4), "w", transport=transport):
        child = console()
        child.run(f"r = NdShArray({name!r}, r_w='r', transport={transport!r})")
        child.run("array = r.read(copy=False)[1]")
        child.run("import atexit, os")
        child.run(f"entries = lambda: [f[-3:-2] for f in os.listdir({str(root)!r})].count('r')")
        child.run("atexit.register(lambda: sys.stderr.write(f'{array.tolist()} {entries()}'))")
        assert child.end() == 0
        assert child.errors == "[0, 1, 2, 3] 1"


def test_the_old_array_stays_through_a_restart_of_the_writer(
    name: str, transport: str, console: Any
) -> None:
    with NdShArray(name, r_w="r", transport=transport) as reader:
        held = []
        for life in range(5):
            child = console()
            child.run(f"w = NdShArray({name!r}, np.full(9, {life}), 'w', transport={transport!r})")
            valid, array = reader.read(timeout=10, copy=False)
            assert valid
            held.append(array)
            child.run("for value in range(50, 60): w.write(np.full(9, value))")
            child.kill() if life % 2 else child.end()
        assert [int(array[0]) for array in held] == [0, 1, 2, 3, 4]
        del held[:], array
        NdShArray(name, r_w="w", transport=transport).close()


@pytest.mark.parametrize("into", [False, True])
@pytest.mark.parametrize(("nbytes", "is_pinned"), [(PINS_FROM - 1, False), (PINS_FROM, True)])
def test_a_small_frame_is_copied_as_that_costs_less_than_a_pin(
    name: str,
    transport: str,
    nbytes: int,
    is_pinned: bool,
    into: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The array is read-only, and nothing changes it; whatever its slot held before."""
    frame, out = np.zeros(nbytes, np.uint8), np.empty(nbytes, np.uint8)
    pinned: list[int] = []
    real = ReadSide.pin

    def pin(self: ReadSide, entry: int, which: int, index: int) -> None:
        pinned.append(index)
        real(self, entry, which, index)

    with NdShArray(name, frame, "w", transport=transport, slots=8) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            for _ in range(8):
                writer.write(frame[:3])
                reader.read()
            monkeypatch.setattr(ReadSide, "pin", pin)
            held = []
            for value in range(3):
                frame[:] = value
                writer.write(frame)
                held.append(reader.read(out=out)[1].copy() if into else reader.read(copy=False)[1])
            assert len(pinned) == 3 * is_pinned
            for _ in range(9):
                writer.write(frame)
            assert [(int(array[0]), int(array[-1])) for array in held] == [(0, 0), (1, 1), (2, 2)]
            assert into or not any(array.flags.writeable for array in held)
            held.clear()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_does_not_disturb_its_parents_pins(name: str, transport: str) -> None:
    with NdShArray(name, np.arange(4000), "w", transport=transport, slots=8) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            array = reader.read(copy=False)[1]
            child = os.fork()
            if child == 0:
                os._exit(in_child(reader, name, transport))
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            assert pins(writer) == 1
            for value in range(30):
                writer.write(np.full(4000, value))
            assert (array == np.arange(4000)).all()


def in_child(reader: NdShArray, name: str, transport: str) -> int:
    """Let all go that was inherited, read anew; return 0 if the parent's pin stands alone."""
    control_bytes = reader._reader._source.cursor.instance.memory.bytes  # type: ignore[union-attr]

    def pins() -> int:
        return sum(1 for pin in control_bytes[PINS_BYTE:PINS_END] if pin)

    if pins() != 1:
        return 1
    with NdShArray(name, r_w="r", transport=transport) as fresh:
        mine = fresh.read(copy=False)[1]
        if pins() != 2:
            return 2
        del mine
    if pins() != 1:
        return 3
    reader._reader._source.cursor.position = 0  # type: ignore
    if not reader.read(copy=False)[0] or pins() != 2:  # with an entry of the child's own
        return 4
    reader.close()
    del reader
    gc.collect()
    return 0 if pins() == 1 else 5


HOLD = """
import sys
import numpy as np
from ndsharray import NdShArray
reader = NdShArray(sys.argv[1], r_w="r", transport=sys.argv[2])
held = []
for line in sys.stdin:
    held.append(reader.read(timeout=20, copy=False)[1])
    print(len(held), flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="SIGKILL")
@pytest.mark.timeout(240)
@pytest.mark.alternately
def test_killed_readers_give_their_slots_back(name: str, transport: str, root: Path) -> None:
    rng = random.Random(4)
    with NdShArray(name, np.zeros(1000), "w", transport=transport, slots=8) as writer:
        for kill in range(25):  # on each transport: 50 in all
            child = subprocess.Popen(
                [sys.executable, "-c", HOLD, name, transport],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            assert child.stdin is not None
            assert child.stdout is not None
            for count in range(rng.randint(1, 4)):
                writer.write(np.full(1000, kill))
                child.stdin.write("\n")
                child.stdin.flush()
                assert child.stdout.readline() == f"{count + 1}\n"
            assert pins(writer) >= 1
            child.kill()
            child.communicate()
            assert slots(writer) == 8  # four pins, newest, and others are free
            writer._writer._holding.due = -(10**12)  # type: ignore[union-attr]  # a second passes
            writer.write(np.full(1000, kill))
            writer._writer._holding.due = -(10**12)  # type: ignore[union-attr]  # and another
            writer.write(np.full(1000, kill))
            assert pins(writer) == 0
            assert cell_files(root) == []


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="SIGKILL")
def test_a_writer_without_a_free_slot_clears_the_dead_before_it_grows(
    name: str, transport: str, console: Any
) -> None:
    with NdShArray(name, np.zeros(9), "w", transport=transport, slots=6) as writer:
        child = console()
        child.run(f"r = NdShArray({name!r}, r_w='r', transport={transport!r}); held = []")
        for value in range(4):
            writer.write(np.full(9, value))
            child.run("held.append(r.read(copy=False)[1])")
        control(writer).bytes[PINS_END - 1] = 1  # another one that died, with what was free
        control(writer).bytes[PINS_END - 2] = 2
        child.kill()
        for value in range(50):
            writer.write(np.full(9, value))
        assert (slots(writer), pins(writer)) == (6, 0)


def test_threads_that_release_arrays_at_the_same_time(name: str, transport: str) -> None:
    """Arrays of one reader die in other threads while it goes on pinning."""
    with NdShArray(name, np.zeros(PINS_FROM // 8), "w", transport=transport, slots=12) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            boxes: list[list[Any]] = [[] for _ in range(3)]
            stop = threading.Event()

            def release(box: list[Any]) -> None:
                while not stop.is_set() or box:
                    try:
                        value, array = box.pop()
                    except IndexError:
                        os.sched_yield() if hasattr(os, "sched_yield") else None
                        continue
                    if not (array == value).all():
                        wrong.append(value)
                    del array

            wrong: list[int] = []
            in_place = 0  # the others come while four arrays are alive
            threads = [threading.Thread(target=release, args=(box,)) for box in boxes]
            for thread in threads:
                thread.start()
            end = time.monotonic() + 1.5
            value = 0
            while time.monotonic() < end or in_place <= 50:
                value += 1
                writer.write(np.full(PINS_FROM // 8, value, float))
                valid, array = reader.read(copy=False)
                assert valid
                in_place += not array.flags.owndata
                boxes[value % 3].append((value, array))
                del array
            stop.set()
            for thread in threads:
                thread.join()
            assert wrong == []
            writer.write(np.zeros(PINS_FROM // 8))
            reader.read()
            assert pins(writer) == 0
            assert slots(writer) == 12
