"""Memory that is truncated, foreign, of a future version or scribbled: our errors, or not yet."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ndsharray._registry.cleanup
from ndsharray import FormatError, NdShArray
from ndsharray._protocol import format
from ndsharray._protocol.layout import decode_layout
from ndsharray._protocol.memory import Memory
from ndsharray._registry.names import Address, address_of
from ndsharray.backends import Segment, resolve


@pytest.fixture
def address(name: str, transport: str) -> Iterator[Address]:
    address = address_of(resolve(transport), name)
    yield address
    NdShArray(name, r_w="w", transport=transport).close()  # a writer cleans up whatever it finds


def make(address: Address, size: int = 4096) -> Segment:
    address.transport.create("warm" + address.control_name[:10], 8)  # makes the root
    address.transport.unlink("warm" + address.control_name[:10])
    return address.transport.create(address.control_name, size)


def new_reader(address: Address) -> NdShArray:
    return NdShArray(address.name, r_w="r", transport=address.transport)


def new_writer(address: Address) -> NdShArray:
    return NdShArray(address.name, r_w="w", transport=address.transport)


def control_of(side: NdShArray) -> Memory:
    owner: Any = side
    return owner._writer._holding.control.memory  # type: ignore[no-any-return]


def frames_of(writer: NdShArray) -> Memory:
    return writer._writer._holding.segment._memory  # type: ignore[union-attr]


def assert_a_writer_heals_it(address: Address) -> None:
    with new_writer(address) as writer, new_reader(address) as reader:
        writer.write(np.arange(3))
        assert reader.read()[1].tolist() == [0, 1, 2]


@pytest.mark.parametrize("size", [1, 8, 100, 4095])
def test_a_truncated_control_segment(address: Address, size: int) -> None:
    segment = make(address, size)
    if address.transport.open(address.control_name, writable=False).size > size:
        pytest.skip("this system rounds the sizes of segments up")
    with new_reader(address) as reader:
        assert not reader.is_valid
        with pytest.raises(FormatError, match="size"):
            reader.read()
    segment.close()  # Windows removes nothing that a process maps
    assert_a_writer_heals_it(address)


def test_a_foreign_control_segment(address: Address) -> None:
    segment = make(address)
    segment.buf[:4096] = b"\xff" * 4096
    with new_reader(address) as reader:
        assert reader.read()[0] is False  # not ready
        make_ready(address)
        with pytest.raises(FormatError, match="magic"):
            reader.read()
        assert not reader.is_valid
    assert_a_writer_heals_it(address)


def make_ready(address: Address) -> Memory:
    memory = Memory(address.transport.open(address.control_name, writable=True).buf)
    memory.words[format.READY_WORD] = 1
    return memory


def test_a_control_segment_of_a_future_version_is_left_alone(address: Address) -> None:
    with new_writer(address) as writer:
        writer.write(np.zeros(3))
        words = control_of(writer).words
        words[format.VERSION_WORD] = 2
        with new_reader(address) as reader:
            with pytest.raises(FormatError, match=r"format version: 2 there, .* knows 1"):
                reader.read()
        page = control_of(writer).bytes[: format.CONTROL_SIZE].tobytes()
        writer._writer._holding.lock_file.abandon()  # type: ignore[union-attr]  # as if it had been killed
        writer._writer._holding.begin_end("killed")  # type: ignore[union-attr]
        writer._writer._holding.abandon()  # type: ignore[union-attr]
    with pytest.raises(FormatError, match="format version"):
        new_writer(address)
    ndsharray._registry.cleanup._swept.clear()
    NdShArray(address.name + "2", r_w="w", transport=address.transport).close()  # sweeps
    found = Memory(address.transport.open(address.control_name, writable=True).buf)
    assert found.bytes[: format.CONTROL_SIZE].tobytes() == page  # nothing was touched
    found.words[format.VERSION_WORD] = 1  # so that the fixture can clean up


@pytest.mark.parametrize(
    ("word", "value", "field"),
    [
        (format.NEWEST_WORD, 2**64 - 1, "newest"),
        (format.TABLE_WORDS[1], 0, "segment id"),
        (format.TABLE_WORDS[1], 2**40, "segment id"),
        (format.TABLE_WORDS[1] + 1, 2**60, "number of slots"),
        (format.TABLE_WORDS[1] + 2, 2**50, "frame segment"),
        (format.TABLE_WORDS[1] + 2, 100, "slot stride"),
        (format.TABLE_WORDS[1] + 2, 2**63, "slot stride"),
    ],
)
def test_a_scribbled_table_names_the_field(
    address: Address, word: int, value: int, field: str
) -> None:
    with new_writer(address) as writer:
        writer.write(np.zeros(3))
        before = control_of(writer).words[word]
        control_of(writer).words[word] = value
        with new_reader(address) as reader:
            with pytest.raises(FormatError) as caught:
                reader.read()
            assert caught.value.field == field
            assert not reader.is_valid
            control_of(writer).words[word] = before
            assert reader.read()[0]


def test_a_table_that_changes_under_a_reader_is_checked_again(address: Address) -> None:
    with new_writer(address) as writer, new_reader(address) as reader:
        writer.write(np.zeros(3))
        assert reader.read()[0]
        control_of(writer).words[format.TABLE_WORDS[1] + 1] = 250  # same id, far more slots
        writer.write(np.zeros(3))
        reader._reader._source.cursor.failed = True  # type: ignore[union-attr]  # so the table is read again
        with pytest.raises(FormatError, match="frame segment"):
            reader.read()


@pytest.mark.parametrize(
    ("word", "value", "field"),
    [
        (format.HEADER_WORD, 0, "length of the .npy header"),
        (format.HEADER_WORD, 2**50, "length of the .npy header"),
        (format.PAYLOAD_WORD, 2**63, "payload bytes"),
        (format.PAYLOAD_WORD, 8, ".npy header"),
        (format.RECORD_BYTE // 8, 0, ".npy header"),
        (format.RECORD_BYTE // 8 + 3, 0, ".npy header"),
    ],
)
def test_a_scribbled_slot_names_the_field(
    address: Address, word: int, value: int, field: str
) -> None:
    with new_writer(address) as writer, new_reader(address) as reader:
        writer.write(np.zeros(3))
        slot = writer._writer._holding.segment.table.stride // 8  # type: ignore[union-attr]  # slot 1
        frames_of(writer).words[slot + word] = value
        with pytest.raises(FormatError) as caught:
            reader.read()
        assert caught.value.field == field
        writer.write(np.ones(3))  # goes to another slot
        assert reader.read()[0]


def test_a_frame_whose_seq_lies_is_not_valid(address: Address) -> None:
    with new_writer(address) as writer, new_reader(address) as reader:
        writer.write(np.zeros(3))
        slot = writer._writer._holding.segment.table.stride // 8  # type: ignore[union-attr]
        for seq in (0, 1, 3, 4, 2**63):
            frames_of(writer).words[slot] = seq
            assert reader.read()[0] is False
        frames_of(writer).words[slot] = 2
        assert reader.read()[0]


@pytest.mark.skipif(os.name != "posix", reason="a mapped name cannot be removed on Windows")
def test_a_frame_segment_that_is_missing_or_foreign_is_not_valid(address: Address) -> None:
    with new_writer(address) as writer, new_reader(address) as reader:
        writer.write(np.zeros(3000))  # more than the pages of any system
        table = writer._writer._holding.segment.table  # type: ignore[union-attr]
        name = address.frames(writer._writer._holding.control.instance, table.segment)  # type: ignore
        address.transport.unlink(name)
        assert reader.read()[0] is False
        assert not reader.is_valid
        address.transport.create(name, 100)
        with pytest.raises(FormatError, match="frame segment"):
            reader.read()
        address.transport.unlink(name)
        address.transport.create(name, table.size)
        assert reader.read()[0] is False
        writer.write(np.zeros(50_000))
        assert reader.read()[0]


@pytest.mark.parametrize(
    ("word", "value"),
    [
        (format.NEWEST_WORD, (2**62 << 1) + 1),
        (format.NEWEST_WORD, 2**64 - 1),
        (format.LAST_FRAME_WORD, 2**64 - 1),
        (format.NEXT_WORD, 2**25 - 1),
        (format.NEXT_WORD, 2**64 - 1),
        (format.INSTANCE_WORD, 0),
        (format.STATE_WORD, 77),
        (format.TABLE_WORDS[0], 2**64 - 1),
        (format.TABLE_WORDS[1] + 2, 7),
        (format.NAME_LENGTH_WORD, 10**6),
    ],
)
def test_a_successor_makes_anew_what_is_not_whole(
    address: Address, console: Any, word: int, value: int
) -> None:
    child = console()
    child.run(f"w = NdShArray({address.name!r}, r_w='w', transport={address.transport.name!r})")
    if word != format.LAST_FRAME_WORD:
        child.run("w.write(np.zeros(3))")
    with new_reader(address) as reader:
        child.kill()  # after the reader has begun: else memory ends with its writer on Windows
        memory = make_ready(address)
        left = address.frames(memory.words[format.INSTANCE_WORD], 1)
        memory.words[word] = value
        del memory
        with new_writer(address) as writer:
            writer.write(np.arange(3))
            # On Windows the new one lies in the same memory: the reader sees that by the name only.
            assert reader.read(timeout=10)[1].tolist() == [0, 1, 2]
            writer.write(np.arange(4))
            assert reader.read()[1].tolist() == [0, 1, 2, 3]
    if word == format.INSTANCE_WORD and os.name == "posix":
        address.transport.unlink(left)  # nobody can know this name any more


def test_scribbling_readers_do_not_disturb_the_writer(address: Address) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    with new_writer(address) as writer, new_reader(address) as reader:
        control_bytes = control_of(writer).bytes
        for value in range(3000):
            start, count = chance.choice([(768, 62), (832, 248)])
            control_bytes[start + chance.randrange(count)] = chance.randrange(256)
            writer.write(np.full(20, value))
            valid, found = reader.read()
            assert valid
            assert (found == value).all()
        assert writer._writer._holding.segment.table.slots <= 250  # type: ignore[union-attr]


def test_random_damage_is_never_a_crash_or_a_wrong_frame(address: Address) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    outcomes: dict[str, int] = {"frame": 0, "nothing": 0, "error": 0}
    with new_writer(address) as writer:
        writer.write(np.full(20, 0))
        good_control = bytes(control_of(writer).bytes)
        for value in range(1500):
            writer.write(np.full(20 + value % 3, value))
            frames, control = frames_of(writer), control_of(writer)
            good_frames = bytes(frames.bytes)
            good_control = bytes(control.bytes)
            stride = writer._writer._holding.segment.table.stride  # type: ignore[union-attr]
            for _ in range(chance.randrange(1, 8)):
                if chance.random() < 0.5:
                    control.bytes[chance.randrange(768)] = chance.randrange(256)
                else:
                    at = chance.randrange(len(good_frames))
                    if 8 <= at % stride < 192:  # seq and payload may not lie
                        frames.bytes[at] = chance.randrange(256)
            reader = new_reader(address)
            try:
                valid, found = reader.read()
                if valid and found.dtype == np.int64 and found.ndim == 1:
                    assert (found == found[0]).all()
                outcomes["frame" if valid else "nothing"] += 1
            except FormatError:
                outcomes["error"] += 1
            reader.close()
            control.bytes[:] = good_control
            frames.bytes[:] = good_frames
        with new_reader(address) as reader:
            assert reader.read()[0]
    assert all(outcomes.values()), outcomes


HOSTILE = {
    "additions": "1" + "+1" * 100_000,
    "minus signs": "-" * 100_000 + "1",
    "brackets": "(" * 100_000,
    "many dimensions": "{'descr': '<f4', 'fortran_order': False, 'shape': (%s)}"
    % ("9223372036854775807," * 40_000),
    "empty text": "{'descr': '|S0', 'fortran_order': False, 'shape': (8589934592,)}",
    "empty void": "{'descr': '|V0', 'fortran_order': False, 'shape': (8589934592,)}",
    "subarray": "{'descr': ('<i4', (2,)), 'fortran_order': False, 'shape': (0,)}",
    "objects": "{'descr': '|O', 'fortran_order': False, 'shape': (0,)}",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_header_is_a_format_error(kind: str) -> None:
    text = HOSTILE[kind].encode()
    length = -(-(12 + len(text) + 1) // 64) * 64
    header = (
        b"\x93NUMPY\2\0" + (length - 12).to_bytes(4, "little") + text.ljust(length - 13) + b"\n"
    )
    with pytest.raises(FormatError):
        decode_layout(b"u" * 16, header, 0)


def test_a_header_that_no_reader_would_take_is_not_written(address: Address) -> None:
    with new_writer(address) as writer:
        many = np.dtype([(f"a long enough field name {i}", "i4") for i in range(40_000)])
        with pytest.raises(NotImplementedError, match="bytes cannot be shared"):
            writer.write(np.zeros(1, many))
        deep = np.dtype("i4")
        for _ in range(150):
            deep = np.dtype([("a", deep)])
        with pytest.raises(NotImplementedError, match="shared"):
            writer.write(np.zeros(1, deep))
        writer.write(np.zeros(1))


def test_a_bad_first_array_is_refused_before_anything_is_made(address: Address, root: Path) -> None:
    overlapping = np.dtype({"names": ["a", "b"], "formats": ["i4", "i2"], "offsets": [0, 2]})
    with new_writer(address) as old:
        old.write(np.zeros(3))
        with pytest.raises(NotImplementedError):
            NdShArray(address.name, np.zeros(2, overlapping), "w", transport=address.transport)
        assert not old.closed
    assert os.listdir(root) == []


@pytest.mark.skipif(os.name != "posix", reason="an open file cannot be removed on Windows")
def test_a_cleaner_that_empties_the_root_is_survived(address: Address, root: Path) -> None:
    with new_writer(address) as writer, new_reader(address) as reader:
        writer.write(np.zeros(3))
        assert reader.read()[0]
        for entry in os.listdir(root):
            os.unlink(root / entry)
        writer._writer._holding.due = 0  # type: ignore[union-attr]  # a second has passed
        writer.write(np.ones(3))
        reader._reader._looked = 0  # type: ignore[union-attr]
        assert reader.read()[1].tolist() == [1, 1, 1]
        with new_reader(address) as late:
            assert late.read()[1].tolist() == [1, 1, 1]
