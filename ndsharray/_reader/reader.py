"""A reader: it finds an array, follows its writer through every restart, takes frames, and waits.

What may live here: which instance is followed, whose turn it is, how long to wait. Not here: what a
name stands for (``finder``), which frame is next and when to try again (``cursor``), the order of
loads (``seqlock``).

Some 400 lines, as one object has one turn: read, wait, attach and close exclude each other.

It never waits for the writer to do anything but publish, and never stores anything that the
writer depends on, but for its own entry.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from .._protocol.format import Layout
from .._registry.names import Address
from .._system import at_exit, clock
from .._system.foreign import require_asyncio
from .._system.fork import SIDES, detach_in_child
from .._system.root_watch import Watch
from .._system.turn import refuse_nested, refuse_thread
from ..errors import ClosedError, FormatError
from .buffers import Buffers
from .cursor import Cursor
from .delivery import Copy, Delivery, InPlace, Into
from .finder import LOOK_NS, Finder
from .instance import Frame, Instance
from .pins import OwnEntry

__all__ = ["Reader"]

log = logging.getLogger("ndsharray")

_NAP = LOOK_NS / 1e9  # seconds of sleep at most before the name is looked up again
_NAPS = 8  # of one thread that sleeps for an event loop

_NOTHING: npt.NDArray[Any] = np.empty((0,), np.uint8)


class Reader:
    """One reader of an array, whether the array is there already or not.

    Parameters
    ----------
    address : Address
        The array's.
    array : numpy.ndarray
        What `last` is before any frame.
    hint : callable
        Called at most once a second while the array is not there, and told whether it was.

    Attributes
    ----------
    last : numpy.ndarray
        The last frame.
    frame : int
        Its number, 0 before any.
    age_ns : int
        Nanoseconds from its writing to the end of its read.
    """

    def __init__(
        self, address: Address, array: npt.NDArray[Any], hint: Callable[[bool], None]
    ) -> None:
        self._address = address
        self._finder = Finder(address, hint)
        # Held during a call. Not `with`: that would wait for another thread's call, and cost more. An
        # RLock tells its own thread by `_is_owned`, and refuses a release by any other one.
        self._lock: Any = threading.RLock()
        self._buffers = Buffers()
        self.by_copy = Copy(self._buffers)
        self.in_place = InPlace(self._buffers)
        self._follower: Cursor | None = None
        self._ended: Cursor | None = None  # whose end was told
        self._reserved: tuple[weakref.ref[_Mark], int] | None = None  # by a read_async
        self._watch: Watch | None = None  # of the root, while no writer lives
        self._shared: Any = None  # a LoopWatch, during a read_async while no writer lives
        self._entry = OwnEntry(address, self)
        self._forked = False  # by a fork inside a call, which goes on in the parent
        self.closed = False
        self._left = False  # closed by the end of the process, or with the last reference
        self.last = array
        self.frame = self.age_ns = 0
        self._layout: Layout | None = None
        detach_in_child(SIDES, self)
        try:
            self.is_valid()
        except BaseException:
            self.close(asked=True)  # or the lock file of its entry would stay
            raise

    def into(self, out: npt.NDArray[Any]) -> Delivery:
        """Return the way to take a frame that copies it into `out`."""
        return Into(self._buffers, out)

    def read(self, take: Delivery, timeout: float | None = 0.0) -> tuple[bool, npt.NDArray[Any]]:
        """Take the newest frame, or wait for it; return whether there was a new one, and the last.

        Parameters
        ----------
        take : Take
            What becomes of it.
        timeout : float or None
            Seconds to wait at most; None: for ever.

        Raises
        ------
        ClosedError
            After `close`, also if that comes while it waits.
        FormatError
            If shared memory is not what it says.
        RuntimeError
            If another thread is reading, or inside another call of this one.
        """
        if self._reserved is not None:
            self._refuse_reserved()
        try:
            return self._call(self._newest, take, timeout)
        except ClosedError:
            self._stop_daemon()
            raise

    def next(self, take: Delivery, timeout: float | None) -> tuple[bool, npt.NDArray[Any]]:
        """Do the same with the oldest frame that was not had.

        False also when the writer has closed the array and all of it was had; then the next call
        waits for another writer.
        """
        if self._reserved is not None:
            self._refuse_reserved()
        try:
            return self._call(self._oldest, take, timeout)
        except ClosedError:
            self._stop_daemon()
            raise

    def _call(
        self, attempt: Callable[[Delivery], bool | None], take: Delivery, timeout: float | None
    ) -> tuple[bool, npt.NDArray[Any]]:
        lock = self._lock
        if lock._is_owned():  # guard: nested-call-refused
            refuse_nested()
        refused = False
        try:  # around `acquire`: a signal handler may raise just after it
            if not lock.acquire(False):  # guard: other-thread-refused
                refused = True
                self._refuse_thread()
            if self.closed:
                self._check_open()
            found = attempt(take)
            if found is None and timeout != 0.0:
                found = self._wait_for(attempt, take, _deadline(timeout))
            return found is True, self.last  # here, where no other call can change it
        except BaseException as error:
            if self._forked:
                self._end_in_child(error)
            raise
        finally:
            if not refused:
                lock.release()
                if self.closed:  # by another thread or a signal handler, meanwhile
                    self.close(asked=True)

    def detach(self) -> None:
        """In a forked child: go on after the last frame, with nothing that is the parent's."""
        self._forked = self._lock._is_owned()
        if not self._forked:  # what holds it may be a thread of the parent
            self._lock = threading.RLock()
        if self._follower is not None:
            self._follower.detach()

    def _end_in_child(self, error: BaseException) -> None:
        """End a call that a fork interrupted: its pins and marks are the parent's."""
        self._forked = False
        self._follower = None  # the call may have attached what the fork detached
        if isinstance(error, (AttributeError, LookupError, OSError, TypeError, ValueError)):
            raise RuntimeError(
                "a fork interrupted this call: it goes on in the parent process; call again"
            ) from error

    def _stop_daemon(self) -> None:
        if self._left:
            at_exit.stop_daemon()

    def _check_open(self) -> None:
        if self.closed:
            raise ClosedError("the reader was closed")

    def _refuse_thread(self) -> NoReturn:
        self._check_open()  # by that thread, just now
        refuse_thread()

    def _wait_for(
        self, attempt: Callable[[Delivery], bool | None], take: Delivery, deadline: float
    ) -> bool:
        found = None
        try:
            while found is None:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                try:
                    self._sleep(min(left, _NAP))
                except BaseException:
                    if self._follower is not None and not self._forked:
                        self._follower.settle()  # or the writer would wake it at every frame
                    raise
                if self.closed:
                    raise ClosedError("the reader was closed while it waited")
                found = attempt(take)
            return found
        finally:
            if self._watch is not None:
                self._watch.rest()

    async def read_async(
        self, take: Delivery, timeout: float | None
    ) -> tuple[bool, npt.NDArray[Any]]:
        """Do the same as `read` in an event loop, which goes on meanwhile."""
        require_asyncio()
        try:
            return await self._read_async(take, timeout)
        except ClosedError:
            if self._left and at_exit.in_daemon():
                from .._system.wait_async import stop_task

                await stop_task()  # others of the loop may have to end something
            raise

    async def _read_async(
        self, take: Delivery, timeout: float | None
    ) -> tuple[bool, npt.NDArray[Any]]:
        mark = _Mark()  # dies with this call, however it ends
        if self._reserved is not None:
            self._refuse_reserved()
        self._reserved = weakref.ref(mark), os.getpid()
        self._shared = None  # a forked child finds its parent's
        try:
            deadline = _deadline(timeout)
            while True:
                got = self._call(self._newest, take, 0.0)
                left = deadline - time.monotonic()
                if got[0] or left <= 0:
                    return got
                await self._sleep_async(left)
        finally:
            shared, self._shared = self._shared, None
            if shared is not None:
                shared.close()
            self._reserved = None
            if self.closed:
                self.close(asked=True)

    def _refuse_reserved(self) -> None:
        if self._is_reserved():
            raise RuntimeError("a read_async of this reader is under way: give each task its own")

    def _is_reserved(self) -> bool:
        reserved = self._reserved  # a forked child inherits no task
        return reserved is not None and reserved[0]() is not None and reserved[1] == os.getpid()

    # Where no writer lives: a watch of the root begins, then comes one more look, then sleep. So no
    # writer can come between.

    def _sleep(self, seconds: float) -> None:
        follower, watch = self._follower, self._watch
        if follower is None or not follower.side.is_live():
            if watch is None:
                watch = self._watch = Watch(self._address.transport.root)
            watch.sleep(seconds)
        else:
            follower.sleep(seconds)

    async def _sleep_async(self, seconds: float) -> None:
        from .._system.wait_async import LoopWatch, in_thread, sleep_until

        follower, nap = self._follower, min(seconds, _NAP)
        if follower is None or not follower.side.is_live():
            if self._shared is None:
                self._shared = LoopWatch.join(self._address.transport.root)
            else:
                await self._shared.sleep(nap)
        elif follower.can_sleep():

            def awake() -> bool:
                return follower.has_news() or not follower.side.is_live() or self._finder.is_old()

            wake = follower.waiter.wake
            await in_thread(follower.sleep, _NAP, min(seconds, _NAPS * _NAP), awake, wake)
        else:
            await sleep_until(follower.has_news, nap)

    def _newest(self, take: Delivery) -> bool | None:
        """Take the newest frame of whatever the name stands for: True; None if there is none."""
        follower = self._follower
        if follower is not None:
            word = follower.side.newest_if_live()
            if word >= 0:
                taken = follower.newest(take, word)
                if taken is not None:
                    return self._accept(follower, taken)
                if not self._finder.is_due():
                    return None
        found = self._look_up()
        # The final frame of the closed instance, while no other one has any.
        stays = follower is not None and (found is None or not found.has_frame)
        if follower is not None and stays and self._take_newest(follower, take):
            return True
        return None if found is None else self._take_newest(self._attach(found), take)

    def _take_newest(self, follower: Cursor, take: Delivery) -> bool | None:
        return self._accept(follower, follower.newest(take, follower.side.newest()))

    def _oldest(self, take: Delivery) -> bool | None:
        """Take the next frame: True; None if there is none yet, False if the array has ended."""
        follower = self._follower
        if follower is not None:
            live = follower.side.is_live()
            if self._accept(follower, follower.next(take)):
                self._ended = None  # perhaps once more: a closed control segment can be adopted
                return True
            if live and not self._finder.is_due():
                return None
            if not live and self._ended is not follower:
                follower.end()
                self._ended = follower
                return False
        found = self._look_up()
        if found is None:
            return None
        follower = self._attach(found)
        return self._accept(follower, follower.next(take))

    def is_valid(self) -> bool:
        """Tell whether an array with a frame is attached; look it up if it is time to."""
        if self._is_reserved():  # a task waits with it, and looks up the name itself
            try:
                return self._follower is not None and self._follower.attached.has_frame
            except FormatError:
                return False
        return not self.closed and self._call(self._is_valid, self.by_copy, 0.0)[0]

    def _is_valid(self, _take: Delivery) -> bool:
        try:
            follower = self._follower
            if follower is None or not follower.side.is_live() or self._finder.is_due():
                found = self._look_up()
                if found is not None and (follower is None or found.has_frame):
                    self._attach(found)
            follower = self._follower
            if follower is None or not follower.attached.has_frame:
                return False
            attached = follower.attached
            if attached.side.frames is not None:
                return True
            return follower.follow_newest()
        except FormatError:
            return False

    def _look_up(self) -> Instance | None:
        follower = self._follower
        return self._finder.find(follower.attached if follower is not None else None)

    def _attach(self, attached: Instance) -> Cursor:
        follower = self._follower = Cursor(self._address, attached, self._entry)
        log.debug("%r attached: instance %016x", self._address.name, attached.instance)
        return follower

    def _accept(self, follower: Cursor, taken: tuple[int, Frame] | None) -> bool | None:
        if taken is None:
            return None
        position, (self.last, number, written, _, view) = taken
        self.frame, self._layout = number, view[1]
        self.age_ns = clock.now_ns() - written
        before, last, missed = follower.last_read
        if before and number > last + 1:
            missed += number - last - 1
        follower.last_read = (
            position,
            number,
            missed,
        )  # last: an interrupt before makes it come again
        return True

    @property
    def uuid(self) -> bytes:
        """The last frame's layout's uuid."""
        return bytes(16) if self._layout is None else self._layout.uuid

    @property
    def missed(self) -> int:
        """How many frames of this instance passed unseen since the first one that was seen."""
        return 0 if self._follower is None else self._follower.last_read[2]

    def close(self, *, asked: bool = False) -> None:
        """Let the array go. Harmless when repeated; ends a wait of another thread or task.

        Arrays in place stay as they are; the entry goes with the last of them.

        Parameters
        ----------
        asked : bool
            Whether the user called it; else the last reference or the process goes, and a daemon
            thread that reads then is stopped.
        """
        self._left = self._left or not asked
        self.closed = True
        if self._end():
            return
        follower = self._follower  # the call that is under way ends it
        if follower is not None:
            follower.waiter.wake()
        for watch in (self._watch, self._shared):
            if watch is not None:
                watch.wake()
        at_exit.wait_at_exit(self)  # a daemon thread may get no chance to, later than that

    def let_go(self, patience: float) -> None:
        """Let go when the thread that is inside a call has ended it, if that is soon."""
        end = time.monotonic() + patience
        while not self._end() and time.monotonic() < end:
            time.sleep(0.001)

    def _end(self) -> bool:
        """Let go of everything; False if a call is under way, which does so at its end."""
        lock = self._lock
        if lock._is_owned() or self._is_reserved():
            return False
        refused = False
        try:  # as in `_call`
            refused = not lock.acquire(False)
            if not refused:
                self._let_go()
        finally:
            if not refused:
                lock.release()
        return not refused

    def _let_go(self) -> None:
        self.last = _NOTHING  # it may be an array in place
        follower = self._follower
        self._entry.release(follower.pins if follower is not None else None)
        self._follower = self._ended = None
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.rest()
        self._forked = False


class _Mark:
    """Something that a weak reference can tell to be alive."""


def _deadline(timeout: float | None) -> float:
    return math.inf if timeout is None else time.monotonic() + timeout
