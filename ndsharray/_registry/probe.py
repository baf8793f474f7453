"""Looking at one array again and again, without being one of its readers.

A probe maps read-only, pins nothing, claims no entry, takes no lock and loads no payload: to the
writer and the readers it makes no difference whether there is one. Like a reader it follows the
array from segment to segment and from instance to instance.

Not here: the heads of one instance (``heads``), what the values are called (``array_info``), which
arrays there are (``inspection``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Literal

from .._protocol import format
from .._protocol.dtypes import own_dtype
from .._protocol.layout import Layout
from .._protocol.memory import make_fences
from .._system import clock
from .._system.held import is_held
from .._system.root_watch import RootTime
from ..backends.base import Transport
from ..errors import FormatError, NoArrayError
from . import lookup
from .array_info import ArrayInfo, ArrayState, SlotInfo
from .entries import count_readers
from .heads import Head, Heads
from .names import Address, address_of

__all__ = ["Head", "Probe"]

_LOOK_NS = 250_000_000  # how often the name is looked up again
_TRIES = 10  # a writer may overwrite the newest frame while its header is loaded

_LINE = 300  # characters


class Probe:
    """Looks at one array, whether it exists yet or not. One thread at a time may use it.

    Parameters
    ----------
    name : str
        The array's.
    transport : Transport
        Where it is.
    """

    def __init__(self, name: str, transport: Transport) -> None:
        self._open(address_of(transport, name))

    @classmethod
    def at(cls, address: Address) -> Probe:
        """Return a probe of an address; the array's name may be unknown."""
        probe = cls.__new__(cls)
        probe._open(address)
        return probe

    def _open(self, address: Address) -> None:
        self._address = address
        self._fences = make_fences()
        self.close()

    def close(self) -> None:
        """Unmap what is mapped. Harmless when repeated; the next look maps it again."""
        self._found = lookup.Found(lookup.State.MISSING)
        self._heads: Heads | None = None
        self._problem: str | None = None  # what about the frames cannot be true
        self._looked = -_LOOK_NS
        self._root = RootTime(self._address.transport.root)

    # --- what the name stands for

    def _update(self) -> Heads | None:
        """Look up the name if it is time to; return the instance that it stands for."""
        heads, now = self._heads, clock.now_ns()
        if now - self._looked >= _LOOK_NS or (
            (heads is None or not heads.side.is_live()) and self._root.is_old()
        ):
            self._looked = now
            self._root = RootTime(self._address.transport.root)  # first, so no change goes unseen
            self._look_up()
        return self._heads

    def _look_up(self) -> None:
        found, heads = lookup.look(self._address, fences=self._fences), self._heads
        if not self._address.name:
            self._address = lookup.with_name(self._address, found)
            if not self._address.name and found.header is not None:
                problem = FormatError("name", f"{found.header.name!r} belongs elsewhere")
                found = found._replace(state=lookup.State.DAMAGED, header=None, error=problem)
        if heads is not None and found.state is lookup.State.UNREADABLE:
            return  # no descriptor is left, perhaps: nobody says that it is gone
        if heads is not None and found.state is lookup.State.MISSING and heads.side.is_live():
            heads = None  # its names were removed by hand
        header, memory = found.header, found.memory
        if header is None or memory is None or not found.is_there(self._address):
            pass
        elif heads is None or heads.instance != header.instance:
            heads = Heads(self._address, memory, header.instance, self._fences)
        if heads is not self._heads:
            self._heads, self._problem = heads, None
        self._found = found

    def state(self) -> ArrayState | Literal["absent"]:
        """Return what the array is now; ``'absent'``: there is none, or one is being made."""
        return self._judge()[0]

    def _judge(self) -> tuple[ArrayState | Literal["absent"], str | None]:
        """Return the state, and what is wrong."""
        heads, found = self._update(), self._found
        if found.state is lookup.State.FOREIGN:
            return "foreign version", str(found.error)
        if found.state in (lookup.State.DAMAGED, lookup.State.UNREADABLE):
            return "damaged", str(found.error)
        if heads is None:
            return self._judge_rest(found.state)
        if not heads.side.is_live():
            return "closed", None
        if self._problem is not None:
            return "damaged", self._problem
        return lookup.living(self._address, heads.control), None

    def _judge_rest(self, found: lookup.State) -> tuple[ArrayState | Literal["absent"], str | None]:
        """Judge an array of which there is no control segment that can be used."""
        if found is lookup.State.OTHER_BOOT:
            return "killed", found.value
        if is_held(self._address.writer_lock()):
            return "absent", None
        if found is lookup.State.UNFINISHED or os.path.exists(self._address.writer_lock()):
            return "killed", "its writer was killed while it made the array or removed it"
        if count_readers(self._address, None):
            return "closed", None
        return "absent", None

    # --- its frames

    def newest(self) -> Head | None:
        """Return the head of the newest frame; None: there is none that can be read."""
        heads = self._update()
        if heads is None:
            return None
        try:
            head = heads.newest()
        except FormatError as error:
            self._problem = str(error)
            return None
        if head is not None:
            self._problem = None
        return head

    def heads(self) -> list[Head]:
        """Return the heads of all frames that the slots hold, in the order of their numbers."""
        if self.newest() is None or self._heads is None:
            return []
        return sorted(head for _, head in self._heads.slots() if head is not None)

    def _newest_with_layout(self) -> tuple[Head | None, Layout | None]:
        head = self.newest()
        for _ in range(_TRIES):
            if head is None or self._heads is None:
                break
            try:
                layout = self._heads.layout()
            except FormatError as error:
                self._problem = str(error)
                break
            if layout is not None:
                return head, layout
            head = self.newest()
        return head, None

    # --- all of it

    def info(self) -> ArrayInfo:
        """Return all that is known about the array.

        Raises
        ------
        NoArrayError
            If there is none.
        """
        head, layout = self._newest_with_layout()
        state, problem = self._judge()
        address, heads, found = self._address, self._heads, self._found
        if state == "absent":
            raise NoArrayError(address.name)
        now, epoch = clock.now_ns(), clock.unix_ns(0)
        slots = () if heads is None else tuple(_slot_list(heads, epoch))
        control = None if heads is None else heads.control
        pid, since = (
            (0, 0)
            if control is None
            else (control.words[format.PID_WORD], control.words[format.TAKEN_WORD])
        )
        written, captured = (None, None) if head is None else _times(head, epoch)
        return ArrayInfo(
            name=address.name or address.control_name,
            transport=address.transport.name,
            root=address.transport.root,
            state=state,
            pid=pid if 0 < pid < 2**32 else None,
            since_ns=since if 0 < since < 2**63 else None,
            frame_id=0 if head is None else head.frame_id,
            shape=None if layout is None else layout.shape,
            dtype=None if layout is None else own_dtype(layout.dtype),
            write_time_ns=written,
            time_ns=captured,
            age=None if head is None else max(0, now - head.write_ns) / 1e9,
            slots=len(slots),
            pinned_slots=sum(slot.pins > 0 for slot in slots),
            readers=count_readers(address, control),
            nbytes=_nbytes(address, found),
            problem=None if problem is None else _line(problem),
            slot_list=slots,
        )


def _times(head: Head, epoch: int) -> tuple[int | None, int | None]:
    """Return when a frame was written and captured, Unix ns; None: it cannot be true.

    `epoch` is the Unix time of the monotonic clock's zero.
    """
    written, captured = (
        moment if 0 < moment < 2**63 else None for moment in (epoch + head.write_ns, head.time_ns)
    )
    return written, captured or written


def _slot_list(heads: Heads, epoch: int) -> Iterator[SlotInfo]:
    pins = heads.control.group(format.PINS_BYTE, format.PINS_END).tobytes()
    for index, (seq, head) in enumerate(heads.slots()):
        pinned = pins.count(index + 1)
        if head is None:
            yield SlotInfo(index, "writing" if seq else "empty", 0, None, None, pinned)
        else:
            state: Literal["newest", "stable"] = (
                "stable" if seq >> 1 != heads.position else "newest"
            )
            yield SlotInfo(index, state, head.frame_id, *_times(head, epoch), pinned)


def _line(text: str) -> str:
    """Return one line of a bounded length: damaged memory may be quoted in it."""
    line = " ".join(text.split())
    return line if len(line) <= _LINE else f"{line[:_LINE]}..."


def _nbytes(address: Address, found: lookup.Found) -> int:
    """Return the bytes of the segments that still have a name."""
    if found.segment is None:
        return 0
    total = found.segment.size
    names = set() if found.state is lookup.State.FOREIGN else found.frame_names(address)
    for name in names:
        try:
            total += address.transport.open(name, writable=False).size
        except OSError:
            pass  # it has no name any more, or not yet
    return total
