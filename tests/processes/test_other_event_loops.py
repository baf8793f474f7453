"""Other people's event loops: gevent, eventlet, trio."""

from __future__ import annotations

import sys
import threading
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from processes import remains, run_script

from ndsharray import NdShArray
from ndsharray._protocol import memory
from ndsharray._system import foreign
from ndsharray._system.wait import Waiter

GEVENT = """
from gevent import monkey
monkey.patch_all()
import sys
import gevent, gevent.event
import numpy as np
from ndsharray import NdShArray
name, transport = sys.argv[1:]
w = NdShArray(name, np.zeros(9), "w", transport=transport)
r = NdShArray(name, r_w="r", transport=transport)
nobody = NdShArray(name + " nobody", r_w="r", transport=transport)
r.read()
"""
# Each waits in the main greenlet for what only another greenlet can bring about.
WAITS = {
    "read": "other = gevent.spawn(w.write, np.ones(9)); assert r.read(timeout=30)[0]",
    "read, no timeout": "other = gevent.spawn(w.write, np.ones(9)); assert r.read(timeout=None)[0]",
    "frames": "frames = r.frames(); other = gevent.spawn(w.write, np.ones(9)); next(frames)",
    "quick frames": """
def answer():
    for value in range(200):
        asked.wait(); asked.clear()
        w.write(np.full(9, value))
asked = gevent.event.Event()
other = gevent.spawn(answer)
for value in range(200):
    asked.set()
    assert r.read(timeout=30)[1][0] == value
""",
    "no writer yet": """
def begin():
    with NdShArray(name + " nobody", np.ones(9), "w", transport=transport):
        read.wait()
read = gevent.event.Event()
other = gevent.spawn(begin)
assert nobody.read(timeout=30)[0]
read.set()
""",
    "close by another": """
other = gevent.spawn_later(0.01, r.close)
try:
    r.read(timeout=30)
except ValueError as error:
    assert "closed while it waited" in str(error), error
else:
    raise AssertionError
""",
    "two greenlets, one reader": """
other = gevent.spawn(r.read, timeout=30)
gevent.sleep(0)  # it begins
try:
    r.read()
except RuntimeError as error:
    assert "belongs to one thread" in str(error), error
else:
    raise AssertionError
w.write(np.ones(9))
""",
    "the threadpool": """
other = gevent.get_hub().threadpool.spawn(r.read, timeout=30)
gevent.sleep(0.01)
w.write(np.ones(9))
assert other.get()[0]
""",
    "in place": """
other = gevent.spawn(lambda: None)
for value in range(20):
    w.write(np.full(9000, value))
    held = r.read(copy=False)[1]
    assert not held.flags.owndata and held.base is not None
    assert set(held.tolist()) == {value}
assert w._writer._holding.segment.table.slots == 3  # the pins went with the arrays
del held
""",
}


@pytest.mark.parametrize("what", WAITS)
def test_a_wait_lets_other_greenlets_run(name: str, transport: str, root: Path, what: str) -> None:
    pytest.importorskip("gevent")
    ended = run_script(GEVENT + WAITS[what] + "\nother.get() if other else None\n", name, transport)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert remains(root, name) + remains(root, name + " nobody") == []


def test_a_greenlet_that_waits_when_the_program_ends_says_nothing(
    name: str, transport: str, root: Path
) -> None:
    pytest.importorskip("gevent")
    code = GEVENT + "gevent.spawn(r.read, timeout=None); gevent.spawn(nobody.read, timeout=None)\n"
    ended = run_script(code + "gevent.sleep(0.01)\n", name, transport)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert remains(root, name) + remains(root, name + " nobody") == []


@pytest.mark.parametrize("patch", ["", "monkey.patch_all()", "monkey.patch_thread()"])
def test_a_fence_is_made_of_the_interpreters_lock_under_gevent(patch: str) -> None:
    pytest.importorskip("gevent")
    code = f"""
import threading
real = type(threading.Lock())
from gevent import monkey
{patch}
from ndsharray._protocol import memory
lock = memory.real_lock()
assert type(lock) is real, lock
assert type(memory.fence_callbacks()[1].__self__) is real
"""
    ended = run_script(code)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.fixture
def eventlet(monkeypatch: pytest.MonkeyPatch) -> Any:
    """As much of eventlet as is looked at (the package warns of itself)."""
    patcher: Any = types.ModuleType("eventlet.patcher")
    patcher.patched = {"time", "thread"}
    patcher.is_monkey_patched = patcher.patched.__contains__
    patcher.original = {"threading": threading}.__getitem__
    monkeypatch.setitem(sys.modules, "eventlet.patcher", patcher)
    return patcher


def test_under_eventlet_nobody_sleeps_in_the_kernel_or_spins(eventlet: Any) -> None:
    word = memoryview(bytearray(8))
    waiter = Waiter(word)
    waiter._quick = True
    assert not waiter.sleeps
    assert not waiter.spin(0)
    eventlet.patched.clear()  # found at each wait: also if a program patches late
    assert waiter.sleeps == (waiter._futex is not None)


def test_under_eventlet_a_fence_is_made_of_the_interpreters_lock(
    eventlet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = threading.Lock
    original = types.SimpleNamespace(Lock=real)
    eventlet.original = {"threading": original}.__getitem__
    monkeypatch.setattr(threading, "Lock", lambda: pytest.fail("eventlet's lock"))
    assert type(memory.real_lock()) is type(real())
    eventlet.patched.remove("thread")
    monkeypatch.setattr(threading, "Lock", real)
    del eventlet.original  # not patched: not asked
    assert type(foreign.real_lock()) is type(real())


# --- other loops than asyncio's

TRIO = """
import sys, trio
import numpy as np
from ndsharray import NdShArray
name, transport = sys.argv[1:]
async def main():
    with NdShArray(name, np.arange(3), "w", transport=transport) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            for _ in range(2):  # also while a frame is at hand
                try:
                    await reader.read_async()
                except RuntimeError as error:
                    print(error)
            valid, frame = await trio.to_thread.run_sync(reader.read, 1.0)
            assert valid
            async with trio.open_nursery() as nursery:
                @nursery.start_soon
                async def write():
                    writer.write(np.arange(4))
                valid, frame = await trio.to_thread.run_sync(reader.read, 30.0)
            assert valid and frame.size == 4
trio.run(main)
"""


@pytest.mark.parametrize("first", ["", "import asyncio\n"])
def test_read_async_under_trio_says_what_to_do(name: str, transport: str, first: str) -> None:
    pytest.importorskip("trio")
    ended = run_script(first + TRIO, name, transport)
    assert ended.stderr == ""
    told = ended.stdout.splitlines()
    assert len(told) == 2
    assert all("needs a running asyncio event loop" in line for line in told)
    assert all("trio.to_thread.run_sync(reader.read" in line for line in told)


def test_read_async_without_any_loop_says_what_it_needs(name: str, transport: str) -> None:
    with NdShArray(name, np.arange(3), "w", transport=transport):
        with NdShArray(name, r_w="r", transport=transport) as reader:
            with pytest.raises(RuntimeError, match="needs a running asyncio event loop"):
                reader.read_async().send(None)
            assert reader.read()[0]  # nothing was taken, and nothing stays reserved
