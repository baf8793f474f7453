"""The command's loop: start a recorder, show what it does, end it."""

from __future__ import annotations

import argparse
import queue
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ..common import ToolError, duration, human, plural, rate, select, stop_on_signals
from ..common.terminal import aligned, shown
from ..recording.keyboard import listen
from ..recording.progress import Progress
from ..recording.source import SUFFIX
from .files import Limit
from .recorder import Recorder, Statistics

__all__ = ["record"]

_LOST = 3
_POLL = 0.1  # seconds between two looks for the end, and at the writers
_WRITERS = {
    "absent": "has no writer yet",
    "live": "has a writer now",
    "killed": "its writer was killed",
    "closed": "its writer has closed it",
}


def record(options: argparse.Namespace) -> int:
    """Record as the options say; return the exit code."""
    names = ["*"] if options.all else options.names
    select(names, options)
    progress = Progress(options.json)
    with stop_on_signals() as stop:
        try:
            recorder = _recorder(names, options)
        except (ValueError, FileExistsError) as error:
            raise ToolError(str(error), 2) from None
        except Limit as error:
            raise ToolError(str(error), _LOST) from None
        with recorder:
            report = _Shown(recorder, progress, options.newest)
            with _snapshots(recorder, progress, options.snapshot) as failed:
                past = float("inf") if options.duration is None else options.duration
                end = time.monotonic() + past
                while not stop.wait(min(_POLL, end - time.monotonic())):
                    if recorder.wait(0) or time.monotonic() >= end:
                        break
                    report.note_writers()
                    if progress.is_due():
                        report.show()
        report.note_writers()
        report.show()
    code = _finish(recorder, progress, options)
    return _LOST if failed else code


def _recorder(names: list[str], options: argparse.Namespace) -> Recorder:
    splits = options.split_size is not None or options.split_time is not None
    stem = time.strftime("ndsharray-%Y%m%d-%H%M%S")
    return Recorder(
        names,
        options.output or (stem if splits else stem + SUFFIX),
        newest=options.newest,
        exclude=options.exclude,
        frames=options.frames,
        split_size=options.split_size,
        split_seconds=options.split_time,
        keep=options.keep,
        min_free=options.min_free,
        max_memory=options.max_memory,
        snapshot=options.snapshot,
        encoding=options.encoding,
        force=options.force,
        transport=options.transport,
        directory=options.root,
    )


class _Shown:
    """What was shown last, from which rates are computed."""

    def __init__(self, recorder: Recorder, progress: Progress, newest: bool) -> None:
        self._recorder, self._progress = recorder, progress
        self._lost = "skipped" if newest else "lost"
        self._before = recorder.statistics()
        self._warned: set[str] = set()
        self._writers: dict[str, str] = {}

    def note_writers(self) -> None:
        """Say which writers have come or gone."""
        for name, writer in self._recorder.writers.items():
            if writer != self._writers.get(name, "live"):
                self._progress.note(f"{name}: {_WRITERS[writer]}")
            self._writers[name] = writer

    def show(self) -> None:
        now, before = self._recorder.statistics(), self._before
        past = max(now.seconds - before.seconds, 1e-3)
        for each in now.arrays:
            if each.warning and each.name not in self._warned:
                self._warned.add(each.name)
                self._progress.note(f"{each.name}: {each.warning}")
        was = {each.name: each.nbytes for each in before.arrays}
        lines = aligned(
            [
                [
                    shown(each.name),
                    f"in {rate((each.nbytes - was.get(each.name, 0)) / past)}",
                    f"frames {each.frames}",
                    f"{self._lost} {each.lost}",
                ]
                for each in now.arrays
            ],
            right=(1, 2, 3),
        )
        speed_in = (now.nbytes - before.nbytes) / past
        speed_out = max(now.written - before.written, 0) / past
        held = now.held_seconds
        out = f"held {duration(held)}" if held else f"disk {rate(speed_out)}"
        lines.append(
            f"{now.seconds:.1f} s  in {rate(speed_in)}  {out}  buffer {now.buffer:.0%}"
            f"  frames {now.frames}  {self._lost} {now.lost}"
        )
        extra = {"in_bytes_per_s": speed_in, "disk_bytes_per_s": speed_out}
        self._progress.show(lines, {**now.as_dict(), **extra})
        self._before = now


@contextmanager
def _snapshots(
    recorder: Recorder, progress: Progress, seconds: float | None
) -> Iterator[list[Exception]]:
    """Write a snapshot at each SIGUSR1 and each Enter; yield a list of what went wrong."""
    failed: list[Exception] = []
    if seconds is None:
        yield failed
        return
    wishes: queue.SimpleQueue[bool] = queue.SimpleQueue()  # whose put a signal handler may call

    def write() -> None:
        while wishes.get():
            try:
                progress.note(f"wrote {recorder.snapshot()}")
            except LookupError as error:
                progress.note(f"no snapshot: {error}")
            except Exception as error:  # a full disk, mostly; the next one may have room
                failed.append(error)
                progress.note(f"no whole snapshot: {error}")

    number, before = getattr(signal, "SIGUSR1", None), None  # Windows has none
    if number is not None:
        before = signal.signal(number, lambda *_: wishes.put(True))
    writer = threading.Thread(target=write)
    writer.start()

    def obey(_: str) -> None:
        progress.typed()
        wishes.put(True)

    listen(obey)
    try:
        yield failed
    finally:
        if number is not None:
            signal.signal(number, before)
        wishes.put(False)
        writer.join()


def _finish(recorder: Recorder, progress: Progress, options: argparse.Namespace) -> int:
    end: Statistics = recorder.statistics()
    if not options.json:
        lost = "skipped" if options.newest else "lost"
        files = ", ".join(end.paths) or "no file"
        frames = plural(end.frames, "frame")
        line = f"{frames}, {lost} {end.lost}: {files} ({human(end.written)})"
        for each in end.arrays:
            if each.writer != "live":
                line += f"; {each.name}: {_WRITERS[each.writer]}"
        print(shown(line), flush=True)
    if recorder.error is not None:
        progress.note(str(recorder.error))
        return _LOST
    return _LOST if end.lost and not options.newest else 0
