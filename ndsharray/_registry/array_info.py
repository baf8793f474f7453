"""What is known about one array at one moment, as plain values.

Not here: how it is found out (``probe``), of which arrays (``inspection``). This module imports
``dataclasses``, which is slow; so ``import ndsharray`` does not import it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np

__all__ = ["ArrayInfo", "ArrayState", "SlotInfo"]

ArrayState = Literal["live", "killed", "closed", "damaged", "foreign version"]


@dataclass(frozen=True)
class SlotInfo:
    """One slot of an array.

    Attributes
    ----------
    index : int
        Which one, from 0.
    state : {'empty', 'writing', 'stable', 'newest'}
        ``'empty'``: never written; ``'writing'``: a writer fills it, or was killed or interrupted
        while it did; ``'stable'``: it holds a whole frame; ``'newest'``: it holds the newest one.
    frame_id : int
        The number of its frame; 0 if it is neither stable nor newest.
    write_time_ns : int or None
        When that frame was written, Unix time in nanoseconds.
    time_ns : int or None
        When that frame was captured, Unix time in nanoseconds; where the writer did not say,
        `write_time_ns`.
    pins : int
        How many readers' pins keep the writer out of it.
    """

    index: int
    state: Literal["empty", "writing", "stable", "newest"]
    frame_id: int
    write_time_ns: int | None
    time_ns: int | None
    pins: int


@dataclass(frozen=True)
class ArrayInfo:
    """One array, as it was when somebody looked.

    Attributes
    ----------
    name : str
        What both sides call the array. Where it cannot be known, because there is no control
        segment or a damaged one, the name of the control segment: ``nd`` and 16 digits.
    transport : str
        Name of the transport that it is on.
    root : str
        Root directory that it belongs to.
    state : {'live', 'killed', 'closed', 'damaged', 'foreign version'}
        ``'live'``: a writer has it; ``'killed'``: its writer has died and its last frame stays;
        ``'closed'``: its writer has closed it, and something is left; ``'damaged'``: its memory is
        not what the format says, or cannot be opened; ``'foreign version'``: another version of the
        library wrote it.
    pid : int or None
        Process id of the writer, or of the last one. For people: it is that of the writer's PID
        namespace, and other processes can damage it.
    since_ns : int or None
        When that writer took the array, Unix time in nanoseconds.
    frame_id : int
        Number of the newest frame; 0: there is none yet.
    shape : tuple of int or None
        Shape of the newest frame.
    dtype : numpy.dtype or None
        Element type of the newest frame.
    write_time_ns : int or None
        When the newest frame was written, Unix time in nanoseconds.
    time_ns : int or None
        When the newest frame was captured, Unix time in nanoseconds; where the writer did not say,
        `write_time_ns`.
    age : float or None
        Seconds from the write of the newest frame until now.
    slots : int
        Number of slots; 0 before the first frame.
    pinned_slots : int
        How many of them readers keep.
    readers : int
        Living readers that hold an entry. (A reader that may not write to the array has none.)
    nbytes : int
        Bytes of shared memory: control segment and frame segments.
    problem : str or None
        One line about what is wrong, where something is.
    slot_list : tuple of SlotInfo
        The slots.
    """

    name: str
    transport: str
    root: str
    state: ArrayState
    pid: int | None = None
    since_ns: int | None = None
    frame_id: int = 0
    shape: tuple[int, ...] | None = None
    dtype: np.dtype[Any] | None = None
    write_time_ns: int | None = None
    time_ns: int | None = None
    age: float | None = None
    slots: int = 0
    pinned_slots: int = 0
    readers: int = 0
    nbytes: int = 0
    problem: str | None = None
    slot_list: tuple[SlotInfo, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return all but `slot_list` as values that ``json`` can write.

        `dtype` becomes what ``numpy.dtype`` accepts: a str such as ``'<f4'``, or for a structured
        one a list of its fields.
        """
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "slot_list"}
        if self.dtype is not None:
            values["dtype"] = self.dtype.str if self.dtype.names is None else self.dtype.descr
        return values
