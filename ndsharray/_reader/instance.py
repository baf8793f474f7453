"""One instance of an array as a reader sees it: control segment, frame segment, decoded slots.

What may live here: following the frame segment that newest names, and taking one frame out of a
slot. Not here: when to try again and when to look for another instance (``reader``), nor the
order of the loads (``seqlock``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy.typing as npt

from .._protocol import format
from .._protocol.format import HEADER_WORD, PAYLOAD_WORD, RECORD_BYTE, Layout, Table
from .._protocol.memory import Fences, Memory, make_fences
from .._protocol.reading import ReadSide
from .._registry.names import Address
from ..backends.base import Segment
from ..errors import FormatError
from .buffers import SMALLEST

__all__ = ["Delivery", "Frame", "Instance", "View"]

_LAYOUTS = 64  # decoded layouts that are remembered

Delivery = Callable[[Memory, "View"], npt.NDArray[Any]]


class View(NamedTuple):
    """What a slot holds: a layout and its uuid, an array over the payload, the payload's bytes."""

    words: tuple[int, int]
    layout: Layout
    array: npt.NDArray[Any]
    payload: memoryview
    is_small: bool  # and without names: a plain copy is all it takes


_NO_VIEW: Any = ((),)  # of a slot that nothing is known of: no uuid

# A whole frame that was taken: array, frame number, when it was written, slot, view of the slot. A
# plain tuple, as every read makes one.
Frame = tuple[npt.NDArray[Any], int, int, int, View]


class Instance:
    """One instance of the array, mapped.

    Attributes
    ----------
    memory : Memory
        Its control segment.
    instance : int
        Its instance id.
    side : ReadSide
        The steps of reading it.
    views : list of View
        What is known of each slot of the segment that is followed.
    """

    def __init__(self, segment: Segment, memory: Memory, instance: int, fences: Fences) -> None:
        self._segment = segment  # keeps the mapping
        self.memory = memory
        self.instance = instance
        self.side = ReadSide(memory, fences)
        self.views: list[View] = []
        self.fresh: View | None = None  # decoded last, and not known to be true yet
        self._layouts: dict[tuple[int, int], Layout] = {}  # by uuid

    def detach(self) -> None:
        """In a forked child: go on in memory of its own, as that of its parent is detached."""
        side, self.memory = self.side, Memory(self._segment.buf)
        self.side = ReadSide(self.memory, make_fences())
        if side.frames is not None:
            self.side.follow(side.frames, side.table, side.copy)

    @property
    def has_frame(self) -> bool:
        """Whether anything was published."""
        return format.check_newest(self.side.newest()) > 0

    def is_instance(self, instance: int) -> bool:
        """Tell whether an id is this one's, also if somebody has scribbled over it meanwhile.

        To take the same memory for another instance would let go of pins in it.
        """
        return instance in (self.instance, self.memory.words[format.INSTANCE_WORD])

    def table(self) -> tuple[int, Table] | None:
        """Return the newest word and the table copy that it names; None: begin again.

        Before the first frame the table is no table.

        Raises
        ------
        FormatError
            If they cannot be true.
        """
        loaded = self.side.load_table()
        if loaded is not None and format.check_newest(loaded[0]):
            format.check_table(loaded[1])
        return loaded

    def follow(self, address: Address, table: Table, copy: int) -> bool:
        """Follow the segment of a table; False: begin again.

        Raises
        ------
        FormatError
            If the segment is smaller than the table says.
        """
        side = self.side
        if side.frames is not None and table[:3] == side.table[:3]:
            side.follow(side.frames, table, copy)
            return True
        name = address.frames(self.instance, table.segment)
        try:
            segment = address.transport.open(name, writable=False)
        except FileNotFoundError:
            return False  # the writer went on to another one, or closed
        if segment.size < table.size:
            raise FormatError("frame segment", f"{segment.size} of {table.size} bytes")
        self.views, self._layouts = [_NO_VIEW] * table.slots, {}
        side.follow(Memory(segment.buf), table, copy)
        return True

    def decode(self, index: int, uuid: tuple[int, int]) -> View:
        """Return the layout of a slot and an array over its payload, for `ReadSide.attempt`.

        Everything is checked before memory is touched by it; but what is loaded here may be
        half of one frame and half of another, so nothing is kept before seq was looked at again.
        """
        frames: Any = self.side.frames
        stride = self.side.table.stride
        words, at = frames.words, index * stride // 8
        header, payload = words[at + HEADER_WORD], words[at + PAYLOAD_WORD]
        format.check_slot_sizes(header, payload, stride)
        record = index * stride + RECORD_BYTE
        layout = self._layouts.get(uuid)
        if layout is None or (len(layout.header), layout.nbytes) != (header, payload):
            encoded = frames.group(record, record + header).tobytes()
            layout = format.decode_layout(format.uuid_bytes(uuid), encoded, payload)
        start, small = record + header, payload < SMALLEST and layout.dtype.names is None
        bytes_ = frames.bytes[start : start + payload]
        self.fresh = View(layout.words, layout, layout.view(frames, record), bytes_, small)
        return self.fresh

    def keep(self, frame: Frame | None) -> None:
        """Keep what was decoded for a frame, if that was whole; forget it if not."""
        fresh, self.fresh = self.fresh, None
        if frame is None or frame[4] is not fresh:
            return
        index, view = frame[3:]
        self.views[index] = view
        if view.layout.words not in self._layouts:
            if len(self._layouts) >= _LAYOUTS:
                self._layouts.clear()
            self._layouts[view.layout.words] = view.layout
