"""Memory and fences that write down every access, in order.

Each access is a line such as ``store slot2.seq = 4``, ``load pins``, ``copy in slot2``.
The real memory is beneath, so the operation really happens.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest

import ndsharray._protocol.reading
import ndsharray._protocol.seqlock
import ndsharray._protocol.writing
import ndsharray._reader.cursor
import ndsharray._reader.finder
import ndsharray._reader.instance
import ndsharray._registry.lookup
import ndsharray._writer.control
import ndsharray._writer.holding
import ndsharray._writer.segment
import ndsharray._writer.takeover
from ndsharray._protocol import format
from ndsharray._protocol.memory import Fences, Memory

_CONTROL_WORDS = {
    getattr(format, f"{word}_WORD"): word.lower()
    for word in "MAGIC VERSION READY INSTANCE NEXT STATE PID TAKEN NEWEST LAST_FRAME".split()
} | {
    start + i: f"table{copy}.{field}"
    for copy, start in enumerate(format.TABLE_WORDS)
    for i, field in enumerate(format.Table._fields)
}
_CONTROL_WORDS |= {format.OWNERS_WORD + entry: "owner" for entry in range(format.ENTRIES)}
_SLOT_WORDS = ["seq", "frame", "time", "header_length", "payload_bytes", "uuid", "uuid2", "stamp"]


def head(slot: int) -> list[str]:
    """Return the lines of a load of a slot's whole head."""
    return [f"load slot{slot}.{word}" for word in _SLOT_WORDS]


class _Words:
    def __init__(self, words: Any, log: list[str], name: Any) -> None:
        self.words, self.log, self.name = words, log, name

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return _Words(self.words[index], self.log, lambda at: self.name(index.start + at))
        self.log.append(f"load {self.name(index)}")
        return int(self.words[index])

    def tolist(self) -> list[int]:
        return [self[index] for index in range(len(self.words))]

    def __setitem__(self, index: int, value: int) -> None:
        shown = f" = {value}" if self.name(index).endswith(("seq", "newest")) else ""
        self.log.append(f"store {self.name(index)}{shown}")
        self.words[index] = value


class _Cells(_Words):
    readonly = False

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, index: Any) -> Any:
        return self.words[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        what = self.name(index.start if isinstance(index, slice) else index)
        shown = what.startswith(("pin", "waiting"))
        self.log.append(f"store {what}" + (f" = {operator.index(value)}" if shown else ""))
        self.words[index] = value


class _Group:
    def __init__(self, view: Any, log: list[str], what: str) -> None:
        self.view, self.log, self.what = view, log, what

    def tobytes(self) -> bytes:
        self.log.append(f"load {self.what}")
        return bytes(self.view.tobytes())


class Recorder:
    """Replaces the memory and the fences of the library while a test runs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, stride: int = 384) -> None:
        self.log: list[str] = []
        self.stride = stride
        self.before: dict[str, Any] = {}  # called before the access of that line
        for module in (
            ndsharray._reader.instance,
            ndsharray._writer.control,
            ndsharray._registry.lookup,
            ndsharray._writer.segment,
            ndsharray._writer.takeover,
        ):
            monkeypatch.setattr(module, "Memory", self.memory)
        for module in (ndsharray._writer.holding, ndsharray._reader.finder):
            monkeypatch.setattr(module, "make_fences", self.fences)
        for module in (ndsharray._protocol.seqlock, ndsharray._protocol.reading):
            monkeypatch.setattr(module, "make_fence", self.fence)
        reading = ndsharray._protocol.reading
        monkeypatch.setattr(reading, "fence_callbacks", self.fence_callbacks)
        for module in (ndsharray._writer.control, ndsharray._reader.cursor):
            monkeypatch.setattr(module, "Waiter", self.waiter)
        outer = self

        class Log(list[str]):
            def append(self, line: str) -> None:
                act = outer.before.pop(line, None)
                if act is not None:
                    act()
                super().append(line)

        self.log = Log()

    def fence(self) -> Any:
        return lambda name: self.log.append(f"fence {name}")

    def fence_callbacks(self) -> Any:
        return lambda _: self.log.append("fence R5"), lambda _: None

    def waiter(self, _word: Any) -> Any:
        return _Waiter(self.log)

    def fences(self) -> Fences:
        return Fences(self.fence(), self.fence())

    def memory(self, buf: memoryview) -> Any:
        return _RecordingMemory(buf, self)

    def take(self) -> list[str]:
        """Return what was recorded, and begin anew."""
        lines = list(self.log)
        self.log.clear()
        return lines

    def name(self, index: int, control: bool) -> str:
        if control:
            return _CONTROL_WORDS.get(index, "static")
        slot, word = divmod(index * 8, self.stride)
        return f"slot{slot}.{_SLOT_WORDS[word // 8] if word < 64 else 'record'}"


class _RecordingMemory(Memory):
    def __init__(self, buf: memoryview, recorder: Recorder) -> None:
        super().__init__(buf)
        control = len(buf) == format.CONTROL_SIZE
        log, self._recorder = recorder.log, recorder
        self.words = _Words(self.words, log, lambda index: recorder.name(index, control))
        if control:
            self.bytes = _Cells(self.bytes, log, _cell_name)
        else:
            self.bytes = _Cells(self.bytes, log, lambda at: f"slot{at // recorder.stride}.header")

    def group(self, start: int, stop: int) -> Any:
        names = {
            format.PINS_BYTE: "own pins" if stop - start == 4 else "pins",
            format.WAITING_BYTE: "waiting",
            format.NAME_BYTE: "name",
            format.BOOT_BYTE: "boot",
        }
        slot = f"slot{start // self._recorder.stride}.header"
        what = names.get(start, slot) if len(self.bytes) == format.CONTROL_SIZE else slot
        return _Group(self.bytes.words[start:stop], self._recorder.log, what)

    def array(self, offset: int, nbytes: int, dtype: Any) -> Any:
        array = super().array(offset, nbytes, dtype).view(_Array)
        array.log, array.slot = self._recorder.log, f"slot{offset // self._recorder.stride}"
        return array

    def copy(self, target: Any, source: Any) -> None:  # type: ignore[override]
        target[...] = source.copy()


class _Array(np.ndarray[Any, Any]):
    """An array over a slot: it writes down what is copied into it as a whole, and out of it."""

    log: Any = None
    slot = ""

    def __array_finalize__(self, whole: Any) -> None:
        self.log, self.slot = getattr(whole, "log", None), getattr(whole, "slot", "")

    def __setitem__(self, at: Any, value: Any) -> None:
        self.log.append(f"copy in {self.slot}")
        super().__setitem__(at, value)

    def copy(self, order: Any = "C") -> Any:
        self.log.append(f"copy out {self.slot}")
        return np.array(self, subok=False)


class _Waiter:
    """Writes down who would sleep and who is woken; nobody is."""

    sleeps = True

    def __init__(self, log: list[str]) -> None:
        self.log = log

    def spin(self, value: int) -> bool:
        return False

    def sleep(self, value: int, seconds: float) -> None:
        self.log.append(f"sleep on {value}")

    def wake(self) -> None:
        self.log.append("wake")


def _cell_name(offset: int) -> str:
    if format.PINS_BYTE <= offset < format.PINS_END:
        return f"pin{(offset - format.PINS_BYTE) % format.PINS_PER_ENTRY}"
    return "waiting" if offset >= format.WAITING_BYTE else "static"
