"""The thread that writes: takes frames from all arrays and gives them to files, or to the ring."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable

from ..recording.budget import Budget
from ..recording.messages import Message
from ..recording.source import SUFFIX
from .files import Files
from .intake import Event
from .ring import Ring

__all__ = ["Sink"]

_IDLE = 0.1  # seconds


class _Snapshot:
    """A snapshot that somebody waits for."""

    def __init__(self) -> None:
        self.path, self.error = "", None
        self.done = threading.Event()

    path: str
    error: BaseException | None


class Sink:
    """Writes what the arrays bring.

    Parameters
    ----------
    path : str
        Where the recording goes; what snapshots are named after.
    open_files : callable
        Opens the files of a recording at a path; for a snapshot it gets what its losses are.
    budget : Budget
        The memory of what waits.
    seconds : float, optional
        Keep the last seconds in memory, and write them on demand, instead of all.

    Attributes
    ----------
    error : BaseException or None
        Why it writes no more: a `Limit`, or what the disk said.
    paths : list of str
        The files.
    """

    def __init__(
        self,
        path: str,
        open_files: Callable[..., Files],
        budget: Budget,
        seconds: float | None,
    ) -> None:
        self.error: BaseException | None = None
        self._path, self._open_files, self._budget = path, open_files, budget
        self._ring = None if seconds is None else Ring(seconds, budget)
        self._files = None if self._ring else open_files(path)
        self._snapshots: list[str] = []
        self._snapshot_bytes = 0
        self._queue: queue.SimpleQueue[Message | Event | _Snapshot | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="record: writer", daemon=True)
        self._thread.start()

    def put(self, item: Message | Event) -> None:
        """Take a frame or an event; it waits in memory, as the budget allows."""
        self._queue.put(item)

    @property
    def paths(self) -> list[str]:
        """The files that are there, the oldest first."""
        return self._files.paths if self._files else list(self._snapshots)

    @property
    def nbytes(self) -> int:
        """Bytes written."""
        return self._files.size if self._files else self._snapshot_bytes

    def written(self, topic: str) -> int:
        """Return how many frames of a topic are in files; exact after `close`."""
        return self._files.written[topic] if self._files else 0

    @property
    def is_ring(self) -> bool:
        """Whether the last seconds are kept in memory, and files are snapshots."""
        return self._ring is not None

    @property
    def held_seconds(self) -> float:
        """How many seconds a snapshot would have."""
        return self._ring.seconds if self._ring else 0.0

    def snapshot(self) -> str:
        """Write what the ring holds to a new file, and return its path.

        Raises
        ------
        LookupError
            If there is no frame yet.
        OSError
            If it cannot be written.
        RuntimeError
            If the recorder was closed meanwhile.
        """
        wish = _Snapshot()
        self._queue.put(wish)
        while not wish.done.wait(_IDLE):
            if not self._thread.is_alive() and not wish.done.is_set():
                raise RuntimeError("the recorder is closed")
        if wish.error is not None:
            raise wish.error
        return wish.path

    def close(self) -> None:
        """Write all that waits, and close the file whole."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        wait = _IDLE
        while True:
            try:
                item = self._queue.get(timeout=wait)
            except queue.Empty:
                wait = self._try(self._flush_old) or _IDLE
                continue
            if item is None:
                break
            if isinstance(item, _Snapshot):
                self._write_snapshot(item)
                continue
            self._take(item)
            wait = self._try(self._flush_old) or _IDLE
        if self._files:
            self._close(self._files)

    def _try(self, step: Callable[[], float | None]) -> float | None:
        """Do a step, unless the disk has failed before: then nothing is written any more."""
        if self.error is None:
            try:
                return step()
            except Exception as error:  # the recorder ends, and says it
                self.error = error
        return None

    def _take(self, item: Message | Event) -> None:
        if self._ring:
            self._ring.put(item)
            return
        files = self._files
        assert files is not None
        self._try(lambda: files.put(item, self._budget.is_half_used))
        if isinstance(item, Message):
            self._budget.release(item.nbytes)

    def _flush_old(self) -> float:
        return self._files.flush_old() if self._files else _IDLE

    def _close(self, files: Files) -> None:
        try:
            files.close()
        except Exception as error:
            self.error = self.error or error

    def _write_snapshot(self, wish: _Snapshot) -> None:
        try:
            assert self._ring is not None
            items, losses = self._ring.items(), self._ring.losses()
            if not losses:
                raise LookupError("there is no frame yet")
            stem = self._path.removesuffix(SUFFIX) + time.strftime("-%Y%m%d-%H%M%S")
            path, count = stem + SUFFIX, 1
            while os.path.exists(path):
                count += 1
                path = f"{stem}-{count}{SUFFIX}"
            files = self._open_files(path, lambda: losses)
            try:
                for item in items:
                    files.put(item)
            finally:
                self._snapshots.append(path)
                try:
                    files.close()
                finally:
                    self._snapshot_bytes += files.size
            wish.path = path
        except BaseException as error:
            wish.error = error
        finally:
            wish.done.set()
