"""What a rival looks like from outside: a writer, a reader, and where they meet."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Place:
    """Where a writer and its readers meet, and what is known beforehand.

    Attributes
    ----------
    root : str
        A directory of this run, in memory where the system has one.
    name : str
        Of the array; no other run has it.
    number : int
        Which of the pair's arrays it is.
    side : int
        0: on the side that opens first, 1: the other one (for rivals that listen and connect).
    waiting : bool
        Readers will sleep until a frame comes: rivals set up their notification if it is extra.
    readers : int
        How many there will be.
    channels : sequence
        What the rival makes before its processes start, one for each number.
    """

    root: str
    name: str
    number: int = 0
    side: int = 0
    waiting: bool = False
    readers: int = 1
    channels: tuple[Any, ...] = ()


class Writer(Protocol):
    """Writes frames."""

    def write(self, array: Array) -> None:
        """Make it the newest frame."""

    def close(self) -> None:
        """Release the memory, and remove what is left."""


class Reader(Protocol):
    """Reads frames."""

    def read(self) -> Array | None:
        """Return the newest frame; None if there is nothing new."""

    def wait(self, timeout: float) -> Array | None:
        """Sleep until there is one, as the rival's documentation says; return it.

        Some have no timeout: the caller makes sure that a frame comes.
        """

    def close(self) -> None:
        """Release the memory."""


@dataclass(frozen=True)
class Rival:
    """One thing that is compared.

    Attributes
    ----------
    name : str
        In tables, on the command line and in JSON.
    module : str
        In this package: offers `Writer` and `Reader`, called with a place, a first array and the
        options.
    reads : str
        What one read includes.
    options : dict
        For the constructors.
    package : str or None
        Its distribution; None: of the standard library.
    safe : bool
        Whether what a reader gets is a whole frame, whatever the writer does.
    in_place : bool
        Whether a read gives memory that others share: nothing is copied out.
    concurrent : bool
        Whether a write waits for the reader, which therefore reads meanwhile.
    threads : bool
        Whether frames are delivered by threads: a read includes the wait for them.
    original : bool
        Whether it needs the environment with the original package.
    channels : int
        How many arrays there can be at a time, for rivals that make theirs before the processes.
    cannot : dict
        Scenarios, and cases of them, that it has no part in; and why.
    """

    name: str
    module: str
    reads: str
    options: dict[str, Any] = field(default_factory=dict)
    package: str | None = None
    safe: bool = True
    in_place: bool = False
    concurrent: bool = False
    threads: bool = False
    original: bool = False
    channels: int = 0
    cannot: dict[str, str] = field(default_factory=dict)


def poll(read: Callable[[], Array | None], timeout: float) -> Array | None:
    """Look each millisecond, for a rival that has nothing to sleep on."""
    deadline = time.monotonic() + timeout
    while (array := read()) is None and time.monotonic() < deadline:
        time.sleep(0.001)
    return array


def make_frame(shape: tuple[int, ...], dtype: str = "u1") -> Array:
    """Return the frame that every writer writes: noise, the same in every process."""
    noise = np.random.default_rng(1).integers(0, 255, shape, np.uint8)
    return noise.astype(dtype, copy=False)
