"""Recording at its limits: options that cannot be, a disk with little room, snapshots."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from patience import until

pytest.importorskip("mcap")

from recordings import judged, metadata, read_recording

from ndsharray import NdShArray
from ndsharray.tools import cli
from ndsharray.tools.record import Recorder, command, files
from ndsharray.tools.record import recorder as recorder_module
from ndsharray.tools.recording import keyboard
from ndsharray.tools.recording.output import Output
from ndsharray.tools.recording.progress import Progress

TIMEOUT = 60


def frames_of(recorder: Recorder) -> int:
    return recorder.statistics().frames


@pytest.mark.parametrize("option", [{"max_memory": 0}, {"max_memory": -5}, {"frames": 0}])
def test_limits_with_which_nothing_could_be_recorded_are_refused(
    option: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=next(iter(option))):
        Recorder(["a"], tmp_path / "run.mcap", **option)
    assert list(tmp_path.iterdir()) == []


def test_no_seconds_are_no_seconds(tmp_path: Path) -> None:
    with NdShArray("a", np.zeros(3), "w"):
        done: list[int] = []
        arguments = ["record", "a", "-o", str(tmp_path / "run.mcap"), "--duration", "0"]
        thread = threading.Thread(target=lambda: done.append(cli.main(arguments)), daemon=True)
        thread.start()
        thread.join(TIMEOUT)
    assert done == [0]


def test_what_is_excluded_is_not_recorded_if_it_is_named(tmp_path: Path) -> None:
    with NdShArray("a", np.zeros(3), "w"), NdShArray("b", np.zeros(3), "w"):
        with Recorder(["a", "b"], tmp_path / "run.mcap", exclude=["a"], frames=1) as recorder:
            assert recorder.wait(TIMEOUT)
    assert judged(tmp_path / "run.mcap").keys() == {"b"}


@pytest.mark.filterwarnings("ignore:array 'a' is not on transport")
def test_a_named_array_may_come_on_any_transport(tmp_path: Path) -> None:
    with Recorder(["a"], tmp_path / "run.mcap", frames=1) as recorder:
        with NdShArray("a", np.zeros(3), "w", transport="posix_shm"):
            assert recorder.wait(TIMEOUT)
        assert [each.name for each in recorder.statistics().arrays] == ["a"]
    assert len(judged(tmp_path / "run.mcap")["a"]) == 1


def test_force_leaves_what_others_put_into_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("precious.mcap", "run-00007.mcap"):
        (folder / name).write_text("before")
    with NdShArray("a", np.zeros(3), "w"):
        with Recorder(["a"], folder, split_size=10_000, force=True, frames=1) as recorder:
            assert recorder.wait(TIMEOUT)
    assert sorted(os.listdir(folder)) == ["precious.mcap", "run-00000.mcap"]
    assert (folder / "precious.mcap").read_text() == "before"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a device of Linux")
def test_a_device_is_written_and_stays(tmp_path: Path, capsys: Any) -> None:
    full = tmp_path / "full"
    os.symlink("/dev/full", full)
    with NdShArray("a", np.zeros(3), "w"):
        assert cli.main(["record", "a", "-o", str(full)]) == 3
        assert "the disk is full" in capsys.readouterr().err
        assert full.is_symlink()
        assert full.is_char_device()
        path = tmp_path / "run.mcap"
        assert cli.main(["record", "a", "-o", str(path), "--frames", "1"]) == 0
        assert cli.main(["recover", str(path), "-o", str(full), "--force"]) == 1
        assert full.is_symlink()


def test_a_disk_that_is_full_already_keeps_no_empty_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_some(self: Output, parts: list[memoryview]) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Output, "_write_some", write_some)
    with pytest.raises(files.Limit, match="full"):
        Recorder(["a"], tmp_path / "run.mcap")
    assert list(tmp_path.iterdir()) == []


def test_several_files_need_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match="no folder"):
        Recorder(["a"], path, split_size=1000, force=True)
    assert path.read_text() == "precious"


def test_what_min_free_keeps_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, least, begin = tmp_path / "run.mcap", 500_000, 1_000_000
    monkeypatch.setattr(files, "_free", lambda folder: begin - os.path.getsize(path))
    with NdShArray("a", np.zeros(1000), "w", slots=200) as writer:
        with Recorder(["a"], path, min_free=least) as recorder:
            for number in range(1, 150):
                writer.write(np.full(1000, number, float))
            assert recorder.wait(TIMEOUT)
    assert isinstance(recorder.error, files.Limit)
    assert begin - least - 20_000 < os.path.getsize(path) < begin - least + 10_000  # its end


def test_a_snapshot_tells_of_its_own_losses_and_writers(tmp_path: Path) -> None:
    with Recorder(["a"], tmp_path / "s.mcap", snapshot=60, max_memory=80_000) as recorder:
        intake = next(iter(recorder._intakes.values()))
        writer = NdShArray("a", np.zeros(1000), "w", slots=3)
        until(lambda: frames_of(recorder) == 1, "a frame")
        recorder._budget.take(100_000)  # as if another snapshot were written
        for number in range(20):
            writer.write(np.full(1000, number, float))
        recorder._budget.release(100_000)
        until(lambda: intake._last_id == 21, "the last frame")
        first = recorder.snapshot()
        for count in range(frames_of(recorder) + 1, frames_of(recorder) + 9):
            writer.write(np.full(1000, count, float))
            until(lambda n=count: frames_of(recorder) == n, f"{count} frames")  # type: ignore[misc]
        writer.close()
        until(lambda: intake._state == "closed", "the writer is seen as closed")
        second = recorder.snapshot()
    ids = [frame.frame_id for frame in read_recording(first)[0]]
    (account,) = metadata(first, "ndsharray.array")
    assert int(account["lost"]) == ids[-1] - ids[0] + 1 - len(ids) > 10
    (account,) = metadata(second, "ndsharray.array")
    assert account["lost"] == "0"
    assert [event["event"] for event in metadata(second, "ndsharray.event")] == ["closed"]


def test_a_snapshot_on_a_full_disk_is_told_and_the_next_one_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    real, full = Output._write_some, [True]

    def write_some(self: Output, parts: list[memoryview]) -> None:
        if full[0] and sum(map(len, parts)) > 4000:
            raise OSError(28, "No space left on device")
        real(self, parts)

    monkeypatch.setattr(Output, "_write_some", write_some)
    wishes: list[Callable[[str], None]] = []
    monkeypatch.setattr(command, "listen", wishes.append)
    with NdShArray("a", np.zeros(1000), "w"):
        with Recorder(["a"], tmp_path / "s.mcap", snapshot=60) as recorder:
            until(lambda: frames_of(recorder) == 1, "a frame")
            with command._snapshots(recorder, Progress(False), 60.0) as failed:
                wishes[0]("")
                until(lambda: len(failed) == 1, "the first snapshot has failed")
                full[0] = False
                wishes[0]("")
                until(lambda: len(recorder.paths) == 2, "the second snapshot")
    assert "the disk is full" in capsys.readouterr().err
    assert len(judged(recorder.paths[1])["a"]) == 1


def test_a_disk_that_is_full_between_two_files_counts_no_frame_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = files.Output

    def output(path: str, replace: bool) -> Output:
        if path.endswith("00001.mcap"):
            raise OSError(28, "No space left on device")
        return real(path, replace)

    monkeypatch.setattr(files, "Output", output)
    folder = tmp_path / "run"
    with NdShArray("a", np.zeros(1000), "w", slots=60) as writer:
        with Recorder(["a"], folder, split_size=50_000) as recorder:
            for number in range(1, 20):
                writer.write(np.full(1000, number, float))
            assert recorder.wait(TIMEOUT)
    assert isinstance(recorder.error, files.Limit)
    kept = len(judged(folder / "run-00000.mcap")["a"])
    end = recorder.statistics()
    assert end.lost == end.frames - kept > 0
    assert end.written == os.path.getsize(folder / "run-00000.mcap")


def test_a_failed_look_for_arrays_is_told_and_the_next_one_finds_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failed = recorder_module.arrays, threading.Event()

    def arrays(**options: Any) -> Any:
        if not failed.is_set():
            failed.set()
            raise OSError(24, "Too many open files")
        return real(**options)

    monkeypatch.setattr(recorder_module, "_SCAN", 0.01)
    with NdShArray("a", np.zeros(3), "w"):
        with Recorder(["a", "b*"], tmp_path / "run.mcap") as recorder:
            monkeypatch.setattr(recorder_module, "arrays", arrays)
            with NdShArray("b1", np.zeros(3), "w"):
                assert failed.wait(TIMEOUT)
                until(lambda: frames_of(recorder) == 2, "the frames of both arrays")
    assert str(recorder.error) == "[Errno 24] Too many open files"


def test_a_snapshot_after_the_end_is_refused(tmp_path: Path) -> None:
    with Recorder(["a"], tmp_path / "s.mcap", snapshot=60) as recorder:
        sink = recorder._sink
    with pytest.raises(RuntimeError, match="closed"):
        sink.snapshot()


def test_input_that_is_no_keyboard_takes_little_memory() -> None:
    lines: list[str] = []
    out, into = os.pipe()

    def fill() -> None:
        with open(into, "wb") as pipe:
            pipe.write(bytes(1 << 20) + b"\nq\n")

    thread = threading.Thread(target=fill)
    thread.start()
    keyboard._run(out, lines.append, lambda: None)
    thread.join()
    os.close(out)
    assert len(lines[0]) < 10_000
    assert lines[1:] == ["q"]


def test_the_same_line_is_printed_once(capsys: Any) -> None:
    progress = Progress(False)
    for line in ("1 frame", "1 frame", "2 frames"):
        progress.show(["an array's", line], {})
    assert capsys.readouterr().out == "1 frame\n2 frames\n"


def test_a_name_does_not_move_the_cursor(capsys: Any) -> None:
    Progress(False).note("\x1b[31mred: lost")
    assert capsys.readouterr().err == "ndsharray: \\x1b[31mred: lost\n"
