"""`NdShArray`: checks arguments, makes a writer or a reader, and closes it.

What may live here: what users see. Not here: how frames get from one process to another
(``writer``, ``reader``).
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from itertools import compress
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

import numpy as np
import numpy.typing as npt

from . import backends
from ._arguments import (
    as_shape,
    check_max_age,
    check_out,
    check_slots,
    check_stamp,
    check_timeout,
)
from ._protocol.dtypes import check_array, check_dtype, supported_types
from ._protocol.layout import Layout
from ._protocol.memory import require_whole_words
from ._reader.delivery import Delivery
from ._reader.frames import Frames
from ._reader.read_async import read_async
from ._reader.reader import Reader
from ._reader.wait_many import wait_many
from ._registry.cleanup import sweep
from ._registry.mismatch import Hint
from ._registry.names import address_of
from ._system.clock import UnixTime
from ._writer.loan import Loan
from ._writer.writer import NO_LAYOUT, Writer
from .backends.base import Transport, check_name
from .errors import AccessError

if TYPE_CHECKING:
    from typing import TypeAlias  # 3 ms, and for type checkers only

    from typing_extensions import Self

    Role: TypeAlias = Literal["r", "w", "R", "W"]
    _Scalar = TypeVar("_Scalar", bound=np.generic)
    _DTypeOf: TypeAlias = type[_Scalar] | np.dtype[_Scalar]

__all__ = ["NdShArray", "supported_types", "wait"]

_AT_ONCE = 0.0  # by its identity: no other timeout is so common
_NO_ARRAY: npt.NDArray[Any] = np.empty((0,), np.uint8)


class NdShArray:
    """A numpy array that one process writes and any number of processes read.

    Parameters
    ----------
    name : str
        What both sides call it: any non-empty text without NUL, at most 255 bytes of UTF-8.
    array : numpy.ndarray, optional
        Writer: published at once as the first frame. Without it nothing is published before
        the first `write`. Reader: what `read` returns before any frame.
    r_w : {'r', 'w'}
        The role, in either case. There is one living writer to a name; inside one process
        the newest writer takes over from an older one. A reader may come before the writer.
    transport : Transport or str, optional
        ``"mmap"``, ``"posix_shm"``, ``"package.module:Class"`` or an object; both sides must
        choose the same. Default: the environment variable ``NDSHARRAY_TRANSPORT``, else ``"mmap"``.
    slots : int
        Frames that the writer keeps room for, 2 to 250. The default of 3 is enough for
        reading the newest frame.

    Raises
    ------
    ValueError
        For a bad `name`, `r_w` or `slots`.
    TypeError
        If `name` is not a `str`, `array` not an ``ndarray`` (or a masked one), `slots` not an int.
    NotImplementedError
        If `array` has a dtype that cannot be shared, or on a processor that cannot.
    UnknownTransportError
        If there is no such transport.
    WriterExistsError
        If another process has a living writer of that name.
    FormatError
        If the name belongs to a writer of another format version.
    OSError
        If there is no room (ENOSPC), or the directory is not safe to use.

    Examples
    --------
    >>> import numpy as np
    >>> from ndsharray import NdShArray
    >>> writer = NdShArray("doc-example", r_w="w")
    >>> reader = NdShArray("doc-example", r_w="r")
    >>> writer.write(np.arange(3))
    >>> reader.read()
    (True, array([0, 1, 2]))
    >>> reader.close(); writer.close()
    """

    # The role has to be given; only `array`, which comes before it, has a default.
    @overload
    def __init__(
        self,
        name: str,
        array: npt.NDArray[Any],
        r_w: Role,
        *,
        transport: str | Transport | None = None,
        slots: int = 3,
    ) -> None: ...
    @overload
    def __init__(
        self,
        name: str,
        array: npt.NDArray[Any] = ...,
        *,
        r_w: Role,
        transport: str | Transport | None = None,
        slots: int = 3,
    ) -> None: ...
    def __init__(
        self,
        name: str,
        array: npt.NDArray[Any] = _NO_ARRAY,
        r_w: str | None = None,
        *,
        transport: str | Transport | None = None,
        slots: int = 3,
    ) -> None:
        check_name(name)
        if not isinstance(r_w, str) or r_w.lower() not in ("r", "w"):
            hint = f"; did you mean r_w={array!r}?" if isinstance(array, str) else ""
            raise ValueError(f"r_w must be 'r' (reader) or 'w' (writer), not {r_w!r}{hint}")
        check_array(array)
        check_slots(slots)
        require_whole_words()
        self._transport = backends.resolve(transport)
        self._address = address_of(self._transport, name)
        self._access = r_w.lower()
        self._unix = UnixTime()
        self._writer: Writer | None = None
        self._reader: Reader | None = None
        self._finalizer: weakref.finalize[..., Any]
        if self._access == "w":
            if array is not _NO_ARRAY:
                Layout.of(array)  # whatever is wrong with it, before anything is made
            try:
                self._writer = Writer(self._address, slots)
                self._finalizer = weakref.finalize(self, self._writer.close)
                sweep(self._transport.root, self._transport_of)
                if array is not _NO_ARRAY:
                    self._writer.write(array)
            except BaseException:
                if self._writer is not None:
                    self._writer.abandon()  # the last frame of a writer before us stays readable
                raise
        else:
            self._reader = Reader(self._address, array, Hint(self._address))
            self._finalizer = weakref.finalize(self, self._reader.close)

    @property
    def name(self) -> str:
        """What both sides call the array."""
        return self._address.name

    @property
    def access(self) -> str:
        """``'r'`` for a reader, ``'w'`` for a writer."""
        return self._access

    @property
    def transport(self) -> Transport:
        """The transport that was chosen."""
        return self._transport

    @property
    def ndarray_mmap_name(self) -> str:
        """The name, an underscore, and 32 hex digits.

        The digits are others whenever dtype, shape or dimension change, and the same while they
        stay (they may come back with a layout that was written before); the reader's are those of
        its last frame (zeros before it).
        """
        uuid = self._reader.last.uuid if self._reader else self._get_writer().layout.uuid
        return f"{self.name}_{uuid.hex()}"

    @property
    def read_time_ms(self) -> float:
        """Milliseconds from the write of the last valid frame to the end of its read.

        0.0 before any, and on a writer.
        """
        return self._reader.last.age_ns / 1e6 if self._reader else 0.0

    @property
    def time_ns(self) -> int:
        """When the last frame was captured: Unix time in nanoseconds.

        It is what the writer gave as ``time_ns`` of `write` or `loan`; without that, the time of
        the write. The last frame is the one that was read or written last; 0 before any.
        """
        return self._times[1] or self.write_time_ns

    @property
    def write_time_ns(self) -> int:
        """When the last frame was written: Unix time in nanoseconds; 0 before any.

        The writer records the monotonic clock, which no step of the wall clock disturbs. It is
        converted once for each frame, when you ask for it first, by what the two clocks show then.
        So a step of the wall clock between the write and that moment counts as if the clock had
        always been right, and where the machine was suspended in between, the result is late by
        that time (on Linux and macOS).
        """
        return self._unix.of(self._times[0])

    @property
    def _times(self) -> tuple[int, int]:
        """The monotonic time of the last frame's write, and its stamp."""
        if self._reader is not None:
            return self._reader.last.written, self._reader.last.stamp
        return self._get_writer().newest_frame[2:]

    @property
    def frame_id(self) -> int:
        """The number of the last frame that was read or written, counted by writers from 1.

        0 before any. The count continues through crashes and restarts; after a writer has
        closed the array, the next one begins again with 1.
        """
        return self._reader.last.frame_id if self._reader else self._get_writer().newest_frame[1]

    @property
    def missed(self) -> int:
        """How many frames this reader never saw, since the first one that it saw.

        Exact: frames are numbered, and the writer leaves the last number when it closes (which
        counts once `frames` has ended). 0 again once it follows a new writer after a clean close,
        and on a writer.
        """
        return self._reader.missed if self._reader else 0

    @property
    def is_valid(self) -> bool:
        """Reader: an array with a frame is attached. Writer: it is open.

        No sign of life: to a reader, an array stays valid after its writer has closed or died.
        """
        return self._reader.is_valid() if self._reader else not self.closed

    @property
    def writer_state(self) -> Literal["absent", "live", "killed", "closed"]:
        """What has become of the array's writer, for a reader: also how `frames` has ended.

        - ``'live'``: a process has the array and may write to it.
        - ``'killed'``: the writer has died, and its last frame stays. The next writer of that name
          continues the array, and `frames` waits for it.
        - ``'closed'``: the writer has closed the array that this reader reads.
        - ``'absent'``: there is no such array, or none that can be read (`read` says why).

        As soon as another writer has the name, that one counts. It takes a few microseconds while
        the array is there, changes nothing, and can be asked from any thread, also while another
        one waits in `read`. Where this user may not open the writer's lock file (an array that
        a group may only read), Linux alone can tell; elsewhere a killed writer counts as live.

        Raises
        ------
        AccessError
            On a writer.
        """
        return self._get_reader("writer_state").writer_state()

    @property
    def closed(self) -> bool:
        """Whether `close` was called, or a newer writer took the array."""
        if self._writer is not None:
            return self._writer.gone is not None
        return self._get_reader("closed").closed

    def write(self, array: npt.NDArray[Any], *, time_ns: int | None = None) -> None:
        """Publish an array of any shape and supported dtype as the newest frame.

        One copy, straight from `array` whatever its strides. Safe to call from several threads.

        Parameters
        ----------
        array : numpy.ndarray
            Shape, dtype and dimension may differ from the last one. Stored C-ordered; a
            subclass is stored as a plain array.
        time_ns : int, optional
            When it was captured: Unix time in nanoseconds, 1 to 2**63 - 1. Readers get it as their
            `time_ns`.

        Raises
        ------
        AccessError
            On a reader.
        ClosedError
            After `close`, after a newer writer took over, and in a forked child.
        TypeError
            If `array` is not an ``ndarray``, or a masked one; if `time_ns` is not an int.
        ValueError
            If `time_ns` is out of range.
        NotImplementedError
            For a dtype that cannot be shared.
        OSError
            ENOSPC, if a larger segment is needed and there is no room; the array keeps its last
            frame, and a smaller write works.
        WriterExistsError
            If the lock file was removed and another process took the array.
        """
        if self._writer is None:
            raise AccessError(f"write() on a reader: {self.name!r} was opened with r_w='r'")
        if type(array) is not np.ndarray:
            check_array(array)
        self._writer.write(array, 0 if time_ns is None else check_stamp(time_ns))

    @overload
    def loan(
        self,
        shape: int | Sequence[int] | None,
        dtype: _DTypeOf[_Scalar],
        *,
        time_ns: int | None = None,
    ) -> Loan[_Scalar]: ...
    @overload
    def loan(
        self,
        shape: int | Sequence[int] | None = None,
        *,
        dtype: _DTypeOf[_Scalar],
        time_ns: int | None = None,
    ) -> Loan[_Scalar]: ...
    @overload
    def loan(
        self,
        shape: int | Sequence[int] | None = None,
        dtype: npt.DTypeLike | None = None,
        *,
        time_ns: int | None = None,
    ) -> Loan[Any]: ...
    def loan(
        self,
        shape: int | Sequence[int] | None = None,
        dtype: npt.DTypeLike | None = None,
        *,
        time_ns: int | None = None,
    ) -> Loan[Any]:
        """Lend the next frame's memory, to be filled where it lies: no copy at all.

        At the end of the ``with`` block the frame is published; if the block ends with an
        exception, nothing is. Meanwhile `write` and another loan are refused, and readers keep the
        last frame.

        Parameters
        ----------
        shape : int or sequence of int, optional
            Default: that of the last frame that was written.
        dtype : data-type, optional
            Default: that of the last frame that was written.
        time_ns : int, optional
            When the frame was captured, as for `write`.

        Returns
        -------
        context manager
            Gives a writable, C-ordered array; its values are arbitrary, as those of ``np.empty``.
            After the block it is read-only, and neither it nor slices taken of it (which stay
            writable) must be used any more: it is the memory of this frame and of later ones.
            The context manager has an attribute ``time_ns``, which you can set until the block
            ends: ``with (loan := writer.loan()) as frame: loan.time_ns = camera.fill(frame)``.

        Raises
        ------
        AccessError
            On a reader.
        ValueError
            Without `shape` or `dtype` if nothing was written yet; for a shape that numpy cannot
            make; if `time_ns` is out of range.
        TypeError
            If `time_ns` is not an int.
        NotImplementedError
            For a dtype that cannot be shared.
        RuntimeError
            At the start of the block, if another loan is open.
        ClosedError, OSError, WriterExistsError
            At the start of the block, as `write`; ClosedError also at its end, if the writer
            was closed or replaced meanwhile.

        Examples
        --------
        >>> import numpy as np
        >>> from ndsharray import NdShArray
        >>> with NdShArray("doc-example", r_w="w") as writer:
        ...     with writer.loan((2, 3), np.float32) as frame:
        ...         frame[:] = 7
        """
        if self._writer is None:
            raise AccessError(f"loan() on a reader: {self.name!r} was opened with r_w='r'")
        return Loan(self._writer, self._layout_of(shape, dtype), time_ns, self)

    def _layout_of(self, shape: int | Sequence[int] | None, dtype: npt.DTypeLike | None) -> Layout:
        last = self._get_writer().layout
        if last is NO_LAYOUT and (shape is None or dtype is None):
            raise ValueError("nothing was written yet: a loan needs shape and dtype")
        wanted = last.dtype if dtype is None else np.dtype(dtype)
        check_dtype(wanted)
        lengths = last.shape if shape is None else as_shape(shape, wanted)
        if lengths == last.shape and wanted == last.dtype and last is not NO_LAYOUT:
            return last
        return Layout.of_shape(wanted, lengths)

    def read(
        self,
        timeout: float | None = _AT_ONCE,
        *,
        out: npt.NDArray[Any] | None = None,
        copy: bool = True,
        max_age: float | None = None,
    ) -> tuple[bool, npt.NDArray[Any]]:
        """Return the newest frame, if it is new, and whether it is.

        Parameters
        ----------
        timeout : float or None
            Seconds to wait for a new frame at most; 0: not at all; None: for ever. It holds with
            no writer there, too.
        out : numpy.ndarray, optional
            Where to copy the frame to: of its shape and dtype, writable, any strides. Nothing
            large is allocated then.
        copy : bool
            False: do not copy. The array lies in shared memory, is read-only, and **cannot change
            while it or any slice of it is alive**: the writer passes its slot by. So let it go when
            you are done; somebody who holds several makes the writer take more memory. A reader
            can hold four such arrays at a time, and keeps the last one itself until the next
            read; further ones, all those of a 63rd reader, and most frames of less than 16 KiB,
            whose copy costs less, are private read-only copies.
        max_age : float, optional
            Seconds: a frame that was written longer ago does not count as new (what a killed writer
            left, for example). A later call without `max_age` still returns it, if it is the newest
            then. Default: any age.

        Returns
        -------
        valid : bool
            True once for each frame that is returned.
        array : numpy.ndarray
            A whole frame as the writer published it: an array of the caller's own, writable, if
            not chosen otherwise. If there is nothing new, the same object as last time (before
            any frame, the constructor's array); with `out`, always `out`, untouched.

        Raises
        ------
        AccessError
            On a writer.
        ClosedError
            After `close`, also if another thread calls it while this one waits.
        FormatError
            If the shared memory is not what it says: damaged, or of another format version.
        OSError
            If the array is there and cannot be opened: no permission, or no descriptor is left.
        ValueError
            For a `timeout` or `max_age` that is negative or NaN; if `out` has another shape or
            dtype than the frame (which then comes again), or is read-only, or `copy` is False as
            well.
        TypeError
            If `timeout` or `max_age` is not a number, or `out` not an ``ndarray`` (or a masked
            one).
        RuntimeError
            If another thread is reading with this object, or in a signal handler that interrupted
            a read of it.
        """
        reader = self._reader
        if reader is None:
            reader = self._get_reader("read")  # which says what is wrong
        if timeout is not _AT_ONCE:
            timeout = check_timeout(timeout)
        if out is None and max_age is None:
            return reader.read(reader.by_copy if copy else reader.in_place, timeout)
        valid, array = reader.read(_delivery(reader, out, copy, max_age), timeout)
        return valid, array if out is None else out

    async def read_async(
        self,
        timeout: float | None = None,
        *,
        out: npt.NDArray[Any] | None = None,
        copy: bool = True,
        max_age: float | None = None,
    ) -> tuple[bool, npt.NDArray[Any]]:
        """Read as `read` does, inside an ``asyncio`` event loop, whose other tasks run meanwhile.

        Parameters and results are those of `read`, but that it waits for ever by default. It can be
        cancelled at any time, and leaves no thread behind. While it waits, the reader is its own:
        other calls raise RuntimeError. So does this one where no ``asyncio`` loop runs, as under
        trio: call `read` in a thread there (``trio.to_thread.run_sync``).
        """
        reader = self._get_reader("read_async")
        timeout = check_timeout(timeout)
        delivery = _delivery(reader, out, copy, max_age)
        valid, array = await read_async(reader, delivery, timeout)
        return valid, array if out is None else out

    def frames(self, timeout: float | None = None, *, copy: bool = True) -> Frames:
        """Iterate over every frame in order, as far as the writer's slots reach back.

        ``for frame in reader.frames()``, or in a task of an ``asyncio`` loop ``async for``, under
        the rules of `read_async`.

        It begins after the last frame that was read; on a new reader with the oldest one that is
        there. A reader that falls behind by more than the writer's ``slots`` misses frames, and
        `missed` says how many. It waits through a writer's crash and restart.

        What a writer publishes in new memory (its first frame, or one that needs more room) and
        closes at once is gone before a reader could open it, and counts as missed: a writer whose
        every frame matters closes after its readers have said that they are done.

        Parameters
        ----------
        timeout : float or None
            Seconds to wait for each frame at most; None: for ever.
        copy : bool
            As for `read`.

        Returns
        -------
        iterator and asynchronous iterator of numpy.ndarray
            It ends when the timeout passes, or when the writer has closed the array and all that
            is left of it was returned. The next call continues where this one ended, and then
            waits for another writer.

        Raises
        ------
        AccessError, ValueError, TypeError
            At once, as `read`.
        ClosedError, FormatError, OSError, RuntimeError
            While iterating, as `read`.
        """
        reader = self._get_reader("frames")
        delivery = reader.by_copy if copy else reader.in_place
        return Frames(self, reader, delivery, check_timeout(timeout))

    def close(self) -> None:
        """End this side. Harmless when repeated.

        A writer's array ends with it: its names are removed, readers keep their last frame
        and continue with the next writer. Happens by itself with ``with``, ``del``, and at exit.
        """
        (self._writer or self._get_reader("close")).close(asked=True)
        self._finalizer.detach()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        role = "writer" if self._writer else "reader"
        state = "closed" if self.closed else "open"
        if self._reader and not self.closed:
            state += f", writer {self.writer_state}"
        where = f"{self._transport.name} in {self._transport.root}"
        return f"<NdShArray {self.name!r} {role} on {where}, {state}, frame {self.frame_id}>"

    def __reduce__(self) -> tuple[Any, ...]:
        if self._reader is None:
            raise TypeError("a writer cannot be pickled: make it in the process that writes")
        return _reader_of, (self.name, self._transport)

    def _transport_of(self, name: str) -> Transport | None:
        """Return our own transport, or a known one with the same root."""
        own = self._transport
        return own if name == own.name else backends.beside(own, name)

    def _get_reader(self, method: str) -> Reader:
        if self._reader is None:
            raise AccessError(f"{method}() on a writer: {self.name!r} was opened with r_w='w'")
        return self._reader

    def _get_writer(self) -> Writer:
        assert self._writer is not None
        return self._writer


def wait(readers: Iterable[NdShArray], timeout: float | None = None) -> list[NdShArray]:
    """Wait until at least one of several readers has news, in one sleep for all.

    A reader has news if there is a frame that it has not returned, if its writer has closed the
    array (which is told once), or if its next `NdShArray.read` raises an error. Nothing is read
    here: the frame is for the next call on the reader.

    Parameters
    ----------
    readers : iterable of NdShArray
        Readers, of any transports; one that is given twice counts once. Their writers may come
        later. During the call all of them are in use, as in a `NdShArray.read` with a timeout.
    timeout : float or None
        Seconds to wait at most; 0: not at all; None: for ever.

    Returns
    -------
    list of NdShArray
        The readers that have news, in the given order; empty if the time is up, and at once if no
        readers are given.

    Raises
    ------
    AccessError
        If one of them is a writer.
    ClosedError
        If one of them was closed, also by another thread during the wait.
    RuntimeError
        If another thread or task is reading with one of them, or in a signal handler that
        interrupted a call of one.
    TypeError, ValueError
        For a `timeout` as in `NdShArray.read`; if one of `readers` is no `NdShArray`.

    Notes
    -----
    On Linux 5.16 or newer up to 128 readers sleep without using the processor; if some of them have
    a living writer and others have none, it looks for a writer every 20 ms. Elsewhere, and with
    more readers, it polls, with pauses of up to 5 ms; so it does if one of them is an array's 63rd
    reader, or may not write to its array.

    Examples
    --------
    >>> import numpy as np
    >>> import ndsharray
    >>> left = ndsharray.NdShArray("doc-left", r_w="r")
    >>> right = ndsharray.NdShArray("doc-right", r_w="r")
    >>> with ndsharray.NdShArray("doc-right", np.arange(3), "w"):
    ...     for reader in ndsharray.wait([left, right], timeout=1.0):
    ...         print(reader.name, reader.read()[1])
    doc-right [0 1 2]
    >>> left.close(); right.close()
    """
    given = list(dict.fromkeys(readers))
    for reader in given:
        if not isinstance(reader, NdShArray):
            raise TypeError(f"wait() takes NdShArray readers, not {type(reader).__name__}")
    timeout = check_timeout(timeout)
    news = wait_many([reader._get_reader("wait") for reader in given], timeout) if given else ()
    return list(compress(given, news))


def _delivery(
    reader: Reader, out: npt.NDArray[Any] | None, copy: bool, max_age: float | None
) -> Delivery:
    if out is None:
        delivery = reader.by_copy if copy else reader.in_place
    elif not copy:
        raise ValueError("out= and copy=False exclude each other")
    else:
        check_out(out)
        delivery = reader.into(out)
    return delivery if max_age is None else delivery.no_older_than(check_max_age(max_age))


def _reader_of(name: str, transport: Transport) -> NdShArray:
    return NdShArray(name, r_w="r", transport=transport)
