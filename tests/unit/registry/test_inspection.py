"""What `arrays` and `info` say about living, ended and broken arrays; looking changes nothing."""

from __future__ import annotations

import json
import mmap
import os
import pickle
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from console import Console
from inprocess import InProcessTransport
from leftovers import HAS_SHM, SHM

import ndsharray
from ndsharray import ArrayInfo, MmapTransport, NdShArray, NoArrayError, PosixShmTransport
from ndsharray._protocol import format
from ndsharray._protocol.memory import Memory
from ndsharray._registry import heads, inspection
from ndsharray._registry.names import Address, address_of
from ndsharray._system import lockfile
from ndsharray.backends import Segment, Transport, resolve


@pytest.fixture
def address(name: str, transport: str) -> Address:
    return address_of(resolve(transport), name)


@pytest.fixture
def writer(name: str, transport: str) -> Iterator[NdShArray]:
    with NdShArray(name, r_w="w", transport=transport) as writer:
        yield writer


def control_of(writer: NdShArray) -> Memory:
    owner: Any = writer
    return owner._writer._holding.control.memory  # type: ignore[no-any-return]


def frames_of(writer: NdShArray) -> Memory:
    owner: Any = writer
    return owner._writer._holding.segment._memory  # type: ignore[no-any-return]


def taken(transport: str, *sizes: int) -> int:
    """Return what segments of these sizes take: some systems round memory up to whole pages."""
    rounds = transport == "posix_shm" and sys.platform in ("darwin", "win32")
    page = mmap.PAGESIZE if rounds else 1
    return sum(-(-size // page) * page for size in sizes)


def the_one() -> ArrayInfo:
    (found,) = ndsharray.arrays()
    return found


def killed(console: Callable[..., Console], name: str, transport: str, code: str = "") -> None:
    """Have a process write an array, and kill it."""
    child = console()
    child.run(f"w = NdShArray({name!r}, np.zeros((2, 3)), 'w', transport={transport!r})")
    if code:
        child.run(code)
    child.kill()


# --- what is told


def test_nothing_is_there(root: Path, transport: str) -> None:
    assert ndsharray.arrays() == ndsharray.arrays(transport=transport) == []
    root.rmdir()
    assert ndsharray.arrays() == []
    with pytest.raises(NoArrayError, match="no array 'camera'"):
        ndsharray.info("camera")
    assert not root.exists()
    root.mkdir(mode=0o700)


def test_an_array_without_a_frame(writer: NdShArray, transport: str, root: Path) -> None:
    before = time.time_ns()
    found = the_one()
    assert (found.name, found.transport, found.root) == (writer.name, transport, str(root))
    assert (found.state, found.pid, found.problem) == ("live", os.getpid(), None)
    assert found.since_ns is not None
    assert abs(before - found.since_ns) < 60e9
    assert (found.frame_id, found.shape, found.dtype, found.age) == (0, None, None, None)
    assert (found.write_time_ns, found.time_ns) == (None, None)
    assert (found.slots, found.slot_list) == (0, ())
    assert found.nbytes == taken(transport, format.CONTROL_SIZE)


def test_all_that_is_known(writer: NdShArray, transport: str) -> None:
    for number in range(4):
        writer.write(np.full((4, 5), number, ">f4"))
    before = time.time_ns()
    with NdShArray(writer.name, r_w="r", transport=transport) as reader:
        with NdShArray(writer.name, r_w="r", transport=transport) as other:
            frame, again = reader.read(copy=False)[1], other.read(copy=False)[1]
            found = ndsharray.info(writer.name)
            del frame, again
    assert (found.frame_id, found.shape, found.dtype) == (4, (4, 5), np.dtype(">f4"))
    assert (found.slots, found.pinned_slots, found.readers) == (3, 1, 2)
    assert found.nbytes == taken(transport, format.CONTROL_SIZE, len(frames_of(writer).bytes))
    assert found.write_time_ns is not None
    assert found.age is not None
    assert abs(before - found.write_time_ns) < 60e9
    assert abs(found.age - (before - found.write_time_ns) / 1e9) < 60
    assert found.time_ns == found.write_time_ns
    states = {slot.state: slot for slot in found.slot_list}
    assert sorted(slot.state for slot in found.slot_list) == ["newest", "stable", "stable"]
    assert sorted(slot.frame_id for slot in found.slot_list) == [2, 3, 4]
    assert states["newest"] == inspection.SlotInfo(
        states["newest"].index, "newest", 4, found.write_time_ns, found.time_ns, 2
    )
    assert [slot.index for slot in found.slot_list] == [0, 1, 2]
    assert [slot.pins for slot in found.slot_list].count(0) == 2


def test_a_stamp_is_told(writer: NdShArray) -> None:
    writer.write(np.zeros(3), time_ns=1_700_000_000_000_000_000)
    found = the_one()
    assert found.slot_list[1].state == "newest"
    assert found.time_ns == found.slot_list[1].time_ns == 1_700_000_000_000_000_000
    assert found.write_time_ns is not None
    assert found.write_time_ns > found.time_ns


@pytest.mark.parametrize(
    "array",
    [
        np.float32(3.5).reshape(()),
        np.zeros((0, 4), np.int16),
        np.zeros(2, [("id", "<u8"), ("at", [("x", ">f4", (3,)), ("y", "<M8[ns]")])]),
        np.zeros(3, "V7"),
    ],
    ids=["0-d", "empty", "structured", "raw"],
)
def test_any_array_becomes_json(writer: NdShArray, array: Any) -> None:
    writer.write(np.asarray(array))
    found = the_one()
    assert (found.shape, found.dtype) == (array.shape, array.dtype)
    values = json.loads(json.dumps(found.as_dict()))
    assert list(values) == [
        *("name", "transport", "root", "state", "pid", "since_ns", "frame_id", "shape", "dtype"),
        *("write_time_ns", "time_ns", "age", "slots", "pinned_slots", "readers", "nbytes"),
        "problem",
    ]
    descr = values["dtype"]
    if array.dtype.names is not None:
        descr = [("id", "<u8"), ("at", [("x", ">f4", (3,)), ("y", "<M8[ns]")])]
        assert values["dtype"][0] == ["id", "<u8"]
    assert np.dtype(descr) == array.dtype
    assert tuple(values["shape"]) == array.shape


def test_a_user_cannot_rename_fields_for_the_next_look(writer: NdShArray) -> None:
    writer.write(np.zeros(2, [("a", "<u8")]))
    dtype = the_one().dtype
    assert dtype is not None
    dtype.names = ("b",)
    assert the_one().dtype == np.dtype([("a", "<u8")])


def test_a_growing_array_is_told_by_its_new_segment(writer: NdShArray, transport: str) -> None:
    writer.write(np.zeros(3))
    writer.write(np.zeros((1000, 10), np.uint8))
    found = the_one()
    assert (found.frame_id, found.shape) == (2, (1000, 10))
    frames = len(frames_of(writer).bytes)
    assert found.nbytes == taken(transport, format.CONTROL_SIZE, frames) > 30_000
    assert [slot.frame_id for slot in found.slot_list if slot.frame_id] == [2]


@pytest.mark.alternately
def test_a_segment_that_a_killed_writer_was_making_counts(
    console: Callable[..., Console], name: str, transport: str, address: Address
) -> None:
    killed(console, name, transport)
    before = the_one().nbytes
    control = Memory(address.transport.open(address.control_name, writable=True).buf)
    control.words[format.NEXT_WORD] += 1
    instance = control.words[format.INSTANCE_WORD]
    segment = address.frames(instance, control.words[format.NEXT_WORD])
    address.transport.create(segment, 12345)
    assert the_one().nbytes - before >= 12345
    del control
    NdShArray(name, r_w="w", transport=transport).close()


def test_slots_that_hold_no_published_frame(writer: NdShArray) -> None:
    for _ in range(3):
        writer.write(np.zeros(3))
    words, step = frames_of(writer).words, len(frames_of(writer).words) // 3
    with writer.loan((3,), float):
        states = [slot.state for slot in the_one().slot_list]
        assert states == ["newest", "writing", "stable"]
    words[2 * step + format.SEQ_WORD] = 2 * 500  # stable, but above newest
    states = [(slot.state, slot.frame_id) for slot in the_one().slot_list]
    assert states == [("stable", 3), ("newest", 4), ("writing", 0)]
    words[2 * step + format.SEQ_WORD] = 2 * 1  # of another slot
    assert [slot.state for slot in the_one().slot_list] == ["stable", "newest", "writing"]


# --- states


@pytest.mark.usefixtures("lasting_memory")
def test_a_killed_writer(console: Callable[..., Console], name: str, transport: str) -> None:
    killed(console, name, transport)
    found = the_one()
    assert (found.state, found.frame_id, found.shape) == ("killed", 1, (2, 3))
    assert ndsharray.info(name).state == "killed"
    with NdShArray(name, r_w="w", transport=transport):
        again = the_one()
        assert (again.state, again.frame_id, again.pid) == ("live", 1, os.getpid())
    assert ndsharray.arrays() == []


@pytest.mark.alternately
def test_a_killed_reader_is_not_counted_but_its_pin_is(
    console: Callable[..., Console], writer: NdShArray, transport: str
) -> None:
    writer.write(np.zeros(3))
    child = console()
    child.run(f"r = NdShArray({writer.name!r}, r_w='r', transport={transport!r})")
    child.run("f = r.read(copy=False)")
    found = the_one()
    assert (found.readers, found.pinned_slots) == (1, 1)
    child.kill()
    found = the_one()
    assert (found.readers, found.pinned_slots) == (0, 1)


@pytest.mark.skipif(os.name == "nt", reason="its name stays there, as long as it is mapped")
def test_what_readers_keep_of_a_closed_array(name: str, transport: str) -> None:
    writer = NdShArray(name, np.zeros(3), "w", transport=transport)
    with NdShArray(name, r_w="r", transport=transport) as reader:
        reader.read()
        writer.close()
        found = ndsharray.info(name)
        assert (found.state, found.readers, found.name) == ("closed", 1, name)
        # The name itself went with the control segment.
        assert the_one().name == address_of(reader.transport, name).control_name
        assert the_one().nbytes == 0
    assert ndsharray.arrays() == []
    with pytest.raises(NoArrayError):
        ndsharray.info(name)


@pytest.mark.alternately
def test_a_writer_that_was_killed_as_it_closed(
    console: Callable[..., Console], name: str, transport: str, address: Address
) -> None:
    killed(console, name, transport)
    control = Memory(address.transport.open(address.control_name, writable=True).buf)
    control.words[format.STATE_WORD] = format.CLOSED
    assert (the_one().state, the_one().shape) == ("closed", (2, 3))
    del control
    NdShArray(name, r_w="w", transport=transport).close()


def test_a_control_segment_in_the_making(address: Address, transport: str) -> None:
    lock_file = lockfile.acquire(address.writer_lock())
    assert lock_file is not None
    assert ndsharray.arrays() == []
    segment = address.transport.create(address.control_name, format.CONTROL_SIZE)
    assert ndsharray.arrays() == []
    with pytest.raises(NoArrayError):
        ndsharray.info(address.name)
    lock_file.abandon()  # as the kernel does for a process that dies
    assert ndsharray.info(address.name).state == the_one().state == "killed"
    assert "killed while it made" in str(the_one().problem)
    segment.close()
    address.transport.unlink(address.control_name)
    assert the_one().state == "killed"  # its lock file is left
    NdShArray(address.name, r_w="w", transport=transport).close()
    assert ndsharray.arrays() == []


@pytest.mark.alternately
@pytest.mark.skipif(os.name == "nt", reason="no boot id: it compares clocks")
def test_memory_of_another_boot(
    console: Callable[..., Console], name: str, transport: str, address: Address
) -> None:
    killed(console, name, transport)
    control = Memory(address.transport.open(address.control_name, writable=True).buf)
    control.bytes[format.BOOT_BYTE] ^= 1
    found = the_one()
    assert (found.name, found.state, found.shape) == (name, "killed", None)
    assert found.problem == "it was written before the system started"
    del control
    NdShArray(name, r_w="w", transport=transport).close()


DAMAGE = {
    "magic": (format.MAGIC_WORD, 7, "damaged", "magic"),
    "version": (format.VERSION_WORD, 9, "foreign version", "9 there, this library knows 1"),
    "instance": (format.INSTANCE_WORD, 0, "damaged", "instance id"),
    "state": (format.STATE_WORD, 7, "damaged", "state"),
    "newest": (format.NEWEST_WORD, 2**64 - 1, "damaged", "newest"),
    "slots": (format.TABLE_WORDS[1] + 1, 10**6, "damaged", "number of slots"),
    "stride": (format.TABLE_WORDS[1] + 2, 2**40, "damaged", "frame segment"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_array_and_the_others_all_the_same(
    writer: NdShArray, transport: str, what: str
) -> None:
    writer.write(np.zeros(3))
    word, value, state, problem = DAMAGE[what]
    with NdShArray("another", np.arange(3), "w", transport=transport):
        words = control_of(writer).words
        before = words[word]
        words[word] = value
        other, found = ndsharray.arrays()
        assert (found.name, found.state) == (writer.name, state)
        assert problem in str(found.problem)
        assert "\n" not in str(found.problem)
        assert (other.name, other.state, other.problem) == ("another", "live", None)
        assert ndsharray.info(writer.name).state == state
        words[word] = before
        assert [each.state for each in ndsharray.arrays()] == ["live", "live"]


def test_a_header_that_cannot_be_true(writer: NdShArray) -> None:
    writer.write(np.zeros(3))
    frames = frames_of(writer)
    at = len(frames.bytes) // 3 + format.RECORD_BYTE
    frames.bytes[at : at + 6] = b"hello!"
    found = the_one()
    assert (found.state, found.frame_id, found.shape, found.dtype) == ("damaged", 1, None, None)
    assert ".npy header" in str(found.problem)


def test_a_problem_is_one_line_of_bounded_length(writer: NdShArray) -> None:
    text = b"{'descr': '" + b"\\n" * 500 + b"', 'fortran_order': False, 'shape': ()}"
    header = b"\x93NUMPY\1\0" + (1216 - 10).to_bytes(2, "little") + text.ljust(1205) + b"\n"
    writer.write(np.zeros(1000))
    frames = frames_of(writer)
    at = len(frames.bytes) // 3
    frames.words[at // 8 + format.HEADER_WORD] = len(header)
    frames.words[at // 8 + format.PAYLOAD_WORD] = 8
    frames.bytes[at + format.RECORD_BYTE : at + format.RECORD_BYTE + len(header)] = header
    problem = str(the_one().problem)
    assert "\n" not in problem
    assert 250 < len(problem) <= 303


@pytest.mark.parametrize("size", [1, 8, 100, 4095])
def test_a_truncated_control_segment(address: Address, size: int) -> None:
    if taken(address.transport.name, size) != size:
        pytest.skip("this system rounds the sizes of segments up")
    os.makedirs(address.transport.root, exist_ok=True)
    address.transport.create(address.control_name, size)
    lock_file = lockfile.acquire(address.writer_lock())
    assert lock_file is not None
    found = the_one()
    assert (found.name, found.state) == (address.control_name, "damaged")
    assert "a control segment has 4096" in str(found.problem)
    assert ndsharray.info(address.name).name == address.name
    address.transport.unlink(address.control_name)
    lock_file.release()


@pytest.mark.skipif(os.name == "nt", reason="symbolic links of POSIX")
def test_a_segment_that_may_not_be_opened(writer: NdShArray, root: Path, transport: str) -> None:
    if transport == "posix_shm" and not HAS_SHM:
        pytest.skip("looks at Linux' /dev/shm")
    control = address_of(writer.transport, writer.name).control_name
    with NdShArray("another", np.arange(3), "w", transport=transport):
        if transport == "mmap":
            os.link(root / control, root / "link")
        else:
            os.chmod(SHM / control, 0o666)
        found = {each.name: each for each in ndsharray.arrays()}
        assert found["another"].state == "live"
        assert found[control].state == ndsharray.info(writer.name).state == "damaged"
        assert "Errno" in str(found[control].problem)
        if transport == "mmap":
            (root / "link").unlink()
        else:
            os.chmod(SHM / control, 0o600)


def test_a_copy_under_another_name_is_no_array(root: Path) -> None:
    with NdShArray("camera", np.zeros(3), "w", transport="mmap") as writer:
        control = address_of(writer.transport, "camera").control_name
        (root / "nd0123456789abcdef").write_bytes((root / control).read_bytes())
        _, copy = sorted(ndsharray.arrays(), key=lambda each: each.name == "nd0123456789abcdef")
        assert (copy.name, copy.state) == ("nd0123456789abcdef", "damaged")
        assert "'camera' belongs elsewhere" in str(copy.problem)
        (root / "nd0123456789abcdef").unlink()


# --- names and places


NAMES = ["a/b", "..", "line\nbreak", "-rf *", "\x1b[31mred", "Kamera 1/左", "x" * 255, " ", "\x7f"]


def test_names_with_any_characters(transport: str) -> None:
    writers = [NdShArray(each, np.zeros(3), "w", transport=transport) for each in NAMES]
    assert [each.name for each in ndsharray.arrays()] == sorted(NAMES)
    for each in NAMES:
        assert ndsharray.info(each).name == each
    for writer in writers:
        writer.close()


def test_many_arrays_at_once(transport: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"camera {number:02}" for number in range(50)]
    writers = [NdShArray(each, np.zeros(3), "w", transport=transport) for each in names]
    listed, list_directory = [], os.listdir
    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", lambda path: listed.append(path) or list_directory(path))
        found = ndsharray.arrays()
    assert len(listed) < 10  # not once for each array: the time would grow with the square
    assert [each.name for each in found] == names
    assert {each.state for each in found} == {"live"}
    for writer in writers:
        writer.close()
    assert ndsharray.arrays() == []


def test_the_same_name_on_both_transports(name: str) -> None:
    with NdShArray(name, np.zeros(3), "w", transport="mmap"):
        with NdShArray(name, np.zeros(4), "w", transport="posix_shm"):
            assert [each.transport for each in ndsharray.arrays()] == ["mmap", "posix_shm"]
            assert ndsharray.info(name).shape == (4,)  # the younger one
            assert ndsharray.info(name, transport="mmap").shape == (3,)
            assert [each.shape for each in ndsharray.arrays(transport="mmap")] == [(3,)]
        assert ndsharray.info(name).shape == (3,)


def test_another_root(name: str, transport: str, root: Path) -> None:
    there: Transport = {"mmap": MmapTransport, "posix_shm": PosixShmTransport}[transport](
        root / "there"
    )
    with NdShArray(name, np.zeros(3), "w", transport=there):
        assert ndsharray.arrays() == []
        assert ndsharray.info(name, transport=there).root == str(root / "there")
        assert ndsharray.info(name, directory=root / "there").transport == transport
        (found,) = ndsharray.arrays(transport=transport, directory=str(root / "there"))
        assert found.name == name
        assert ndsharray.arrays(transport=there, directory=root / "there")
        with pytest.raises(ValueError, match="does not go with"):
            ndsharray.arrays(transport=there, directory=root)
    (root / "there").rmdir()


def test_a_transport_of_ones_own(name: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = InProcessTransport(root)
    with NdShArray(name, np.zeros(3), "w", transport=own):
        assert [each.transport for each in ndsharray.arrays(transport=own)] == ["in_process"]
        monkeypatch.setattr("inprocess.made", lambda: own, raising=False)
        monkeypatch.setenv("NDSHARRAY_TRANSPORT", "inprocess:made")
        assert ndsharray.info(name).shape == (3,)
        with pytest.raises(ValueError, match="goes with 'mmap', 'posix_shm'"):
            ndsharray.arrays(transport="inprocess:made", directory=root)


def test_transports_that_there_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ndsharray.UnknownTransportError, match="'carrier pigeon'"):
        ndsharray.arrays(transport="carrier pigeon")
    monkeypatch.setenv("NDSHARRAY_TRANSPORT", "carrier_pigeon")
    with pytest.raises(ndsharray.UnknownTransportError, match="'carrier_pigeon'"):
        ndsharray.arrays()


@pytest.mark.parametrize("bad", ["", "\0", "x" * 256])
def test_names_that_no_array_can_have(bad: str) -> None:
    with pytest.raises(ValueError, match="name"):
        ndsharray.info(bad)
    with pytest.raises(TypeError, match="str"):
        ndsharray.info(3)  # type: ignore[arg-type]


def test_a_missing_array_names_those_that_look_alike(transport: str) -> None:
    with NdShArray("Camera", np.zeros(3), "w", transport=transport):
        with NdShArray("imu", np.zeros(3), "w", transport=transport):
            with pytest.raises(NoArrayError) as caught:
                ndsharray.info("camra")
    error = caught.value
    assert (error.name, error.alike) == ("camra", ("Camera",))
    assert str(error) == (
        "no array 'camra'; did you mean 'Camera'? (`ndsharray list` shows what is there)"
    )
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.alike) == (str(error), error.alike)
    assert isinstance(error, LookupError)


# --- roots


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX's")
def test_a_root_that_is_shared_with_a_group(root: Path) -> None:
    os.chmod(root, 0o2770)
    team = MmapTransport(root, mode=0o660)
    with NdShArray("camera", np.zeros(3), "w", transport=team):
        assert [each.name for each in ndsharray.arrays(directory=root)] == ["camera"]
        assert the_one().name == "camera"  # it is named by NDSHARRAY_DIR
        assert ndsharray.info("camera", transport=team).state == "live"
        with pytest.raises(PermissionError, match="others may write there"):
            ndsharray.arrays(transport=MmapTransport(root))
        with pytest.raises(PermissionError, match="others may write there"):
            ndsharray.arrays(transport="posix_shm")
    os.chmod(root, 0o700)


def test_a_root_that_may_not_be_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may everything
    for look in (ndsharray.arrays, lambda: ndsharray.info("camera")):
        with pytest.raises(PermissionError, match="no right to look into it") as caught:
            look()
        assert caught.value.filename == str(root)


def test_a_root_that_is_no_directory(root: Path) -> None:
    (root / "file").touch()
    with pytest.raises(NotADirectoryError):
        ndsharray.arrays(directory=root / "file")
    (root / "file").unlink()


def test_a_relative_root_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NDSHARRAY_DIR", "somewhere")
    with pytest.raises(ValueError, match="not an absolute path"):
        ndsharray.arrays()


# --- looking changes nothing


class Slots(Memory):
    """Memory that tells which of its words and bytes were looked at."""

    loaded: ClassVar[list[int]] = []

    def __init__(self, buf: memoryview) -> None:
        super().__init__(buf)
        assert buf.readonly
        loaded = Slots.loaded

        class Words:
            def __init__(self, words: Any) -> None:
                self.words = words

            def __getitem__(self, index: Any) -> Any:
                if isinstance(index, slice):
                    loaded.extend(range(8 * index.start, 8 * index.stop))
                else:
                    loaded.append(8 * index)
                return self.words[index]

        self.words = Words(self.words)

    def array(self, *_: Any) -> Any:
        raise AssertionError("an array over a payload")

    def group(self, start: int, stop: int) -> Any:
        Slots.loaded.extend(range(start, stop))
        return super().group(start, stop)


def all_there_is(writer: NdShArray, root: Path) -> list[Any]:
    """Return the bytes of an array's memory, and what lies in the root."""
    files = {each.name: each.stat() for each in os.scandir(root)}
    kept = sorted((name, s.st_ino, s.st_mode, s.st_mtime_ns) for name, s in files.items())
    memories = control_of(writer).bytes.tobytes(), frames_of(writer).bytes.tobytes()
    return [*memories, kept, root.stat().st_mtime_ns]


def test_looking_changes_nothing_and_touches_no_payload(
    console: Callable[..., Console],
    writer: NdShArray,
    transport: str,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    child = console()
    child.run(f"r = NdShArray({writer.name!r}, r_w='r', transport={transport!r})")
    for _ in range(4):
        writer.write(np.ones((100, 100)))
    child.run("f = r.read(copy=False)")
    Slots.loaded.clear()
    child.kill()  # its entry and its pin are there to be cleared, but not by us
    with NdShArray(writer.name, r_w="r", transport=transport) as reader:
        frame = reader.read(copy=False)
        opened = list[bool]()
        kind: Any = type(resolve(transport))

        def watched(self: Any, name: str, *, writable: bool, real: Any = kind.open) -> Segment:
            opened.append(writable)
            found: Segment = real(self, name, writable=writable)
            return found

        before = all_there_is(writer, root)
        with monkeypatch.context() as patch:
            patch.setattr(kind, "open", watched)
            patch.setattr(heads, "Memory", Slots)
            if lockfile.sys.platform.startswith("linux"):
                patch.setattr(lockfile, "_lock", None)  # calling it would raise
            (found,) = ndsharray.arrays()
            assert ndsharray.info(writer.name).frame_id == 4
            probe = inspection.Probe(writer.name, resolve(transport))
            assert (probe.state(), len(probe.heads())) == ("live", 3)
            for _ in range(3):
                assert probe.newest() is not None
        assert all_there_is(writer, root) == before
        assert opened
        assert not any(opened)
        assert (found.readers, found.pinned_slots) == (1, 1)
        del frame
    owner: Any = writer
    stride = owner._writer._holding.segment.table.stride
    header = len(owner._writer.layout.header)
    assert Slots.loaded
    assert max(at % stride for at in Slots.loaded) < format.RECORD_BYTE + header
