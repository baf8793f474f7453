"""A reader: its calls, which exclude each other, and its end.

Not here: which instance is read (``source``), which frame is next (``cursor``), how to sleep
(``waiting``), a call of a task (``read_async``) and of several readers at once (``wait_many``). A
reader waits for nothing but a frame, and stores nothing but its own entry.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn

import numpy.typing as npt

from .._registry.lookup import WriterState
from .._registry.names import Address
from .._system import at_exit
from .._system.fork import SIDES, detach_in_child
from .._system.guard import refuse_nested, refuse_thread
from ..errors import ClosedError, FormatError
from .buffers import Buffers
from .delivery import Delivery, InPlace, Into
from .own_entry import OwnEntry
from .source import NEW, NOTHING, Outcome, Source
from .waiting import Waiting

__all__ = ["Reader", "deadline"]


class Reader:
    """One reader of an array, whether the array exists yet or not.

    Parameters
    ----------
    address : Address
        The array's.
    array : numpy.ndarray
        What `read` returns before the first frame.
    hint : callable
        Called at most once a second while the array does not exist, with whether it did before.

    Attributes
    ----------
    by_copy, in_place : Delivery
        What `read` can make of a frame; `into` makes a third one.
    last : LastFrame
        The last frame.
    closed : bool
        Whether `close` was called.
    """

    def __init__(
        self, address: Address, array: npt.NDArray[Any], hint: Callable[[bool], None]
    ) -> None:
        # Held during a call. Not by `with`, which would wait for a call of another thread and costs
        # more. An RLock tells its own thread (`_is_owned`), and no other thread can release it.
        self._lock: Any = threading.RLock()
        self._task: object = None  # stands for the read_async that is under way
        self._buffers = Buffers()
        self.by_copy = Delivery(self._buffers)
        self.in_place = InPlace(self._buffers)
        self._source = Source(address, array, hint, OwnEntry(address, self))
        self.last = self._source.last
        self._waiting = Waiting(address.transport.root, self._source.finder)
        self._forked = False  # inside a call, which the parent continues
        self.closed = False
        self._left = False  # closed by the end of the process, or with the last reference
        detach_in_child(SIDES, self)
        try:
            self.is_valid()
        except BaseException:
            self.close(asked=True)  # or the lock file of its entry would stay
            raise

    @property
    def missed(self) -> int:
        """How many frames of this instance passed unseen since the first one that was seen."""
        cursor = self._source.cursor
        return 0 if cursor is None else cursor.missed

    def writer_state(self) -> WriterState:
        """Return what has become of the array's writer; during another call, too."""
        return self._source.writer_state()

    def into(self, out: npt.NDArray[Any]) -> Delivery:
        """Return the delivery that copies a frame into `out`."""
        return Into(self._buffers, out)

    def read(
        self,
        delivery: Delivery,
        timeout: float | None = 0.0,
        *,
        look: Callable[[Source, Delivery], Outcome] = Source.newest,
        task: object = None,
    ) -> tuple[bool, npt.NDArray[Any]]:
        """Deliver a frame, or wait for it; return whether there was one, and the last array.

        Parameters
        ----------
        delivery : Delivery
            What the frame becomes.
        timeout : float or None
            Seconds to wait at most; None: for ever.
        look : callable
            Looks for the frame: for the newest one, or as in `next`.
        task : object
            The read_async that calls.

        Raises
        ------
        ClosedError
            After `close`, also if `close` is called during the wait.
        FormatError
            If shared memory contradicts itself.
        RuntimeError
            If another thread or task is reading, or inside another call of this thread.
        """
        if self._task is not task:
            self._refuse_beside_task()
        lock = self._lock
        if lock._is_owned():  # guard: nested-call-refused
            refuse_nested()
        try:  # around `acquire`: a signal handler may raise just after it
            if not lock.acquire(False):  # guard: other-thread-refused
                self._refuse_beside_thread(task)
            if self.closed:
                raise ClosedError("the reader was closed")
            outcome = look(self._source, delivery)
            if outcome is NOTHING and timeout != 0.0:
                outcome = self._wait(look, delivery, deadline(timeout))
            return outcome is NEW, self.last.array  # here, where no other call can change it
        except BaseException as error:
            if self._forked:
                self._end_in_child(error)
            raise
        finally:
            try:
                lock.release()  # called here, not in a function: a signal handler may raise again
            except RuntimeError:
                pass  # another thread has it
            else:
                if self.closed:  # perhaps during this call, by another thread or a signal handler
                    self.close(asked=True)
                    self._stop_daemon(task)

    def next(self, delivery: Delivery, timeout: float | None) -> tuple[bool, npt.NDArray[Any]]:
        """Deliver the oldest undelivered frame; parameters and exceptions are those of `read`.

        False also if the array was closed and its last frame delivered; the next call then waits
        for another writer.
        """
        return self.read(delivery, timeout, look=Source.oldest)

    def _wait(
        self, look: Callable[[Source, Delivery], Outcome], delivery: Delivery, end: float
    ) -> Outcome:
        try:
            while True:
                left = end - time.monotonic()
                if left <= 0:
                    return NOTHING
                try:
                    self._waiting.sleep(self._source.cursor, left)
                except BaseException:
                    if not self._forked:
                        self._source.settle()  # or the writer would wake it at every frame
                    raise
                if self.closed:
                    raise ClosedError("the reader was closed while it waited")
                outcome = look(self._source, delivery)
                if outcome is not NOTHING:
                    return outcome
        finally:
            self._waiting.end()

    def _refuse_beside_task(self) -> None:
        if self._task is not None:  # a forked child may continue a task that its parent has
            raise RuntimeError("a read_async of this reader is under way: give each task its own")

    def _refuse_beside_thread(self, task: object) -> NoReturn:
        if self.closed:  # by that thread, just now
            self._stop_daemon(task)
            raise ClosedError("the reader was closed")
        refuse_thread()

    def is_valid(self) -> bool:
        """Tell whether the reader has an array with a frame; look the name up if it is time to."""
        if self._task is not None:  # it looks the name up itself
            try:
                return self._source.cursor is not None and self._source.cursor.instance.has_frame
            except FormatError:
                return False
        return not self.closed and self.read(self.by_copy, look=Source.has_frame)[0]

    def detach(self) -> None:
        """In a forked child: keep the place in the array, and drop all that is the parent's."""
        self._forked = self._lock._is_owned()
        if not self._forked:  # a thread of the parent may hold it
            self._lock = threading.RLock()
        self._task = None
        self._waiting.forget_async()
        self._source.detach()

    def _end_in_child(self, error: BaseException) -> None:
        """End a call that a fork interrupted: its pins and marks are the parent's."""
        self._forked = False
        self._source.cursor = None  # the call may have made it after the fork detached the last one
        if isinstance(error, (AttributeError, LookupError, OSError, TypeError, ValueError)):
            raise RuntimeError(
                "a fork interrupted this call: it continues in the parent process; call again"
            ) from error

    def close(self, *, asked: bool = False) -> None:
        """Release the array. Harmless when repeated; ends a wait of another thread or task.

        Arrays in place stay as they are, and the entry with them.

        Parameters
        ----------
        asked : bool
            Whether the user called it. If not, the last reference or the process ends, and a daemon
            thread that reads afterwards is stopped.
        """
        self._left = self._left or not asked
        self.closed = True
        # A call or a task that is under way releases the array at its end.
        if self._task is not None or not self._release():
            self._waiting.wake(self._source.cursor)
            at_exit.wait_at_exit(self)  # a daemon thread may get no chance to, later than that

    def release_at_exit(self, patience: float) -> None:
        """Release the array once no call is under way, if that is within `patience` seconds.

        At the end of the process: a task that is under way may never run again.
        """
        end = time.monotonic() + patience
        while not self._release() and time.monotonic() < end:
            time.sleep(0.001)

    def _release(self) -> bool:
        """Release the array; False if a call is under way."""
        lock = self._lock
        if lock._is_owned():
            return False
        try:  # as in `read`
            if not lock.acquire(False):
                return False
            self._source.release()
            self._waiting.end()
            self._forked = False
            return True
        finally:
            try:
                lock.release()
            except RuntimeError:
                pass

    def _stop_daemon(self, task: object) -> None:
        if self._left and task is None:  # a task is stopped by `read_async`
            at_exit.stop_daemon()


def deadline(timeout: float | None) -> float:
    """Return when a timeout that begins now is over, on the clock of ``time.monotonic``."""
    return math.inf if timeout is None else time.monotonic() + timeout
