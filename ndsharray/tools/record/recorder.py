"""`Recorder`: arrays into files, for as long as it is open."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from ... import NdShArrayError, Transport, arrays, backends
from ..._registry.inspection import transports
from ..common.names import fits, is_glob
from ..recording.budget import Budget
from ..recording.messages import ENCODINGS
from .files import Files, Limits
from .intake import Intake
from .sink import Sink
from .statistics import ArrayStatistics, Statistics, statistics_of

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ArrayStatistics", "Recorder", "Statistics"]

_SCAN = 0.5  # seconds between two looks for arrays that have come
_LOOK = 0.1  # and for the end


class Recorder:
    """Record arrays into an MCAP file, or several, until it is closed.

    One thread for each array reads its frames in order; one thread writes. What waits between them
    is bounded. If the disk is slower than the arrays, frames are lost, and counted exactly.

    Parameters
    ----------
    names : iterable of str
        Names or globs (``cam*``). Arrays that fit a glob are taken up when they come; a name
        without one is waited for.
    path : str or os.PathLike
        The file; with `split_size` or `split_seconds`, the folder of the files.
    newest : bool
        Record the newest frame each time there is room, instead of every frame.
    exclude : iterable of str
        Names or globs of what is not recorded.
    frames : int, optional
        The end of the recording: when each array has that many frames.
    split_size : int, optional
        Bytes of a file at most.
    split_seconds : float, optional
        Seconds of a file at most.
    keep : int, optional
        How many files are kept when the recording is split; the oldest ones are removed.
    min_free : int
        Bytes that stay free on the disk; the recording ends before.
    max_memory : int
        Bytes of frames that may wait for the disk; each array may have one frame beyond.
    snapshot : float, optional
        Keep this many seconds in memory instead, and write them when `snapshot` is called.
    encoding : {'rgb8', 'bgr8'}
        What an image's last axis of three or four bytes is, for programs that show it.
    force : bool
        Replace what is there.
    transport : Transport or str, optional
        Where the arrays are; default: all known transports.
    directory : str or path, optional
        The root of the arrays.

    Raises
    ------
    FileExistsError
        If there is a file, and not `force`.
    ValueError
        For a bad `encoding`, limits that contradict each other, or no name.
    OSError
        If the file cannot be made.

    Examples
    --------
    >>> from ndsharray.tools.record import Recorder
    >>> with Recorder(["camera", "imu"], "drive.mcap") as recorder:  # doctest: +SKIP
    ...     recorder.wait(60.0)
    ...     print(recorder.statistics().lost)
    """

    def __init__(
        self,
        names: Iterable[str],
        path: str | os.PathLike[str],
        *,
        newest: bool = False,
        exclude: Iterable[str] = (),
        frames: int | None = None,
        split_size: int | None = None,
        split_seconds: float | None = None,
        keep: int | None = None,
        min_free: int = 64 << 20,
        max_memory: int = 1 << 30,
        snapshot: float | None = None,
        encoding: str = "rgb8",
        force: bool = False,
        transport: Transport | str | None = None,
        directory: str | os.PathLike[str] | None = None,
    ) -> None:
        self._patterns, self._exclude = list(names), list(exclude)
        limits = Limits(split_size, split_seconds, keep, min_free)
        _check(self._patterns, encoding, limits, snapshot)
        if max_memory < 1 or (frames is not None and frames < 1):
            raise ValueError("max_memory and frames are 1 or more")
        self._newest, self._most, self._colours = newest, frames, encoding
        self._transport, self._directory = transport, directory
        self._budget = Budget(max_memory)
        self._intakes: dict[tuple[str, str, str], Intake] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._unseen: Exception | None = None  # why arrays that came may have been overlooked
        self._begun, self._begun_ns = time.monotonic(), time.time_ns()
        self._ended: float | None = None
        about = {
            "mode": "newest" if newest else "every",
            "names": " ".join(self._patterns),
            "begun_ns": str(self._begun_ns),
        }

        def open_files(at: str, losses: Callable[[], Mapping[str, int]] = self._losses) -> Files:
            return Files(at, limits, losses, about, force)

        self._sink = Sink(os.fspath(path), open_files, self._budget, snapshot)
        try:
            self._scan()
            self._watcher = threading.Thread(target=self._watch, name="record: arrays", daemon=True)
            self._watcher.start()
        except BaseException:
            self._stop_intakes(0)
            self._sink.close()
            raise

    # --- arrays that come

    def _watch(self) -> None:
        due = time.monotonic() + _SCAN
        while not self._over.wait(_LOOK):
            if time.monotonic() >= due:
                try:
                    self._scan()
                except (NdShArrayError, OSError, ValueError) as error:
                    self._unseen = error  # and those that are recorded go on
                due = time.monotonic() + _SCAN
            if self._sink.error is not None or self._all_have_ended():
                self._over.set()

    def _scan(self) -> None:
        places = {(t.name, t.root): t for t in transports(self._transport, self._directory)}
        for place in places.values():
            for info in arrays(transport=place):
                if info.state in ("live", "killed") and self._is_wanted(info.name):
                    self._add(info.name, place)
        known = {name for name, _, _ in self._intakes}
        for name in self._patterns:  # a reader may come before its writer
            if not is_glob(name) and name not in known and self._is_wanted(name):
                place = backends.at(self._transport, self._directory)
                self._add(name, places.get((place.name, place.root), place))

    def _is_wanted(self, name: str) -> bool:
        return fits(name, self._patterns) and not fits(name, self._exclude)

    def _add(self, name: str, transport: Transport) -> None:
        key = (name, transport.name, transport.root)
        with self._lock:
            if key in self._intakes or self._over.is_set():
                return
            self._give_up_waiting(name)
            names = {intake.topic for intake in self._intakes.values()}
            topic = name if name not in names else f"{name} ({transport.name})"
            intake = Intake(
                topic,
                name,
                transport,
                self._sink.put,
                self._budget,
                self._newest,
                self._colours,
                self._most,
                self._begun_ns,
            )
            self._intakes[key] = intake
        intake.start()

    def _give_up_waiting(self, name: str) -> None:
        """Let go of a name that was awaited, as its array has come on another transport."""
        for key, intake in list(self._intakes.items()):
            if key[0] == name and intake.is_awaiting:
                intake.stop(0)
                intake.join()
                del self._intakes[key]

    def _all_have_ended(self) -> bool:
        intakes = list(self._intakes.values())
        return bool(intakes) and not any(intake.is_running for intake in intakes)

    def _losses(self) -> dict[str, int]:
        return {intake.topic: intake.lost for intake in list(self._intakes.values())}

    # --- what its user does

    @property
    def error(self) -> BaseException | None:
        """Why not all is recorded: a full disk, a limit, an array that cannot be read; else None.

        Where one array cannot be read, or none can be looked for, the others go on.
        """
        intakes = list(self._intakes.values())
        errors = [self._sink.error, *(intake.error for intake in intakes), self._unseen]
        return next((error for error in errors if error is not None), None)

    @property
    def paths(self) -> list[str]:
        """The files of the recording, the oldest first."""
        return self._sink.paths

    @property
    def writers(self) -> dict[str, str]:
        """What each array's writer is: see `ArrayStatistics.writer`."""
        return {intake.topic: intake.writer for intake in list(self._intakes.values())}

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the recording ends by itself; return whether it has.

        It ends when each array has `frames` frames, when the disk is full, or at `min_free`.
        """
        return self._over.wait(timeout)

    def snapshot(self) -> str:
        """Write the last seconds to a new file, and return its path; recording goes on.

        Raises
        ------
        LookupError
            If there is no frame yet.
        OSError
            If it cannot be written.
        RuntimeError
            Without the parameter `snapshot`, or after `close`.
        """
        if not self._sink.is_ring or self._ended is not None:
            raise RuntimeError("a snapshot needs an open Recorder(..., snapshot=seconds)")
        return self._sink.snapshot()

    def statistics(self) -> Statistics:
        """Return what was recorded and lost until now."""
        seconds = (self._ended or time.monotonic()) - self._begun
        intakes = list(self._intakes.values())
        return statistics_of(intakes, self._sink, self._budget, seconds, self._ended is not None)

    def close(self) -> None:
        """End the recording: write what is there by now, and close the file whole.

        Raises
        ------
        OSError
            If the file's end could not be written.
        """
        if self._ended is not None:
            return
        self._over.set()
        self._watcher.join()
        self._stop_intakes(time.time_ns())
        self._sink.close()
        self._ended = time.monotonic()

    def _stop_intakes(self, until: int) -> None:
        for intake in self._intakes.values():
            intake.stop(until)
        for intake in self._intakes.values():
            intake.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _check(patterns: list[str], encoding: str, limits: Limits, snapshot: float | None) -> None:
    if not patterns:
        raise ValueError("nothing to record: give names, or '*'")
    if encoding not in ENCODINGS:
        raise ValueError(f"encoding must be one of {', '.join(ENCODINGS)}, not {encoding!r}")
    for what, value in (("split_size", limits.size), ("split_seconds", limits.seconds)):
        if value is not None and value <= 0:
            raise ValueError(f"{what} must be more than 0, not {value!r}")
    if limits.keep is not None and (limits.keep < 1 or not limits.splits):
        raise ValueError("keep is 1 or more files, and needs split_size or split_seconds")
    if snapshot is not None and (snapshot <= 0 or limits.splits):
        raise ValueError("snapshot is more than 0 seconds, and no file is split then")
