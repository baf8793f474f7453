"""Reads one array, each frame in order or the newest ones, and counts what it could not get."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy.typing as npt

from ... import NdShArray, Transport, info
from ..._system.clock import unix_ns
from ..recording.budget import Budget
from ..recording.messages import IMAGE, Message, encode, kind_of

__all__ = ["Event", "Intake"]

_LOOK = 0.2  # seconds between two looks at the writer while no frame comes


class Event(NamedTuple):
    """What happened to an array's writer."""

    topic: str
    what: str
    frame_id: int  # the last one before it
    time_ns: int


class Intake:
    """One array on its way to a file.

    Parameters
    ----------
    topic, name : str
        What it is called in the file, and what the array is called.
    transport : Transport
        Where the array is.
    put : callable
        Takes each message and event, and never waits.
    budget : Budget
        The memory that all arrays share.
    newest : bool
        Read the newest frame each time instead of each one.
    colours : {'rgb8', 'bgr8'}
        What the last axis of 3 or 4 bytes is.
    most : int or None
        How many frames to read.
    since : int
        When the recording began, in Unix nanoseconds: the log time of frames that were there.

    Attributes
    ----------
    frames, nbytes, lost : int
        What was read, and how many frames were not; exact, as frames have numbers.
    longest_delay : float
        Seconds between the write of a frame and the end of its read, at most.
    longest_gap : int
        Frames that were lost in a row, at most.
    error : BaseException or None
        What ended it before its time.
    """

    def __init__(
        self,
        topic: str,
        name: str,
        transport: Transport,
        put: Callable[[Message | Event], None],
        budget: Budget,
        newest: bool,
        colours: str,
        most: int | None,
        since: int,
    ) -> None:
        self.topic = topic
        self._transport = transport
        self.frames = self.nbytes = self.lost = 0
        self.longest_delay, self.longest_gap = 0.0, 0
        self.error: BaseException | None = None
        self._put, self._budget, self._newest = put, budget, newest
        self._colours, self._most = colours, most
        self._schema: str | None = None  # of the topic, decided by its first frame
        self._last_id, self._last_log = 0, since
        self._missed_before = 0  # of the reader, when its last frame was counted
        self._until: int | None = None  # Unix nanoseconds: no frame written later is wanted
        self._begun = time.time_ns()
        self._clock = unix_ns(0)  # of the machine's start, as the wall clock has it
        self._name = name
        self._reader = NdShArray(name, r_w="r", transport=transport)
        self._state: str = self._reader.writer_state
        # A reader that is there before its writer should see every frame.
        # On Windows, where a closed array stays as long as it is mapped, numbers go on from there.
        counts_on = self._state == "closed" and sys.platform == "win32"
        self._from_first = self._state in ("absent", "closed") and not counts_on
        if self._state == "killed":
            self._state = "live"  # its death is noted as any other one, after the frames it left
        self._frames = self._reader.frames(_LOOK)
        self._thread = threading.Thread(target=self._run, name=f"record {name}", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self, until: int) -> None:
        """Read on until the first frame that was written after `until`, or until there is none."""
        self._until = until

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the end; return whether it came."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def is_running(self) -> bool:
        """Whether it still reads."""
        return self._thread.is_alive()

    @property
    def is_awaiting(self) -> bool:
        """Whether its array has not come yet."""
        return self._state == "absent" and self._reader.writer_state == "absent"

    @property
    def writer(self) -> str:
        """What its writer is by the frames and events so far: absent, live, killed or closed."""
        return self._state

    @property
    def slots(self) -> int:
        """How many frames the writer keeps."""
        return info(self._name, transport=self._transport).slots

    def _run(self) -> None:
        try:
            while self._most is None or self.frames < self._most:
                if not self._budget.wait_for_room(_LOOK):
                    continue
                frame = self._next()
                if frame is None:
                    if self._until is not None:
                        break
                elif self._until is not None and self._reader.write_time_ns > self._until:
                    break
                else:
                    self._take(frame)
        except BaseException as error:  # the recorder says it, and the other arrays go on
            self.error = error
            self._put(Event(self.topic, f"error: {error}", self._last_id, time.time_ns()))
        finally:
            self._reader.close()

    def _next(self) -> npt.NDArray[Any] | None:
        """Return a frame; None if none came, and then look what the writer does."""
        stopping = self._until is not None
        end = time.monotonic() + _LOOK  # as the reader computes it, to the bit
        if self._newest:
            valid, frame = self._reader.read(0 if stopping else _LOOK)
            found = frame if valid else None
        else:
            found = next(self._reader.frames(0) if stopping else self._frames, None)
        if found is None:
            if not self._newest and not stopping:
                self._frames = self._reader.frames(_LOOK)  # the other one has ended
                # Before its time: it has returned all that a writer left which has closed.
                self._look_at_writer(time.monotonic() < end)
            else:
                self._look_at_writer(False)
        return found

    def _take(self, frame: npt.NDArray[Any]) -> None:
        reader = self._reader
        frame_id, written = reader.frame_id, reader.write_time_ns
        self._count_lost(frame_id)
        if self._state != "live":
            self._note("live" if self._state == "absent" else "back", frame_id)
            self._state = "live"
        if written > self._begun:  # others have waited for the recorder's beginning
            self.longest_delay = max(self.longest_delay, reader.read_time_ms / 1e3)
        # The clock of the recording does not jump when somebody sets the machine's.
        steady = written - (unix_ns(0) - self._clock)
        self._last_log = max(self._last_log, steady)
        message = encode(
            self.topic,
            frame,
            self._schema_of(frame),
            self._colours,
            frame_id,
            self._last_log,
            reader.time_ns,
        )
        self.frames += 1
        self.nbytes += frame.nbytes
        self._budget.take(message.nbytes)
        self._put(message)

    def _schema_of(self, frame: npt.NDArray[Any]) -> str:
        """Return a schema: the topic's own, but where an image cannot be shown any more."""
        kind = kind_of(frame.dtype, frame.shape)
        if self._schema is None:
            self._schema = kind
        return kind if self._schema == IMAGE else self._schema

    def _count_lost(self, frame_id: int) -> None:
        if frame_id <= self._last_id:  # another writer's, after a clean close
            self._last_id = 0
        if self._last_id or self._from_first:
            gap = frame_id - self._last_id - 1
            self.lost += gap
            self.longest_gap = max(self.longest_gap, gap)
        self._last_id, self._from_first = frame_id, True
        self._missed_before = self._reader.missed

    def _look_at_writer(self, ended: bool) -> None:
        """Note that the writer has closed or died; what it left unread at its close is lost."""
        state = self._reader.writer_state
        if self._state != "closed" and (state == "closed" or (ended and self._last_id)):
            unseen = max(self._reader.missed - self._missed_before, 0)
            self.lost += unseen
            self._note("closed", self._last_id)
            # The next writer takes over what Windows keeps, and counts on.
            self._last_id = self._last_id + unseen if sys.platform == "win32" else 0
            self._state = "closed"
        elif state == "killed" and self._state == "live":
            self._note("killed", self._last_id)
            self._state = state

    def _note(self, what: str, frame_id: int) -> None:
        self._put(Event(self.topic, what, frame_id, time.time_ns()))
