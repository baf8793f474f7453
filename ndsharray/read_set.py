"""`ReadSet`: several arrays read together, as sets of frames that belong to one time.

What may live here: what users see, and waiting. Not here: which frames belong together
(``matching`` in ``_reader``), how they are found and held (``joiner``).
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from ._arguments import check_interval, check_names, check_timeout
from ._reader.frame_set import Counts, FrameSet
from ._reader.joiner import POLICIES, Joiner
from ._reader.matching import Nearest
from ._reader.member import Member, WallClock
from ._reader.sets import Sets
from ._reader.wait_many import wait_many
from ._system import clock
from ._system.foreign import require_asyncio
from ._system.guard import refuse_nested, refuse_thread
from ._system.wait import pause
from .backends.base import Transport
from .ndsharray import NdShArray

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Counts", "FrameSet", "ReadSet"]


class ReadSet:
    """Several arrays, read together: each set has one frame of each, of one time.

    Parameters
    ----------
    names : sequence of str, or mapping of str to str
        The arrays' names. A mapping gives each array a name in the set: ``{"left": "cam 0 left"}``.
    tolerance : float, optional
        Seconds that frames of one set may be apart at most. ``nearest`` needs it, and measures from
        the frame of the slowest array to each other one. For the other policies it holds
        between any two; default: any distance.
    policy : {'nearest', 'exact', 'latest'}
        ``nearest``: to each frame of the slowest array the nearest one of each other array.
        ``exact``: frames with equal stamps; unless all writers give stamps (``time_ns``), frames
        with equal numbers. ``latest``: the newest frame of each, whenever one of them is new; the
        others repeat, as the same arrays as before.
    offsets : mapping of str to float, optional
        Seconds to add to the times of an array before they are compared, by its name in the set:
        -0.004 for a sensor whose stamps are 4 ms late.
    pivot : str, optional
        ``nearest`` only: the array whose frames the others are matched with. Default: the one with
        the longest period, as measured.
    transport : Transport or str, optional
        As for `NdShArray`.

    Raises
    ------
    ValueError, TypeError
        For arguments that mean nothing.
    UnknownTransportError, FormatError, OSError
        As for a reader.

    Examples
    --------
    >>> import numpy as np
    >>> from ndsharray import NdShArray, ReadSet
    >>> left = NdShArray("doc-left", np.zeros(3), "w")
    >>> right = NdShArray("doc-right", np.ones(2), "w")
    >>> with ReadSet(["doc-left", "doc-right"], policy="latest") as readers:
    ...     s = readers.read(timeout=1.0)
    ...     s["doc-left"], s["doc-right"]
    (array([0., 0., 0.]), array([1., 1.]))
    >>> left.close(); right.close()
    """

    def __init__(
        self,
        names: Sequence[str] | Mapping[str, str],
        *,
        tolerance: float | None = None,
        policy: Literal["nearest", "exact", "latest"] = "nearest",
        offsets: Mapping[str, float] | None = None,
        pivot: str | None = None,
        transport: str | Transport | None = None,
    ) -> None:
        by_name = check_names(names)
        if policy not in POLICIES:
            raise ValueError(f"policy is one of {', '.join(POLICIES)}, not {policy!r}")
        if tolerance is None and policy == "nearest":
            raise ValueError("policy 'nearest' needs a tolerance, in seconds")
        within = math.inf if tolerance is None else check_interval("tolerance", tolerance)
        if within < 0:
            raise ValueError(f"tolerance must be 0 or more seconds, not {tolerance!r}")
        if not isinstance(offsets or {}, Mapping):
            raise TypeError(f"offsets is a mapping from names to seconds, not {offsets!r}")
        shifts = dict(offsets or {})
        if pivot is not None and policy != "nearest":
            raise ValueError(f"policy {policy!r} has no pivot")
        for name in [*shifts, *([] if pivot is None else [pivot])]:
            if name not in by_name:
                raise ValueError(f"the set has no array {name!r}, it has {', '.join(by_name)}")
        shifts_ns = {name: check_interval("an offset", shift) for name, shift in shifts.items()}
        self._readers: list[NdShArray] = []
        try:
            for name in by_name.values():
                self._readers.append(NdShArray(name, r_w="r", transport=transport))
        except BaseException:
            for reader in self._readers:
                reader.close()
            raise
        self._inner = [reader._get_reader("ReadSet") for reader in self._readers]
        wall = WallClock()
        members = [
            Member(name, reader, shifts_ns.get(name, 0), wall)
            for name, reader in zip(by_name, self._inner, strict=True)
        ]
        tracks = [member.track for member in members]
        if policy == "nearest":
            index = None if pivot is None else list(by_name).index(pivot)
            self._joiner = Joiner(members, Nearest(tracks, within, index), wall)
        else:
            self._joiner = Joiner(members, POLICIES[policy](tracks, within), wall)
        self._policy = policy
        self._closed = False

    @property
    def names(self) -> tuple[str, ...]:
        """The arrays' names in the set."""
        return tuple(member.name for member in self._joiner.members)

    @property
    def counts(self) -> dict[str, Counts]:
        """For each array: how many of its frames were matched, unmatched and missing."""
        tracks = {member.name: member.track for member in self._joiner.members}
        return {n: Counts(t.matched, t.unmatched, t.missing) for n, t in tracks.items()}

    @property
    def pivot(self) -> str | None:
        """The array whose frames the others are matched with; None: not known yet, or none."""
        return self._joiner.pivot

    @property
    def ended(self) -> str | None:
        """The array that was closed, and whose frames are used up, so that the sets ended.

        Each end is told once, by the call of `read` or the iterator that found it: None after any
        other call, also after a timeout. The next call waits for another writer.
        """
        return self._joiner.ended

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def read(self, timeout: float | None = 0.0, *, copy: bool = True) -> FrameSet | None:
        """Return the next set; None: there was none in time, or there are no more.

        Parameters
        ----------
        timeout : float or None
            Seconds to wait at most; 0: not at all; None: for ever.
        copy : bool
            False: large arrays lie in shared memory, read-only, and keep their slots while they or
            any slice of them are alive, as those of `NdShArray.read`. Frames of up to 8 KiB are
            read-only copies even so: they are copied when they are found.

        Returns
        -------
        FrameSet or None
            `ended` tells the array that was closed; it is None after a timeout.

        Raises
        ------
        ClosedError, FormatError, OSError, ValueError, TypeError, RuntimeError
            As `NdShArray.read`.
        """
        end = _end(check_timeout(timeout))
        lock = self._joiner.lock
        if lock._is_owned():
            refuse_nested()
        try:  # around `acquire`: a signal handler may raise just after it
            if not lock.acquire(False):
                refuse_thread()
            while True:
                found = self._look(copy)
                left = end - time.monotonic()
                if found is not None or self._joiner.ended is not None or left <= 0:
                    return found
                wait_many(self._inner, min(left, self._told()))
        finally:
            try:
                lock.release()
            except RuntimeError:  # not acquired
                pass
            else:
                if self._closed:  # during this call, by another thread or a signal handler
                    self.close()

    async def read_async(
        self, timeout: float | None = None, *, copy: bool = True
    ) -> FrameSet | None:
        """Read as `read` does, inside an ``asyncio`` event loop, whose other tasks run meanwhile.

        It waits for ever by default, and can be cancelled at any time. It does not sleep on the
        arrays: it looks at them, with pauses that grow to 5 ms. RuntimeError where no ``asyncio``
        loop runs.
        """
        import asyncio  # slow, and not for everybody

        require_asyncio()
        end = _end(check_timeout(timeout))
        began, waited = time.monotonic(), 0.0
        while True:
            found = self.read(copy=copy)
            left = end - time.monotonic()
            if found is not None or self._joiner.ended is not None or left <= 0:
                return found
            await asyncio.sleep(min(pause(waited), left, self._told()))
            waited = time.monotonic() - began

    def sets(self, timeout: float | None = None, *, copy: bool = True) -> Sets:
        """Iterate over the sets, in order; with ``for`` or ``async for``.

        It begins with the frames that the slots hold. Each frame is part of one set at most (but
        for ``latest``), and each array's frames come in order.

        Parameters
        ----------
        timeout : float or None
            Seconds to wait for each set at most; None: for ever.
        copy : bool
            As for `read`.

        Returns
        -------
        iterator of FrameSet
            It ends when an array has closed and its frames are used up; `ended` tells which one. It
            waits through a writer's crash and restart.

        Raises
        ------
        ValueError, TypeError
            At once, as `read`.
        TimeoutError
            While iterating: no set came in time. The message names the array at fault: ``no frame
            of 'imu' for 1.0 s (writer killed)``. The iterator can go on afterwards.
        ClosedError, FormatError, OSError, RuntimeError
            While iterating, as `read`.
        """
        return Sets(self, self._joiner, check_timeout(timeout), copy)

    def close(self) -> None:
        """Close all readers. Harmless when repeated. Arrays in place stay as they are."""
        self._closed = True
        lock = self._joiner.lock
        # Else a call is under way, perhaps of this thread, and closes the set at its end.
        if not lock._is_owned() and lock.acquire(False):
            try:
                self._joiner.close()
            finally:
                lock.release()
        for reader in self._readers:
            reader.close()

    def _look(self, copy: bool) -> FrameSet | None:
        joiner = self._joiner
        frames = joiner.next()
        if frames is None:
            return None
        found = FrameSet(joiner.members, frames, copy)
        joiner.done()
        return found

    def _told(self) -> float:
        """Return for how many seconds only a frame brings a set nearer."""
        again = self._joiner.again
        return math.inf if again is None else max(0.0, (again - clock.now_ns()) / 1e9)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open"
        return f"<ReadSet {', '.join(map(repr, self.names))} by {self._policy}, {state}>"


def _end(timeout: float | None) -> float:
    return math.inf if timeout is None else time.monotonic() + timeout
