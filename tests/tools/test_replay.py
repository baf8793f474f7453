"""Replay: the same frames, at their times, on one clock."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from patience import until

pytest.importorskip("mcap")

from recordings import BEGIN, SECOND, read_recording, same, some_frames, write_recording

from ndsharray import NdShArray, WriterExistsError
from ndsharray.tools import cli
from ndsharray.tools.record import Recorder
from ndsharray.tools.recording import protobuf
from ndsharray.tools.recording.messages import ARRAY, encode
from ndsharray.tools.replay import Player, player
from ndsharray.tools.replay.clock import PlayClock

TIMEOUT = 60


@pytest.fixture(autouse=True)
def no_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(player, "_HOLD", 0.0)


@contextmanager
def playing(playing: Player) -> Iterator[threading.Thread]:
    """Have a player run in a thread of its own."""
    thread = threading.Thread(target=playing.run)
    thread.start()
    try:
        yield thread
    finally:
        playing.stop()
        thread.join()


def numbered(count: int) -> list[tuple[str, np.ndarray[Any, Any]]]:
    return [("a", np.full(3, number)) for number in range(count)]


def test_a_replay_that_is_recorded_is_the_same_recording(transport: str, tmp_path: Path) -> None:
    first, second = tmp_path / "first.mcap", tmp_path / "second.mcap"
    originals = [("any", frame) for frame in some_frames()]
    write_recording(first, originals)
    with Recorder(["any"], second, frames=len(originals), transport=transport) as recorder:
        with Player(first, rate=math.inf, paused=True, slots=9, transport=transport) as replay:
            with playing(replay):
                intake = next(iter(recorder._intakes.values()))
                for number in range(1, len(originals) + 1):
                    replay.step()
                    until(lambda n=number: intake.frames >= n, f"frame {number}")  # type: ignore[misc]
    found, again = read_recording(first)[0], read_recording(second)[0]
    assert len(again) == len(found) == len(originals)
    for one, other in zip(found, again):
        assert same(one.values.array(), other.values.array())
        assert (one.topic, one.publish_time) == (other.topic, other.publish_time)
        assert one.frame_id == other.frame_id


def test_frames_keep_their_distances(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    write_recording(path, [(f"a{n % 2}", np.full(3, n)) for n in range(30)])
    seen: dict[str, list[int]] = {"a0": [], "a1": []}
    # With a slot for each frame, so that a reader on a busy machine misses none.
    replay = Player(path, slots=15)
    with replay, NdShArray("a0", r_w="r") as even, NdShArray("a1", r_w="r") as odd:
        began = time.time_ns()
        with playing(replay):
            for number in range(30):
                reader = odd if number % 2 else even
                frame = next(reader.frames(TIMEOUT))
                assert frame[0] == number
                seen[reader.name].append(reader.write_time_ns)
    times = sorted(seen["a0"] + seen["a1"])
    # A busy machine delays some: the next ones come at once, or later as well, and that is told.
    late = (np.array(times) - began) / 1e6 - 10 * np.arange(30)
    assert late.min() > -1
    assert np.median(late) - late.min() - 1e3 * replay.status().slipped < 100
    assert times == [seen[f"a{n % 2}"][n // 2] for n in range(30)]


def test_a_living_writer_is_not_replaced(transport: str, tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "run.mcap"
    write_recording(path, [*numbered(3), ("b", np.zeros(2))])
    with NdShArray("a", np.full(3, 70), "w", transport=transport) as living:
        with pytest.raises(WriterExistsError):
            Player(path, transport=transport)
        command = ["replay", str(path), "--transport", transport, "--rate", "max"]
        assert cli.main(command) == 2
        assert "--rename a=" in capsys.readouterr().err
        assert not living.closed
        with NdShArray("c", r_w="r", transport=transport) as reader:
            with Player(
                path, rename={"a": "c"}, only=["a"], rate=math.inf, transport=transport
            ) as replay:
                replay.run()
                assert reader.read()[1].tolist() == [2, 2, 2]
                assert reader.time_ns == BEGIN + 3 * SECOND // 100 - 5
        with pytest.raises(ValueError, match="two arrays"):
            Player(path, rename={"a": "b"}, transport=transport)
        assert living.write(np.zeros(3)) is None


def test_a_part_is_played(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    write_recording(path, numbered(20))
    with Player(path, start=0.05, end=0.1, rate=math.inf, slots=20) as replay:
        with NdShArray("a", r_w="r") as reader:
            replay.run()
            found = [int(frame[0]) for frame in reader.frames(0)]
    assert found == [5, 6, 7, 8, 9]
    assert replay.status().position == pytest.approx(0.09)
    for wrong in ({"start": -1.0}, {"start": 2.0, "end": 1.0}, {"rate": 0.0}):
        with pytest.raises(ValueError, match=r"rate|nothing from"):
            Player(path, **wrong)
    with pytest.raises(ValueError, match="nothing to play"):
        Player([])
    with pytest.raises(LookupError, match="'camera' to be renamed"):
        Player(path, rename={"camera": "other"})
    with pytest.raises(LookupError, match="no array 'b'"):
        Player(path, only=["b"])


def test_a_loop_begins_again(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    write_recording(path, numbered(3))
    with Player(path, loop=True, rate=math.inf) as replay, playing(replay):
        until(lambda: replay.status().frames >= 9, "the third round")
    assert replay.status().notes == ()


def test_a_pause_and_steps(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    write_recording(path, numbered(30))
    with Player(path, slots=30, paused=True) as replay, NdShArray("a", r_w="r") as reader:
        with playing(replay) as thread:
            for number in range(3):
                replay.step()
                assert reader.read(TIMEOUT)[1][0] == number
            # A frame is counted once it can be read.
            until(lambda: replay.status().frames == 3, "three frames")
            assert replay.status().is_paused
            assert not reader.read(0.02)[0]
            begun = time.monotonic()
            replay.resume()
            assert next(reader.frames(TIMEOUT))[0] == 3
            thread.join(TIMEOUT)
            past = time.monotonic() - begun
        assert replay.status().frames == 30
        assert replay.status().slipped < past - 0.26 + 0.1  # the pause does not count


@pytest.mark.parametrize("lines", [0, 3])
def test_steps_end_with_the_input(tmp_path: Path, lines: int) -> None:
    path = tmp_path / "run.mcap"
    write_recording(path, numbered(30))
    done = subprocess.run(
        [sys.executable, "-m", "ndsharray", "replay", "--json", "--step", str(path)],
        input="\n" * lines,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == (0 if lines else 1), done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["frames"] == lines


@pytest.mark.parametrize(("option", "code"), [("--paused", 130), ("--loop", 0)])
def test_a_signal_before_the_end_is_exit_code_130(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, option: str, code: int
) -> None:
    path = tmp_path / "run.mcap"
    write_recording(path, numbered(3))
    signals, status = [signal.SIGTERM], Player.status

    def stop_and_tell(self: Player) -> Any:
        if signals:
            signal.raise_signal(signals.pop())
        return status(self)

    monkeypatch.setattr(Player, "status", stop_and_tell)
    assert cli.main(["replay", str(path), option]) == code
    assert capsys.readouterr().err == ""


def test_files_of_a_folder_follow_each_other_without_a_gap(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with NdShArray("a", np.zeros(3), "w", slots=50) as writer:
        with Recorder(["a"], folder, split_seconds=1e-6):
            for number in range(1, 20):
                writer.write(np.full(3, number))
    with Player(folder, slots=30) as replay, NdShArray("a", r_w="r") as reader:
        begun = time.monotonic()
        replay.run()
        past = time.monotonic() - begun
        found = [int(frame[0]) for frame in reader.frames(0)]
    assert found == list(range(20))
    assert past < replay.status().length + replay.status().slipped + 0.5


def test_what_is_whole_is_played_and_the_rest_is_told(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "run.mcap"
    write_recording(path, numbered(9))
    data = path.read_bytes()
    end = data.index(np.full(3, 7).tobytes())
    path.write_bytes(data[:end])
    assert cli.main(["replay", str(path), "--rate", "max", "--json"]) == 3
    out, err = capsys.readouterr()
    assert '"frames": 7' in out
    assert "ends with a frame that is not whole" in err
    path.write_bytes(data[:40])
    assert cli.main(["replay", str(path)]) == 1
    assert "nothing to play" in capsys.readouterr().err
    path.write_bytes(b"no recording")
    assert cli.main(["replay", str(path)]) == 2
    assert cli.main(["replay", str(tmp_path / "none.mcap")]) == 1
    assert cli.main(["replay", str(tmp_path)]) == 2
    (tmp_path / "empty").mkdir()
    assert cli.main(["replay", str(tmp_path / "empty")]) == 1
    assert cli.main(["replay", str(path), "--rename", "a"]) == 2


def test_messages_that_hold_no_array_are_passed_over(tmp_path: Path, capsys: Any) -> None:
    from mcap.writer import Writer

    path = tmp_path / "other.mcap"
    with path.open("wb") as stream:
        writer = Writer(stream)
        writer.start()
        channel = writer.register_channel("/tf", "json", 0)
        writer.add_message(channel, BEGIN, b"{}", BEGIN)
        writer.finish()
    assert cli.main(["replay", str(path)]) == 1
    assert "'/tf': a message of the schema ''" in capsys.readouterr().err


def test_other_topics_get_no_array_and_hinder_none(tmp_path: Path) -> None:
    """Their names may be none of an array's, or those of living ones."""
    from mcap.writer import Writer

    path = tmp_path / "other.mcap"
    with path.open("wb") as stream:
        writer = Writer(stream)
        writer.start()
        schema = writer.register_schema(ARRAY, "protobuf", protobuf.ARRAY_SCHEMA)
        message = encode("a", np.ones(3), ARRAY, "rgb8", 1, BEGIN, BEGIN)
        data = message.head + bytes(message.payload)
        writer.add_message(writer.register_channel("a", "protobuf", schema), BEGIN, data, BEGIN)
        for topic in ("", "x\0y", "living"):
            writer.add_message(writer.register_channel(topic, "json", 0), BEGIN, b"{}", BEGIN)
        writer.finish()
    with NdShArray("living", np.zeros(2), "w") as living:
        with Player(path) as replay, NdShArray("a", r_w="r") as reader:
            replay.run()
            assert reader.read()[1].tolist() == [1, 1, 1]
        assert not living.closed
    assert replay.status().skipped == 3


def test_a_player_is_closed_in_the_middle_of_a_frame(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    write_recording(path, numbered(300))
    for _ in range(20):
        errors: list[BaseException] = []
        replay = Player(path, rate=math.inf)

        def run() -> None:
            try:
                replay.run()  # noqa: B023
            except BaseException as error:
                errors.append(error)  # noqa: B023

        thread = threading.Thread(target=run)
        thread.start()
        until(lambda: replay.status().frames > 5, "six frames")  # noqa: B023
        replay.close()
        thread.join(TIMEOUT)
        assert errors == []
        assert all(writer.closed for writer in replay._writers.values())


def test_a_player_that_falls_behind_slips_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    write_recording(path, numbered(10))
    with Player(path) as replay:
        real, late = replay._source._load, [True]

        def load(*arguments: Any) -> Any:
            if late and arguments[0].start > replay._source.start:
                late.clear()
                time.sleep(0.3)  # as a disk that is slow once
            return real(*arguments)

        replay._source._load = load  # type: ignore[method-assign]
        replay.run()
        status = replay.status()
    assert status.frames == 10
    assert 0.15 < status.slipped < 5


def test_the_clock_leaves_pauses_out(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    clock = PlayClock(2.0)
    clock.begin(BEGIN)
    assert clock.left(BEGIN + SECOND) == 0.5
    clock.pause()
    now[0] += 7
    assert clock.left(BEGIN + SECOND) == 0.5
    clock.resume()
    assert clock.left(BEGIN + SECOND) == 0.5
    clock.slip(0.25)
    now[0] += 1
    assert clock.left(BEGIN + SECOND) == -0.25
    assert PlayClock(math.inf).left(10**18) < 0
