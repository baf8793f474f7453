"""Processes that stop or are killed at one chosen step of what they do.

Run as a program it is a *nursery*: it imports the library, opens nothing, and forks a child for
each request, some hundred times faster than a new interpreter starts. Each step of the library in
a child (store, copy, fence, wake, sleep, each call that touches a file's name, and the first of
several loads) is a *point*; before the one whose number was asked for, the child sends itself a
signal. So before a point is after the store of the point before.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import ndsharray
import ndsharray._protocol.reading
import ndsharray._protocol.seqlock
import ndsharray._protocol.writing
import ndsharray._system.wait
import ndsharray._writer.writer
from ndsharray import NdShArray
from ndsharray._protocol.memory import fence_callbacks, make_fence, make_fences

sys.path.insert(0, str(Path(__file__).parent))
from recording import Recorder

BEFORE, AFTER = 3, 4  # values of the last frame before the operation, and of the one that it writes


def frame(value: int, rows: int = 20) -> npt.NDArray[Any]:
    return np.full((rows, 5), value, np.int64)


def value_of(array: npt.NDArray[Any]) -> int:
    """Return what a whole frame is filled with; -1: it is torn. 0: there is none."""
    if array.size == 0:
        return 0
    value = int(array.flat[0])
    return value if (array == value).all() and array.dtype == np.int64 else -1


# --- what is done: prepare, yield, do it, yield, end. -------------------------------------------

Steps = Generator[None, None, None]
Operation = Callable[[str, str], Steps]


def opened(name: str, transport: str) -> NdShArray:
    return NdShArray(name, r_w="r", transport=transport)


def open_writer(name: str, transport: str, slots: int = 3) -> NdShArray:
    return NdShArray(name, r_w="w", transport=transport, slots=slots)


def written(name: str, transport: str, slots: int = 3, grows: int = 1) -> NdShArray:
    writer = open_writer(name, transport, slots)
    for value in range(1, BEFORE + 1):
        writer.write(frame(value, 20 * grows**value))
    return writer


def prepared(act: Callable[[NdShArray], None], prepare: Callable[..., NdShArray]) -> Operation:
    """Return what opens a side, does one thing with it, and closes it."""

    def steps(name: str, transport: str) -> Steps:
        side = prepare(name, transport)
        yield
        act(side)
        yield
        side.close()

    return steps


def writing(act: Callable[[NdShArray], None], prepare: Any = written) -> Operation:
    return prepared(act, prepare)


def reading(act: Callable[[NdShArray], None], prepare: Any = opened) -> Operation:
    return prepared(act, prepare)


def write(writer: NdShArray) -> None:
    writer.write(frame(AFTER))


def opening(name: str, transport: str) -> Steps:
    yield
    writer = open_writer(name, transport)
    yield
    writer.close()


def grow_for_pins(name: str, transport: str) -> Steps:
    writer = written(name, transport, slots=2)
    held = opened(name, transport)
    arrays = [held.read(copy=False)[1]]
    writer.write(frame(BEFORE))
    arrays.append(held.read(copy=False)[1])
    yield
    write(writer)
    yield
    assert [value_of(array) for array in arrays] == [BEFORE, BEFORE]
    arrays.clear()
    held.close()
    writer.close()


def oversized(name: str, transport: str) -> NdShArray:
    """Return a writer whose segment has been too large for a period, at its end."""
    writer = open_writer(name, transport)
    for value in range(1, BEFORE + 1):
        writer.write(frame(value, 20 + 3000 * (value == 1)))
    inner: Any = writer._writer
    inner._publisher._growth.need.end_period(0, inner.layout, inner._holding.segment.table)
    inner._publisher._growth.need.end = inner._holding.due = 0
    return writer


def shrink(writer: NdShArray) -> None:
    inner: Any = writer._writer
    large = inner._holding.segment.table.size
    write(writer)
    assert 4 * inner._holding.segment.table.size < large


def interrupted(name: str, transport: str) -> NdShArray:
    """Return a writer that dropped a loan, and left a slot that it had begun."""
    writer = written(name, transport)
    try:
        with writer.loan():
            raise KeyError
    except KeyError:
        pass
    writer._writer._holding.segment.side.begin()  # type: ignore[union-attr]
    return writer


def lend(writer: NdShArray) -> None:
    with writer.loan() as out:
        out[:] = AFTER


def attach(name: str, transport: str) -> Steps:
    yield
    reader = opened(name, transport)
    read(reader)
    yield
    reader.close()


def read(reader: NdShArray, **how: Any) -> None:
    found = reader.read(**how)[1]
    assert value_of(found) >= BEFORE


def read_in_order(reader: NdShArray) -> None:
    values = [value_of(found) for found in reader.frames(0)]
    assert values == sorted(values)
    assert min(values, default=1) > 0


def at_the_newest(name: str, transport: str) -> NdShArray:
    reader = opened(name, transport)
    reader.read()
    return reader


def end_array_in_place(name: str, transport: str) -> Steps:
    reader = opened(name, transport)
    arrays = [reader.read(copy=False)[1]]
    yield
    reader.close()
    assert value_of(arrays[0]) >= BEFORE
    arrays.clear()
    yield


FROM_NOTHING = {"create": opening, "first_frame": writing(write, open_writer)}
WRITING = {
    "write": writing(write),
    "write_another_layout": writing(lambda writer: writer.write(frame(AFTER, 19))),
    "grow": writing(lambda writer: writer.write(frame(AFTER, 3000))),
    "grow_again": writing(
        lambda writer: writer.write(frame(AFTER, 20 * 4**AFTER)),
        functools.partial(written, grows=4),
    ),
    "grow_for_pins": grow_for_pins,
    "shrink": writing(shrink, oversized),
    "write_after_an_interrupted_one": writing(write, interrupted),
    "lend": writing(lend),
}
ENDING = {"close": writing(NdShArray.close)}
TAKING = {"take_over": opening, "take_over_and_write": writing(write, open_writer)}
READING = {
    "attach": attach,
    "read": reading(read),
    "look_in_place": reading(lambda reader: read(reader, copy=False)),
    "read_into": reading(lambda reader: read(reader, out=frame(0))),
    "read_in_order": reading(read_in_order),
    "wait": reading(lambda reader: read(reader, timeout=0.01), at_the_newest),
    "end_array_in_place": end_array_in_place,
}
OPERATIONS = {**FROM_NOTHING, **WRITING, **ENDING, **TAKING, **READING}


# --- what is done for ever, until a SIGKILL -----------------------------------------------------


def write_on(name: str, transport: str, base: int) -> None:
    """Write larger and larger values, in shapes that change and grow now and then."""
    writer = NdShArray(name, r_w="w", transport=transport)
    value = base
    while True:
        value += 1
        rows = 20 + value % 3 + (500 << (value // 32) % 4 if value % 32 == 0 else 0)
        if value % 5:
            writer.write(frame(value, rows))
        else:
            with writer.loan((rows, 5), np.int64) as out:
                out[:] = value
        if value == base + 1:
            say("armed")


def read_on(name: str, transport: str, base: int) -> None:
    """Read in every way."""
    reader = NdShArray(name, r_w="r", transport=transport)
    held: list[tuple[int, npt.NDArray[Any]]] = []
    say("armed")
    last = 0
    while True:
        found = [reader.read(timeout=0.001)[1], reader.read(copy=False)[1]]
        found += itertools.islice(reader.frames(0.001, copy=False), 2)
        values = [value_of(array) for array in found]
        if values != sorted(values) or values[0] < last:
            say(f"wrong: {values} after {last}")
        last = values[-1]
        held += zip(values, found)
        if any(value_of(array) != value for value, array in held):
            say("wrong: a frame in place changed")
        del held[:-3]


# --- points ------------------------------------------------------------------------------------


class _Patch:
    setattr = staticmethod(setattr)


class _Waiter(ndsharray._system.wait.Waiter):
    """Waits for real, and says so."""

    log: Any = None

    def sleep(self, value: int, seconds: float) -> None:
        self.log.append("sleep")
        super().sleep(value, seconds)
        self.log.append("awake")

    def wake(self) -> None:
        self.log.append("wake")
        super().wake()


class Points(Recorder):
    """Numbers the steps from `arm` on, and sends the own process `sent` at number `chosen`."""

    def __init__(self, chosen: int, sent: int) -> None:
        self.armed = False
        self._before = ""
        self.count, self.chosen, self.sent = 0, chosen, sent
        super().__init__(_Patch())  # type: ignore[arg-type]
        outer = self

        class Log(list[str]):
            def append(self, line: str) -> None:
                outer.point(line)

        self.log = Log()
        self._watch_files()

    def point(self, line: str) -> None:
        if not self.armed:
            return
        what, before, self._before = line.split()[0], self._before, line.split()[0]
        if what == before == "load":
            return
        if self.count == self.chosen:
            self.armed = False
            say(f"at {line}")
            os.kill(os.getpid(), self.sent)
            self.armed = True
        self.count += 1

    def _watch_files(self) -> None:
        import _posixshmem
        import fcntl

        for module, names in (
            (os, "open unlink mkdir lstat posix_fallocate close"),
            (_posixshmem, "shm_open shm_unlink"),
            (fcntl, "fcntl"),
        ):
            for each in names.split():
                setattr(module, each, self._watched(getattr(module, each), each))

    def _watched(self, function: Callable[..., Any], what: str) -> Callable[..., Any]:
        def watched(*arguments: Any, **options: Any) -> Any:
            self.log.append(what)
            return function(*arguments, **options)

        return watched

    def fence(self) -> Any:
        return self._both(make_fence())

    def _both(self, fence: Any) -> Any:
        def both(name: str) -> None:
            self.log.append(f"fence {name}")
            fence(name)

        return both

    def fences(self) -> Any:
        return make_fences()._replace(full=self.fence())

    def fence_callbacks(self) -> Any:
        return fence_callbacks()

    def waiter(self, word: Any) -> Any:
        waiter = _Waiter(getattr(word, "view", word))
        waiter.log = self.log
        return waiter


# --- the nursery --------------------------------------------------------------------------------


def say(line: str) -> None:
    os.write(1, line.encode() + b"\n")


def _hear() -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return b""
        line += byte
    return line


def _serve() -> None:
    while True:
        request = _hear()
        if not request:
            return
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                _run(**json.loads(request))
                code = 0
            finally:
                if code:
                    import traceback

                    traceback.print_exc()
                os._exit(code)
        say(str(pid))
        while True:
            _, status = os.waitpid(pid, os.WUNTRACED)
            if not os.WIFSTOPPED(status):
                break
            say("stopped")
        # A negative number is a signal's, as in subprocess.
        say(f"ended {-os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)}")


def _run(
    what: str,
    name: str,
    transport: str,
    base: int,
    point: int,
    sent: int,
    environment: dict[str, str],
) -> None:
    os.environ.update(environment)
    if what in ("write_on", "read_on"):
        {"write_on": write_on, "read_on": read_on}[what](name, transport, base)
    points = Points(point, sent) if point >= 0 else None
    steps = OPERATIONS[what](name, transport)
    next(steps)
    say("armed")
    _hear()
    if points is not None:
        points.armed = True
    next(steps)
    if points is not None:
        points.armed = False
        say(f"done {points.count}")
    for _ in steps:
        pass


class Nursery:
    """The nursery's other end. One child at a time."""

    def __init__(self) -> None:
        library = str(Path(ndsharray.__file__).parents[1])  # the one that is tested here
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", __file__],
            env={**os.environ, "PYTHONPATH": library},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        self.pid = 0
        self._has_child = False
        self.environment: dict[str, str] = {}  # what children find there

    def begin(
        self, what: str, name: str, transport: str, point: int = -1, sent: int = 0, base: int = 0
    ) -> None:
        """Start a child, and wait until it is prepared."""
        request = {"what": what, "name": name, "transport": transport, "base": base}
        request |= {"point": point, "sent": sent, "environment": self.environment}
        self._tell(json.dumps(request))
        self._has_child = True
        lines = [self.hear(), self.hear()]  # in either order
        assert "armed" in lines, lines
        self.pid = int(next(line for line in lines if line != "armed"))

    def go(self) -> None:
        """Let it do what it was made for."""
        self._tell("go")

    def hear(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise EOFError("the nursery ended")
        if line.startswith(b"ended"):
            self._has_child = False
        return str(line.decode().rstrip("\n"))

    def hear_until(self, beginning: str) -> list[str]:
        """Return the lines up to one that begins so.

        Raises
        ------
        EOFError
            If the child ends before.
        """
        lines = [self.hear()]
        while not lines[-1].startswith(beginning):
            if lines[-1].startswith("ended"):
                raise EOFError(f"no {beginning!r}: {lines}")
            lines.append(self.hear())
        return lines

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> list[str]:
        """SIGKILL the child; return what it still said."""
        self.send(signal.SIGKILL)
        return self.hear_until("ended")

    def settle(self) -> None:
        """End a child that a failed test left."""
        if self._has_child:
            self.kill()

    def end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")


if __name__ == "__main__":
    _serve()
