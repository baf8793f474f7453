"""``ndsharray.wait``: one sleep for several readers."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from patience import until

import ndsharray
from ndsharray import MmapTransport, NdShArray, PosixShmTransport
from ndsharray._protocol import format
from ndsharray._protocol.format import PINS_BYTE, WAITING_BYTE
from ndsharray._reader import sleep, wait_many
from ndsharray._system import wait as wait_module
from ndsharray._system import waitv
from ndsharray.errors import AccessError, ClosedError, FormatError

LINUX = sys.platform.startswith("linux")
ONE = np.arange(3)


class Arrays:
    """Writers and readers of numbered arrays."""

    def __init__(self, name: str, transport: Any) -> None:
        self.name, self.transport = name, transport
        self.stack = ExitStack()

    def writer(self, which: int, **more: Any) -> NdShArray:
        name = f"{self.name} {which}"
        made = NdShArray(name, r_w="w", transport=self.transport, **more)
        return self.stack.enter_context(made)

    def reader(self, which: int) -> NdShArray:
        name = f"{self.name} {which}"
        return self.stack.enter_context(NdShArray(name, r_w="r", transport=self.transport))


@pytest.fixture
def arrays(name: str, transport: str) -> Iterator[Arrays]:
    made = Arrays(name, transport)
    with made.stack:
        yield made


@pytest.fixture(params=["one sleep", "polling"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "polling":
        monkeypatch.setattr(waitv, "_waitv", lambda: None)


def waiting(writer: NdShArray) -> bool:
    control_bytes = writer._writer._holding.control.memory.bytes  # type: ignore[union-attr]
    return any(control_bytes[WAITING_BYTE:PINS_BYTE])


class Waiting:
    """A wait in a thread."""

    def __init__(self, readers: list[NdShArray], timeout: float | None = 20.0) -> None:
        self.result: Any = None

        def run() -> None:
            try:
                self.result = ndsharray.wait(readers, timeout)
            except Exception as error:
                self.result = error
            self.ended = time.monotonic()

        self.thread = threading.Thread(target=run)
        self.thread.start()

    def join(self) -> Any:
        self.thread.join(30)
        assert not self.thread.is_alive()
        return self.result


# --- what news are


def test_a_frame_is_news_until_it_is_read(arrays: Arrays) -> None:
    writers = [arrays.writer(which) for which in range(3)]
    readers = [arrays.reader(which) for which in range(3)]
    assert ndsharray.wait(readers, 0) == []
    writers[2].write(ONE)
    writers[0].write(ONE)
    for _ in range(2):
        assert ndsharray.wait(readers, None) == [readers[0], readers[2]]
    assert readers[2].read()[0]
    assert ndsharray.wait(readers, 10) == [readers[0]]
    assert readers[0].read()[0]
    assert ndsharray.wait(readers, 0.001) == []


def test_every_frame_in_order_is_news(arrays: Arrays) -> None:
    writer, reader = arrays.writer(0, slots=6), arrays.reader(0)
    for value in range(4):
        writer.write(np.array([value]))
    got = []
    while ndsharray.wait([reader], 0):
        got.append(int(next(reader.frames(0))[0]))
    assert got == [0, 1, 2, 3]
    for value in range(3):
        writer.write(np.array([value]))
    writer.close()
    got = []
    for _ in range(3):
        assert ndsharray.wait([reader], 0) == [reader]
        got.append(int(next(reader.frames(0))[0]))
    assert got == [0, 1, 2]


def test_an_end_is_news_once(arrays: Arrays) -> None:
    writer, other = arrays.writer(0), arrays.writer(1)
    readers = [arrays.reader(0), arrays.reader(1)]
    writer.write(ONE)
    assert readers[0].read()[0]
    call = Waiting(readers)
    until(lambda: not LINUX or waiting(writer), "it waits")
    writer.close()
    assert call.join() == [readers[0]]
    assert ndsharray.wait(readers, 0) == []
    assert ndsharray.wait(readers, 0.05) == []
    call = Waiting(readers)
    arrays.writer(0).write(ONE)  # the next writer of that name
    assert call.join() == [readers[0]]
    assert readers[0].read()[0]
    other.close()
    assert ndsharray.wait(readers, 10) == [readers[1]]
    assert list(readers[1].frames(0)) == []


def test_an_end_that_frames_reported_is_no_news(arrays: Arrays) -> None:
    writer, reader = arrays.writer(0), arrays.reader(0)
    writer.write(ONE)
    assert next(reader.frames()) is not None
    writer.close()
    assert list(reader.frames()) == []
    assert ndsharray.wait([reader], 0) == []


def test_what_cannot_be_read_is_news(arrays: Arrays) -> None:
    arrays.writer(0)
    readers = [arrays.reader(which) for which in range(2)]
    writer = arrays.writer(1)
    words = writer._writer._holding.control.memory.words  # type: ignore[union-attr]
    words[format.VERSION_WORD] = 99
    for _ in range(2):
        assert ndsharray.wait(readers, 10) == [readers[1]]
        with pytest.raises(FormatError, match="99"):
            readers[1].read()
    words[format.VERSION_WORD] = format.FORMAT_VERSION
    writer.write(ONE)
    assert readers[1].read()[0]


# --- arguments


def test_arguments(arrays: Arrays) -> None:
    writer, reader, other = arrays.writer(0), arrays.reader(0), arrays.reader(1)
    assert ndsharray.wait([]) == []
    assert ndsharray.wait([], 5) == []
    writer.write(ONE)
    assert ndsharray.wait(iter([other, reader, other, reader, reader])) == [reader]
    with pytest.raises(AccessError, match="on a writer"):
        ndsharray.wait([reader, writer])
    with pytest.raises(TypeError, match="not str"):
        ndsharray.wait(["camera"])  # type: ignore[list-item]
    with pytest.raises(TypeError):
        ndsharray.wait(reader)  # type: ignore[arg-type]
    for bad, kind in ((-1, ValueError), (float("nan"), ValueError), ("1", TypeError)):
        with pytest.raises(kind, match="timeout"):
            ndsharray.wait([reader], bad)  # type: ignore[arg-type]
    other.close()
    with pytest.raises(ClosedError):
        ndsharray.wait([reader, other])
    assert reader.read()[0], "it is free again"


# --- one sleep


@pytest.mark.usefixtures("either")
def test_it_sleeps_until_any_writer_writes(arrays: Arrays) -> None:
    writers = [arrays.writer(which) for which in range(3)]
    readers = [arrays.reader(which) for which in range(3)]
    for which in (1, 2, 0):
        call = Waiting(readers)
        marked = LINUX and waitv._waitv() is not None
        until(lambda marked=marked: not marked or all(map(waiting, writers)), "it waits")  # type: ignore[misc]
        assert call.thread.is_alive()
        writers[which].write(ONE)
        assert call.join() == [readers[which]]
        assert readers[which].read()[0]
        assert not any(map(waiting, writers))


@pytest.mark.usefixtures("either")
def test_arrays_of_both_transports(name: str, tmp_path: Path) -> None:
    both = [Arrays(name, "mmap"), Arrays(name, PosixShmTransport(tmp_path))]
    with both[0].stack, both[1].stack:
        writers = [arrays.writer(0) for arrays in both]
        readers = [arrays.reader(0) for arrays in both]
        for writer, reader in zip(writers, readers):
            call = Waiting(readers)
            writer.write(ONE)
            assert call.join() == [reader]
            assert reader.read()[0]


@pytest.mark.usefixtures("either")
def test_a_writer_that_comes_is_seen_beside_those_that_live(
    arrays: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wait_many, "NAP", 600.0)  # the name is not looked up meanwhile
    there = arrays.writer(0)
    readers = [arrays.reader(which) for which in range(3)]
    call = Waiting(readers)
    until(lambda: not LINUX or waitv._waitv() is None or waiting(there), "it waits")
    began = time.monotonic()
    arrays.writer(2).write(ONE)
    assert call.join() == [readers[2]]
    assert call.ended - began < 10, "it comes by itself, not at the end of the time"
    assert readers[2].read()[0]


@pytest.mark.skipif(not LINUX, reason="elsewhere it polls")
def test_a_frame_that_comes_just_before_the_sleep_is_not_slept_over(
    arrays: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Newest of the first array moves when its reader has looked, before the kernel does."""
    writers = [arrays.writer(which) for which in range(2)]
    readers = [arrays.reader(which) for which in range(2)]
    marked: list[int] = []
    begin = sleep.Sleep.begin

    def begin_and_write(this: sleep.Sleep) -> bool:
        may_sleep = begin(this)
        marked.append(1)
        if len(marked) == 2:
            writers[0].write(ONE)
        return may_sleep

    monkeypatch.setattr(sleep.Sleep, "begin", begin_and_write)
    monkeypatch.setattr(wait_many, "NAP", 600.0)
    if not waitv.can_sleep(2):
        pytest.skip("needs Linux 5.16")
    began = time.monotonic()
    assert ndsharray.wait(readers, 20) == [readers[0]]
    assert time.monotonic() - began < 10, "a lost frame would be found at the end of the time"


def test_writers_that_come_are_seen_where_none_is(
    arrays: Arrays, name: str, tmp_path: Path
) -> None:
    far = Arrays(name, MmapTransport(tmp_path))
    with far.stack:
        for others in ([arrays.reader(1)], [far.reader(1)]):  # one root, two roots
            readers = [arrays.reader(0), *others]
            call = Waiting(readers)
            until(lambda first=readers[0]: _is_held(first), "it waits")  # type: ignore[misc]
            arrays.writer(0).write(ONE)
            assert call.join() == [readers[0]]
            assert readers[0].read()[0]
            arrays.stack.close()


@pytest.mark.skipif(not LINUX, reason="elsewhere it polls")
def test_more_readers_than_the_kernel_takes(name: str, transport: str) -> None:
    arrays = Arrays(name, transport)
    with arrays.stack:
        writers = [arrays.writer(which) for which in range(3)]
        readers = [arrays.reader(which % 3) for which in range(waitv.MOST + 1)]
        call = Waiting(readers)
        writers[2].write(ONE)
        news = call.join()  # of those only that it looked at after the write
        assert news == [reader for reader in readers[2::3] if reader in news] != []
        assert ndsharray.wait(readers, 0) == readers[2::3]


@pytest.mark.skipif(not LINUX, reason="elsewhere it polls")
def test_the_limit_is_the_kernels(arrays: Arrays) -> None:
    call = waitv._waitv()
    if call is None or not call.works:
        pytest.skip("needs Linux 5.16")
    word = np.zeros(1, np.uint32)
    words = [(word.ctypes.data, 1)]  # the word does not hold 1: it is told at once
    assert call.sleep(words * waitv.MOST, 0) == errno.EAGAIN
    assert call.sleep(words * (waitv.MOST + 1), 0) == errno.EINVAL


@pytest.mark.skipif(not LINUX, reason="elsewhere it polls")
def test_a_call_that_is_forbidden_later_is_not_made_again(
    arrays: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    futex = wait_module.working_futex()
    if futex is None:
        pytest.skip("no futexes here")
    made = waitv._WaitV(futex)
    made.works = True
    monkeypatch.setattr(made, "sleep", lambda *_: errno.EPERM)
    monkeypatch.setattr(waitv, "_waitv", lambda: made)
    writers = [arrays.writer(which) for which in range(2)]
    readers = [arrays.reader(which) for which in range(2)]
    call = Waiting(readers)
    until(lambda: not made.works, "the system call has failed")
    writers[1].write(ONE)
    assert call.join() == [readers[1]]


@pytest.mark.alternately
def test_it_costs_no_processor_time_to_wait(arrays: Arrays) -> None:
    for which in range(2):
        arrays.writer(which)
    readers = [arrays.reader(which) for which in range(4)]
    ndsharray.wait(readers, 0.3)  # what is imported and said once
    for chosen in (readers[:2], readers[2:], readers[1:]):
        began = time.thread_time()
        assert ndsharray.wait(chosen, 0.3) == []
        assert time.thread_time() - began < (0.03 if LINUX else 0.1)


# --- interrupts, threads, tasks, forks


def test_readers_that_are_in_use(arrays: Arrays) -> None:
    arrays.writer(0)
    readers = [arrays.reader(0), arrays.reader(1)]
    reading = threading.Thread(target=readers[1].read, args=(20,))
    reading.start()
    until(lambda: _is_held(readers[1]), "the other thread reads")
    with pytest.raises(RuntimeError, match="another thread"):
        ndsharray.wait(readers, 1)
    arrays.writer(1).write(ONE)
    reading.join()
    assert readers[0].read()[0] is False, "it is free again"
    call = Waiting(readers)
    until(lambda: _is_held(readers[0]), "it waits")
    with pytest.raises(RuntimeError, match="another thread"):
        readers[1].read()
    readers[0].close()
    assert isinstance(call.join(), ClosedError)


def _is_held(reader: NdShArray) -> bool:
    # Without taking it, which would refuse it to the other thread.
    return repr(reader._reader._lock).startswith("<locked")  # type: ignore[union-attr]


@pytest.mark.parametrize("which", [0, 1])
def test_close_ends_it(arrays: Arrays, which: int) -> None:
    writer = arrays.writer(0)
    readers = [arrays.reader(0), arrays.reader(1)]
    call = Waiting(readers)
    until(lambda: _is_held(readers[0]) and (not LINUX or waiting(writer)), "it waits")
    readers[which].close()
    assert isinstance(call.join(), ClosedError)
    assert not waiting(writer)
    assert not readers[1 - which].read()[0]


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_an_interrupt_leaves_nothing(arrays: Arrays) -> None:
    class Stop(Exception):
        pass

    def stop(*_: object) -> None:
        with pytest.raises(RuntimeError, match="interrupted"):
            readers[1].read()
        with pytest.raises(RuntimeError, match="interrupted"):
            ndsharray.wait(readers)
        raise Stop

    writers = [arrays.writer(which) for which in range(2)]
    readers = [arrays.reader(which) for which in range(3)]
    old = signal.signal(signal.SIGUSR1, stop)
    main = threading.get_ident()

    def interrupt(chosen: list[NdShArray]) -> None:
        until(lambda: all(map(waiting, writers) if LINUX else map(_is_held, chosen)), "it waits")
        signal.pthread_kill(main, signal.SIGUSR1)

    try:
        for chosen in (readers[:2], readers):
            thread = threading.Thread(target=interrupt, args=(chosen,))
            thread.start()
            with pytest.raises(Stop):
                ndsharray.wait(chosen, 20)
            thread.join()
            assert not any(map(waiting, writers))
            assert not any(map(_is_held, readers))
    finally:
        signal.signal(signal.SIGUSR1, old)
    writers[1].write(ONE)
    assert ndsharray.wait(readers, 0) == [readers[1]]


@pytest.mark.alternately
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_that_was_forked_within_it_is_told(arrays: Arrays) -> None:
    writers = [arrays.writer(which) for which in range(2)]
    readers = [arrays.reader(which) for which in range(2)]
    children = []

    def fork(*_: object) -> None:
        children.append(os.fork())

    old = signal.signal(signal.SIGALRM, fork)
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    try:
        found: Any = ndsharray.wait(readers, 0.2)
    except RuntimeError as error:
        found = error
    finally:
        signal.signal(signal.SIGALRM, old)
    if children == [0]:
        # A poll may go on in the child: unlike a sleep, it has no mark that is the parent's.
        told = (found == [] and not LINUX) or "fork interrupted" in str(found)
        again = ndsharray.wait(readers, 0) == [] if told else False
        os._exit(0 if again else 1)
    assert found == []
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0
    writers[0].write(ONE)
    assert ndsharray.wait(readers, 0) == [readers[0]]


@pytest.mark.alternately
def test_it_wakes_as_soon_as_a_read_does(arrays: Arrays, console: Any) -> None:
    child = console()
    child.run("import time")
    for which in range(2):
        child.run(
            f"w{which} = NdShArray({arrays.name + f' {which}'!r}, r_w='w', "
            f"transport={arrays.transport!r})"
        )
    readers = [arrays.reader(which) for which in range(2)]
    waits: list[float] = []
    reads: list[float] = []
    for value in range(40):
        reader, alone = readers[value % 2], value % 4 < 2
        child.begin(f"time.sleep(0.002); w{value % 2}.write(np.full(3, {value}))")
        assert alone or ndsharray.wait(readers, 20) == [reader]
        assert reader.read(20 if alone else 0)[0]
        (reads if alone else waits).append(reader.read_time_ms)
        child.result()
    # Of the quick ones, as a busy machine makes many slow: who naps has none that is quick.
    assert sorted(waits)[3] < 2 + 3 * sorted(reads)[3]  # ms
