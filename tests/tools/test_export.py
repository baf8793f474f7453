"""Exports of recordings whose arrays have names that are none of files, or many arrays."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("mcap")

from recordings import write_recording

from ndsharray.tools import cli
from ndsharray.tools.export import video
from ndsharray.tools.export.takes import Takes, file_names
from ndsharray.tools.recording.source import Source

NAMES = ["cam/1", "cam_1", "CAM 1", "a", "a.time_ns", "..", "\n", "x" * 300, "a.time_ns.time_ns"]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "run.mcap"
    frames = [(name, np.full(3, value)) for value, name in enumerate(NAMES)]
    write_recording(path, frames + frames)
    return path


def test_no_array_takes_the_file_of_another_one(recording: Path, tmp_path: Path) -> None:
    for force in ([], ["--force"]):
        command = ["export", str(recording), "--to", "npy", "-o", str(tmp_path / "all"), *force]
        assert cli.main(command) == 0
    found = os.listdir(tmp_path / "all")
    assert len({name.casefold() for name in found}) == len(found) == 2 * len(NAMES)
    for value, (name, file) in enumerate(file_names(NAMES).items()):
        assert np.load(tmp_path / "all" / f"{file}.npy").tolist() == [[value] * 3] * 2, name
        assert np.load(tmp_path / "all" / f"{file}.time_ns.npy").shape == (2,)


def test_no_file_is_a_device_of_windows() -> None:
    names = ["aux", "Con.1", "lpt1", "auxiliary", "com"]
    assert list(file_names(names).values()) == ["_aux", "_Con.1", "_lpt1", "auxiliary", "com"]


def test_no_array_takes_the_member_of_another_one(recording: Path, tmp_path: Path) -> None:
    assert cli.main(["export", str(recording)]) == 0
    with np.load(tmp_path / "run.npz") as archive:
        assert len(set(archive.files)) == len(archive.files) == 3 * len(NAMES)
        values = [archive[name][0, 0] for name in archive.files if archive[name].ndim == 2]
    assert sorted(values) == list(range(len(NAMES)))


def test_a_failure_leaves_no_file(recording: Path, tmp_path: Path) -> None:
    folder = tmp_path / "all"
    folder.mkdir()
    last = folder / f"{file_names(NAMES)[NAMES[-1]]}.npy"
    last.write_text("mine")
    assert cli.main(["export", str(recording), "--to", "npy", "-o", str(folder)]) == 2
    assert [entry.name for entry in folder.iterdir()] == [last.name]
    assert last.read_text() == "mine"


def test_a_file_that_cannot_be_replaced_stays(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str, *_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied", path)

    (tmp_path / "run.npz").write_text("mine")
    monkeypatch.setattr(zipfile, "ZipFile", refuse)
    assert cli.main(["export", str(recording), "--force"]) == 1
    assert (tmp_path / "run.npz").read_text() == "mine"


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Have an item for each time that a recording is read."""
    found: list[int] = []
    real = Source.frames

    def frames(*arguments: Any) -> Any:
        found.append(1)
        return real(*arguments)

    monkeypatch.setattr(Source, "frames", frames)
    return found


def test_a_recording_is_read_twice_however_many_arrays_it_has(
    recording: Path, tmp_path: Path, passes: list[int]
) -> None:
    assert cli.main(["export", str(recording), "--to", "npy", "-o", str(tmp_path / "all")]) == 0
    assert len(passes) == 2


@pytest.fixture
def ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a program in place of ffmpeg, whose videos are the frames themselves."""
    if os.name == "nt":
        pytest.skip("a script of the shell")
    program = tmp_path / "bin" / "ffmpeg"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nfor last in "$@"; do :; done\nexec cat > "$last"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return program


def cameras(path: Path, count: int) -> None:
    some = [(f"cam{n}", np.full((8, 8), n, np.uint8)) for n in range(count)]
    write_recording(path, some * 3)


def test_four_videos_are_encoded_in_one_pass(
    tmp_path: Path, passes: list[int], ffmpeg: Path
) -> None:
    cameras(tmp_path / "run.mcap", 6)
    assert cli.main(["export", str(tmp_path / "run.mcap"), "--to", "mp4"]) == 0
    assert len(passes) == 1 + 2
    for number in range(6):
        assert (tmp_path / "run" / f"cam{number}.mp4").read_bytes() == bytes([number]) * 64 * 3


def test_a_video_that_fails_leaves_what_was_there(
    tmp_path: Path, ffmpeg: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cameras(tmp_path / "run.mcap", 2)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "cam1.mp4").write_text("before")
    # It says more than a pipe holds while nobody reads it, and fails for one of the two.
    fails = 'head -c 200000 /dev/zero | tr "\\0" "x" >&2\necho >&2\necho no luck >&2\n'
    text = ffmpeg.read_text().replace("exec cat", f"{fails}cat")
    ffmpeg.write_text(f'{text}case "$last" in *cam1*) exit 1;; esac\n')
    assert cli.main(["export", str(tmp_path / "run.mcap"), "--to", "mp4", "--force"]) == 3
    assert capsys.readouterr().err == "ndsharray: ffmpeg: no luck\n"
    assert (tmp_path / "run" / "cam1.mp4").read_text() == "before"
    assert not list((tmp_path / "run").glob("*.part"))


@pytest.mark.parametrize("fps", ["0", "-1", "nan", "soon"])
def test_frames_a_second_are_a_number_above_0(
    fps: str, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["export", str(recording), "--to", "mp4", "--fps", fps]) == 2
    err = capsys.readouterr().err
    assert err.endswith(f"argument --fps: '{fps}' is no number above 0\n")


def test_a_recording_that_is_not_there_is_said_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "no.mcap")
    assert cli.main(["export", path]) == 1
    assert capsys.readouterr().err == f"ndsharray: {path}: No such file or directory\n"
    assert cli.main(["export", str(tmp_path)]) == 1
    assert "no recording" in capsys.readouterr().err


@pytest.mark.parametrize("json_lines", [[], ["--json"]])
def test_what_is_lost_of_a_cut_recording_is_said_beside_the_output(
    recording: Path, tmp_path: Path, json_lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    data = recording.read_bytes()
    recording.write_bytes(data[: data.index(np.full(3, 3).tobytes()) + 9])  # inside a frame
    assert cli.main(["export", str(recording), "--to", "npz", *json_lines]) == 3
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1
    assert json_lines == [] or json.loads(out)["path"] == str(tmp_path / "run.npz")
    assert err.startswith(f"ndsharray: '{recording}': ")


def test_npz_gets_its_suffix_and_a_folder_is_no_file(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "sub"
    assert cli.main(["export", str(recording), "-o", str(folder)]) == 0
    assert not folder.exists()
    with np.load(tmp_path / "sub.npz") as archive:
        assert "a" in archive.files
    folder.mkdir()
    assert cli.main(["export", str(recording), "-o", str(folder), "--force"]) == 2
    assert f"'{folder}' is a folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "channels", "pixels"),
    [
        ([], 3, "rgb24"),
        (["--encoding", "bgr8"], 3, "bgr24"),
        (["--encoding", "bgr8"], 4, "bgra"),
        (["--encoding", "bgr8"], 1, "gray"),
    ],
)
def test_the_user_says_what_the_channels_of_a_video_are(
    options: list[str],
    channels: int,
    pixels: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(video, "_ffmpeg", lambda: "ffmpeg")
    monkeypatch.setattr(
        video, "_encode", lambda takes, encoders: commands.extend(e._command for e in encoders)
    )
    path = tmp_path / "run.mcap"
    write_recording(path, [("cam", np.zeros((4, 6, channels), np.uint8))])
    assert cli.main(["export", str(path), "--to", "mp4", *options]) == 0
    (command,) = commands
    assert command[command.index("-pix_fmt") + 1] == pixels


@pytest.mark.parametrize("shape", [(1, 1), (3, 5, 1), (7, 1, 3), (1, 301, 4)])
def test_videos_of_odd_shapes(shape: tuple[int, ...], tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    write_recording(path, [("cam", np.full(shape, n * 20, np.uint8)) for n in range(5)])
    with Takes([str(path)], 0.0, None, []) as takes:
        assert takes.layouts["cam"] == {(np.dtype("u1"), shape): 5}
    if not (shutil.which("ffmpeg") and shutil.which("ffprobe")):
        pytest.skip("no ffmpeg here")
    assert cli.main(["export", str(path), "--to", "mp4"]) == 0
    probe = ["ffprobe", "-v", "error", "-count_frames", "-show_entries"]
    probe += ["stream=nb_read_frames,width,height", "-of", "csv=p=0"]
    made = tmp_path / "run" / "cam.mp4"
    out = subprocess.run([*probe, made], capture_output=True, text=True, check=True).stdout
    height, width = (length + length % 2 for length in shape[:2])
    assert out.strip() == f"{width},{height},5"
