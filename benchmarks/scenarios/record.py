"""Recording and replay: how fast, what is lost, how the writer fares meanwhile, how exact in time.

Concerns this library alone. Rounds with and without a recorder alternate; figures are medians. The
rate of the disk itself, which takes the same bytes by plain writes, stands beside.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

LARGE, SMALL = (2160, 3840, 3), (720, 1280, 3)
ROUNDS = 5
FAST_HZ = 45
CAMERAS_SECONDS = 20.0
REPLAY_FRAMES = 150

# Writes arrays (names, shape of each, Hz or 0: as fast as it can) and prints, at the end, the time
# of each write.
WRITER = """
import json, sys, time
import numpy as np
from ndsharray import NdShArray
arrays, hz, seconds = json.loads(sys.argv[1])
ends = [(NdShArray(name, r_w="w", slots=8), np.ones(shape, np.uint8)) for name, shape in arrays]
for writer, frame in ends:
    for _ in range(9):
        writer.write(frame)
print("ready", flush=True)
sys.stdin.readline()
took, begun, count = [], time.perf_counter(), 0
while time.perf_counter() - begun < seconds:
    for writer, frame in ends:
        before = time.perf_counter()
        writer.write(frame)
        took.append(time.perf_counter() - before)
    count += 1
    if hz:
        time.sleep(max(0.0, begun + count / hz - time.perf_counter()))
print(json.dumps([took, time.perf_counter() - begun]), flush=True)
sys.stdin.readline()
"""


class Writers:
    """A process that writes some arrays."""

    def __init__(self, arrays: list[tuple[str, Any]], hz: float, seconds: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WRITER, json.dumps([arrays, hz, seconds])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def tell(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def result(self) -> tuple[list[float], float]:
        """Return the times of the writes, and of all."""
        assert self.process.stdout is not None
        took, seconds = json.loads(self.process.stdout.readline())
        return took, seconds

    def end(self) -> None:
        self.tell()
        self.process.communicate()


def run(folder: str) -> int:
    with tempfile.TemporaryDirectory(dir=folder) as directory:
        large_frames(Path(directory), "past the page cache")
        with page_cache_alone():
            large_frames(Path(directory), "into the page cache")
        cameras(Path(directory))
        replay(Path(directory))
    return 0


@contextmanager
def page_cache_alone() -> Iterator[None]:
    """Let the recorder find a system that cannot write past the page cache."""
    flag = getattr(os, "O_DIRECT", None)
    if flag is not None:
        del os.O_DIRECT
    try:
        yield
    finally:
        if flag is not None:
            os.O_DIRECT = flag


def large_frames(folder: Path, where: str) -> None:
    """4K RGB frames at 1.1 GB/s, for a moment: the page cache may hold so much before the disk."""
    rounds, times, counts, plain = [], [], [], []
    for _ in range(ROUNDS):
        plain.append(plainly(folder, 2.0)[0])
        alone = one_round(None, [("4k", LARGE)], FAST_HZ, 2.0)
        rounds.append(one_round(folder / "run.mcap", [("4k", LARGE)], FAST_HZ, 2.0))
        times.append(median(rounds[-1].took) / median(alone.took))
        counts.append(len(rounds[-1].took) / len(alone.took))
    speeds = [each.speed for each in rounds]
    offered = FAST_HZ * np.prod(LARGE) / 1e9
    print(
        f"4K RGB at {FAST_HZ} Hz ({offered:.2f} GB/s), {where}: {median(speeds):.2f} GB/s "
        f"recorded, best {max(speeds):.2f}; lost in each round {[each.lost for each in rounds]}"
    )
    print(f"  plain writes beside: {median(plain):.2f} GB/s, best {max(plain):.2f}")
    print(f"  {median(each.processor for each in rounds):.2f} s of a processor for each GB")
    print(f"  its writer writes {median(counts):.2f} of the frames that it writes alone")
    print(f"  a write takes {median(times):.2f} of what it takes alone")


class Round(NamedTuple):
    """Times of writes; the recorder's GB/s, seconds of a processor for a GB, and frames lost."""

    took: list[float]
    speed: float = 0.0
    processor: float = 0.0
    lost: int = 0


def one_round(path: Path | None, arrays: list[tuple[str, Any]], hz: float, seconds: float) -> Round:
    from ndsharray.tools.record import Recorder

    writers = Writers(arrays, hz, seconds)
    try:
        if path is None:
            writers.tell()
            return Round(writers.result()[0])
        with Recorder([name for name, _ in arrays], path, force=True, min_free=0) as recorder:
            used = time.process_time()
            writers.tell()
            took, past = writers.result()
        used = time.process_time() - used
        end = recorder.statistics()
        path.unlink()
        return Round(took, end.written / past / 1e9, used * 1e9 / end.written, end.lost)
    finally:
        writers.end()


def cameras(folder: Path) -> None:
    """One 4K and four 720p cameras at 30 Hz for some time, and the disk by itself."""
    arrays: list[tuple[str, Any]] = [("4k", LARGE), *((f"720p {n}", SMALL) for n in range(4))]
    found = one_round(folder / "run.mcap", arrays, 30, CAMERAS_SECONDS)
    print(
        f"4K and four 720p at 30 Hz for {CAMERAS_SECONDS:.0f} s: {found.speed:.2f} GB/s recorded, "
        f"{len(found.took)} frames written, {found.lost} lost"
    )
    print(f"  {found.processor:.2f} s of a processor for each GB")
    (speed, sustained), frame = plainly(folder, CAMERAS_SECONDS), np.ones(LARGE, np.uint8)
    begun = time.perf_counter()
    zlib.crc32(frame.data)
    checksum = frame.nbytes / (time.perf_counter() - begun)
    print(f"  plain writes: {speed:.2f} GB/s, in the second half {sustained:.2f}")
    print(f"  past the page cache: {directly(folder, CAMERAS_SECONDS):.2f} GB/s")
    print(f"  a checksum: {checksum / 1e9:.2f} GB/s")


def plainly(folder: Path, seconds: float) -> tuple[float, float]:
    """Return the GB/s of plain writes of frames to a file: of all, and of the second half."""
    path, frame = folder / "plain", np.ones(LARGE, np.uint8)
    halves = []
    with path.open("wb", buffering=0) as file:
        for _ in range(2):
            begun, written = time.perf_counter(), 0
            while time.perf_counter() - begun < seconds / 2:
                written += file.write(frame.data)
            halves.append(written / (time.perf_counter() - begun) / 1e9)
    path.unlink()
    return sum(halves) / 2, halves[1]


def directly(folder: Path, seconds: float) -> float:
    """Return the GB/s of writes past the page cache; 0 where there are none."""
    from ndsharray.tools.recording.direct import Direct

    path, frame = folder / "plain", np.ones(LARGE, np.uint8)
    try:
        with path.open("wb", buffering=0) as file:
            direct = Direct(file.fileno())
            begun, written = time.perf_counter(), 0
            while time.perf_counter() - begun < seconds:
                written += sum(direct.write([frame.data.cast("B")]))
            past = time.perf_counter() - begun
    except OSError:
        return 0.0
    finally:
        path.unlink()
    return written / past / 1e9


def replay(folder: Path) -> None:
    """720p at 30 Hz: how far from its time each frame is published."""
    from ndsharray import NdShArray
    from ndsharray.tools.recording.messages import encode, kind_of
    from ndsharray.tools.recording.output import Output
    from ndsharray.tools.recording.writer import FileWriter, topic_of
    from ndsharray.tools.replay import Player

    path, frame = folder / "run.mcap", np.ones(SMALL, np.uint8)
    file = FileWriter(Output(str(path), False), None, "benchmark")
    times = [10**18 + number * 10**9 // 30 for number in range(REPLAY_FRAMES)]
    for number, at in enumerate(times, 1):
        schema = kind_of(frame.dtype, frame.shape)
        message = encode("720p", frame, schema, "rgb8", number, at, at)
        file.add(message, topic_of(message))
    file.close()
    errors, slipped = [], []
    for _ in range(3):
        with Player(path, slots=REPLAY_FRAMES + 3) as player, NdShArray("720p", r_w="r") as reader:
            player.run()
            written = [reader.write_time_ns for _ in reader.frames(0)]
            slipped.append(player.status().slipped)
        # Of one frame from the other: what the first one's wait adds to all others cancels.
        clock = median(one - other for one, other in zip(written, times))
        errors += [abs(one - other - clock) / 1e6 for one, other in zip(written, times)]
    print(
        f"replay of 720p at 30 Hz: median error {median(errors):.3f} ms, "
        f"p99 {sorted(errors)[len(errors) * 99 // 100]:.2f} ms, slipped {sum(slipped) * 1e3:.0f} ms"
    )
