"""Frames of every kind, recordings of them, and a judge: the reader of the ``mcap`` package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mcap.reader import make_reader
from mcap.stream_reader import StreamReader

from ndsharray.tools.recording.messages import encode, kind_of
from ndsharray.tools.recording.output import Output
from ndsharray.tools.recording.source import Source
from ndsharray.tools.recording.writer import FileWriter, topic_of
from ndsharray.tools.replay.feed import Frame, frames_of

SECOND = 10**9
BEGIN = 1_700_000_000 * SECOND


def some_frames() -> list[np.ndarray[Any, Any]]:
    """Return frames of all dtypes that can be shared, in shapes of all sorts."""
    codes = "? b B h H i I l L q Q e f d g F D G".split()
    frames = [np.arange(6).reshape(2, 3).astype(code) for code in codes]
    frames += [
        np.arange(4).astype(np.dtype(code).newbyteorder(">")) for code in "h i q f d D".split()
    ]
    frames += [
        np.array(2.5),
        np.array(7, ">i4"),
        np.zeros((0, 4), np.float32),
        np.zeros((3, 0), "u1"),
    ]
    frames += [np.array(["2024-02-03T04:05:06.789", "NaT"], "M8[ms]"), np.array([1, -1], ">m8[us]")]
    point = np.dtype([("x", "<f4"), ("größe", ">i2", (2,)), ("text", "U5"), ("raw", "S3")])
    points = np.zeros(3, point)
    points["text"], points["raw"], points["x"] = ["a", "ß€", ""], b"\0x", np.nan
    frames += [points, np.array([b"12", b"\0\0"], "V2"), np.full((1,) * 9, 3, np.int8)]
    frames += [np.array([np.nan, -0.0, np.inf]).view("<f8"), np.zeros((4, 5, 3), np.uint8)]
    return frames


def same(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> bool:
    """Tell whether two frames are the same to the byte."""
    layout = (one.dtype, one.dtype.descr, one.shape)
    return (
        layout == (other.dtype, other.dtype.descr, other.shape) and one.tobytes() == other.tobytes()
    )


def write_recording(path: Path, frames: list[tuple[str, np.ndarray[Any, Any]]]) -> None:
    """Write frames, 10 ms from each other, in chunks of a few."""
    file = FileWriter(Output(str(path), False), None, "test")
    add_frames(file, frames)
    file.close()


def add_frames(file: FileWriter, frames: list[tuple[str, np.ndarray[Any, Any]]]) -> None:
    for number, (topic, frame) in enumerate(frames, 1):
        at = BEGIN + number * SECOND // 100
        schema = kind_of(frame.dtype, frame.shape)
        message = encode(topic, frame, schema, "rgb8", number, at, at - 5)
        file.add(message, topic_of(message))
        if number % 3 == 0:
            file.flush()


def read_recording(path: Path | str) -> tuple[list[Frame], Source]:
    """Return all frames of a file or a folder, and the source, which is closed."""
    source = Source([str(path)])
    skipped: list[str] = []
    found = list(frames_of(source.frames(), lambda topic, reason: skipped.append(reason)))
    source.close()
    assert skipped == []
    return found, source


def judged(path: Path | str) -> dict[str, list[Any]]:
    """Return what the package's reader finds: messages by topic. The file must be whole."""
    found: dict[str, list[Any]] = {}
    with open(path, "rb") as stream:
        assert list(StreamReader(stream, validate_crcs=True).records)  # from beginning to end
        stream.seek(0)
        reader = make_reader(stream, validate_crcs=True)
        summary = reader.get_summary()
        assert summary is not None
        assert summary.statistics is not None
        for _, channel, message in reader.iter_messages():
            found.setdefault(channel.topic, []).append(message)
    assert summary.statistics.message_count == sum(map(len, found.values()))
    return found


def metadata(path: Path | str, name: str) -> list[dict[str, str]]:
    """Return the metadata records whose name begins so, by the package's reader."""
    with open(path, "rb") as stream:
        records = make_reader(stream).iter_metadata()
        return [record.metadata for record in records if record.name.startswith(name)]
