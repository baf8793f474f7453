"""Recordings after faults: a recorder that is killed, a file that is cut, a disk that is full.

Each file gives all whole frames back but those of the last 100 ms before a kill.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mcap")

from recordings import BEGIN, add_frames, judged, metadata, read_recording

from ndsharray import NdShArray
from ndsharray.tools import cli
from ndsharray.tools.recording.output import Output
from ndsharray.tools.recording.writer import CHUNK_SECONDS, FileWriter

# A recorder that says when it reads; it takes a directory of recordings and records until it dies.
RECORDER = """
import sys
from ndsharray.tools.record import Recorder
with Recorder(["a", "b"], sys.argv[1]) as recorder:
    print("ready", flush=True)
    recorder.wait()
"""
LOST_SECONDS = 0.1
_PAUSE = 0.005  # seconds between two frames
_LARGE = 100_000  # items of eight bytes


@pytest.mark.skipif(os.name == "nt", reason="about SIGKILL")
@pytest.mark.times(10, 100)
@pytest.mark.timeout(600)
def test_a_killed_recorder_loses_the_last_moment_alone(
    times: int, root: Path, account: Callable[[str, int], None]
) -> None:
    chance = random.Random(os.getpid())
    small, large = np.zeros(100), np.zeros(_LARGE)
    path, recovered = root / "killed.mcap", root / "recovered.mcap"  # in memory: not about disks
    tails: list[float] = []
    with NdShArray("a", small, "w", slots=200) as a, NdShArray("b", large, "w", slots=60) as b:
        for _ in range(times):
            killed_ns, held_up, written = _record_and_kill(path, a, b, chance.uniform(0.05, 0.6))
            code = cli.main(["recover", str(path), "-o", str(recovered), "--force"])
            first_lost = killed_ns
            for name, frames in written.items():
                messages = judged(recovered).get(name, []) if code == 0 else []
                found = {message.sequence for message in messages}
                lost = [at for frame_id, at in frames if frame_id not in found]
                kept = [at for frame_id, at in frames if frame_id in found]
                assert max(kept, default=0) < min(lost, default=killed_ns), "a gap, not a tail"
                first_lost = min([first_lost, *lost])
            tails.append((killed_ns - first_lost) / 1e9 - held_up)
            path.unlink()
            recovered.unlink(missing_ok=True)
    # A chunk's age and the way to it, without what the machine held this process up meanwhile.
    assert statistics.median(tails) <= CHUNK_SECONDS
    assert sorted(tails)[(len(tails) - 1) * 19 // 20] <= LOST_SECONDS
    assert max(tails) <= LOST_SECONDS + 1.0
    account("recorders killed, each file recovered", times)


def _record_and_kill(
    path: Path, a: NdShArray, b: NdShArray, seconds: float
) -> tuple[int, float, dict[str, list[tuple[int, int]]]]:
    """Return when the recorder was killed, the longest delay here, and the frames' times."""
    written: dict[str, list[tuple[int, int]]] = {"a": [], "b": []}
    command = [sys.executable, "-c", RECORDER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        small, large = np.zeros(100), np.zeros(_LARGE)
        count, held_up, begun = 0, 0.0, time.time_ns()
        while time.time_ns() - begun < seconds * 1e9:
            before = time.monotonic()
            count += 1
            small[0] = large[0] = count
            a.write(small)
            written["a"].append((a.frame_id, time.time_ns()))
            if count % 10 == 0:
                b.write(large)
                written["b"].append((b.frame_id, time.time_ns()))
            time.sleep(_PAUSE)
            held_up = max(held_up, time.monotonic() - before - _PAUSE)
        killed_ns = time.time_ns()
        process.send_signal(signal.SIGKILL)
    return killed_ns, held_up, written


@pytest.mark.times(100, 1000)
@pytest.mark.timeout(600)
def test_a_file_that_is_cut_anywhere_gives_all_whole_frames(
    times: int, tmp_path: Path, account: Callable[[str, int], None]
) -> None:
    chance = random.Random(os.getpid())
    whole = tmp_path / "whole.mcap"
    file = FileWriter(Output(str(whole), False), None, "test")
    frames = [(f"a{n % 3}", np.full(chance.randrange(1, 400), n)) for n in range(300)]
    add_frames(file, frames)
    file.close()
    data = whole.read_bytes()
    ends, at = [], 0
    for _, frame in frames:
        at = data.index(frame.tobytes(), at) + frame.nbytes
        ends.append(at)
    cut_file = tmp_path / "cut.mcap"
    for _ in range(times):
        cut = chance.randrange(8, len(data))
        cut_file.write_bytes(data[:cut])
        found, _ = read_recording(cut_file)
        expected = sum(end <= cut for end in ends)
        assert [frame.log_time for frame in found] == [
            BEGIN + (n + 1) * 10_000_000 for n in range(expected)
        ]
        assert all(
            f.values.array().tobytes() == frames[n][1].tobytes() for n, f in enumerate(found)
        )
    account("recordings cut anywhere", times)


FULL_DISK = """
import sys
import numpy as np
from ndsharray import NdShArray
from ndsharray.tools import cli
with NdShArray("a", np.zeros(100_000), "w", slots=20) as writer:
    import threading
    over = threading.Event()
    def write():
        while not over.wait(0.002):
            writer.write(np.zeros(100_000))
    thread = threading.Thread(target=write)
    thread.start()
    code = cli.main(["record", "a", "-o", sys.argv[1], "--min-free", "0", "--duration", "20"])
    over.set()
    thread.join()
sys.exit(code)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mounts a small file system")
def test_a_disk_that_is_really_full_ends_with_a_whole_file(tmp_path: Path, root: Path) -> None:
    unshare = shutil.which("unshare")
    disk = tmp_path / "disk"
    disk.mkdir()
    kept = tmp_path / "kept.mcap"
    script = tmp_path / "script.py"
    script.write_text(FULL_DISK)
    shell = (
        f'mount -t tmpfs -o size=24m tmpfs "{disk}" || exit 77; '
        f'"{sys.executable}" "{script}" "{disk}/run.mcap"; code=$?; '
        f'cp "{disk}/run.mcap" "{kept}"; exit $code'
    )
    if unshare is None:
        pytest.skip("needs unshare")
    done = subprocess.run(
        [unshare, "--mount", "--map-root-user", "--user", "sh", "-c", shell]
        if os.getuid()
        else [unshare, "--mount", "sh", "-c", shell],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    if done.returncode == 77 or "unshare failed" in done.stderr:
        pytest.skip(f"cannot mount here: {done.stderr}")
    assert done.returncode == 3, done.stderr
    assert "the disk is full" in done.stderr
    frames = judged(kept)["a"]
    assert 15 <= len(frames) <= 31
    (account,) = metadata(kept, "ndsharray.array")
    assert account["frames"] == str(len(frames))


@pytest.mark.skipif(os.name == "nt", reason="about POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_command_with_a_whole_file(
    number: signal.Signals, tmp_path: Path
) -> None:
    path = tmp_path / "run.mcap"
    with NdShArray("a", np.zeros(100), "w", slots=50) as writer:
        command = [sys.executable, "-m", "ndsharray", "record", "a", "-o", str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            first = process.stdout.readline()  # a line a second
            assert " lost 0" in first
            for value in range(1, 30):
                writer.write(np.full(100, value))
            process.send_signal(number)
            out = process.stdout.read()
        assert process.returncode == 0
    assert "30 frames, lost 0" in out
    assert len(judged(path)["a"]) == 30
