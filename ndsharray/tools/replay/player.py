"""`Player`: recordings back into shared memory, each frame at its time."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ... import NdShArray, NoArrayError, Transport, WriterExistsError, backends, info
from ..common.names import fits
from ..recording.messages import SCHEMAS
from ..recording.source import Source
from .clock import PlayClock
from .feed import Feed, Frame, frames_of
from .status import Status

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Player", "Status"]

_SLIP = 0.05  # seconds; what is less late than this is caught up
_HOLD = 0.25  # seconds that the last frames stay for readers that read in order


class _Stopped(Exception):
    """Ends a loan without a frame."""


class Player:
    """Play recordings: an array for each topic, each frame at its time, on one clock.

    `run` plays in the thread that calls it; the other methods may be called from any thread.

    Parameters
    ----------
    paths : path, or sequence of paths
        Files, and folders of files.
    rate : float
        Seconds of the recording in a second; ``math.inf``: as fast as possible.
    loop : bool
        Begin again at the end.
    start, end : float, optional
        The part to play, in seconds from the first frame.
    only : iterable of str
        Names or globs of the arrays to play; none: all.
    rename : mapping of str to str
        Other names for arrays.
    paused : bool
        Begin with a pause (see `step`).
    slots : int
        Frames that each array keeps room for.
    transport : Transport or str, optional
        Where the arrays go.
    directory : str or path, optional
        The root of the arrays.

    Raises
    ------
    WriterExistsError
        If an array's name has a living writer; nothing was played.
    ndsharray.tools.recording.file.NotAFile
        (ValueError) If there is no recording.
    LookupError
        If the recording has none of the arrays.
    ValueError
        For a rate, a time or a name that cannot be.
    OSError
        If a file cannot be read.

    Examples
    --------
    >>> from ndsharray.tools.replay import Player
    >>> with Player("drive.mcap", rename={"camera": "camera 2"}) as player:  # doctest: +SKIP
    ...     player.run()
    """

    def __init__(
        self,
        paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        *,
        rate: float = 1.0,
        loop: bool = False,
        start: float = 0.0,
        end: float | None = None,
        only: Iterable[str] = (),
        rename: Mapping[str, str] | None = None,
        paused: bool = False,
        slots: int = 3,
        transport: Transport | str | None = None,
        directory: str | os.PathLike[str] | None = None,
    ) -> None:
        if not rate > 0:
            raise ValueError(f"rate must be more than 0, not {rate!r}")
        if start < 0 or (end is not None and end <= start):
            raise ValueError(f"there is nothing from {start!r} s to {end!r} s")
        self._loop, self._slots = loop, slots
        self._only, self._rename = list(only), dict(rename or {})
        self._transport = backends.at(transport, directory)
        self._clock = PlayClock(rate)
        self._changed, self._running = threading.Condition(), threading.RLock()
        self._is_stopped, self._steps = False, 0
        self._frames = self._skipped = 0
        self._behind = self._slipped = 0.0
        self._reasons: dict[str, str] = {}
        self._writers: dict[str, NdShArray] = {}
        several = [paths] if isinstance(paths, (str, os.PathLike)) else paths
        if not several:
            raise ValueError("nothing to play: give files")
        self._source = Source([os.fspath(path) for path in several])
        self._position = self._source.start
        self._from = self._source.start + int(start * 1e9)
        self._to = None if end is None else self._source.start + int(end * 1e9)
        try:
            self._open_writers()
        except BaseException:
            self.close()
            raise
        if paused:
            self.pause()

    def _open_writers(self) -> None:
        there = (file.catalogue.topics(SCHEMAS) for file in self._source.files)
        topics = {topic for topic in set().union(*there) if self._is_wanted(topic)}
        if self._only and not topics:
            raise LookupError(f"the recording has no array {' or '.join(map(repr, self._only))}")
        for name in self._rename.keys() - topics:  # which might be played where it must not
            raise LookupError(f"the recording has no array {name!r} to be renamed")
        names = [self._rename.get(topic, topic) for topic in topics]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two arrays would be called {name!r}")
        for topic in sorted(topics):
            self._writer(topic)

    def _is_wanted(self, topic: str) -> bool:
        return not self._only or fits(topic, self._only)

    def _writer(self, topic: str) -> NdShArray:
        writer = self._writers.get(topic)
        if writer is None:
            name = self._rename.get(topic, topic)
            self._refuse_living(name)
            writer = NdShArray(name, r_w="w", transport=self._transport, slots=self._slots)
            self._writers[topic] = writer
        return writer

    def _refuse_living(self, name: str) -> None:
        """Refuse a name with a living writer, also one of this process, which would be replaced."""
        try:
            found = info(name, transport=self._transport)
        except NoArrayError:
            return
        if found.state == "live":
            raise WriterExistsError(name, found.pid or 0)

    # --- playing

    def run(self) -> None:
        """Play to the end, or until `stop`.

        Raises
        ------
        OSError
            If a file cannot be read, or shared memory is full.
        """
        with self._running:
            while not self._is_stopped:
                raws = self._source.frames(self._from, self._to, self._is_wanted)
                feed = Feed(frames_of(raws, self._skip))
                try:
                    if not self._play_all(feed) or not self._loop:
                        break
                finally:
                    feed.close()
            with self._changed:
                self._changed.wait_for(lambda: self._is_stopped, _HOLD)

    def _play_all(self, feed: Feed) -> int:
        count = 0
        for frame in feed:
            try:
                self._play(frame, is_first=not count)
            except _Stopped:
                break
            count += 1
        return count

    def _play(self, frame: Frame, is_first: bool) -> None:
        dtype, shape, payload, _ = frame.values
        stamp = frame.publish_time or None
        with self._writer(frame.topic).loan(shape, dtype, time_ns=stamp) as memory:
            if len(payload):
                memory.reshape(-1).view(np.uint8)[:] = np.frombuffer(payload, np.uint8)
            if is_first:
                self._clock.begin(frame.log_time)
            self._wait_for(frame)  # filled before its time, published in time
            # Before the frame is published: who has it finds it counted.
            self._frames += 1
            self._position = frame.log_time

    def _wait_for(self, frame: Frame) -> None:
        with self._changed:
            while not self._is_stopped:
                if self._clock.is_paused:
                    if self._steps:
                        self._steps -= 1
                        self._clock.begin(frame.log_time)
                        return
                    self._changed.wait()
                    continue
                left = self._clock.left(frame.log_time)
                if left <= 0:
                    self._note_late(-left)
                    return
                self._changed.wait(min(left, threading.TIMEOUT_MAX))
        raise _Stopped

    def _note_late(self, late: float) -> None:
        self._behind = late
        if late > _SLIP and not math.isinf(self._clock.rate):
            self._clock.slip(late)
            self._slipped += late

    def _skip(self, topic: str, reason: str) -> None:
        self._skipped += 1
        self._reasons.setdefault(topic, f"{topic!r}: {reason}")

    # --- from other threads

    def pause(self) -> None:
        """Stand still."""
        with self._changed:
            self._clock.pause()
            self._changed.notify_all()

    def resume(self) -> None:
        """Go on."""
        with self._changed:
            self._clock.resume()
            self._changed.notify_all()

    def step(self) -> None:
        """Play the next frame of all arrays, in a pause."""
        with self._changed:
            self._clock.pause()
            self._steps += 1
            self._changed.notify_all()

    def stop(self) -> None:
        """End `run`."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    def status(self) -> Status:
        """Return how far it is."""
        account = self._source.account
        return Status(
            position=(self._position - self._source.start) / 1e9,
            length=(self._source.end - self._source.start) / 1e9,
            frames=self._frames,
            behind=self._behind,
            slipped=self._slipped,
            skipped=self._skipped,
            damaged=account.damaged,
            torn=account.torn,
            is_paused=self._clock.is_paused,
            is_incomplete=not account.is_clean(),
            notes=(*account.notes, *self._reasons.values()),
        )

    def close(self) -> None:
        """Close the arrays and the files, as soon as `run` has ended."""
        self.stop()
        with self._running:
            for writer in self._writers.values():
                writer.close()
            self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
