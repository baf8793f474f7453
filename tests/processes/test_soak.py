"""A soak: shapes that change, writers and readers that restart or are killed, and all stays level.

One minute in a normal run, half an hour with ``--long`` (both transports together). What the
processes do is in ``soak.py``.

What is sampled may go up and down, as frames do: levels are compared by their maximum in the first
and in the last third of the time, after a warm-up. The allowances below are less than what the
smallest leak adds up to in a normal run; in a long one they are the same, for thirty times the
work.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import soak

from ndsharray._registry.names import address_of
from ndsharray.backends import resolve

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="samples /proc")

SOAK = Path(soak.__file__)
# Readers of the array whose writer is restarted; the last one is killed now and then.
KINDS = ["copy", "out", "in_place", "frames", "awaiting", "attaching", "in_place"]
PACE = 0.25  # seconds between two samples: nothing is waited for
SILENCE = 30.0  # seconds without a report, or without a frame, that count as a hang
START = 60.0  # seconds until everybody has had the first frames, on a busy machine
ALLOWED = {
    "private KiB": 3 * 1024,  # a few buffers of the largest frame (400 KB), a fragmented heap
    "shared KiB": 10 * 1024,  # three segments more than before, of 8 slots instead of 2
    "descriptors": 5,  # before Python 3.13 each mapping has one: held frames of several lives
    "mappings": 8,  # the same, and arenas of the allocator
    "threads": 1,  # one that just ends
    "files": 5,  # a new life's beside an old one's; lock files of readers that were killed
}


class Child:
    """A process of the soak; what it told last, and when that was something new."""

    def __init__(self, kind: str, name: str, transport: str, errors: Path, seed: int) -> None:
        self.kind = kind
        self.counts = {"frames": 0, "wrong": 0, "attached": 0}
        self.told = self.went_on = time.monotonic()
        self.errors = errors
        with open(errors, "ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "error", str(SOAK), kind, name, transport, str(seed)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
            )
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            try:
                counts = json.loads(line)
            except ValueError:  # cut by a kill
                continue
            self.told = time.monotonic()
            if counts["frames"] > self.counts["frames"]:
                self.went_on = self.told
            self.counts = counts

    def check(self, silence: float = SILENCE) -> None:
        """See that it lives, goes on, and found nothing wrong."""
        now = time.monotonic()
        assert self.process.poll() is None, f"{self.kind} ended: {self.errors.read_text()}"
        assert now - self.told < silence, f"{self.kind} hangs"
        assert now - self.went_on < silence, f"{self.kind} gets no frame"
        assert self.counts["wrong"] == 0, f"{self.kind}: {self.errors.read_text()}"

    def sample(self) -> dict[str, int]:
        place = Path(f"/proc/{self.process.pid}")
        status = dict(
            line.split(":", 1)
            for line in (place / "status").read_text().splitlines()
            if ":" in line
        )
        return {
            "private KiB": int(status["RssAnon"].split()[0]),
            "shared KiB": int(status["RssShmem"].split()[0]),
            "threads": int(status["Threads"]),
            "descriptors": len(os.listdir(place / "fd")),
            "mappings": len((place / "maps").read_text().splitlines()),
        }

    def kill(self) -> None:
        self.process.kill()
        self.end()

    def end(self) -> int:
        """Tell it to end, and wait until it has."""
        if self.process.stdin and not self.process.stdin.closed:
            self.process.stdin.close()
        try:
            code = self.process.wait(60)
        finally:
            self.process.kill()
            self.process.wait()
            self._listener.join()
            if self.process.stdout:
                self.process.stdout.close()
        return code


class Soak:
    """All processes, and what was sampled of those that live from begin to end."""

    def __init__(self, name: str, transport: str, errors: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self._name, self._transport, self._errors = name, transport, errors
        self.samples: dict[str, list[tuple[float, int]]] = {}
        self.over = dict.fromkeys(["frames read", "frames written", "attached"], 0)
        self.restarts = dict.fromkeys(["writer, closed", "writer, killed", "reader, killed"], 0)
        self.living: list[Child] = []
        self.steady = self.start("reopened", "steady")
        self.writer = self.start("writer", "restarted")
        self.readers = [self.start(kind, "restarted") for kind in KINDS]
        self.readers.append(self.start("in_place", "steady"))
        self.lasting = [self.steady, *self.readers[:-2], self.readers[-1]]
        self.victim = self.readers[-2]

    def name(self, which: str) -> str:
        return f"{self._name} {which}"

    def start(self, kind: str, which: str) -> Child:
        seed = self.chance.randrange(2**32)
        child = Child(kind, self.name(which), self._transport, self._errors, seed)
        self.living.append(child)
        return child

    def count(self, child: Child) -> None:
        self.living.remove(child)
        writes = child.kind in ("writer", "reopened")
        self.over["frames written" if writes else "frames read"] += child.counts["frames"]
        self.over["attached"] += child.counts["attached"]
        assert child.counts["wrong"] == 0, self._errors.read_text()

    def restart_writer(self) -> None:
        how = self.chance.choice(["closed", "killed"])
        if how == "killed":
            self.writer.kill()
        else:
            assert self.writer.end() == 0, self._errors.read_text()
        self.restarts[f"writer, {how}"] += 1
        self.count(self.writer)
        self.writer = self.start("writer", "restarted")

    def restart_reader(self) -> None:
        self.victim.kill()
        self.restarts["reader, killed"] += 1
        self.count(self.victim)
        self.victim = self.start("in_place", "restarted")

    def sample(self) -> None:
        now = time.monotonic()
        for number, child in enumerate(self.lasting):
            for what, value in child.sample().items():
                self.samples.setdefault(f"{what} of {number} ({child.kind})", []).append(
                    (now, value)
                )
        self.samples.setdefault("files", []).append((now, len(self.files())))

    def files(self) -> list[str]:
        found = []
        for which in ("steady", "restarted"):
            address = address_of(resolve(self._transport), self.name(which))
            for place in {address.transport.root, "/dev/shm"}:
                found += [e for e in os.listdir(place) if e.startswith(address.control_name)]
        return found

    def await_all(self, pace: threading.Event) -> None:
        """Wait until everybody has had some frames."""
        deadline = time.monotonic() + START
        while min(child.counts["frames"] for child in self.living) < 10:
            for child in self.living:
                child.check(SILENCE + START)
            assert time.monotonic() < deadline, [(c.kind, c.counts) for c in self.living]
            pace.wait(PACE)

    def run(self, seconds: float) -> None:
        pace = threading.Event()
        self.await_all(pace)
        begin = time.monotonic()
        warm = begin + min(seconds / 5, 30)
        next_writer = begin + 1.5
        next_reader = begin + 3
        while (now := time.monotonic()) < begin + seconds:
            if now >= next_writer:
                self.restart_writer()
                next_writer = time.monotonic() + self.chance.uniform(1.5, 4)
            if now >= next_reader:
                self.restart_reader()
                next_reader = time.monotonic() + self.chance.uniform(2, 4)
            for child in self.living:
                child.check()
            if now >= warm:
                self.sample()
            pace.wait(PACE)

    def end(self) -> None:
        """End readers first, then the writers, which leave nothing."""
        for child in sorted(self.living, key=lambda child: child in (self.writer, self.steady)):
            assert child.end() == 0, f"{child.kind}: {self._errors.read_text()}"
            self.count(child)
        assert self._errors.read_text() == ""
        assert self.files() == []

    def kill_all(self) -> None:
        for child in self.living:
            child.kill()


def growth(samples: list[tuple[float, int]]) -> tuple[int, int]:
    """Return the maxima of the first and of the last third of the time."""
    begin, end = samples[0][0], samples[-1][0]
    third = (end - begin) / 3
    first = max(value for when, value in samples if when <= begin + third)
    last = max(value for when, value in samples if when >= end - third)
    return first, last


@pytest.fixture
def soak(name: str, transport: str, tmp_path: Path) -> Iterator[Soak]:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    soak: Soak | None = None
    try:
        soak = Soak(name, transport, tmp_path / "errors", seed)
        yield soak
    finally:
        if soak is not None:
            soak.kill_all()


@pytest.mark.alternately
@pytest.mark.times(20, 900)  # seconds
def test_everything_stays_level(
    soak: Soak, times: int, account: Callable[[str, int], None]
) -> None:
    soak.run(times)
    soak.end()
    grown = {}
    for what, samples in sorted(soak.samples.items()):
        first, last = growth(samples)
        print(f"{what}: {first} at most in the first third, {last} in the last")
        if last > first + ALLOWED[what.split(" of ")[0]]:
            grown[what] = (first, last)
    account("soak: seconds", times)
    for counts in (soak.over, soak.restarts):
        for what, count in counts.items():
            account(f"soak: {what}", count)
    assert grown == {}
    assert min(soak.over.values()) > 0
    assert sum(soak.restarts.values()) >= times // 10
