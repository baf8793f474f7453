"""Recordings as files: every frame comes back to the byte, also from what is not whole."""

from __future__ import annotations

import os
import random
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("mcap")

from recordings import (
    BEGIN,
    SECOND,
    add_frames,
    judged,
    metadata,
    read_recording,
    same,
    some_frames,
    write_recording,
)

from ndsharray.tools import cli
from ndsharray.tools.recording import checksum, protobuf
from ndsharray.tools.recording.chunk import Damaged
from ndsharray.tools.recording.file import NotAFile, RecordingFile
from ndsharray.tools.recording.messages import IMAGE, decode, encode, kind_of
from ndsharray.tools.recording.output import Output
from ndsharray.tools.recording.writer import FileWriter, topic_of


def test_every_frame_comes_back_to_the_byte_with_its_times(tmp_path: Path) -> None:
    frames = [("any", frame) for frame in some_frames()]
    path = tmp_path / "all.mcap"
    write_recording(path, frames)
    found, source = read_recording(path)
    assert source.account.is_clean()
    assert source.account.frames == len(frames)
    for number, (frame, (topic, original)) in enumerate(zip(found, frames), 1):
        assert same(frame.values.array(), original)
        assert (frame.topic, frame.frame_id) == (topic, number)
        assert (frame.log_time, frame.publish_time) == (
            BEGIN + number * SECOND // 100,
            BEGIN + number * SECOND // 100 - 5,
        )
    assert len(judged(path)["any"]) == len(frames)


@pytest.mark.parametrize(
    ("dtype", "shape", "encoding"),
    [
        ("u1", (4, 5), "mono8"),
        ("u1", (4, 5, 1), "mono8"),
        ("u1", (4, 5, 3), "bgr8"),
        ("u1", (4, 5, 4), "bgra8"),
        ("<u2", (4, 5), "mono16"),
        ("<f4", (4, 5), "32FC1"),
    ],
)
def test_other_programs_decode_what_can_be_shown(
    dtype: str, shape: tuple[int, ...], encoding: str, tmp_path: Path
) -> None:
    decoder = pytest.importorskip("mcap_protobuf.decoder")
    from mcap.reader import make_reader

    frame = np.arange(int(np.prod(shape))).astype(dtype).reshape(shape)
    path = tmp_path / "image.mcap"
    file = FileWriter(Output(str(path), False), None, "test")
    message = encode("cam", frame, kind_of(frame.dtype, shape), "bgr8", 1, BEGIN, BEGIN + 7)
    file.add(message, topic_of(message))
    file.close()
    with path.open("rb") as stream:
        reader = make_reader(stream, decoder_factories=[decoder.DecoderFactory()])
        ((schema, _, _, image),) = reader.iter_decoded_messages()
    assert schema.name == "foxglove.RawImage"
    assert (image.height, image.width, image.encoding) == (4, 5, encoding)
    assert image.step * image.height == len(image.data) == frame.nbytes
    assert image.data == frame.tobytes()
    assert image.timestamp.seconds * SECOND + image.timestamp.nanos == BEGIN + 7


@pytest.mark.parametrize(
    ("dtype", "shape"),
    [
        (">u2", (4, 5)),
        ("i1", (4, 5)),
        ("u1", (4,)),
        ("u1", (0, 5)),
        ("f8", (4, 5)),
        ("u1", (2, 3, 2)),
    ],
)
def test_what_cannot_be_shown_is_an_array(dtype: str, shape: tuple[int, ...]) -> None:
    assert kind_of(np.dtype(dtype), shape) == "ndsharray.Array"


def test_a_cut_file_is_read_up_to_its_last_whole_frame(tmp_path: Path) -> None:
    frames = [("a", np.full(40, number)) for number in range(1, 10)]
    path = tmp_path / "whole.mcap"
    write_recording(path, frames)
    data = path.read_bytes()
    ends = _ends_of_frames(path)
    for cut in [*range(8, len(data), 61), *ends, *(end - 1 for end in ends)]:
        part = tmp_path / "cut.mcap"
        part.write_bytes(data[:cut])
        found, source = read_recording(part)
        assert len(found) == sum(end <= cut for end in ends)
        assert all(same(f.values.array(), frames[n][1]) for n, f in enumerate(found))
        assert source.account.is_clean() == _has_ended(data, cut)


def _ends_of_frames(path: Path) -> list[int]:
    """Return where each message ends, by looking for its payload."""
    data, at, ends = path.read_bytes(), 0, []
    for number in range(1, 10):
        payload = np.full(40, number).tobytes()
        at = data.index(payload, at) + len(payload)
        ends.append(at)
    return ends


def _has_ended(data: bytes, cut: int) -> bool:
    """Tell whether the end of the data is in what was left."""
    from mcap.records import DataEnd

    from ndsharray.tools.recording.summary import encoded

    return data.index(encoded(DataEnd(0))) + 9 <= cut


def test_a_changed_byte_costs_its_chunk_and_is_told(tmp_path: Path) -> None:
    frames = [("a", np.full(40, number)) for number in range(1, 10)]
    path = tmp_path / "whole.mcap"
    write_recording(path, frames)
    data = bytearray(path.read_bytes())
    data[_ends_of_frames(path)[4] - 3] ^= 1  # in the second chunk of three frames
    path.write_bytes(data)
    found, source = read_recording(path)
    assert [int(f.values.array()[0]) for f in found] == [1, 2, 3, 7, 8, 9]
    assert source.account.damaged == 3
    assert "damaged chunk" in source.account.notes[0]


def test_no_changed_byte_makes_a_wrong_frame_or_an_error(tmp_path: Path) -> None:
    originals = some_frames()
    path = tmp_path / "whole.mcap"
    write_recording(path, [(str(n), frame) for n, frame in enumerate(originals)])
    data = path.read_bytes()
    chance = random.Random(1)
    part, whole = tmp_path / "changed.mcap", 0
    for _ in range(150):
        changed = bytearray(data)
        changed[chance.randrange(8, len(data))] ^= 1 << chance.randrange(8)
        part.write_bytes(changed)
        source = RecordingFile(str(part))
        try:
            for place in source.chunks:
                for raw in source.messages(place)[0]:
                    frame = decode(raw.schema.name, raw.data).array()  # type: ignore[union-attr]
                    assert any(same(frame, original) for original in originals)
                    whole += 1
        except (Damaged, ValueError, AttributeError):
            pass  # each of them is counted by `Source`
        finally:
            source.close()
    assert whole > 150 * len(originals) // 2


def test_a_topic_that_cannot_be_shown_any_more_stays_exact(tmp_path: Path) -> None:
    frames = [
        ("a", np.zeros((4, 5), np.uint8)),
        ("a", np.ones(3)),
        ("a", np.ones((4, 5), np.uint8)),
    ]
    path = tmp_path / "a.mcap"
    write_recording(path, frames)
    found, _ = read_recording(path)
    assert all(same(f.values.array(), frame) for f, (_, frame) in zip(found, frames))


def test_files_of_other_writers_are_read(tmp_path: Path) -> None:
    """Compressed chunks, with schemas and channels inside, as the package's writer makes them."""
    from mcap.writer import CompressionType, Writer

    for compression in (CompressionType.ZSTD, CompressionType.LZ4, CompressionType.NONE):
        for chunking in (True, False):
            path = tmp_path / f"{compression.name}{chunking}.mcap"
            with path.open("wb") as stream:
                writer = Writer(stream, compression=compression, use_chunking=chunking)
                writer.start()
                schema = writer.register_schema(IMAGE, "protobuf", protobuf.IMAGE_SCHEMA)
                channel = writer.register_channel("cam", "protobuf", schema)
                frame = np.arange(20, dtype=np.uint8).reshape(4, 5)
                message = encode("cam", frame, IMAGE, "rgb8", 1, BEGIN, BEGIN)
                data = message.head + bytes(message.payload)
                for number in range(3):
                    writer.add_message(channel, BEGIN + number, data, BEGIN, number)
                writer.finish()
            found, source = read_recording(path)
            assert [same(f.values.array(), frame) for f in found] == [True] * 3
            assert source.account.is_clean()


def test_a_chunk_is_written_when_it_is_50_ms_old(tmp_path: Path) -> None:
    path = tmp_path / "open.mcap"
    file = FileWriter(Output(str(path), False), None, "test")
    begun = time.monotonic()
    add_frames(file, [("a", np.zeros(3)), ("a", np.ones(3))])
    ended = time.monotonic()
    assert 0 < file.flush_old(begun + 0.049) <= 0.001001 + (ended - begun)
    assert read_recording(path)[0] == []
    file.flush_old(ended + 0.05)
    assert len(read_recording(path)[0]) == 2
    assert file.flush_old(ended) == 0.05
    file.close()
    assert len(judged(path)["a"]) == 2


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.mcap"
    path.write_text("not at all")
    with pytest.raises(NotAFile, match="no MCAP file"):
        RecordingFile(str(path))


def test_varints_that_do_not_end_are_refused() -> None:
    for data in (b"\xff" * 12, b"\x0a", b"\x0a\x05ab", b"\x0f"):
        with pytest.raises(ValueError, match=r"varint|middle|longer|kind"):
            list(protobuf.fields(memoryview(data)))


class SmallDisk:
    """A disk on which writes fail as a whole, and the room that is kept counts as used."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
        self.room, self.kept = room, 0
        real = Output._write_some

        def write_some(file: Output, parts: list[memoryview]) -> None:
            size = sum(map(len, parts))
            if file.size + size + self.kept > self.room:
                raise OSError(28, "No space left on device")
            real(file, parts)

        monkeypatch.setattr(Output, "_write_some", write_some)

    def ensure(self, size: int) -> None:
        self.kept = max(self.kept, size)

    def release(self) -> None:
        self.kept = 0


@pytest.mark.parametrize("keeps", [True, False])
def test_the_room_that_is_kept_is_what_the_end_needs(
    keeps: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.mcap"
    disk = SmallDisk(monkeypatch, 100_000)
    file = FileWriter(Output(str(path), False), disk if keeps else None, "test")  # type: ignore[arg-type]
    count = 0
    with pytest.raises(OSError, match="No space"):
        while True:
            add_frames(file, [("a", np.zeros(10))] * 3)
            count += 3
    if keeps:
        file.close()
        assert len(judged(path)["a"]) == count
    else:
        with pytest.raises(OSError, match="No space"):
            file.close()
        assert len(read_recording(path)[0]) == count


def test_checksums_of_parts_make_that_of_all() -> None:
    chance = random.Random(2)
    for length in (0, 1, 7, 64, 1000, 4096, 300_001):
        first, second = chance.randbytes(33), chance.randbytes(length)
        joined = checksum.combine(zlib.crc32(first), zlib.crc32(second), length)
        assert joined == zlib.crc32(first + second)


def test_large_frames_have_right_checksums(tmp_path: Path) -> None:
    path = tmp_path / "large.mcap"
    frames = [("a", np.full((300, 400, 3), n, np.uint8)) for n in range(4)]
    write_recording(path, frames)
    assert len(judged(path)["a"]) == 4  # which checks them
    assert read_recording(path)[1].account.is_clean()


# --- recover


def test_recover_writes_what_is_whole(tmp_path: Path, capsys: Any) -> None:
    frames = [("a", np.full(40, number)) for number in range(1, 10)]
    path = tmp_path / "killed.mcap"
    file = FileWriter(Output(str(path), False), None, "test")
    file.add_metadata("ndsharray.event", {"event": "killed"})
    add_frames(file, frames)
    data = path.read_bytes()
    path.write_bytes(data[:-200])  # in the middle of the last chunk
    file.close()
    path.write_bytes(data[:-200])
    assert cli.main(["recover", str(path)]) == 0
    recovered = tmp_path / "killed-recovered.mcap"
    assert "8 frames, 1 torn at the end dropped" in capsys.readouterr().out
    assert len(judged(recovered)["a"]) == 8
    assert metadata(recovered, "ndsharray.event") == [{"event": "killed"}]
    assert cli.main(["recover", str(path)]) == 2
    assert "--force" in capsys.readouterr().err
    assert cli.main(["recover", str(path), "-o", str(path), "--force"]) == 2
    assert path.read_bytes() == data[:-200]


def test_recover_without_a_whole_frame_writes_nothing(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "a.mcap"
    write_recording(path, [("a", np.zeros(40))])
    path.write_bytes(path.read_bytes()[:100])
    assert cli.main(["recover", str(path)]) == 1
    path.write_bytes(b"something else")
    assert cli.main(["recover", str(path)]) == 1
    assert cli.main(["recover", str(tmp_path / "none.mcap")]) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.mcap"]


# --- export


def test_export_to_numpy(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "run.mcap"
    point = np.dtype([("x", ">f4"), ("n", "U3")])
    frames = [("cam/1", np.full((2, 3), n, np.uint8)) for n in range(5)]
    frames += [("points", np.zeros(n, point)) for n in range(3)]
    write_recording(path, frames)
    assert cli.main(["export", str(path)]) == 0
    with np.load(tmp_path / "run.npz") as archive:
        assert archive["cam/1"].shape == (5, 2, 3)
        assert archive["cam/1"][:, 0, 0].tolist() == [0, 1, 2, 3, 4]
        assert archive["cam/1.time_ns"][0] == BEGIN + SECOND // 100 - 5
        assert archive["points/000002"].dtype == point
        assert archive["points/000002"].shape == (2,)
    assert cli.main(["export", str(path)]) == 2
    assert cli.main(["export", str(path), "--to", "npy"]) == 2
    assert "changes its shape" in capsys.readouterr().err
    assert cli.main(["export", str(path), "--to", "npy", "--only", "cam*", "--start", "0.02"]) == 0
    assert np.load(tmp_path / "run" / "cam_1.npy")[:, 0, 0].tolist() == [2, 3, 4]
    assert cli.main(["export", str(path), "--only", "nothing"]) == 1


@pytest.mark.skipif(os.name == "nt", reason="scripts of the shell")
def test_export_to_video_needs_ffmpeg_and_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    path = tmp_path / "run.mcap"
    write_recording(path, [("points", np.zeros(3)), ("cam", np.zeros((4, 6, 3), np.uint8))])
    program = tmp_path / "ffmpeg"  # counts the bytes that it gets
    program.write_text('#!/bin/sh\nfor last in "$@"; do :; done\nwc -c > "$last"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert cli.main(["export", str(path), "--to", "mp4", "--only", "cam"]) == 0
    assert int((tmp_path / "run" / "cam.mp4").read_text()) == 4 * 6 * 3
    assert cli.main(["export", str(path), "--to", "mp4"]) == 2
    assert "no pictures" in capsys.readouterr().err
    program.write_text("#!/bin/sh\ncat > /dev/null\necho it does not work >&2\nexit 1\n")
    assert cli.main(["export", str(path), "--to", "mp4", "--only", "cam", "--force"]) == 3
    assert "it does not work" in capsys.readouterr().err
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    monkeypatch.setitem(__import__("sys").modules, "imageio_ffmpeg", None)
    assert cli.main(["export", str(path), "--to", "mp4", "--only", "cam", "--force"]) == 2
    assert "needs ffmpeg" in capsys.readouterr().err
