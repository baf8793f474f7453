"""Damaged and foreign recordings: what is whole is read, the rest is counted, nothing breaks."""

from __future__ import annotations

import importlib
import random
import struct
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("mcap")

from mcap.records import Channel
from mcap.writer import CompressionType, Writer
from recordings import BEGIN, add_frames, judged, metadata, read_recording

from ndsharray.tools import cli
from ndsharray.tools.recording import protobuf
from ndsharray.tools.recording.chunk import HEAD
from ndsharray.tools.recording.messages import IMAGE, encode
from ndsharray.tools.recording.output import Output
from ndsharray.tools.recording.resync import next_chunk
from ndsharray.tools.recording.source import Source
from ndsharray.tools.recording.summary import MAGIC, encoded, padding
from ndsharray.tools.recording.writer import FileWriter
from ndsharray.tools.replay.feed import Frame, frames_of

CHUNK = b"\x06"


def unclosed(path: Path, topics: str = "a") -> bytes:
    """Write a file of three chunks of three frames, and leave it as a killed recorder does."""
    file = FileWriter(Output(str(path), False), None, "test")
    add_frames(file, [(topics[n % len(topics)], np.full(40, n)) for n in range(9)])
    data = path.read_bytes()
    file.close()
    path.write_bytes(data)
    return data


def chunks_of(data: bytes) -> list[int]:
    """Return where the chunks begin."""
    found, at = [], 0
    while at < len(data):
        at = next_chunk(lambda start, n: memoryview(data)[start : start + n], at, len(data))
        found.append(at)
        at += 1
    return found[:-1]


def numbers(path: Path) -> tuple[list[int], Source]:
    found, source = read_recording(path)
    return [int(frame.values.array()[0]) for frame in found], source


# Where in a chunk's head, and what: the kind, the length (two ways), the length of the records.
@pytest.mark.parametrize(
    ("offset", "bits"), [(0, 0x50), (1, 0x10), (7, 0x80), (41, 0x01), (17 + 8, 0x40)]
)
def test_a_damaged_head_of_a_chunk_costs_this_chunk_alone(
    offset: int, bits: int, tmp_path: Path
) -> None:
    path = tmp_path / "killed.mcap"
    data = bytearray(unclosed(path))
    at = chunks_of(data)[1] + offset
    data[at] ^= bits
    path.write_bytes(data)
    found, source = numbers(path)
    assert found == [0, 1, 2, 6, 7, 8]
    assert f"at byte {at - offset}" in source.account.notes[0]
    assert source.account.damaged == (3 if offset else 0)  # which is no chunk any more


@pytest.mark.parametrize("offset", [9, 13, 17, 21])  # of the first log time, and of the last one
def test_damaged_times_of_a_chunk_cost_no_frame_and_are_told(offset: int, tmp_path: Path) -> None:
    path = tmp_path / "killed.mcap"
    data = bytearray(unclosed(path))
    at = chunks_of(data)[1]
    data[at + offset] ^= 0x04
    path.write_bytes(data)
    found, source = numbers(path)
    assert sorted(found) == list(range(9))
    assert source.account.damaged == 0
    assert f"damaged times at byte {at}" in source.account.notes[-1]


def test_a_chunk_that_is_cut_has_no_damaged_times(tmp_path: Path) -> None:
    path = tmp_path / "killed.mcap"
    data = unclosed(path)
    path.write_bytes(data[:-200])
    found, source = numbers(path)
    assert 6 < len(found) < 9
    assert not any("times" in note for note in source.account.notes)


def test_damage_between_chunks_costs_no_frame(tmp_path: Path) -> None:
    path = tmp_path / "killed.mcap"
    data = unclosed(path)
    second = chunks_of(data)[1]
    path.write_bytes(data[:second] + bytes(range(100, 250)) * 40_000 + data[second:])
    found, source = numbers(path)
    assert found == list(range(9))
    assert source.account.damaged == 0
    assert not source.account.is_clean()


@pytest.mark.parametrize("bit", range(HEAD.size * 8))
def test_a_damaged_record_between_chunks_costs_no_frame(bit: int, tmp_path: Path) -> None:
    """Nor do the chunks that a damaged length of it reaches over."""
    path = tmp_path / "killed.mcap"
    data = unclosed(path)
    second = chunks_of(data)[1]
    between = bytearray(padding(second, 64))
    between[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data[:second] + between + data[second:])
    found, source = numbers(path)
    assert found == list(range(9))
    assert source.account.damaged == 0


def test_a_damaged_channel_costs_its_frames_alone(tmp_path: Path) -> None:
    path = tmp_path / "killed.mcap"
    data = bytearray(unclosed(path, topics="ab"))
    data[data.index(encoded(Channel(2, "b", "protobuf", {}, 1)))] ^= 0x40  # what kind it is
    path.write_bytes(data)
    found, source = numbers(path)
    assert found == [0, 2, 4, 6, 8]
    assert source.account.damaged == 4
    assert any("of a channel whose record is damaged" in note for note in source.account.notes)


def test_notes_have_a_bound(tmp_path: Path) -> None:
    path = tmp_path / "killed.mcap"
    file = FileWriter(Output(str(path), False), None, "test")
    add_frames(file, [("a", np.full(4, n)) for n in range(300)])
    file.close()
    data = bytearray(path.read_bytes())
    for at in chunks_of(data):
        data[at + 100] ^= 1
    path.write_bytes(data)
    found, source = numbers(path)
    assert (found, source.account.damaged) == ([], 300)
    assert len(source.account.notes) == 21
    assert source.account.notes[-1] == "and more"


def foreign(path: Path, compression: CompressionType, chunking: bool = True) -> bytes:
    """Write a file with the package's writer, with what ours has not."""
    frame = np.arange(200, dtype=np.uint8).reshape(10, 20)
    message = encode("cam", frame, IMAGE, "rgb8", 1, BEGIN, BEGIN)
    data = message.head + bytes(message.payload)
    with path.open("wb") as stream:
        writer = Writer(stream, compression=compression, use_chunking=chunking, chunk_size=400)
        writer.start()
        schema = writer.register_schema(IMAGE, "protobuf", protobuf.IMAGE_SCHEMA)
        channel = writer.register_channel("cam", "protobuf", schema)
        for number in range(8):
            writer.add_message(channel, BEGIN + number, data, BEGIN, number)
        writer.add_attachment(1, 2, "lens.yaml", "text/yaml", b"focus: 1" * 100)
        writer.add_metadata("place", {"room": "7"})
        writer.finish()
    return path.read_bytes()


def damaged(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    at = chance.randrange(8, len(data) - 8)
    how = chance.randrange(4)
    if how == 0:
        return data[:at]
    if how == 1:
        del changed[at : at + chance.randrange(1, 60)]
    elif how == 2:
        length = chance.choice([2**64 - 1, 2**63, 2**32, 0])
        changed[at : at + 8] = struct.pack("<Q", length)
    else:
        for _ in range(chance.choice([1, 3, 20])):
            changed[chance.randrange(8, len(data))] ^= 1 << chance.randrange(8)
    return bytes(changed)


@pytest.mark.parametrize("compression", list(CompressionType))
@pytest.mark.parametrize("chunking", [True, False])
def test_no_damage_to_any_file_ends_in_an_error_or_takes_much_memory(
    compression: CompressionType, chunking: bool, tmp_path: Path
) -> None:
    whole = foreign(tmp_path / "whole.mcap", compression, chunking)
    chance, part = random.Random(7), tmp_path / "part.mcap"
    tracemalloc.start()
    try:
        for _ in range(40):
            part.write_bytes(damaged(whole, chance))
            for frame in _all_of(part):
                values = frame.values.array().reshape(-1)
                assert not chunking or values.tolist() == list(range(200))  # else no checksum
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


def _all_of(path: Path) -> Iterator[Frame]:
    source = Source([str(path)])
    try:
        yield from frames_of(source.frames(), lambda topic, reason: None)
        for file in source.files:
            list(file.attachments(lambda line: None))
    finally:
        source.close()


@pytest.mark.parametrize("size", [100, 1 << 20, 2**62, 2**64 - 1])
@pytest.mark.parametrize("compression", ["lz4.frame", "zstandard"])
def test_a_chunk_that_says_less_or_too_much_is_not_unpacked(
    compression: str, size: int, tmp_path: Path
) -> None:
    packed = importlib.import_module(compression).compress(bytes(1 << 26))
    name = {"lz4.frame": b"lz4", "zstandard": b"zstd"}[compression]
    body = struct.pack("<QQQII", 0, 1, size, 0, len(name)) + name
    body += struct.pack("<Q", len(packed)) + packed
    path = tmp_path / "trap.mcap"
    path.write_bytes(MAGIC + CHUNK + struct.pack("<Q", len(body)) + body)
    tracemalloc.start()
    try:
        found, source = read_recording(path)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
    assert found == []
    assert "bytes" in source.account.notes[-1]


def test_recover_keeps_attachments_and_metadata_of_other_programs(tmp_path: Path) -> None:
    from mcap.reader import make_reader

    path, new = tmp_path / "foreign.mcap", tmp_path / "new.mcap"
    data = foreign(path, CompressionType.ZSTD)
    for part in (data, data[:-100]):  # with its summary, and without
        path.write_bytes(part)
        assert cli.main(["recover", str(path), "-o", str(new), "--force"]) == 0
        assert len(judged(new)["cam"]) == 8
        with new.open("rb") as stream:
            (attachment,) = make_reader(stream).iter_attachments()
        assert (attachment.name, attachment.data) == ("lens.yaml", b"focus: 1" * 100)
        assert (attachment.log_time, attachment.create_time) == (2, 1)
        assert metadata(new, "place") == [{"room": "7"}]


def test_recover_tells_of_a_damaged_attachment(tmp_path: Path, capsys: Any) -> None:
    path, new = tmp_path / "foreign.mcap", tmp_path / "new.mcap"
    path.write_bytes(foreign(path, CompressionType.LZ4).replace(b"focus: 1", b"focus: 2", 1))
    assert cli.main(["recover", str(path), "-o", str(new)]) == 0
    assert "a damaged attachment" in capsys.readouterr().out
    assert len(judged(new)["cam"]) == 8


def test_a_folder_is_recovered_beside_itself(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for number in range(2):
        unclosed(folder / f"run-{number:05}.mcap")
    assert cli.main(["recover", f"{folder}/"]) == 0
    assert len(judged(tmp_path / "run-recovered.mcap")["a"]) == 18
    assert len(list(folder.iterdir())) == 2
