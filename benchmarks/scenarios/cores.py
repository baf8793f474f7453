"""``python benchmarks --cores``: why floods on a virtual machine have two speeds.

No library takes part. Two processes copy 720p frames through bare shared memory as fast as they
can (a writer, a reader, three slots), then pass a word to and fro, then the reader copies private
memory; all of it again and again. If a host moves the two virtual processors between cores that
have a cache in common and cores that have none, then the flood and the way of a word change
together, and the private copy does not.
"""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing import shared_memory
from statistics import median
from typing import Any

import numpy as np

FRAME = 720 * 1280 * 3
PAGE, SLOTS = 4096, 3
STEP = -(-FRAME // PAGE) * PAGE
FLOOD, PASS, END = 0, 1, 2
SECONDS, ROUNDS, PASSES, COPIES = 0.3, 80, 300, 30
QUICK = 2  # times the shortest way of a word: below, a round counts as one of the near cores


class Both:
    """The memory of both sides: a page of words, each in a cache line of its own, and the slots."""

    def __init__(self, name: str | None) -> None:
        self.shared = shared_memory.SharedMemory(name, name is None, PAGE + SLOTS * STEP)
        buffer = self.shared.buf
        self.words = [buffer[at : at + 8].cast("Q") for at in (0, 64, 128, 192)]
        self.mode, self.count, self.ping, self.pong = self.words
        flat: Any = np.frombuffer(buffer, np.uint8, SLOTS * STEP, PAGE)
        self.slots = [flat[at * STEP : at * STEP + FRAME] for at in range(SLOTS)]

    def close(self) -> None:
        self.slots.clear()
        for word in self.words:
            word.release()
        self.shared.close()


def write(name: str) -> None:
    both, frame = Both(name), np.ones(FRAME, np.uint8)
    while (mode := both.mode[0]) != END:
        if mode == FLOOD:
            count = both.count[0] + 1
            np.copyto(both.slots[count % SLOTS], frame)
            both.count[0] = count
        else:
            both.pong[0] = both.ping[0]
    both.close()


def flood(both: Both, frame: Any) -> float:
    """Return the frames a second."""
    both.mode[0] = FLOOD
    begun, last, read = time.perf_counter(), both.count[0], 0
    while time.perf_counter() - begun < SECONDS:
        count = both.count[0]
        if count != last:
            np.copyto(frame, both.slots[count % SLOTS])
            last, read = count, read + 1
    return read / SECONDS


def passes(both: Both) -> float:
    """Return the ns of a word's way to the other processor and back."""
    both.mode[0] = PASS
    took = []
    for _ in range(PASSES):
        begun, word = time.perf_counter_ns(), both.ping[0] + 1
        both.ping[0] = word
        while both.pong[0] != word:
            pass
        took.append(time.perf_counter_ns() - begun)
    return median(took)


def copies(frame: Any, other: Any) -> float:
    """Return the us of a copy in memory that nobody shares."""
    begun = time.perf_counter()
    for _ in range(COPIES):
        np.copyto(frame, other)
    return (time.perf_counter() - begun) / COPIES * 1e6


def run() -> int:
    both = Both(None)
    process = multiprocessing.get_context("spawn").Process(target=write, args=(both.shared.name,))
    process.start()
    try:
        frame, other = np.zeros(FRAME, np.uint8), np.zeros(FRAME, np.uint8)
        while both.count[0] < SLOTS:
            time.sleep(0.01)
        rounds = [(flood(both, frame), passes(both), copies(frame, other)) for _ in range(ROUNDS)]
    finally:
        both.mode[0] = END
        process.join()
        both.shared.unlink()
        both.close()
    floods, words, _ = np.array(rounds).T
    near = words < QUICK * words.min()
    print(f"{'':<16}{'rounds':>8}{'flood, frames/s':>18}{'a word, ns':>12}{'a copy, us':>12}")
    for text, which in (("near cores", near), ("far cores", ~near)):
        if which.any():
            values = [median(column) for column in np.array(rounds)[which].T]
            print(
                f"{text:<16}{which.sum():>8}{values[0]:>18.0f}{values[1]:>12.0f}{values[2]:>12.0f}"
            )
    correlation = np.corrcoef(np.log(floods), np.log(words))[0, 1]
    print(f"correlation of flood and word (logarithms): {correlation:.2f}")
    return 0
