"""A writer: its calls, which exclude each other, from taking an array to closing it.

What may live here: the lock, the short way of a write, what becomes of a call that an interrupt or
a fork ends. Not here: what a writer holds (``holding``), which slot is next (``writing``).

A write that fits costs one copy and no system call. Every other one begins a new frame segment,
and one store of newest publishes frame and segment together.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import numpy.typing as npt

from .._protocol.layout import Layout
from .._registry.names import Address
from .._system import at_exit, clock
from .._system.fork import SIDES, detach_in_child
from .._system.guard import refuse_nested
from ..backends.base import make_root
from ..errors import ClosedError
from .holding import Holding, Stage
from .loan import Begun
from .publisher import NO_LAYOUT, Publisher

__all__ = ["NO_LAYOUT", "Writer"]

_T = TypeVar("_T")

_READY, _BUSY = Stage.READY, Stage.BUSY  # faster than attributes of the enum


class Writer:
    """The one writer of an array.

    Parameters
    ----------
    address : Address
        The array's.
    slots : int
        Slots of each new frame segment, 2 to 250.

    Raises
    ------
    WriterExistsError
        If another process has a living writer of that array. One of this process hands it over.
    FormatError
        If another format version owns the name.
    """

    def __init__(self, address: Address, slots: int) -> None:
        self._address = address
        # Re-entrant: a call that a signal handler or a finalizer makes inside another one of its
        # thread finds the lock its own, and is refused; it could not wait.
        self._lock: Any = threading.RLock()
        self._left = False  # closed by the end of the process, or with the last reference
        self._holding = Holding(address)
        self._publisher = Publisher(self._holding, slots)
        detach_in_child(SIDES, self)
        try:
            with _taking:
                make_root(address.transport.root, address.transport.mode)
                old = _writers.get(_key(address))
                if old is not None:
                    old.hand_over(self._holding)
                self._holding.take_lock_file()
                self._holding.take_over()
                self._holding.state = _BUSY  # the first write begins a segment
                _writers[_key(address)] = self
            at_exit.close_at_exit(self)
            if self._holding.forked:  # inside this constructor
                self._holding.check_open()
        except BaseException as error:
            self.abandon()
            self._end_in_child(error)
            raise

    def __repr__(self) -> str:
        name, state, frame = self._address.name, self._holding.state.value, self.newest_frame[1]
        return f"<Writer {name!r} on {self._address.transport.name}, {state}, frame {frame}>"

    @property
    def gone(self) -> str | None:
        """Why it cannot write any more; None while it can."""
        return self._holding.gone

    @property
    def layout(self) -> Layout:
        """The last frame's layout; `NO_LAYOUT` before any."""
        return self._publisher.layout

    @property
    def newest_frame(self) -> tuple[int, int, int, int]:
        """What the writer itself recorded of the newest frame: see `Record`."""
        return self._holding.record.newest_frame

    def write(self, array: npt.NDArray[Any], stamp: int = 0) -> None:
        """Publish `array` as the next frame, with the time of its capture (0: not known).

        Raises
        ------
        ClosedError
            After it was closed or replaced, and in a forked child.
        WriterExistsError
            If its lock file was removed and another process took the array.
        NotImplementedError
            For a dtype that cannot be shared.
        OSError
            ENOSPC, if a larger segment is needed and there is no room: the last frame stays.
        RuntimeError
            From a signal handler that interrupted a write of the same thread.
        """
        lock = self._lock  # a fork in here gives the child another one
        holding, publisher = self._holding, self._publisher
        if holding.state is not _READY and lock._is_owned():
            self._refuse_nested()
        try:  # around `acquire`: a signal handler may raise just after it. `with` costs 80 ns more
            lock.acquire()
            state = holding.state
            if state is _READY:
                holding.state = _BUSY  # until this call has ended well
            segment, layout, now = holding.segment, publisher.layout, clock.now_ns()
            if (
                state is _READY
                and segment is not None
                and array.dtype is layout.dtype
                and array.shape == layout.shape
                and now < holding.due
                and (position := segment.side.begin())
            ):  # the short way: all is as it was
                segment.fill(position, layout, array)
                if segment.side.publish(position, now, stamp):
                    holding.control.wake()  # guard: wake
                holding.state = _READY
            else:
                segment = None  # a mapping goes before its name does: Windows
                publisher.write(array, now, stamp, state)
        except BaseException as error:
            try:
                lock.release()  # first of all: the next signal handler may raise again
            except RuntimeError:
                pass  # interrupted while another thread had it
            self._end_call(error)
            raise
        lock.release()

    def lend(self, layout: Layout) -> Begun:
        """Begin the next slot for a loan.

        Raises
        ------
        RuntimeError
            While another loan is open.
        """
        try:
            self._holding.check_open()
            if self._lock._is_owned():
                refuse_nested()
            return self._alone(self._publisher.lend, layout)
        except BaseException as error:
            self._end_call(error)
            raise

    def take_back(self, begun: Begun, publish: bool) -> None:
        """Publish a slot that was lent, or drop it.

        Raises
        ------
        ClosedError
            If the writer was closed or replaced meanwhile, and the frame was to be published.
        """
        try:
            if self.gone is None:
                if self._lock._is_owned():
                    refuse_nested()
                self._alone(self._publisher.take_back, begun, publish)
            elif publish:
                self._holding.check_open()
        except BaseException as error:
            self._end_call(error)
            raise

    def _alone(self, act: Callable[..., _T], *arguments: Any) -> _T:
        """Call `act` with the lock held."""
        lock = self._lock  # a fork in here gives the child another one
        try:  # not `with`: in Python 3.14 a signal handler can raise as it has the lock (gh-148874)
            lock.acquire()
            return act(*arguments)
        finally:
            try:
                lock.release()
            except RuntimeError:
                pass  # interrupted while another thread had it

    def _refuse_nested(self) -> None:
        """Refuse a call inside another one of this thread."""
        self._holding.check_open()  # inside `close`
        refuse_nested()

    def _refuse_inside_a_write(self) -> None:
        """Refuse an end inside a write of this thread; inside another end it is welcome."""
        if self.gone is None and self._lock._is_owned():
            refuse_nested()

    def _end_call(self, error: BaseException) -> None:
        """End a call that raises `error`; to be called without the lock."""
        self._end_in_child(error)
        if self._left:
            at_exit.stop_daemon()

    def _end_in_child(self, error: BaseException) -> None:
        """End a call that a fork interrupted, in the child, where every store of it raises."""
        if self._holding.forked:
            self._holding.abandon()  # the call may have got more since
            if isinstance(error, (AttributeError, LookupError, OSError, TypeError, ValueError)):
                raise ClosedError(f"this writer has ended: {self.gone}") from error

    def close(self, *, asked: bool = False) -> None:
        """End the array: mark it closed and remove all its names. Harmless when repeated.

        After an interrupt, another call ends the rest. A writer that took over and wrote nothing
        changes nothing, unless its user asks: an interrupt of a constructor may come late.

        Parameters
        ----------
        asked : bool
            Whether the user called it; else the last reference or the process goes, and a daemon
            thread that writes then is stopped.

        Raises
        ------
        RuntimeError
            From a signal handler that interrupted a write of the same thread.
        """
        self._left = self._left or not asked
        holding = self._holding
        if holding.control is None:
            return
        if not asked and holding.is_unused and self.layout is NO_LAYOUT:
            self.abandon()
            return
        kept: list[Any] = []  # memory that takes long to free: after the lock file
        try:
            self._refuse_inside_a_write()
            self._alone(holding.close, kept)
        except BaseException as error:
            self._end_in_child(error)
            raise

    def abandon(self) -> None:
        """End the writer, and leave the array to its successor; before the first frame only."""
        self._alone(self._abandon)

    def _abandon(self) -> None:
        holding = self._holding
        holding.begin_end("it could not be made")
        if not holding.forked:  # else all of it is the parent's
            if holding.control is not None and not holding.is_unused:
                # No writer before it left a frame; or one that would end it handed it over.
                self.close(asked=True)
            holding.remove_unmade()
        holding.abandon()

    def hand_over(self, successor: Holding) -> None:
        """Give the lock file to a newer writer of this process (a notebook cell that runs again).

        With the lock held, so that no late store of this writer lands in the new one's segment.
        """
        self._refuse_inside_a_write()
        self._alone(self._holding.hand_over, successor)

    def detach(self) -> None:
        """In a forked child: never store anything; the parent still writes."""
        self._holding.detach()
        self._lock = threading.RLock()  # the one that there is may be another thread's


_taking = threading.RLock()  # re-entrant: garbage collection may finalize a writer inside it
_writers: weakref.WeakValueDictionary[tuple[str, str, str], Writer] = weakref.WeakValueDictionary()


def _key(address: Address) -> tuple[str, str, str]:
    return (address.transport.name, address.transport.root, address.name)


class _Parents:
    """What of this module is the parent's in a forked child."""

    def detach(self) -> None:
        global _taking
        _taking = threading.RLock()
        _writers.clear()


_parents = _Parents()
detach_in_child(SIDES, _parents)
