"""Recording: every frame, exact losses, bounded memory, files that are whole however it ends."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from patience import until

pytest.importorskip("mcap")

from commands import kill_writer, leave_killed
from recordings import judged, metadata, read_recording, same, some_frames

from ndsharray import MmapTransport, NdShArray
from ndsharray.tools import cli
from ndsharray.tools.record import Recorder, files, intake
from ndsharray.tools.record.intake import Intake
from ndsharray.tools.recording import output
from ndsharray.tools.recording import writer as recording_writer

TIMEOUT = 60


def values(path: Path | str) -> list[float]:
    return [float(frame.values.array().reshape(-1)[0]) for frame in read_recording(path)[0]]


def test_every_frame_of_several_arrays_is_recorded_with_its_times(
    transport: str, tmp_path: Path
) -> None:
    path = tmp_path / "run.mcap"
    originals = some_frames()
    with (
        NdShArray("any", r_w="w", transport=transport, slots=100) as writer,
        NdShArray("imu", r_w="w", transport=transport) as other,
        Recorder(["any", "im*"], path, frames=len(originals)) as recorder,
    ):
        for number, frame in enumerate(originals, 1):
            writer.write(frame, time_ns=number)
            _wait_for_frames(recorder, "any", number)
        other.write(np.zeros(3))
        written = other.write_time_ns
    frames, _ = read_recording(path)
    found = [frame for frame in frames if frame.topic == "any"]
    assert [same(f.values.array(), o) for f, o in zip(found, originals)] == [True] * len(originals)
    assert [frame.publish_time for frame in found] == list(range(1, len(originals) + 1))
    assert [frame.frame_id for frame in found] == list(range(1, len(originals) + 1))
    (imu,) = (frame for frame in frames if frame.topic == "imu")
    assert abs(imu.log_time - written) < 50_000_000
    assert abs(imu.publish_time - written) < 50_000_000
    assert recorder.statistics().lost == 0
    assert judged(path).keys() == {"any", "imu"}


def _wait_for_frames(recorder: Recorder, name: str, count: int) -> None:
    intake = next(i for i in recorder._intakes.values() if i.topic == name)
    until(lambda: intake.frames >= count, f"{count} frames of {name!r}")


def test_what_is_there_at_the_end_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    with NdShArray("a", np.zeros(3), "w", slots=60) as writer:
        with Recorder(["a"], path):
            for number in range(1, 50):
                writer.write(np.full(3, number))
    assert values(path) == list(range(50))


def test_losses_are_exact_on_screen_and_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    with NdShArray("a", np.zeros(1000), "w", slots=4) as writer:
        with Recorder(["a"], path, max_memory=4000) as recorder:
            intake = next(iter(recorder._intakes.values()))
            _wait_for_frames(recorder, "a", 1)
            recorder._budget.take(10_000)  # as if the disk were slow
            for number in range(1, 40):
                writer.write(np.full(1000, number, float))
            recorder._budget.release(10_000)
        end = recorder.statistics()
    found = values(path)
    assert found[-1] == 39
    assert len(found) < 40
    assert end.lost == intake.lost == 40 - len(found)
    (account,) = metadata(path, "ndsharray.array")
    assert account == {"array": "a", "frames": str(len(found)), "lost": str(end.lost)}
    assert "slots=" in end.arrays[0].warning


def test_the_newest_frames_alone(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    with NdShArray("a", np.zeros(3), "w", slots=30) as writer:
        for number in range(1, 20):
            writer.write(np.full(3, number))
        with Recorder(["a"], path, newest=True, frames=1) as recorder:
            assert recorder.wait(TIMEOUT)
    assert values(path) == [19]


def test_the_ends_of_writers_are_recorded_and_recording_goes_on(
    transport: str, tmp_path: Path
) -> None:
    path = tmp_path / "run.mcap"
    with Recorder(["a"], path, frames=4, transport=transport) as recorder:
        intake = next(iter(recorder._intakes.values()))
        writer = NdShArray("a", np.zeros(3), "w", transport=transport)
        _wait_for_frames(recorder, "a", 1)
        writer.close()
        until(lambda: intake._state == "closed", "the writer is seen as closed")
        writer = NdShArray("a", np.ones(3), "w", transport=transport)
        _wait_for_frames(recorder, "a", 2)
        kill_writer(writer)
        until(lambda: intake._state == "killed", "the writer is seen as killed")
        with NdShArray("a", np.full(3, 2), "w", transport=transport) as writer:
            _wait_for_frames(recorder, "a", 3)
            writer.write(np.full(3, 3))
            assert recorder.wait(TIMEOUT)
    events = metadata(path, "ndsharray.event")
    assert [event["event"] for event in events] == ["live", "closed", "back", "killed", "back"]
    assert values(path) == [0, 1, 2, 3]
    assert recorder.statistics().lost == 0


@pytest.mark.parametrize("newest", [False, True])
def test_a_writer_that_is_dead_at_the_beginning_is_noted_once(
    transport: str, newest: bool, tmp_path: Path
) -> None:
    path = tmp_path / "run.mcap"
    leave_killed("a", np.zeros(3), transport)
    with Recorder(["a"], path, newest=newest, transport=transport) as recorder:
        until(lambda: recorder.writers == {"a": "killed"}, "the dead writer is noted")
    assert [event["event"] for event in metadata(path, "ndsharray.event")] == ["killed"]
    assert recorder.statistics().arrays[0].writer == "killed"
    assert values(path) == [0]
    NdShArray("a", r_w="w", transport=transport).close()  # it removes what the dead one left


def test_a_writer_that_comes_after_a_closed_one_has_lost_nothing(
    transport: str, tmp_path: Path
) -> None:
    path = tmp_path / "run.mcap"
    with NdShArray("a", r_w="r", transport=transport) as reader:
        with NdShArray("a", np.zeros(3), "w", transport=transport) as writer:
            for _ in range(4):
                writer.write(np.zeros(3))
            assert reader.read()[0]  # Windows keeps what a reader maps, and counts on there
        with Recorder(["a"], path, transport=transport) as recorder:
            intake = next(iter(recorder._intakes.values()))
            with NdShArray("a", np.ones(3), "w", transport=transport) as writer:
                last = writer.frame_id
                until(lambda: intake._last_id == last, "its frame")
    assert values(path)[-1] == 1
    assert recorder.statistics().lost == 0


def test_an_idle_writer_is_not_closed_by_a_coarse_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, looked, look = time.monotonic, [0], Intake._look_at_writer

    def count(self: Intake, ended: bool) -> None:
        look(self, ended)
        looked[0] += 1

    # As coarse as the wait is long: it ends at the next time, which rounding may bring nearer.
    monkeypatch.setattr(time, "monotonic", lambda: (50_000 + real() // 0.02) * 0.02)
    monkeypatch.setattr(intake, "_LOOK", 0.02)
    monkeypatch.setattr(Intake, "_look_at_writer", count)
    path = tmp_path / "run.mcap"
    with NdShArray("a", np.zeros(3), "w"):
        with Recorder(["a"], path) as recorder:
            until(lambda: looked[0] >= 20, "20 looks at the writer")
        assert recorder.writers == {"a": "live"}
    assert metadata(path, "ndsharray.event") == []


def test_a_writer_that_closes_without_a_frame_is_noted(transport: str, tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    writer = NdShArray("a", r_w="w", transport=transport)
    with Recorder(["a"], path, transport=transport) as recorder:
        assert recorder.writers == {"a": "live"}
        writer.close()
        until(lambda: recorder.writers == {"a": "closed"}, "the close is noted")
    assert [event["event"] for event in metadata(path, "ndsharray.event")] == ["closed"]
    assert recorder.statistics().lost == 0


def test_an_array_that_comes_later_is_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    with Recorder(["cam*"], path, exclude=["cam x"], frames=1) as recorder:
        with NdShArray("cam x", np.zeros(3), "w"), NdShArray("cam 1", np.ones(3), "w"):
            assert recorder.wait(TIMEOUT)
    assert judged(path).keys() == {"cam 1"}


@pytest.mark.skipif(os.name == "nt", reason="the modes of directories")
@pytest.mark.parametrize("given", ["transport", "directory"])
def test_an_array_that_a_group_shares_is_recorded(tmp_path: Path, given: str) -> None:
    root = tmp_path / "team"
    root.mkdir()
    root.chmod(0o770)
    team = MmapTransport(directory=root, mode=0o660)
    where: dict[str, Any] = {"transport": team} if given == "transport" else {"directory": root}
    path = tmp_path / "run.mcap"
    with NdShArray("a", np.arange(4.0), "w", transport=team):
        with Recorder(["a", "later"], path, **where) as recorder:
            _wait_for_frames(recorder, "a", 1)
            with NdShArray("later", np.arange(4.0), "w", transport=team):
                _wait_for_frames(recorder, "later", 1)
        assert recorder.error is None


def test_files_are_split_without_losing_a_frame_and_the_oldest_go(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with NdShArray("a", np.zeros(1000), "w", slots=100) as writer:
        with Recorder(["a"], folder, split_size=40_000) as recorder:
            for number in range(1, 60):
                writer.write(np.full(1000, number, float))
        paths = recorder.paths
        assert len(paths) >= 12
        assert all(os.path.getsize(path) <= 40_000 for path in paths)
        assert sum(len(judged(path)["a"]) for path in paths) == 60
        assert values(folder) == list(range(60))
        with pytest.raises(FileExistsError, match="--force"):
            Recorder(["a"], folder, split_size=40_000)
        with Recorder(["a"], folder, split_size=20_000, keep=3, force=True) as recorder:
            for number in range(1, 60):
                writer.write(np.full(1000, number, float))
    assert sorted(os.listdir(folder)) == [os.path.basename(path) for path in recorder.paths]
    assert len(recorder.paths) == 3
    assert values(folder)[-1] == 59


def test_an_old_file_that_another_program_uses_or_took_away_ends_no_recording(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "run"
    with NdShArray("a", np.zeros(3), "w", slots=100) as writer:
        with Recorder(["a"], folder, split_seconds=1e-9, keep=4) as recorder:
            _wait_for_frames(recorder, "a", 1)
            for number in range(1, 3):
                writer.write(np.full(3, number))
            until(lambda: len(recorder.paths) == 3, "three files")
            first, second, _ = recorder.paths
            os.unlink(second)
            with open(first, "rb"):  # Windows cannot remove it now
                for number in range(3, 10):
                    writer.write(np.full(3, number))
                    _wait_for_frames(recorder, "a", number + 1)
            writer.write(np.full(3, 10))
        assert recorder.error is None
    assert values(folder) == [7, 8, 9, 10]
    assert len(os.listdir(folder)) == len(recorder.paths) == 4


def test_files_are_split_by_time(tmp_path: Path) -> None:
    with NdShArray("a", np.zeros(3), "w", slots=100) as writer:
        with Recorder(["a"], tmp_path / "run", split_seconds=1e-9) as recorder:
            for number in range(1, 10):
                writer.write(np.full(3, number))
    assert len(recorder.paths) == 10
    assert values(tmp_path / "run") == list(range(10))


def test_a_snapshot_has_the_last_seconds(tmp_path: Path) -> None:
    with NdShArray("a", np.zeros(1000), "w", slots=100) as writer:
        with Recorder(["a"], tmp_path / "s.mcap", snapshot=60, max_memory=80_000) as recorder:
            for number in range(1, 40):
                writer.write(np.full(1000, number, float))
                _wait_for_frames(recorder, "a", number + 1)
            first = recorder.snapshot()
            writer.write(np.full(1000, 40.0))
            _wait_for_frames(recorder, "a", 41)
            second = recorder.snapshot()
        with pytest.raises(RuntimeError):
            recorder.snapshot()
    assert first != second
    assert not (tmp_path / "s.mcap").exists()
    assert values(first)[-1] == 39
    assert values(second) == [number + 1 for number in values(first)]
    assert 5 <= len(values(first)) <= 60_000 // 8000 + 1
    assert recorder.statistics().paths == (first, second)


def test_a_snapshot_needs_a_frame_and_frames_that_fit(tmp_path: Path) -> None:
    with Recorder(["a"], tmp_path / "s.mcap", snapshot=60, max_memory=1000) as recorder:
        with pytest.raises(LookupError, match="no frame"):
            recorder.snapshot()
        with NdShArray("a", np.zeros(1000), "w", slots=3) as writer:
            _wait_for_frames(recorder, "a", 1)
            writer.write(np.ones(1000))
            _wait_for_frames(recorder, "a", 2)
        with pytest.raises(LookupError):
            recorder.snapshot()


def test_what_was_there_before_begins_with_the_recording(
    tmp_path: Path,
) -> None:
    path = tmp_path / "run.mcap"
    with NdShArray("a", np.zeros(3), "w"):
        now = time.time_ns()
        with Recorder(["a"], path, frames=1) as recorder:
            assert recorder.wait(TIMEOUT)
    (frame,) = read_recording(path)[0]
    assert frame.publish_time < now <= frame.log_time


def test_an_array_that_cannot_be_read_does_not_end_the_others(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    with Recorder(["a", "b"], path) as recorder:
        broken = next(i for i in recorder._intakes.values() if i.topic == "b")
        broken._reader.close()
        until(lambda: not broken.is_running, "its thread has ended")
        with NdShArray("a", np.zeros(3), "w"):
            _wait_for_frames(recorder, "a", 1)
        assert recorder.error is broken.error is not None
    assert values(path) == [0]
    assert "not recorded any more" in recorder.statistics().arrays[1].warning


def test_a_file_that_is_there_is_replaced_by_force_alone(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match="--force"):
        Recorder(["a"], path)
    assert path.read_text() == "precious"
    with NdShArray("a", np.zeros(3), "w"), Recorder(["a"], path, frames=1, force=True) as recorder:
        assert recorder.wait(TIMEOUT)
    assert values(path) == [0]


@pytest.mark.parametrize(
    "options",
    [
        {"encoding": "yuv"},
        {"keep": 3},
        {"split_size": 0},
        {"split_seconds": -1.0},
        {"snapshot": 0.0},
        {"snapshot": 1.0, "split_size": 100},
    ],
)
def test_options_that_contradict_each_other_are_refused(
    options: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Recorder(["a"], tmp_path / "run.mcap", **options)
    with pytest.raises(ValueError, match="nothing to record"):
        Recorder([], tmp_path / "run.mcap")
    assert list(tmp_path.iterdir()) == []


def test_the_disk_keeps_what_min_free_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.mcap"
    left = iter([10_000, 9000, 500])
    monkeypatch.setattr(files, "_free", lambda folder: next(left))
    monkeypatch.setattr(files, "_CHECK_BYTES", 0)
    with NdShArray("a", np.zeros(3), "w", slots=10) as writer:
        with Recorder(["a"], path, min_free=1000) as recorder:
            for number in range(1, 6):
                writer.write(np.full(3, number))
            assert recorder.wait(TIMEOUT)
            assert isinstance(recorder.error, files.Limit)
    end = recorder.statistics()
    assert values(path) == [0, 1]
    assert (end.frames - end.lost, recorder.error is not None) == (2, True)


def test_a_full_disk_ends_with_a_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written stops in the middle of a chunk; the reserve holds the end."""
    path = tmp_path / "run.mcap"
    real, room = output.Output._write_some, [30_000]

    def write_some(self: output.Output, parts: list[memoryview]) -> None:
        size = sum(map(len, parts))
        if size > 4000 and size > room[0]:
            real(self, [b"".join(parts)[:3000]])  # type: ignore[list-item]
            raise OSError(28, "No space left on device")
        room[0] -= size
        real(self, parts)

    monkeypatch.setattr(output.Output, "_write_some", write_some)
    monkeypatch.setattr(recording_writer, "_CHUNK_BYTES", 8000)
    with NdShArray("a", np.zeros(1000), "w", slots=10) as writer:
        with Recorder(["a"], path, split_size=10**9) as recorder:
            for number in range(1, 8):
                writer.write(np.full(1000, number, float))
            assert recorder.wait(TIMEOUT)
    assert "full" in str(recorder.error)
    (file,) = recorder.paths
    count = len(judged(file)["a"])
    assert 1 <= count < 4
    end = recorder.statistics()
    assert end.frames - end.lost == count
    (account,) = metadata(file, "ndsharray.array")
    assert account["frames"] == str(count)


@pytest.mark.skipif(os.name == "nt", reason="a pipe of POSIX")
def test_memory_is_bounded_where_the_disk_is_slow(tmp_path: Path) -> None:
    """A pipe that nobody empties: frames wait up to the limit, the rest is lost and counted."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    frame = np.zeros(1 << 20, np.uint8)
    received = bytearray()
    with NdShArray("a", frame, "w", slots=4) as writer:
        with Recorder(["a"], path, max_memory=8 << 20) as recorder:
            budget = recorder._budget
            count = 1
            while budget.used < budget.limit:
                writer.write(frame)
                count += 1
                _wait_for_frames(recorder, "a", count)
            for _ in range(20):
                writer.write(frame)
            os.set_blocking(reading, True)

            def drain() -> None:
                while data := os.read(reading, 1 << 20):
                    received.extend(data)

            thread = threading.Thread(target=drain)
            thread.start()
        thread.join()
    os.close(reading)
    end = recorder.statistics()
    assert budget.peak <= (8 << 20) + frame.nbytes + 1000
    assert end.lost >= 20 - 4
    assert end.frames + end.lost == count + 20
    whole = tmp_path / "whole.mcap"
    whole.write_bytes(received)
    assert len(judged(whole)["a"]) == end.frames


# --- the command


def test_the_command_says_what_it_did(tmp_path: Path, capsys: Any) -> None:
    path = str(tmp_path / "run.mcap")
    with NdShArray("camera", np.zeros((4, 5, 3), np.uint8), "w"):
        assert cli.main(["record", "cam*", "-o", path, "--frames", "1"]) == 0
        out = capsys.readouterr().out.splitlines()
        assert out[-1].startswith(f"1 frame, lost 0: {path}")
        assert "buffer 0%  frames 1  lost 0" in out[-2]
        assert cli.main(["record", "camera", "-o", path]) == 2
        assert "--force" in capsys.readouterr().err
        assert cli.main(["record", "kamera", "-o", path]) == 1
        assert "did you mean 'camera'" in capsys.readouterr().err
        assert cli.main(["record"]) == 2
        assert cli.main(["record", "camera", "--duration", "soon"]) == 2
        assert cli.main(["record", "camera", "--keep", "2", "-o", path]) == 2
        assert "--keep needs --split-size or --split-time" in capsys.readouterr().err


def test_the_command_says_what_becomes_of_writers(
    transport: str, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer is killed, another one comes and closes; then the recording ends."""
    path, writers = str(tmp_path / "run.mcap"), []
    real = Recorder.writers

    def write() -> None:
        writers.append(NdShArray("camera", np.zeros(3), "w", transport=transport))

    def next_step(recorder: Recorder) -> dict[str, str]:
        """Do what comes next, as soon as the command has seen what was done before."""
        seen: dict[str, str] = real.fget(recorder)  # type: ignore[attr-defined]
        if seen == {"camera": expected[0]}:
            steps.pop(0)()
            expected.pop(0)
        return seen

    write()
    expected = ["live", "killed", "live", "closed", ""]
    steps: list[Callable[[], object]] = [
        lambda: kill_writer(writers[0]),
        write,
        lambda: writers[1].close(),
        lambda: signal.raise_signal(signal.SIGINT),
    ]
    monkeypatch.setattr(Recorder, "writers", property(next_step))
    assert cli.main(["record", "camera", "-o", path]) == 0
    out, err = capsys.readouterr()
    assert err.splitlines() == [
        "ndsharray: camera: its writer was killed",
        "ndsharray: camera: has a writer now",
        "ndsharray: camera: its writer has closed it",
    ]
    last = out.splitlines()[-1]
    assert last.startswith(f"2 frames, lost 0: {path} (")
    assert last.endswith("); camera: its writer has closed it")


def test_json_is_an_object_a_line(tmp_path: Path, capsys: Any) -> None:
    import json

    path = str(tmp_path / "run.mcap")
    with NdShArray("camera", np.zeros(3), "w"):
        command = ["record", "--all", "-o", path, "--frames", "1", "--json"]
        assert cli.main(command) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert records[-1]["frames"] == 1
    assert records[-1]["arrays"][0]["name"] == "camera"
    assert records[-1]["arrays"][0]["writer"] == "live"
    assert records[-1]["paths"] == [path]
