"""A fork at every line of every call: the child, however late it goes on, changes nothing."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

import ndsharray
from ndsharray import ClosedError, NdShArray
from ndsharray._registry import cleanup
from ndsharray._writer import takeover
from ndsharray._writer.segment import FrameSegment
from ndsharray.backends.base import control_name

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="fork"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]

PACKAGE = os.path.dirname(ndsharray.__file__)
SMALL, OTHER, BIG = np.arange(100), np.arange(90), np.arange(5000)


class Child:
    """A child that was forked at one line of a call, and stands still there."""

    def __init__(self) -> None:
        self.pid = 0
        self.ended = os.pipe()
        self.goes_on = os.pipe()

    def fork(self) -> bool:
        """Fork; in the child wait for the word, and return True."""
        self.pid = os.fork()
        if self.pid:
            return False
        os.close(self.goes_on[1])
        os.read(self.goes_on[0], 1)
        return True

    def go_on(self) -> str:
        """Have it come to the end of the call, and say how that was."""
        os.close(self.goes_on[1])
        os.close(self.ended[1])
        with os.fdopen(self.ended[0]) as ended:
            said = ended.read()
        os.waitpid(self.pid, 0)
        os.close(self.goes_on[0])
        return said


def fork_at(line: int, act: Callable[[], object], end: Callable[[], object]) -> Child | None:
    """Run `act`, with a fork before its `line`-th line inside the package; None: it has less.

    The child calls `end` afterwards.
    """
    child, count = Child(), 0

    def local(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        count += event == "line"
        if count == line:
            count += 1
            sys.settrace(None)
            child.fork()
        return local

    def trace(frame: FrameType, _event: str, _: object) -> Any:
        # Not inside a transport: a name that is just being removed there is removed.
        file = frame.f_code.co_filename
        return local if file.startswith(PACKAGE) and "backends" not in file else None

    parent = os.getpid()
    said = "returned"
    sys.settrace(trace)
    try:
        act()
    except BaseException as error:
        if os.getpid() == parent:
            raise
        said = f"{type(error).__name__}: {error}"
    finally:
        sys.settrace(None)
        if os.getpid() != parent:
            try:
                end()
                gc.collect()  # what finalizers do there
            except BaseException as error:
                said = f"end: {error!r}"
            os.write(child.ended[1], said.encode())
            os._exit(0)
    if child.pid == 0:
        for fd in (*child.ended, *child.goes_on):
            os.close(fd)
        return None
    return child


def memory(root: Path, name: str) -> dict[str, bytes]:
    """Return the bytes of all that there is of an array."""
    control = control_name(str(root), name)
    places = [root, Path("/dev/shm")]
    files = [f for p in places if p.is_dir() for f in p.iterdir() if f.name.startswith(control)]
    return {file.name: file.read_bytes() for file in files}


class Case:
    """What is called, and what its parent does before the child goes on."""

    fine: tuple[str, ...] = ("returned", "ClosedError", "RuntimeError")
    step = 23  # not every line each time, but with --long

    def __init__(self, name: str, transport: str) -> None:
        self.name, self.transport = name, transport
        self.writer = self.make("w")
        self.writer.write(SMALL)
        self.reader = self.make("r")

    def make(self, role: str, array: Any = None) -> NdShArray:
        given = () if array is None else (array,)
        return NdShArray(self.name, *given, r_w=role, transport=self.transport)

    def act(self) -> None:
        raise NotImplementedError

    def go_on(self) -> None:
        """Write four frames more: each slot has another one then."""
        for frame in (OTHER + 1, OTHER + 2, OTHER + 3, OTHER + 4):
            self.writer.write(frame)

    def end(self) -> None:
        """Have the child give its own entry back."""
        self.reader.close()

    def come_back(self) -> None:
        """Have a writer again."""

    def close(self) -> None:
        self.reader.close()
        self.writer.close()


class Write(Case):
    def act(self) -> None:
        self.writer.write(SMALL + 1)


class OtherShape(Case):
    def act(self) -> None:
        self.writer.write(OTHER)


class Grow(Case):
    def act(self) -> None:
        self.writer.write(BIG)


class LoanThatGrows(Case):
    def act(self) -> None:
        with self.writer.loan(BIG.shape, BIG.dtype):
            pass


class Make(Case):
    fine = (*Case.fine, "WriterExistsError")  # begun in the child alone: it waits for 0.25 s
    step = 83

    def __init__(self, name: str, transport: str) -> None:
        super().__init__(name, transport)
        self.writer.close()

    def act(self) -> None:
        self.writer = self.make("w", SMALL)


class HandOver(Case):
    fine, step = Make.fine, Make.step

    def act(self) -> None:
        self.writer = self.make("w", SMALL + 3)


class TakeOver(Make):
    """What a killed writer left is adopted."""

    def __init__(self, name: str, transport: str) -> None:
        super().__init__(name, transport)
        pid = os.fork()
        if pid == 0:
            self.make("w", SMALL)
            os._exit(0)
        os.waitpid(pid, 0)


class Close(Case):
    def act(self) -> None:
        self.writer.close()

    def go_on(self) -> None:
        """Nothing is there any more."""

    def come_back(self) -> None:
        self.writer = self.make("w", SMALL)


class Read(Case):
    def act(self) -> None:
        assert self.reader.read()[0]


class ReadInPlace(Case):
    def act(self) -> None:
        assert self.reader.read(copy=False)[0]


class Wait(Case):
    def act(self) -> None:
        self.reader.read()
        self.reader.read(timeout=1e-4)


class WaitForTwo(Case):
    def __init__(self, name: str, transport: str) -> None:
        super().__init__(name, transport)
        self.other = self.make("r")

    def act(self) -> None:
        for reader in (self.reader, self.other):
            reader.read()
        ndsharray.wait([self.reader, self.other], 1e-4)

    def end(self) -> None:
        super().end()
        self.other.close()

    def close(self) -> None:
        self.other.close()
        super().close()


class Attach(Case):
    def act(self) -> None:
        self.reader = self.make("r")
        self.reader.read(copy=False)


@pytest.mark.alternately
@pytest.mark.parametrize(
    "case",
    [
        *(Write, OtherShape, Grow, LoanThatGrows, Make, HandOver, TakeOver, Close),
        *(Read, ReadInPlace, Wait, WaitForTwo, Attach),
    ],
)
def test_a_child_that_was_forked_inside_a_call_changes_nothing(
    name: str, transport: str, root: Path, case: type[Case], request: pytest.FixtureRequest
) -> None:
    step = 1 if request.config.getoption("--long") else case.step
    line = 1
    while True:
        this = case(f"{name} {line}", transport)
        child = fork_at(line, this.act, this.end)
        try:
            if child is None:
                break
            this.go_on()
            before = memory(root, this.name)
            said = child.go_on()
            assert said.startswith(case.fine), f"line {line}: {said}"
            assert memory(root, this.name) == before, f"line {line}: {said}"
            this.come_back()
            this.writer.write(SMALL + 9)
            assert (this.reader.read()[1] == SMALL + 9).all()
        finally:
            this.close()
        line += step
    assert line > 2 * step


def test_a_child_does_not_fill_the_slot_that_its_parent_was_about_to_fill(
    name: str, transport: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fork comes just before the copy: only the array over the slot can refuse it."""
    case, child, parent = Case(name, transport), Child(), os.getpid()
    prepare = FrameSegment.prepare

    def prepare_and_fork(frames: FrameSegment, position: int, layout: Any) -> Any:
        monkeypatch.undo()
        os.environ["NDSHARRAY_DIR"] = str(root)
        view = prepare(frames, position, layout)
        child.fork()
        return view

    monkeypatch.setattr(FrameSegment, "prepare", prepare_and_fork)
    said = "returned"
    try:
        case.writer.write(OTHER)
    except ClosedError:
        said = "ClosedError"
    finally:
        if os.getpid() != parent:
            os.write(child.ended[1], said.encode())
            os._exit(0)
    case.go_on()
    before = memory(root, name)
    assert child.go_on() == "ClosedError"
    assert memory(root, name) == before
    case.close()


def test_a_child_does_not_remove_the_name_that_its_parent_was_about_to_remove(
    name: str, transport: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the time the child goes on, another writer has made that name anew."""
    case, child, parent = Case(name, transport), Child(), os.getpid()
    control, unlink = control_name(str(root), name), cleanup._unlink

    def fork_and_unlink(address: Any, this: str, lock_file: Any) -> Any:
        if this == control:
            monkeypatch.setattr(cleanup, "_unlink", unlink)
            child.fork()
        return unlink(address, this, lock_file)

    monkeypatch.setattr(cleanup, "_unlink", fork_and_unlink)
    try:
        case.writer.close()
    finally:
        if os.getpid() != parent:
            os.write(child.ended[1], b"ended")
            os._exit(0)
    case.writer = case.make("w", SMALL)
    before = memory(root, name)
    assert child.go_on() == "ended"
    assert memory(root, name) == before
    case.close()


def test_a_child_does_not_make_what_its_parent_was_about_to_make(
    name: str, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child is the first to go on: a name that it made would be in its parent's way."""
    child, parent, unlink = Child(), os.getpid(), takeover.unlink

    def unlink_and_fork(*arguments: Any) -> bool:
        removed = unlink(*arguments)
        if child.pid == 0 and os.getpid() == parent:
            child.pid = os.fork()
            if child.pid:
                os.close(child.ended[1])
                with os.fdopen(child.ended[0]) as ended:
                    said.append(ended.read())
        return removed

    said: list[str] = []
    monkeypatch.setattr(takeover, "unlink", unlink_and_fork)
    end = "returned"
    try:
        with NdShArray(name, SMALL, "w", transport=transport) as writer:
            writer.write(OTHER)
    except ClosedError:
        end = "ClosedError"
    finally:
        if os.getpid() != parent:
            os.write(child.ended[1], end.encode())
            os._exit(0)
    os.waitpid(child.pid, 0)
    assert (said, end) == (["ClosedError"], "returned")
    for fd in child.goes_on:
        os.close(fd)


@pytest.fixture
def pair(name: str, transport: str) -> Iterator[tuple[NdShArray, NdShArray]]:
    with NdShArray(name, SMALL, "w", transport=transport) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            yield writer, reader


def in_child(act: Callable[[], bool]) -> bool:
    pid = os.fork()
    if pid == 0:
        right = False
        try:
            right = act()
        finally:
            os._exit(0 if right else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_reader_goes_on_in_the_child_after_its_last_frame(
    pair: tuple[NdShArray, NdShArray],
) -> None:
    writer, reader = pair
    writer.write(SMALL + 1)
    assert reader.read()[0]

    def act() -> bool:
        nothing_new = not reader.read()[0] and reader.frame_id == 2
        os.write(told[1], b"x")
        valid, frame = reader.read(timeout=20, copy=False)
        return bool(nothing_new and valid and (frame == SMALL + 2).all() and reader.missed == 0)

    told = os.pipe()
    pid = os.fork()
    if pid == 0:
        right = False
        try:
            right = act()
        finally:
            os._exit(0 if right else 1)
    os.read(told[0], 1)
    writer.write(SMALL + 2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert (reader.read()[1] == SMALL + 2).all()
    for fd in told:
        os.close(fd)


def test_an_array_on_loan_stays_writable_in_a_child_whose_parent_publishes_it(
    pair: tuple[NdShArray, NdShArray],
) -> None:
    writer, reader = pair
    with writer.loan(4, np.int64) as frame:

        def act() -> bool:
            frame[2:] = 7
            return True

        frame[:] = 1
        assert in_child(act)
    assert reader.read()[1].tolist() == [1, 1, 7, 7]
