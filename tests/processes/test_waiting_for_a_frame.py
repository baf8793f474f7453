"""Waiting, between processes: it ends when a frame comes, when the time is up, and at Ctrl-C."""

from __future__ import annotations

import errno
import math
import os
import platform
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from patience import until

import ndsharray._reader.delivery
import ndsharray._system.wait
from ndsharray import NdShArray
from ndsharray._protocol.format import PINS_BYTE, WAITING_BYTE
from ndsharray._system.wait import Futex, Waiter, futex_number, pause, working_futex
from ndsharray.errors import AccessError, ClosedError

LINUX = sys.platform.startswith("linux")
linux = pytest.mark.skipif(not LINUX, reason="futexes are Linux'")
STEP = time.get_clock_info("monotonic").resolution  # 15.6 ms on Windows


def waiting(writer: NdShArray) -> list[int]:
    control_bytes = writer._writer._holding.control.memory.bytes  # type: ignore[union-attr]
    return [entry for entry, byte in enumerate(control_bytes[WAITING_BYTE:PINS_BYTE]) if byte]


def until_somebody_waits(writer: NdShArray) -> None:
    until(lambda: waiting(writer), "a reader waits")


def wait_in_vain(reader: NdShArray, timeout: float) -> None:
    """Assert that a read never ends before its time, and at it in one of five tries at least."""
    for _ in range(5):  # the machine may hold up some
        begin = time.monotonic()
        assert not reader.read(timeout)[0]
        took = time.monotonic() - begin
        assert took >= timeout - STEP
        if took < timeout + 0.2:
            return
    pytest.fail(f"a wait of {timeout} s took {took} s")


# --- timeouts


@pytest.mark.parametrize("timeout", [0, 0.0, 0.01, 0.3])
def test_a_timeout_holds_with_no_writer_at_all(name: str, transport: str, timeout: float) -> None:
    first = np.arange(3)
    with NdShArray(name, first, "r", transport=transport) as reader:
        wait_in_vain(reader, timeout)
        assert reader.read()[1] is first


@pytest.mark.parametrize("timeout", [0.01, 0.3, 0.6])
def test_a_timeout_holds_with_a_silent_writer(name: str, transport: str, timeout: float) -> None:
    with NdShArray(name, np.arange(3), "w", transport=transport):
        with NdShArray(name, r_w="r", transport=transport) as reader:
            assert reader.read(timeout)[0]
            wait_in_vain(reader, timeout)


def test_a_timeout_holds_while_every_try_fails(
    name: str, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with NdShArray(name, np.arange(3), "w", transport=transport) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            follower: Any = reader._reader._source.cursor  # type: ignore[union-attr]
            real = ndsharray._reader.delivery.Delivery.copy

            def overrun(*arguments: Any) -> Any:
                for _ in range(3):
                    writer.write(np.arange(3))
                return real(*arguments)

            with monkeypatch.context() as patch:
                patch.setattr(ndsharray._reader.delivery.Delivery, "copy", overrun)
                patch.setattr(follower, "_held_pins", lambda: None)
                for timeout in (0.0, 0.1):
                    wait_in_vain(reader, timeout)
            assert reader.read()[0]


@pytest.mark.parametrize(
    "timeout", [-1, -0.001, math.nan, -math.inf, pytest.param(-(10**400), id="beyond floats")]
)
@pytest.mark.parametrize("method", ["read", "frames"])
def test_a_bad_timeout_is_refused(name: str, transport: str, method: str, timeout: float) -> None:
    with NdShArray(name, r_w="r", transport=transport) as reader:
        with pytest.raises(ValueError, match="timeout"):
            getattr(reader, method)(timeout)
        with pytest.raises(TypeError, match="timeout"):
            getattr(reader, method)("1")
        with pytest.raises((TypeError, ValueError)):
            getattr(reader, method)(np.array([1.0, 2.0]))
        assert reader.read()[0] is False


def test_a_timeout_beyond_floats_is_for_ever(name: str, transport: str) -> None:
    with NdShArray(name, np.zeros(3), "w", transport=transport):
        with NdShArray(name, r_w="r", transport=transport) as reader:
            assert reader.read(10**400)[0]


def test_infinity_is_for_ever(name: str, transport: str, console: Any) -> None:
    with NdShArray(name, r_w="w", transport=transport) as writer:
        child = console()
        child.run(f"r = NdShArray({name!r}, r_w='r', transport={transport!r})")
        child.begin("r.read(float('inf'))[1].tolist()")
        if LINUX:
            until_somebody_waits(writer)
        writer.write(np.arange(3))
        assert child.result() == [0, 1, 2]


# --- it comes


@pytest.mark.parametrize("how", ["as before", "another shape", "loan"])
def test_a_waiting_reader_is_woken(name: str, transport: str, console: Any, how: str) -> None:
    with NdShArray(name, r_w="w", transport=transport) as writer:
        child = console()
        child.run(f"import time; r = NdShArray({name!r}, r_w='r', transport={transport!r})")
        delays = []
        for value in range(10):
            child.begin("(r.read(timeout=None)[1].tolist(), r.read_time_ms)")
            if LINUX:
                until_somebody_waits(writer)
            length = 2 + value % 2 if how == "another shape" else 2
            if how == "loan":
                with writer.loan(length, int) as frame:
                    frame[:] = value
            else:
                writer.write(np.full(length, value))
            array, delay = child.result()
            assert array == length * [value]
            delays.append(delay)
        if LINUX:
            assert sorted(delays)[5] < 50  # ms; a nap is 250
            assert waiting(writer) == []


@pytest.mark.parametrize("end", ["close", "kill"])
def test_a_reader_waits_through_the_end_of_a_writer(
    name: str, transport: str, console: Any, end: str
) -> None:
    first, reader = console(), console()
    first.run(f"w = NdShArray({name!r}, np.arange(2), 'w', transport={transport!r})")
    reader.run(f"r = NdShArray({name!r}, r_w='r', transport={transport!r})")
    assert reader.run("r.read(timeout=10)[1].tolist()") == [0, 1]
    reader.begin("r.read(timeout=None)[1].tolist()")
    first.run("w.close()") if end == "close" else first.kill()
    with NdShArray(name, r_w="w", transport=transport) as writer:
        writer.write(np.arange(4))
        assert reader.result() == [0, 1, 2, 3]
        reader.begin("r.read(timeout=20)[1].tolist()")
        until_somebody_waits(writer) if LINUX else None
        writer.write(np.arange(5))
        assert reader.result() == [0, 1, 2, 3, 4]


def test_a_reader_that_waits_first_gets_the_first_frame(
    name: str, transport: str, console: Any
) -> None:
    reader = console()
    reader.run(f"r = NdShArray({name!r}, r_w='r', transport={transport!r})")
    reader.run("import ndsharray._reader.waiting as waiting")
    reader.run("waiting.NAP = 600.0")  # nothing but the writer ends its sleep
    reader.begin("r.read(timeout=None)[1].tolist()")
    with NdShArray(name, np.arange(3), "w", transport=transport):
        assert reader.result() == [0, 1, 2]


def test_without_an_entry_a_reader_polls(
    name: str, transport: str, console: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with NdShArray(name, r_w="r", transport=transport) as reader:
        child = console()
        child.run(f"w = NdShArray({name!r}, np.arange(2), 'w', transport={transport!r})")
        assert reader.read(timeout=10)[0]
        reader._reader._source.cursor._held_pins = lambda: None  # type: ignore
        naps: list[float] = []
        with monkeypatch.context() as patch:
            patch.setattr(
                ndsharray._system.wait.time,
                "sleep",
                lambda s: (naps.append(s), threading.Event().wait(s)),
            )
            child.begin("w.write(np.arange(7))")
            assert reader.read(timeout=10)[1].size == 7
            child.result()
            assert not reader.read(timeout=0.2)[0]
        assert 0 < max(naps) <= 0.005


# --- without futexes, and with lost wake-ups


@pytest.fixture(params=["other system", "forbidden", "no ctypes", "forbidden later"])
def no_futex(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    working_futex.cache_clear()
    with monkeypatch.context() as patch:
        if request.param == "other system":
            patch.setattr(ndsharray._system.wait.sys, "platform", "darwin")
        elif request.param == "forbidden":
            patch.setattr(Futex, "wait", lambda *_: errno.EPERM)
        elif request.param == "no ctypes":
            patch.setitem(sys.modules, "ctypes", None)  # type: ignore[arg-type]
        assert working_futex() is None or request.param == "forbidden later"
    with monkeypatch.context() as patch:
        if request.param == "forbidden later":
            patch.setattr(Futex, "wait", lambda *_: errno.ENOSYS)
        yield
    working_futex.cache_clear()


@pytest.mark.usefixtures("no_futex")
def test_without_futexes_waiting_polls(name: str, transport: str, console: Any) -> None:
    with NdShArray(name, r_w="r", transport=transport) as reader:
        child = console()
        child.run(f"w = NdShArray({name!r}, np.arange(2), 'w', transport={transport!r})")
        assert reader.read(timeout=10)[0]
        wait_in_vain(reader, 0.1)
        assert not reader._reader._source.cursor.waiter.sleeps  # type: ignore[union-attr]
        child.begin("w.write(np.arange(3))")
        assert reader.read(timeout=10)[1].tolist() == [0, 1, 2]
        child.result()
        child.run("w.close()")


@linux
def test_a_lost_wake_up_costs_a_nap(name: str, transport: str, console: Any) -> None:
    child = console()
    child.run(
        "import ndsharray._system.wait; ndsharray._system.wait.Waiter.wake = lambda self: None"
    )
    child.run("import threading, time")
    child.run(f"w = NdShArray({name!r}, np.arange(2), 'w', transport={transport!r})")
    child.run("def later(value): threading.Event().wait(0.05); w.write(np.full(2, value))")
    with NdShArray(name, r_w="r", transport=transport) as reader:
        assert reader.read(timeout=10)[0]
        ages = []
        for value in range(5):
            child.begin(f"later({value})")
            valid, array = reader.read(timeout=None)
            assert valid
            assert (array == value).all()
            ages.append(reader.read_time_ms)
            child.result()
        assert sorted(ages)[2] < 250 + 100, ages  # the machine may be busy now and then
    child.run("w.close()")


def test_numbers_of_the_futex_call() -> None:
    assert futex_number("x86_64", 8) == 202
    assert futex_number("aarch64", 8) == 98
    assert futex_number("x86_64", 4) == 240
    assert futex_number("armv7l", 4) == 240
    assert futex_number("s390x", 8) == 238
    assert futex_number("ppc64le", 8) is None  # no test ran there
    assert futex_number("vax", 4) is None
    if LINUX and futex_number(platform.machine(), struct.calcsize("P")) is not None:
        assert working_futex() is not None


def test_pauses_grow_with_the_time_waited_and_end_at_5_ms() -> None:
    waited, pauses = 0.0, []
    while waited < 1:
        pauses.append(pause(waited))
        waited += pauses[-1]
    assert pauses[0] == 0.00005
    assert pauses[-1] == 0.005
    for i, late in enumerate(pauses):
        assert late <= max(0.00005, sum(pauses[:i]) / 8 * 1.000001)


@pytest.mark.parametrize("value", [2**32 + 7, 7, 2**63 + 7])
def test_only_the_low_half_counts(value: int) -> None:
    memory = bytearray(16)
    word = memoryview(memory).cast("Q")
    word[0] = value + 2**40 * 8
    waiter = Waiter(memoryview(memory)[:8])
    begin = time.monotonic()
    waiter.sleep(value, 0.05)  # the same low half: it sleeps
    assert time.monotonic() - begin >= 0.04
    word[0] = value + 1
    begin = time.monotonic()
    waiter.sleep(value, 10)
    waiter.poll(value, 10)
    assert time.monotonic() - begin < 1


def wait_briefly(waiter: Waiter) -> None:
    """Sleep while a word of 1 is 0, until that was short: the machine may hold one up."""
    for _ in range(50):
        waiter.spin(0)
        waiter.sleep(0, 1.0)
        if waiter._quick:
            return


def test_a_partner_that_answers_at_once_is_met_awake(name: str, transport: str) -> None:
    memory = bytearray(8)
    waiter = Waiter(memoryview(memory))
    word = memoryview(memory).cast("Q")
    assert not waiter.spin(0)  # no wait before: it goes to sleep
    word[0] = 1
    wait_briefly(waiter)
    begin = time.perf_counter()
    assert not waiter.spin(1)
    if hasattr(os, "sched_yield"):
        assert time.perf_counter() - begin >= 0.0001
    waiter = Waiter(memoryview(memory))  # one that has not spun in vain
    wait_briefly(waiter)
    assert waiter.spin(0)
    waiter.sleep(1, 0.01)  # a long one
    durations = []
    for _ in range(20):  # of which one at least is not held up by the machine
        begin = time.perf_counter()
        assert not waiter.spin(1)
        durations.append(time.perf_counter() - begin)
    assert min(durations) < 0.0001 or not LINUX


def test_after_spins_in_vain_more_and_more_waits_do_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # On a CPU that other work wants too, each of them costs milliseconds.
    memory = bytearray(8)
    waiter, word = Waiter(memoryview(memory)), memoryview(memory).cast("Q")
    spun = False

    def give_way() -> None:
        nonlocal spun
        spun = True
        until = time.perf_counter() + 0.0002
        while time.perf_counter() < until:
            pass

    monkeypatch.setattr(ndsharray._system.wait, "_yield", give_way)

    def spins() -> bool:
        nonlocal spun
        spun = False
        waiter.spin(word[0])
        waiter.sleep(word[0] + 1, 1.0)  # a short one
        waiter._quick = True  # also if the machine held it up
        return spun

    waiter._quick = True
    assert [call for call in range(64) if spins()] == [0, 2, 6, 14, 30, 62]
    waiter._left = 0
    assert waiter.spin(word[0] + 1)  # met awake: a shorter rest after the next one
    assert [call for call in range(66) if spins()] == [0, 64]


# --- Ctrl-C, closing, threads

INTERRUPTED = """
import sys
import ndsharray._reader.waiting
from ndsharray import NdShArray
ndsharray._reader.waiting.NAP = 600.0  # nothing but the signal ends a sleep
reader = NdShArray(sys.argv[1], r_w="r", transport=sys.argv[2])
reader.read()
try:
    print("waiting", flush=True)
    if sys.argv[3] == "frames":
        next(reader.frames())
    elif sys.argv[3] == "async":
        import asyncio
        asyncio.run(reader.read_async())
    else:
        reader.read(timeout=None)
except KeyboardInterrupt:
    print(reader.read()[1].tolist(), flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="no Ctrl-C for a single process on Windows")
@pytest.mark.parametrize("how", ["read", "frames", "async", "no writer"])
def test_ctrl_c_ends_a_wait_at_once(name: str, transport: str, how: str) -> None:
    with NdShArray(name if how != "no writer" else name + "x", r_w="w", transport=transport) as w:
        w.write(np.arange(2))
        child = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", INTERRUPTED, name, transport, how],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "waiting\n"
        if how in ("read", "async") and LINUX:
            until_somebody_waits(w)
        elif how == "frames":
            pass  # its first frame is there: it comes back at once, or at Ctrl-C
        child.send_signal(signal.SIGINT)
        out, errors = child.communicate(timeout=20)
        if how == "frames" and not out:
            return
        assert errors == ""
        assert out.strip() in ("[0, 1]", "[]")


def test_close_in_another_thread_ends_a_wait(name: str, transport: str) -> None:
    with NdShArray(name, np.arange(2), "w", transport=transport) as writer:
        reader = NdShArray(name, r_w="r", transport=transport)
        assert reader.read()[0]
        raised: list[BaseException] = []

        def wait() -> None:
            try:
                reader.read(timeout=None)
            except ClosedError as error:
                raised.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        if LINUX:
            until_somebody_waits(writer)
        reader.close()
        thread.join(5)
        assert not thread.is_alive()
        assert len(raised) == 1
        assert reader.closed


def test_two_threads_that_collide_are_told(name: str, transport: str) -> None:
    with NdShArray(name, np.arange(2), "w", transport=transport) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            assert reader.read()[0]
            thread = threading.Thread(target=reader.read, args=(20,))
            thread.start()
            if LINUX:
                until_somebody_waits(writer)
                for call in (reader.read, lambda: next(reader.frames()), lambda: reader.is_valid):
                    with pytest.raises(RuntimeError, match="another thread"):
                        call()
            writer.write(np.arange(3))
            thread.join()
            writer.write(np.arange(4))
            assert reader.read()[0]  # one after the other is no collision


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no signals")
def test_a_nested_read_in_a_signal_handler_is_told(name: str, transport: str) -> None:
    told: list[str] = []
    with NdShArray(name, np.arange(2), "w", transport=transport) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            assert reader.read()[0]

            def handler(*_: Any) -> None:
                try:
                    reader.read()
                except RuntimeError as error:
                    told.append(str(error))
                writer.write(np.arange(5))

            before = signal.signal(signal.SIGALRM, handler)
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.05)
                assert reader.read(timeout=20)[1].size == 5
            finally:
                signal.signal(signal.SIGALRM, before)
            assert len(told) == 1
            assert "interrupted" in told[0]


def test_a_forked_reader_waits_with_an_entry_of_its_own(
    name: str, transport: str, console: Any
) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("fork")
    child = console()
    child.run(f"import os, warnings; r = NdShArray({name!r}, r_w='r', transport={transport!r})")
    child.run("warnings.simplefilter('ignore')")
    with NdShArray(name, np.arange(2), "w", transport=transport) as writer:
        assert child.run("r.read(timeout=10)[0]")
        child.run(
            "def both(): pid = os.fork(); got = r.read(timeout=20)[0]; "
            "os._exit(0 if got else 1) if pid == 0 else None; "
            "return got, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])"
        )
        child.begin("both()")
        until(lambda: not LINUX or len(waiting(writer)) >= 2, "both wait")
        writer.write(np.arange(3))
        assert child.result() == (True, 0)


def test_methods_of_the_other_role(name: str, transport: str) -> None:
    with NdShArray(name, r_w="w", transport=transport) as writer:
        for call in (lambda: writer.read(timeout=1), writer.frames):
            with pytest.raises(AccessError, match="on a writer"):
                call()
        assert (writer.frame_id, writer.missed) == (0, 0)
        writer.write(np.arange(2))
        assert writer.frame_id == 1
        with NdShArray(name, r_w="r", transport=transport) as reader:
            with pytest.raises(AccessError, match="on a reader"):
                reader.loan((2,), "f4")


# --- out=


def test_out_is_filled_and_returned(name: str, transport: str) -> None:
    with NdShArray(name, np.arange(6.0).reshape(2, 3), "w", transport=transport) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            out = np.zeros((2, 3))
            valid, same = reader.read(out=out)
            assert valid
            assert same is out
            assert (out == np.arange(6.0).reshape(2, 3)).all()
            out[:] = -1
            valid, same = reader.read(out=out)
            assert not valid
            assert same is out
            assert (out == -1).all()
            wide = np.zeros((4, 6))[::2, ::-2]  # any strides
            writer.write(np.ones((2, 3)))
            assert reader.read(timeout=1, out=wide)[0]
            assert (wide == 1).all()


@pytest.mark.parametrize(
    "out",
    [
        np.zeros((3, 2)),
        np.zeros(6),
        np.zeros((2, 3), "f4"),
        np.zeros((2, 3), np.dtype("f8").newbyteorder()),
        np.zeros(()),
    ],
    ids=["shape", "dimensions", "dtype", "byte order", "0-d"],
)
def test_an_out_that_does_not_fit_consumes_no_frame(
    name: str, transport: str, out: np.ndarray[Any, Any]
) -> None:
    frame = np.arange(6.0).reshape(2, 3)
    with NdShArray(name, frame, "w", transport=transport):
        with NdShArray(name, r_w="r", transport=transport) as reader:
            with pytest.raises(ValueError, match="out is"):
                reader.read(out=out)
            assert (out == 0).all()
            valid, array = reader.read()
            assert valid
            assert (array == frame).all()


def test_an_out_that_cannot_be_filled(name: str, transport: str) -> None:
    frozen = np.zeros(3)
    frozen.flags.writeable = False
    with NdShArray(name, np.zeros(3), "w", transport=transport):
        with NdShArray(name, r_w="r", transport=transport) as reader:
            with pytest.raises(ValueError, match="read-only"):
                reader.read(out=frozen)
            with pytest.raises(ValueError, match="exclude"):
                reader.read(out=np.zeros(3), copy=False)
            for bad in ([0.0, 0.0, 0.0], np.ma.masked_array(np.zeros(3)), np.float64(1)):
                with pytest.raises(TypeError, match="out"):
                    reader.read(out=bad)  # type: ignore[arg-type]
            assert reader.read()[0]


def test_out_allocates_nothing(name: str, transport: str) -> None:
    import tracemalloc

    frame = np.zeros(2_000_000, np.uint8)
    with NdShArray(name, frame, "w", transport=transport) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            out = np.empty_like(frame)
            reader.read(out=out)
            tracemalloc.start()
            try:
                for value in range(5):
                    writer.write(np.broadcast_to(np.uint8(value), frame.shape))
                    tracemalloc.reset_peak()
                    before = tracemalloc.get_traced_memory()[0]
                    assert reader.read(out=out)[0]
                    assert tracemalloc.get_traced_memory()[1] - before < 10_000
            finally:
                tracemalloc.stop()
            assert (out == 4).all()
