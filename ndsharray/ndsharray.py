"""`NdShArray`: checks arguments, picks the role, and ends it when its time comes.

What may live here: what users see. Not here: how frames get from one process to another
(``_writer``, ``_reader``).
"""

from __future__ import annotations

import weakref
from types import TracebackType
from typing import Any, Optional, Union

import numpy as np
import numpy.typing as npt
from typing_extensions import Self

from . import backends
from ._address import address_of
from ._hint import Hint
from ._layout import MAX_SLOTS, MIN_SLOTS, Layout
from ._memory import require_whole_words
from ._reader import Reader
from ._sweep import sweep
from ._types import check_array, supported_types
from ._writer import Writer
from .backends.base import Transport, check_name
from .errors import AccessError

__all__ = ["NdShArray", "supported_types"]

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

    def __init__(
        self,
        name: str,
        array: npt.NDArray[Any] = _NO_ARRAY,
        r_w: Optional[str] = None,
        *,
        transport: Optional[Union[str, Transport]] = None,
        slots: int = 3,
    ) -> None:
        check_name(name)
        if not isinstance(r_w, str) or r_w.lower() not in ("r", "w"):
            raise ValueError(f"r_w must be 'r' (reader) or 'w' (writer), not {r_w!r}")
        check_array(array)
        _check_slots(slots)
        require_whole_words()
        self._transport = backends.resolve(transport)
        self._address = address_of(self._transport, name)
        self._access = r_w.lower()
        self._dtype = array.dtype  # known to be supported
        self._writer: Optional[Writer] = None
        self._reader: Optional[Reader] = None
        if self._access == "w":
            if array is not _NO_ARRAY:
                Layout.of(array)  # whatever is wrong with it, before anything is made
            self._writer = Writer(self._address, slots)
            self._finalizer = weakref.finalize(self, self._writer.close)
            try:
                sweep(self._transport.root, self._transport_of)
                Hint(self._address, "w")()
                if array is not _NO_ARRAY:
                    self._writer.write(array)
            except BaseException:
                self._writer.give_up()  # the last frame of a writer before us stays readable
                raise
        else:
            self._reader = Reader(self._address, array, Hint(self._address, "r"))
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

        The digits are new whenever dtype, shape or dimension change, and the same while they
        stay; the reader's are those of its last frame (zeros before it).
        """
        uuid = self._writer.layout.uuid if self._writer else self._get_reader().uuid
        return f"{self.name}_{uuid.hex()}"

    @property
    def read_time_ms(self) -> float:
        """Milliseconds from the write of the last valid frame to the end of its read.

        0.0 before any, and on a writer.
        """
        return self._reader.age_ns / 1e6 if self._reader else 0.0

    @property
    def is_valid(self) -> bool:
        """Reader: an array with a live or last frame is attached. Writer: it is open."""
        return self._reader.is_valid() if self._reader else not self.closed

    @property
    def closed(self) -> bool:
        """Whether `close` was called, or a newer writer took the array."""
        if self._writer is not None:
            return self._writer.gone is not None
        return self._get_reader().closed

    def write(self, array: npt.NDArray[Any]) -> None:
        """Publish an array of any shape and supported dtype as the newest frame.

        One copy, straight from `array` whatever its strides. Safe to call from several threads.

        Parameters
        ----------
        array : numpy.ndarray
            Shape, dtype and dimension may differ from the last one. Stored C-ordered; a
            subclass is stored as a plain array.

        Raises
        ------
        AccessError
            On a reader.
        ClosedError
            After `close`, after a newer writer took over, and in a forked child.
        TypeError
            If `array` is not an ``ndarray``, or a masked one.
        NotImplementedError
            For a dtype that cannot be shared.
        OSError
            ENOSPC, if a larger segment is needed and there is no room; the array goes on with
            its last frame, and a smaller write works.
        WriterExistsError
            If the lease file was removed and another process took the array.
        """
        if self._writer is None:
            raise AccessError(f"write() on a reader: {self.name!r} was opened with r_w='r'")
        if type(array) is not np.ndarray or array.dtype is not self._dtype:
            check_array(array)
            self._dtype = array.dtype
        self._writer.write(array)

    def read(self) -> tuple[bool, npt.NDArray[Any]]:
        """Return the newest frame, if it is new, and whether it is.

        Returns
        -------
        valid : bool
            True once for each frame that is returned.
        array : numpy.ndarray
            A whole frame as the writer published it: an array of the caller's own, writable.
            If there is nothing new, the same object as last time (before any frame, the
            constructor's array).

        Raises
        ------
        AccessError
            On a writer.
        ClosedError
            After `close`.
        FormatError
            If the shared memory is not what it says: damaged, or of another format version.
        """
        if self._reader is None:
            raise AccessError(f"read() on a writer: {self.name!r} was opened with r_w='w'")
        return self._reader.read(), self._reader.last

    def close(self) -> None:
        """End this side. Harmless when repeated.

        A writer's array ends with it: its names are removed, readers keep their last frame
        and go on with the next writer. Happens by itself with ``with``, ``del``, and at exit.
        """
        (self._writer or self._get_reader()).close()
        self._finalizer.detach()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        role = "writer" if self._writer else "reader"
        frame = self._writer.newest_frame[1] if self._writer else self._get_reader().frame
        state = "closed" if self.closed else "open"
        return f"<NdShArray {self.name!r} {role} on {self._transport.name}, {state}, frame {frame}>"

    def __reduce__(self) -> tuple[Any, ...]:
        if self._reader is None:
            raise TypeError("a writer cannot be pickled: make it in the process that writes")
        return _reader_of, (self.name, self._transport)

    def _transport_of(self, name: str) -> Optional[Transport]:
        """Return our own transport, or a known one with the same root."""
        own = self._transport
        return own if name == own.name else backends.beside(own, name)

    def _get_reader(self) -> Reader:
        assert self._reader is not None
        return self._reader


def _reader_of(name: str, transport: Transport) -> NdShArray:
    return NdShArray(name, r_w="r", transport=transport)


def _check_slots(slots: int) -> None:
    if isinstance(slots, bool) or not isinstance(slots, int):
        raise TypeError(f"slots is an int, not {type(slots).__name__}")
    if not MIN_SLOTS <= slots <= MAX_SLOTS:
        raise ValueError(f"slots must be {MIN_SLOTS} to {MAX_SLOTS}, not {slots}")
