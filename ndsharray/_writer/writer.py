"""A writer: it takes an array, writes frames, grows, and closes.

What may live here: when each of these happens, and with which segment. Not here: the order of
stores (``seqlock``), what a closed or adopted control segment holds (``control``).

A write that fits costs one copy and no system call. Everything else (another shape that does
not fit, no free slot, the first frame, a segment that has been too large for a while) is a *grow*:
a new frame segment, and one store of newest that publishes frame and segment together.

Some 520 lines, as one object has one lock: write, lend, grow, hand over and close exclude each
other.
"""

from __future__ import annotations

import logging
import sys
import threading
import weakref
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from .._protocol.dtypes import check_dtype
from .._protocol.format import MAX_SLOTS, MIN_SLOTS, Layout, stride_for
from .._protocol.memory import make_fences
from .._protocol.writing import WriteSide
from .._registry import entries
from .._registry.names import Address
from .._registry.removal import exists, unlink, writer_exists
from .._system import at_exit, clock, lockfile
from .._system.fork import SIDES, detach_in_child
from .._system.root_watch import touch
from .._system.turn import refuse_nested
from ..backends.base import make_root
from ..errors import ClosedError
from .control import obtain
from .loan import Begun
from .segment import FrameSegment
from .sizing import Need

__all__ = ["NO_LAYOUT", "Writer"]

log = logging.getLogger("ndsharray")

_PATIENCE = 0.25  # seconds that a taker waits for a sweep, or for a holder that is dying
_LOOK_NS = 1_000_000_000  # how often a writer looks whether its lock file is still its own
_LOOK_AT_NAMES_NS = 10 * _LOOK_NS  # and whether its segments have their names: some ten calls
# A taker starts so far after the newest position that its positions were never used by the
# writer before it, published or not (that one grows when it is half as far): else a reader could
# take a dead writer's unpublished frame for a new one. Not a multiple of 2^31, for waiters
# compare the low half of newest.
_TAKE_OVER_JUMP = 2**16  # guard: jump-at-take-over
_MAX_AHEAD = 2**15  # guard: grow-when-far-ahead

_LAYOUTS = 16  # that are remembered: arrays whose shape changes often change between a few

NO_LAYOUT = Layout.of(np.empty((0,), np.uint8))


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
        If another process has a living writer of that array. A writer of this process gives way.
    FormatError
        If another format version owns the name.
    """

    def __init__(self, address: Address, slots: int) -> None:
        self._address = address
        self._fences = make_fences()
        # Re-entrant: a call that a signal handler or a finalizer makes inside another one of its
        # thread finds the lock its own, and is refused; it could not wait.
        self._lock: Any = threading.RLock()
        self._loan: weakref.ref[Begun] | None = None  # weak: one that was never ended is over
        self._gone: str | None = None
        self._left = False  # closed by the end of the process, or with the last reference
        self._frames: FrameSegment | None = None
        # The same, if the last call ended well, so that the next one can be a short one.
        self._ready: FrameSegment | None = None
        self._control: Any = None  # an OwnedControl until it is closed or handed over
        self._lock_file: Any = None
        self._adopted = (0, 0)  # what the last writer left: newest word, frame number
        self._looked_at_names = now = clock.now_ns()
        self._look_at = now + _LOOK_NS  # when to look at the lock file again
        self._need = Need(slots, now)
        self._marked: set[int] = set()  # entries with bytes set at the last look
        self.layout = NO_LAYOUT
        self._layouts: dict[tuple[np.dtype[Any], tuple[int, ...]], Layout] = {}  # made before
        self._forked = self._handed_over = False
        detach_in_child(SIDES, self)
        try:
            with _taking:
                make_root(address.transport.root, address.transport.mode)
                self._claim()
                self._obtain()
                _writers[_key(address)] = self
            at_exit.close_at_exit(self)
            if self._forked:  # inside this constructor
                self._check_open()
        except BaseException as error:
            self.give_up()
            self._end_in_child(error)
            raise

    def _claim(self) -> None:
        """Get the writer's lock file: from an older writer of this process, or from the system."""
        address = self._address
        old = _writers.get(_key(address))
        if old is not None:
            old.hand_over(self)
            self._handed_over = self._lock_file is not None
        if self._lock_file is None:
            self._lock_file = lockfile.take(
                address.writer_lock(), address.transport.mode, _PATIENCE
            )
        if self._lock_file is None:
            raise writer_exists(address)

    def _obtain(self) -> None:
        """Adopt or make the control segment; begin with its last frame."""
        control = obtain(self._address, self._fences, self._lock_file)
        self._adopted = control.newest_frame
        # The position after which the next segment begins.
        self._start = (self._adopted[0] >> 1) + _TAKE_OVER_JUMP if control.adopted else 0
        self._control = control  # not before: whoever gives up must know of a frame that is there
        control.take()
        touch(self._address.transport.root)
        entries.clear_dead(self._address, control.memory)

    @property
    def gone(self) -> str | None:
        """Why it cannot write any more; None while it can."""
        return self._gone

    def write(self, array: npt.NDArray[Any]) -> None:
        """Publish `array` as the next frame.

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
        lock = self._lock  # a call may fork, and the child has another one
        if self._ready is None and lock._is_owned():
            self._refuse_nested()
        try:  # around `acquire`: a signal handler may raise just after it. `with` costs 80 ns more
            lock.acquire()
            frames, layout, now = self._ready, self.layout, clock.now_ns()
            self._ready = None  # until this call has ended well
            if (
                frames is not None
                and array.dtype is layout.dtype
                and array.shape == layout.shape
                and now < self._look_at
                and (position := frames.side.begin())
            ):  # the short way: all is as it was
                frames.fill(position, layout, array)
                if frames.side.publish(position, now):
                    self._control.wake()  # guard: wake
                self._ready = frames
            else:
                interrupted = frames is None
                frames = None  # a mapping goes before its name does: Windows
                self._write(array, now, interrupted)
        except BaseException as error:
            try:
                lock.release()  # first of all: the next signal handler may raise again
            except RuntimeError:
                pass  # interrupted while another thread had it
            self._end_call(error)
            raise
        lock.release()

    def _refuse_nested(self) -> None:
        """Refuse a call inside another one of this thread."""
        self._check_open()  # inside `close`
        refuse_nested()

    def _end_call(self, error: BaseException) -> None:
        """End a call that raises `error`; to be called without the lock."""
        self._end_in_child(error)
        if self._left:
            at_exit.stop_daemon()

    def _end_in_child(self, error: BaseException) -> None:
        """End a call that a fork interrupted, in the child, where every store of it raises."""
        if self._forked:
            self._let_go()  # the call may have got more since
            if isinstance(error, (AttributeError, LookupError, OSError, TypeError, ValueError)):
                raise ClosedError(f"this writer has ended: {self._gone}") from error

    def _write(self, array: npt.NDArray[Any], now: int, interrupted: bool) -> None:
        self._begin_call(now, interrupted)
        layout = self._layout_for(array)
        frames, position = self._next_slot(layout, now)
        frames.fill(position, layout, array)
        self._publish(frames, position, layout, now)

    def lend(self, layout: Layout) -> Begun:
        """Begin the next slot for a loan.

        Raises
        ------
        RuntimeError
            While another loan is open.
        """
        try:
            self._check_open()
            if self._lock._is_owned():
                refuse_nested()
            with self._lock:
                return self._lend(layout)
        except BaseException as error:
            self._end_call(error)
            raise

    def _lend(self, layout: Layout) -> Begun:
        now = clock.now_ns()
        self._begin_call(now, self._ready is None)
        frames, position = self._next_slot(layout, now)
        frames.prepare(position, layout)
        begun = Begun(self._control, frames, position, layout)
        self._loan = weakref.ref(begun)
        return begun

    def take_back(self, begun: Begun, publish: bool) -> None:
        """Publish a slot that was lent, or drop it.

        Raises
        ------
        ClosedError
            If the writer was closed or replaced meanwhile, and the frame was to be published.
        """
        try:
            if self._gone is None:
                if self._lock._is_owned():
                    refuse_nested()
                with self._lock:
                    self._take_back(begun, publish)
            elif publish:
                self._check_open()
        except BaseException as error:
            self._end_call(error)
            raise

    def _take_back(self, begun: Begun, publish: bool) -> None:
        frames, self._loan, now = begun.frames, None, clock.now_ns()
        if publish:
            self._check_open()  # guard: loan-ended-too-late
            if now >= self._look_at:
                self._look_at_lock_file(now)
            if begun.control is not self._control:
                raise ClosedError("a cleaner removed the array during the loan: it was made anew")
            if self._frames is None:  # perhaps as the segment had lost its name: look again soon
                self._looked_at_names = 0
            self._publish(frames, begun.position, begun.layout, now)
        elif frames is self._frames:
            frames.side.settle()
        elif begun.control is self._control:  # made for the loan: nobody follows it
            self._control.remove_frames(self._table_of_newest())

    def _check_open(self) -> None:
        if self._gone is not None:
            raise ClosedError(f"this writer has ended: {self._gone}")

    def _begin_call(self, now: int, interrupted: bool) -> None:
        """Check that a slot may be taken now, and clean up after a call that was interrupted.

        Parameters
        ----------
        now : int
            The time.
        interrupted : bool
            Whether the last call may have been: it did not end with a published frame.
        """
        self._check_open()
        self._ready = None
        if self._loan is not None:
            self._refuse_while_lent(self._loan())
        due = now >= self._look_at
        if due:
            self._look_at_lock_file(now)  # first: nothing is stored into what is another writer's
        frames = self._frames
        if frames is not None and frames.side.open_position:
            frames.side.settle()  # guard: settle-after-an-interrupt
            if self._table_of_newest() != frames.table.segment:
                # Interrupted before it was published: a grow would store its table over this one's.
                self._leave(frames)  # guard: left-after-interrupted-publish
        if interrupted:  # inside a grow: its segment is as large as the one in use
            self._control.remove_frames(self._table_of_newest())
        if due:
            self._clear_dead_entries()  # guard: dead-entries-cleared
            if now - self._looked_at_names > _LOOK_AT_NAMES_NS:
                self._look_at_names(now)
            self._control.restate(self.newest_frame[0])
            self._tidy()

    def _tidy(self) -> None:
        """Count the pins, and remove names that could not be removed before: Windows."""
        if self._frames is not None:
            self._need.note_pins(self._frames.side.pinned())
        self._control.remove_frames(self._table_of_newest())

    def _refuse_while_lent(self, begun: Begun | None) -> None:
        if begun is not None and not begun.over:
            raise RuntimeError("a loan of this writer is open: its with block has to end first")

    def _layout_for(self, array: npt.NDArray[Any]) -> Layout:
        layout = self.layout
        dtype, shape = array.dtype, array.shape
        if layout is not NO_LAYOUT and dtype == layout.dtype and shape == layout.shape:
            return layout
        known = self._layouts.get((dtype, shape)) if dtype.names is None else None
        if known is not None:
            return known
        check_dtype(dtype)
        layout = Layout.of(array)
        if dtype.names is None:  # else it can change: its fields can be renamed in place
            if len(self._layouts) >= _LAYOUTS:
                self._layouts.clear()
            self._layouts[dtype, shape] = layout
        return layout

    def _next_slot(self, layout: Layout, now: int) -> tuple[FrameSegment, int]:
        """Begin a slot for a frame of this layout: in the segment there is, or in a new one."""
        need = self._need
        larger = need.note(layout, self.layout)
        if now >= need.end:
            fitting = self._refit(larger, now)
            if fitting is not None:
                return fitting
        frames = self._frames
        if frames is not None and layout.size <= frames.room and not self._too_far(frames.side):
            position = frames.side.begin() or self._begin_after_clearing(frames.side)
            if position:
                return frames, position
        return self._grow(layout, larger, now)

    def _publish(self, frames: FrameSegment, position: int, layout: Layout, now: int) -> None:
        """Make a filled slot the newest frame; of its segment too, if that is new."""
        grown = frames is not self._frames
        # Its record says which frame is newest; the mapping of an old segment goes now, before its
        # name does: Windows.
        self._frames = frames
        if frames.side.publish(position, now):
            self._control.wake()  # guard: wake-the-long-way
        self.layout = layout
        if grown:
            self._control.remove_frames(frames.table.segment)
        self._ready = frames

    def _clear_dead_entries(self) -> None:
        """Clear what has been set for a second, if its reader died: it costs a wake-up, or a slot.

        The entries of living readers stay; looking at one costs a few system calls.
        """
        marked = entries.marked(self._control.memory)
        stale, self._marked = marked & self._marked, marked
        entries.clear_if_dead(self._address, self._control.memory, stale)

    @property
    def newest_frame(self) -> tuple[int, int]:
        """Own record of the newest word and of the number of the frame that it names."""
        return self._adopted if self._frames is None else self._frames.side.newest_frame

    def _table_of_newest(self) -> int:
        """Return the id of the segment that newest names; 0: none."""
        newest = self.newest_frame[0]
        return int(self._control.tables[newest & 1].segment) if newest >> 1 else 0

    def _refit(self, larger: Layout, now: int) -> tuple[FrameSegment, int] | None:
        """Begin a slot in a segment that fits, if the present one has not for a whole period.

        None: it fits, or the other one cannot be made now; the write goes on in the present one.
        """
        self._look_at_lock_file(now)
        frames, need = self._frames, self._need
        if frames is None:
            return None
        need.note_pins(frames.side.pinned())
        fitting = need.end_period(now, larger, frames.table)
        if fitting is not None:
            with suppress(OSError):
                return self._new_segment(*fitting)
        return None

    def _grow(self, layout: Layout, larger: Layout, now: int) -> tuple[FrameSegment, int]:
        """Begin a slot in a new segment, as none of the present one can be had for this layout."""
        self._look_at_lock_file(now)
        old, need, fewer = self._frames, self._need, {MIN_SLOTS}
        if old is not None:
            pinned = old.side.pinned()
            fewer = {pinned + 2, old.side.fewest_slots()}
            need.note_pins(pinned)
            if layout.size <= old.room and not self._too_far(old.side):  # so it is for pins
                need.slots = min(MAX_SLOTS, max(need.slots, 2 * old.table.slots))
        slots = need.slots
        return self._new_segment(larger, slots, *sorted(fewer - {slots}, reverse=True))

    def _new_segment(self, layout: Layout, slots: int, *fewer: int) -> tuple[FrameSegment, int]:
        """Begin a slot in a new frame segment, which nobody follows before it is published.

        It has so many slots, or the first of the `fewer` that there is room for.
        """
        old, control, newest_frame = self._frames, self._control, self.newest_frame
        if old is not None:
            self._start = max(self._start, old.side.position)
        stride = stride_for(len(layout.header), layout.nbytes)
        segment, table, copy = control.make_frames(
            self._table_of_newest(), newest_frame[0], stride, slots, *fewer
        )
        fresh = FrameSegment(control.memory, segment, table, copy, self._fences)
        fresh.side.position, fresh.side.newest_frame = self._start, newest_frame
        self._start = position = fresh.side.begin_first()
        log.debug("%r begins a segment: %r", self._address.name, fresh.table)
        return fresh, position

    def _begin_after_clearing(self, side: WriteSide) -> int:
        """Try once more after the pins of readers that died are gone."""
        entries.clear_dead(self._address, self._control.memory)
        return side.begin()

    def _too_far(self, side: WriteSide) -> bool:
        return side.position - (side.newest_frame[0] >> 1) >= _MAX_AHEAD

    def _look_at_lock_file(self, now: int) -> None:
        """Find out whether a lock file was removed, and perhaps taken by somebody else."""
        self._look_at = now + _LOOK_NS
        if self._lock_file.standing() != "held":
            make_root(self._address.transport.root, self._address.transport.mode)
            lock_file = lockfile.take(self._lock_file.path, self._address.transport.mode, _PATIENCE)
            if lock_file is None:
                self._gone = "its lock file was removed, and another writer took the array"
                self._let_go()
                raise writer_exists(self._address)
            self._lock_file.abandon()
            self._lock_file = lock_file
            self._look_at_names(now)  # a cleaner may have taken them as well
        if self._control.memory is None:
            self._obtain()

    def _look_at_names(self, now: int) -> None:
        """Make anew what has lost its name: readers that come late would not find it."""
        self._looked_at_names = now
        control, frames = self._control, self._frames
        if not control.is_named():
            self._adopted, self._frames = (0, self.newest_frame[1]), None
            control.close(self._adopted[1], [])
            self._obtain()
        elif frames is not None and not control.has_frames(frames.table.segment):
            self._leave(frames)

    def _leave(self, frames: FrameSegment) -> None:
        """Begin another segment with the next frame, as after a take over."""
        self._start = max(self._start, frames.side.position)
        self._adopted, self._frames = self.newest_frame, None

    def close(self, *, asked: bool = False) -> None:
        """End the array: mark it closed and remove all its names. Harmless when repeated.

        One that was interrupted goes on when it is called again. A writer that took over and wrote
        nothing changes nothing, unless its user asks for the end: the interrupt of a constructor
        may come as late as on its way back to the caller.

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
        if self._control is None:
            return
        if not asked and self._is_unused():
            self.give_up()
            return
        kept: list[Any] = []  # memory that takes long to free: after the lock file
        try:
            self._refuse_inside_a_write()
            with self._lock:
                self._close(kept)
        except BaseException as error:
            self._end_in_child(error)
            raise

    def _is_unused(self) -> bool:
        """Tell whether all there is was left by a writer that was killed."""
        adopted = self._adopted[0] >> 1 and not self._handed_over
        return bool(adopted) and self.layout is NO_LAYOUT

    def _close(self, kept: list[Any]) -> None:
        control, lock_file = (
            self._control,
            self._lock_file,
        )  # a nested call may come to the end first
        if control is None or lock_file is None:
            return
        self._ready, self._gone = None, self._gone or "it was closed"
        if lock_file.standing() != "other":  # else all of it is another writer's
            if self._frames is not None:
                # guard: settle-before-the-end
                self._frames.side.settle()  # the last frame's number is one that was published
            if sys.platform != "win32":  # where a mapped name could not be removed
                kept.append(self._frames)
            frame = self.newest_frame[1]
            self._adopted, self._ready, self._frames = (0, frame), None, None
            if control.close(frame, kept):
                try:  # not while the name is there: who adopts it needs the files to free entries
                    entries.clear_dead(self._address)
                except OSError:  # no descriptor left, no rights: a sweep finds them
                    log.debug("%r: entries of dead readers stay", self._address.name)
                lock_file.release()  # else (mapped, on Windows) a sweep does
        self._let_go()

    def give_up(self) -> None:
        """End without ending the array, for whoever takes it next; before the first frame only."""
        with self._lock:
            self._gone = self._gone or "it could not be made"
            if self._forked:
                pass  # all of it is the parent's
            elif self._control is not None and (self._handed_over or not self._adopted[0] >> 1):
                # There is nothing that anybody could go on from; or nobody else who would end it.
                self.close(asked=True)
            elif self._control is None and self._lock_file is not None and self._lock_file.held:
                there = exists(self._address)
                # Unknown when no descriptor is left: then nothing was made, as our lock file was
                # new.
                if there is False:
                    unlink(
                        self._address, self._address.control_name, self._lock_file
                    )  # perhaps half made
                if there is False or (there is None and self._lock_file.made):
                    self._lock_file.release()
            self._let_go()

    def _let_go(self) -> None:
        """Drop memory and lock file; what is shared stays as it is."""
        self._ready = self._frames = self._control = None
        if self._lock_file is not None:
            self._lock_file.abandon()

    def hand_over(self, new: Writer) -> None:
        """Give the lock file to a newer writer of this process (a notebook cell that runs again).

        Under the write lock, so that no late store of this writer lands in the new one's segment;
        and without letting the lock file go in between.
        """
        self._refuse_inside_a_write()
        with self._lock:
            # First of all, and before any call: a finalizer of ours that runs from here on finds
            # nothing to close.
            self._ready = None
            self._gone = self._gone or "a newer writer of this process took the array over"
            self._ready = self._frames = self._control = None
            lock_file = self._lock_file
            if lock_file is not None and lock_file.standing() == "held":
                lock_file.made = False  # not for the new one: there may be an array
                new._lock_file = lock_file
                self._lock_file = None  # or a late end of ours would let the new one's go

    def _refuse_inside_a_write(self) -> None:
        """Refuse an end inside a write of this thread; inside another end it is welcome."""
        if self._gone is None and self._lock._is_owned():
            refuse_nested()

    def detach(self) -> None:
        """In a forked child: never store anything, the parent goes on writing."""
        self._forked = True
        self._gone = self._gone or (
            "it belongs to the parent process; make the writer in the process that writes"
        )
        self._ready = self._frames = self._control = None
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
