"""The files of a recording: when the next one begins, which old one goes, when the disk is full."""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from ..common import human
from ..recording.messages import Message
from ..recording.output import FULL, Output, Reserve
from ..recording.source import SUFFIX
from ..recording.writer import FileWriter, library, topic_of
from .intake import Event

__all__ = ["Files", "Limit", "Limits"]

_CHECK_BYTES = 16 << 20  # how much is written between two looks at the free room
_CHECK_SECONDS = 0.5


class Limit(Exception):
    """A limit ends the recording: the disk is full, or nearly."""


@dataclass(frozen=True)
class Limits:
    """When a file ends.

    Attributes
    ----------
    size : int or None
        Bytes of a file at most (one frame may be larger).
    seconds : float or None
        Seconds of a file at most.
    keep : int or None
        How many files are kept; the oldest ones are removed.
    min_free : int
        Bytes that stay free on the disk.
    """

    size: int | None = None
    seconds: float | None = None
    keep: int | None = None
    min_free: int = 0

    @property
    def splits(self) -> bool:
        """Whether there may be several files."""
        return self.size is not None or self.seconds is not None


class Files:
    """Writes messages into one file, or into the files of a folder, one after the other.

    Parameters
    ----------
    path : str
        The file; with limits that split, the folder.
    limits : Limits
        When a file ends.
    losses : callable
        Returns how many frames of each topic are lost until now.
    about : mapping
        What each file says of the recording.
    force : bool
        Whether a file that is there is replaced.

    Raises
    ------
    FileExistsError
        If there is something, and `force` does not allow to replace it.
    Limit
        If the disk is full already.
    """

    def __init__(
        self,
        path: str,
        limits: Limits,
        losses: Callable[[], Mapping[str, int]],
        about: Mapping[str, str],
        force: bool = False,
    ) -> None:
        self.written: Counter[str] = Counter()
        self.nbytes = 0  # of the files that were closed
        self._path, self._limits, self._losses, self._about = path, limits, losses, about
        self._force = force
        self._folder = path if limits.splits else os.path.dirname(path) or "."
        self._names: deque[str] = deque()
        self._count = self._events = 0
        self._lost_before: dict[str, int] = {}
        self._begun = 0  # log time of the file's first message
        self._checked_at, self._checked_size, self._allowed = 0.0, 0, 0
        if limits.splits:
            self._take_folder()
        with self._full_is_a_limit():
            self._file = self._open()

    def _take_folder(self) -> None:
        if os.path.exists(self._folder) and not os.path.isdir(self._folder):
            raise FileExistsError(f"'{self._folder}' is no folder, which several files need")
        os.makedirs(self._folder, exist_ok=True)
        there = [name for name in os.listdir(self._folder) if name.endswith(SUFFIX)]
        if there and not self._force:
            raise FileExistsError(f"'{self._folder}' has recordings already; --force replaces them")
        ours = re.compile(re.escape(self._stem()) + r"-\d{5,}" + re.escape(SUFFIX))
        for name in filter(ours.fullmatch, there):  # others may have been put there
            os.unlink(os.path.join(self._folder, name))

    def _stem(self) -> str:
        return os.path.basename(os.path.abspath(self._folder))

    def _open(self) -> FileWriter:
        path = self._path
        if self._limits.splits:
            path = os.path.join(self._folder, f"{self._stem()}-{self._count:05}{SUFFIX}")
            self._count += 1
        try:
            output = Output(path, self._force)
        except FileExistsError:
            raise FileExistsError(f"'{path}' is there already; --force replaces it") from None
        reserve = None
        try:
            reserve = None if output.is_pipe else Reserve(self._folder)
            file = FileWriter(output, reserve, library())
            file.add_metadata("ndsharray.recording", self._about)
        except BaseException:
            output.abandon()
            if reserve is not None:
                reserve.release()
            raise
        self._names.append(path)
        self._is_open = True
        self._begun = 0
        return file

    @property
    def paths(self) -> list[str]:
        """The files that are there, the oldest first."""
        return list(self._names)

    @property
    def size(self) -> int:
        """Bytes written, in all files."""
        return self.nbytes + (self._file.nbytes if self._is_open else 0)

    def put(self, item: Message | Event, is_behind: bool = False) -> None:
        """Write a frame or an event; `is_behind` if more waits than the disk takes.

        Raises
        ------
        Limit
            If the disk is full, or nearly; `close` still closes the file whole.
        OSError
            If the disk fails.
        """
        with self._full_is_a_limit():
            if isinstance(item, Event):
                self._events += 1  # a name of its own: some readers join records of one name
                self._file.add_metadata(f"ndsharray.event {self._events}", _text_of(item))
                return
            self._check_room(item.nbytes)
            if self._is_over(item):
                self._next()
            if not self._begun:
                self._begun = item.log_time
            self._file.is_behind = is_behind
            self._file.add(item, topic_of(item))

    def flush_old(self) -> float:
        """Write what is old enough; return the seconds until there is more."""
        with self._full_is_a_limit():
            return self._file.flush_old(time.monotonic())

    @contextmanager
    def _full_is_a_limit(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise Limit(f"the disk is full: '{self._folder}' ({error.strerror})") from None

    def _is_over(self, message: Message) -> bool:
        limits, file = self._limits, self._file
        if not self._begun:
            return False
        if limits.size is not None and file.final_size(message.nbytes) > limits.size:
            return True
        return limits.seconds is not None and message.log_time - self._begun >= limits.seconds * 1e9

    def _next(self) -> None:
        self._finish()
        self._file = self._open()
        self._remove_old()

    def _remove_old(self) -> None:
        while self._limits.keep is not None and len(self._names) > self._limits.keep:
            try:
                os.unlink(self._names[0])
            except FileNotFoundError:
                pass  # somebody has taken it away
            except PermissionError:
                if sys.platform != "win32":
                    raise
                return  # another program has it open: with the next file
            self._names.popleft()

    def _check_room(self, size: int) -> None:
        """Look at the free room, before what was there at the last look can be used up."""
        least = self._limits.min_free
        if not least:
            return
        now = time.monotonic()
        grown = self.size + size - self._checked_size
        if grown < self._allowed and now < self._checked_at + _CHECK_SECONDS:
            return
        free = _free(self._folder) - self._file.pending
        if free - size < least:
            raise Limit(f"{human(free)} are left on the disk, and --min-free keeps {human(least)}")
        self._checked_at, self._checked_size = now, self.size
        self._allowed = min(free - least, _CHECK_BYTES)

    def _finish(self) -> None:
        """Close the file, with its account."""
        file, self._is_open = self._file, False
        try:
            file.close(self._account(file))
        finally:
            self.nbytes += file.nbytes
            self.written.update(file.written)

    def _account(self, file: FileWriter) -> Iterator[tuple[str, dict[str, str]]]:
        """Iterate over what the file says of each array; when its last chunk is written, or not."""
        losses, before = dict(self._losses()), self._lost_before
        written = file.written
        for topic, lost in losses.items():
            counts = {"frames": str(written[topic]), "lost": str(lost - before.get(topic, 0))}
            yield f"ndsharray.array {topic}", {"array": topic, **counts}
        self._lost_before = losses

    def close(self) -> None:
        """Close the file whole, unless the last one is closed and the next one could not begin.

        Raises
        ------
        Limit
            If its last frames have no room.
        OSError
            If its end cannot be written.
        """
        if self._is_open:
            with self._full_is_a_limit():
                self._finish()


def _text_of(event: Event) -> dict[str, str]:
    return {
        "array": event.topic,
        "event": event.what,
        "frame_id": str(event.frame_id),
        "time_ns": str(event.time_ns),
    }


def _free(folder: str) -> int:
    return shutil.disk_usage(folder).free
