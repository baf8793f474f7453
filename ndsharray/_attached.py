"""One instance of an array as a reader sees it: control segment, frame segment, decoded slots.

What may live here: following the frame segment that newest names, and taking one frame out of a
slot. Not here: when to try again and when to look for another instance (``_reader``), nor the
order of the loads (``_seqlock``).
"""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Optional

import numpy.typing as npt

from . import _layout
from ._address import Address
from ._layout import (
    FRAME_WORD,
    HEADER_WORD,
    PAYLOAD_WORD,
    RECORD_BYTE,
    TIME_WORD,
    UUID_WORD,
    Layout,
    Table,
)
from ._memory import Fences, Memory
from ._seqlock import ReadSide
from .backends.base import Segment
from .errors import FormatError

__all__ = ["Attached", "Frame", "Take"]

_LAYOUTS = 64  # decoded layouts that are remembered

Take = Callable[[Memory, "View"], npt.NDArray[Any]]


class View(NamedTuple):
    """A slot's layout, an array over its payload, and the payload's bytes."""

    layout: Layout
    array: npt.NDArray[Any]
    payload: memoryview


# A whole frame that was taken: array, frame number, when it was written, slot, view of the slot. A
# plain tuple, as every read makes one.
Frame = tuple[npt.NDArray[Any], int, int, int, View]


class Attached:
    """One instance of the array, mapped.

    Attributes
    ----------
    memory : Memory
        Its control segment.
    instance : int
        Its instance id.
    side : ReadSide
        The steps of reading it.
    views : dict of int to View
        What is known of each slot of the segment that is followed.
    """

    def __init__(self, segment: Segment, memory: Memory, instance: int, fences: Fences) -> None:
        self._segment = segment  # keeps the mapping
        self.memory = memory
        self.instance = instance
        self.side = ReadSide(memory, fences)
        self.views: dict[int, View] = {}  # by slot
        self._layouts: dict[tuple[int, int], Layout] = {}  # by uuid

    @property
    def has_frame(self) -> bool:
        """Whether anything was published."""
        return _layout.check_newest(self.side.newest()) > 0

    def is_instance(self, instance: int) -> bool:
        """Tell whether an id is this one's, also if somebody has scribbled over it meanwhile.

        To take the same memory for another instance would let go of pins in it.
        """
        return instance in (self.instance, self.memory.words[_layout.INSTANCE_WORD])

    def table(self, word: int) -> Optional[Table]:
        """Return the table copy that newest word `word` names; None: begin again.

        Raises
        ------
        FormatError
            If it cannot be true.
        """
        table = self.side.load_table(word)
        if table is not None:
            _layout.check_table(table)
        return table

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
        self.views, self._layouts = {}, {}
        side.follow(Memory(segment.buf), table, copy)
        return True

    def load(self, index: int, at: int, take: Take) -> Frame:
        """Load the frame out of a slot, for `ReadSide.attempt`.

        Parameters
        ----------
        index : int
            The slot.
        at : int
            The index of its first word.
        take : callable
            Makes the array that is returned from the memory and the slot's `View`.

        Raises
        ------
        FormatError
            If the slot does not hold what the format says, which may be as it was overrun.
        """
        frames = self.side.frames
        assert frames is not None
        words = frames.words
        number, written = words[at + FRAME_WORD], words[at + TIME_WORD]
        uuid = (words[at + UUID_WORD], words[at + UUID_WORD + 1])
        view = self.views.get(index)
        if view is None or view[0].words != uuid:
            view = self._decode(frames, index, uuid)
        return take(frames, view), number, written, index, view

    def _decode(self, frames: Memory, index: int, uuid: tuple[int, int]) -> View:
        """Return the layout of a slot and an array over its payload.

        Everything is checked before memory is touched by it; but what is loaded here may be
        half of one frame and half of another, so nothing is kept before seq was looked at again.
        """
        stride = self.side.table.stride
        words, at = frames.words, index * stride // 8
        header, payload = words[at + HEADER_WORD], words[at + PAYLOAD_WORD]
        _layout.check_slot_sizes(header, payload, stride)
        record = index * stride + RECORD_BYTE
        layout = self._layouts.get(uuid)
        if layout is None or (len(layout.header), layout.nbytes) != (header, payload):
            encoded = frames.group(record, record + header).tobytes()
            layout = _layout.decode_layout(_layout.uuid_bytes(uuid), encoded, payload)
        start = record + header
        return View(layout, layout.view(frames, record), frames.cells[start : start + payload])

    def remember(self, index: int, view: View) -> None:
        """Keep what was decoded, now that it is known to be true."""
        self.views[index] = view
        if view.layout.words not in self._layouts:
            if len(self._layouts) >= _LAYOUTS:
                self._layouts.clear()
            self._layouts[view.layout.words] = view.layout
