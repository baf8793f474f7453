"""Three writers of 30, 60 and 200 Hz with jitter, pauses, a kill and a restart, joined by time."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest

from ndsharray import ReadSet

TOLERANCE = 0.010

# Every element of a frame is its stamp; so is each entry of the log.
WRITER = """
import random, sys, threading, time
import numpy as np
from ndsharray import NdShArray

name, transport, rate, size, slots, log = sys.argv[1:]
period, random = 1 / float(rate), random.Random(name)
writer = NdShArray(name, r_w="w", transport=transport, slots=int(slots))
frame = np.zeros(int(size), np.int64)
told = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), told.set()), daemon=True).start()
due = time.monotonic()
with writer, open(log, "ab", buffering=0) as stamps:
    print("writing", flush=True)
    while not told.is_set():
        due += period
        if random.random() < 0.2 * period:
            due += random.uniform(0, 0.2)  # once in five seconds
        time.sleep(max(0.0, due + random.uniform(-0.1, 0.1) * period - time.monotonic()))
        due = max(due, time.monotonic() - period)
        stamp = time.time_ns()
        frame.fill(stamp)
        writer.write(frame, time_ns=stamp)
        stamps.write(stamp.to_bytes(8, sys.byteorder))
"""


class Rig:
    """Three writers, and what they have written."""

    RATES: ClassVar = {"left": (30, 200_000), "right": (60, 60_000), "imu": (200, 6)}

    def __init__(self, name: str, transport: str, slots: dict[str, int], logs: Path) -> None:
        self._name, self._transport, self._slots, self._logs = name, transport, slots, logs
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        for alias in self.RATES:
            self.start(alias)

    def names(self) -> dict[str, str]:
        return {alias: f"{self._name} {alias}" for alias in self.RATES}

    def start(self, alias: str) -> None:
        rate, size = self.RATES[alias]
        arguments = [self.names()[alias], self._transport, rate, size, self._slots[alias]]
        process = self.processes[alias] = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", WRITER, *map(str, arguments), self._log(alias)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stdout.readline().strip() == b"writing"

    def end(self, alias: str, kill: bool = False) -> None:
        process = self.processes[alias]
        if kill:
            process.kill()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.stdout.close()
        process.wait(30)

    def _log(self, alias: str) -> str:
        return str(self._logs / alias)

    def stamps(self, alias: str) -> npt.NDArray[Any]:
        return np.fromfile(self._log(alias), np.int64)


@pytest.fixture
def rig(name: str, transport: str, tmp_path: Path) -> Iterator[Callable[[dict[str, int]], Rig]]:
    rigs: list[Rig] = []

    def make(slots: dict[str, int]) -> Rig:
        rigs.append(Rig(name, transport, slots, tmp_path))
        return rigs[-1]

    yield make
    for each in rigs:
        for alias in each.RATES:
            each.end(alias)


def most(pivot: npt.NDArray[Any], others: list[npt.NDArray[Any]], since: int) -> int:
    """Return how many frames of the pivot have a partner in each other array."""
    within = int(TOLERANCE * 1e9)
    fit = pivot >= since
    for times in others:
        after = np.searchsorted(times, pivot - within)
        fit &= after < np.searchsorted(times, pivot + within, side="right")
    return int(fit.sum())


def trouble(rig: Rig, problems: list[BaseException]) -> None:
    """Kill one writer and start it again; end another one, and start it again; end the third.

    The sleeps are how long each part of the run lasts; nothing is waited for.
    """
    try:
        time.sleep(4)
        rig.end("imu", kill=True)
        time.sleep(0.3)
        rig.start("imu")
        time.sleep(3)
        rig.end("left")
        rig.start("left")
        time.sleep(3)
        rig.end("right")
    except BaseException as error:
        problems.append(error)


@pytest.mark.alternately
@pytest.mark.timeout(120)
@pytest.mark.parametrize("copy", [True, False])
@pytest.mark.parametrize("slots", [{"left": 8, "right": 8, "imu": 64}, dict.fromkeys(Rig.RATES, 3)])
def test_what_belongs_together_comes_together(
    rig: Callable[[dict[str, int]], Rig], transport: str, slots: dict[str, int], copy: bool
) -> None:
    began = time.time_ns()
    running = rig(slots)
    problems: list[BaseException] = []
    thread = threading.Thread(target=trouble, args=(running, problems))
    found: list[tuple[int, ...]] = []
    delays: list[float] = []
    ends = []
    with ReadSet(running.names(), tolerance=TOLERANCE, transport=transport) as readers:
        thread.start()
        start = time.process_time()
        while "right" not in ends:
            for s in readers.sets(timeout=20, copy=copy):
                delays.append((time.time_ns() - max(s.times_ns.values())) / 1e9)
                for alias, array in s.items():
                    assert (array == s.times_ns[alias]).all()
                found.append(tuple(s.times_ns.values()))
            ends.append(readers.ended)
        busy = (time.process_time() - start) / (time.time_ns() - began) * 1e9
        counts = readers.counts
    thread.join()
    assert not problems
    assert ends == ["left", "right"]

    for left, right, imu in found:
        assert max(abs(right - left), abs(imu - left)) <= TOLERANCE * 1e9
    for earlier, later in itertools.pairwise(found):
        assert all(a < b for a, b in zip(earlier, later, strict=True))
    # The last frames may find no partner any more, as `right` ends first.
    stamps = {alias: running.stamps(alias) for alias in running.RATES}
    possible = most(stamps["left"], [stamps["right"], stamps["imu"]], min(map(min, found)))
    assert possible > 200
    lost = sum(count.missing for count in counts.values())
    print(f"{len(found)} sets of {possible}, {lost} missing, {100 * busy:.1f} % of a processor")
    assert len(found) >= 0.99 * possible - lost
    # Slots for 133 ms and more reach back as long as this process is not held up.
    assert slots["imu"] == 3 or lost == 0 or max(delays) > 0.1
    late = sorted(delays)[int(0.95 * len(delays))]
    assert late <= 1.2 / 30 + TOLERANCE
    assert busy < 0.5
