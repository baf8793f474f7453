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
)
from ._memory import Fences, Memory
from ._seqlock import ReadSide
from .backends.base import Segment
from .errors import FormatError

__all__ = ["Attached", "Frame", "Take"]

_LAYOUTS = 64  # decoded layouts that are remembered

Take = Callable[[Memory, "View"], npt.NDArray[Any]]


class View(NamedTuple):
    """A slot's layout, and an array over its payload."""

    layout: Layout
    array: npt.NDArray[Any]


class Frame(NamedTuple):
    """A whole frame that was taken."""

    array: npt.NDArray[Any]
    number: int
    written_ns: int
    uuid: bytes


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
    """

    def __init__(self, segment: Segment, memory: Memory, instance: int, fences: Fences) -> None:
        self._segment = segment  # keeps the mapping
        self.memory = memory
        self.instance = instance
        self.side = ReadSide(memory, fences)
        self._views: dict[int, View] = {}  # by slot
        self._layouts: dict[tuple[int, int], Layout] = {}  # by uuid

    @property
    def live(self) -> bool:
        """Whether its writer has not closed it (it may have been killed)."""
        return bool(self.memory.words[_layout.STATE_WORD] == _layout.LIVE)

    @property
    def has_frame(self) -> bool:
        """Whether anything was published."""
        return _layout.check_newest(self.side.newest()) > 0

    def follow(self, address: Address, word: int) -> bool:
        """Follow the segment that newest word `word` names; False: begin again.

        Raises
        ------
        FormatError
            If the table cannot be true, or the segment is smaller than it says.
        """
        side = self.side
        table = side.load_table(word)
        if table is None:
            return False
        _layout.check_table(table)
        if side.frames is not None and table[:3] == side.table[:3]:
            side.follow(side.frames, table, word & 1)
            return True
        name = address.frames(self.instance, table.segment)
        try:
            segment = address.transport.open(name, writable=False)
        except FileNotFoundError:
            return False  # the writer went on to another one, or closed
        if segment.size < table.size:
            raise FormatError("frame segment", f"{segment.size} of {table.size} bytes")
        self._views, self._layouts = {}, {}
        side.follow(Memory(segment.buf), table, word & 1)
        return True

    def take(self, position: int, take: Take) -> Optional[Frame]:
        """Take the frame of `position` out of its slot.

        Parameters
        ----------
        position : int
            Its position.
        take : callable
            Makes the array that is returned from the memory and the slot's `View`.

        Returns
        -------
        Frame or None
            None: the frame was not there whole, or was overrun meanwhile.

        Raises
        ------
        FormatError
            If the slot is whole, and does not hold what the format says.
        """
        side = self.side
        if not side.snapshot(position):
            return None
        assert side.frames is not None
        index = position % side.table.slots
        at = index * side.table.stride // 8
        words = side.frames.words
        number, written = words[at + FRAME_WORD], words[at + TIME_WORD]
        uuid = (words[at + UUID_WORD], words[at + UUID_WORD + 1])
        view = self._views.get(index)
        if view is None or view.layout.words != uuid:
            try:
                view = self._decode(side.frames, index, uuid)
            except FormatError:
                if side.still_valid(position):
                    raise
                return None  # it was only an unfinished frame
        array = take(side.frames, view)
        if not side.still_valid(position):
            return None
        self._remember(index, view)
        return Frame(array, number, written, view.layout.uuid)

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
        return View(layout, layout.view(frames, record))

    def _remember(self, index: int, view: View) -> None:
        """Keep what was decoded, now that it is known to be true."""
        self._views[index] = view
        if view.layout.words not in self._layouts:
            if len(self._layouts) >= _LAYOUTS:
                self._layouts.clear()
            self._layouts[view.layout.words] = view.layout
