"""Words that two processes and their parent share, to take turns by looking, not by sleeping."""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable

LINES = 8
TURN, MET, STOP, DONE, ABORT, VALUE = range(6)  # one cache line each
PATIENCE = 10.0  # seconds that a turn can take before something must be wrong

#: Lets others run, and comes back at once if nobody wants to; elsewhere the shortest sleep.
give_way: Callable[[], object] = getattr(os, "sched_yield", lambda: time.sleep(0))


class Aborted(Exception):
    """The other side has failed."""


class Turns:
    """The words of one pair of processes.

    A side that waits spins, so it is awake and its caches are hot when its turn comes; it gives
    way in each round, so it takes no core from a process that wants one.
    """

    def __init__(self, path: str) -> None:
        with open(path, "a+b") as file:
            file.truncate(64 * LINES)
            self._map = mmap.mmap(file.fileno(), 64 * LINES)
        self._words = memoryview(self._map).cast("Q")

    def __getitem__(self, line: int) -> int:
        return self._words[8 * line]

    def __setitem__(self, line: int, value: int) -> None:
        self._words[8 * line] = value

    def reset(self) -> None:
        for line in range(LINES):
            self[line] = 0

    def wait(self, line: int, value: int) -> None:
        """Return when the word holds the value."""
        words, at, rounds = self._words, 8 * line, 0
        while words[at] != value:
            give_way()
            rounds += 1
            if not rounds % 512:
                self._check(rounds)

    def until(self, done: Callable[[], object], text: str) -> None:
        """Do it again and again until it gives something true."""
        deadline = time.monotonic() + PATIENCE
        while not done():
            give_way()
            self.check(deadline, text)

    def check(self, deadline: float, text: str) -> None:
        if self[ABORT]:
            raise Aborted
        if time.monotonic() > deadline:
            raise TimeoutError(text)

    def _check(self, rounds: int) -> None:
        if self[ABORT]:
            raise Aborted
        if rounds == 512:
            self._deadline = time.monotonic() + PATIENCE
        elif time.monotonic() > self._deadline:
            raise TimeoutError("the other side took no turn")
