"""Signals at 1 kHz whose handler raises, in the middle of everything."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no signals"),
    pytest.mark.timeout(120),
]

STORM = """
import os, signal, sys, threading, time, warnings
import ndsharray, numpy as np
from ndsharray import NdShArray

# A file between open() and its `with` is closed all the same; descriptors are counted below.
warnings.simplefilter("ignore", ResourceWarning)

name, transport, what, seconds = sys.argv[1:5]
class Stop(Exception):
    pass
armed = False
def handler(*_):
    global armed
    if armed:  # not twice: the second one would come inside our own except clause
        armed = False
        raise Stop

ours = NdShArray(name, r_w="w" if what in ("write", "loan") else "r", transport=transport, slots=8)
if ours.access == "r":
    ours.read(timeout=20)
if what == "wait":  # one more of the array, and one whose writer does not come
    others_of_it = [NdShArray(n, r_w="r", transport=transport) for n in (name, name + "?")]
print("begin", flush=True)

def write(count):
    ours.write(np.full(3000 + count % 3, count))

def loan(count):
    with ours.loan(3000 + count % 3, int) as frame:
        frame[:] = count

def read(count):
    take(*ours.read(timeout=0.01))

def place(count):
    take(*ours.read(timeout=0.01, copy=False))
    if count % 2:
        held.append((last[0], last[1]))
        del held[:-3]

def wait(count):
    if ndsharray.wait([ours, others_of_it[count % 2]], 0.01):
        take(*ours.read())

def frames(count):
    for frame in ours.frames(0.001, copy=bool(count % 3)):
        take(True, frame)

def take(valid, frame):
    global got, wrong
    if valid:
        value = frame[0]
        wrong += not (frame == value).all() or value < last[0]
        got += 1
        last[:] = [value, frame]

held, last, got, wrong, stops, count = [], [0, None], 0, 0, 0, 0
acts = {"write": write, "loan": loan, "read": read, "in place": place, "frames": frames}
act = {**acts, "wait": wait}[what]
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
end = time.monotonic() + float(seconds)
while time.monotonic() < end:
    try:
        armed = True
        while True:
            count += 1
            act(count)
    except Stop:
        stops += 1
armed = False
signal.setitimer(signal.ITIMER_REAL, 0)
wrong += sum(not (array == value).all() for value, array in held)
held.clear()
last = [0, None]
# Another thread can go on with it: no lock is held.
others = []
def from_another_thread():
    try:
        act(10**9 - 2)
    except Exception as error:
        others.append(error)
thread = threading.Thread(target=from_another_thread, daemon=True)
thread.start()
thread.join(10)
assert not thread.is_alive(), "it hangs in another thread"
assert not others, others
before = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
if ours.access == "w":
    for count in (10**9, 10**9 + 1):
        act(count)
else:
    for _ in range(5 if what == "frames" else 50):  # each until no frame comes for 1 ms
        act(2)
    assert got, "nothing came"
print(stops, count, got, wrong, before, flush=True)
sys.stdin.readline()
ours.close()
"""

OTHER = """
import sys, time
import numpy as np
from ndsharray import NdShArray
name, transport, role = sys.argv[1:4]
other = NdShArray(name, r_w=role, transport=transport, slots=8)
print("begin", flush=True)
stop = []
import threading
threading.Thread(target=lambda: stop.append(sys.stdin.readline()), daemon=True).start()
count = wrong = last = 0
while not stop:
    if role == "w":
        count += 1
        other.write(np.full(3000 + count % 3, count))
        time.sleep(0.0002)  # its pace: nothing is waited for
    else:
        valid, frame = other.read(timeout=0.05)
        if valid:
            count += 1
            wrong += not (frame == frame[0]).all() or frame[0] < last
            last = int(frame[0])
if role == "r":
    valid, frame = other.read(timeout=0.5)
    last = int(frame[0])
slots = other._writer._holding.segment.table.slots if role == "w" else 0
entries = other._writer._holding.control.memory.bytes if role == "w" else b""
pins = sum(1 for pin in entries[832:1080] if pin)
other.close()
print(count, wrong, last, slots, pins, flush=True)
"""


@pytest.fixture
def begin() -> Iterator[Callable[..., Any]]:
    children = []

    def start(code: str, *arguments: str) -> Any:
        child = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        children.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == "begin\n"
        return child

    yield start
    for child in children:
        if child.poll() is None:
            child.kill()
        child.communicate()


@pytest.mark.parametrize(
    "what",
    [
        *("write", "loan", "read", "in place"),
        *(pytest.param(what, marks=pytest.mark.alternately) for what in ("wait", "frames")),
    ],
)
def test_nothing_breaks(name: str, transport: str, begin: Callable[..., Any], what: str) -> None:
    """What one side does is interrupted all the time; the other side checks it, too."""
    other_role = "r" if what in ("write", "loan") else "w"
    seconds = "2.5"  # on two transports: 5 in all
    if other_role == "w":
        other = begin(OTHER, name, transport, "w")
        storm = begin(STORM, name, transport, what, seconds)
    else:
        storm = begin(STORM, name, transport, what, seconds)
        other = begin(OTHER, name, transport, "r")
    line = storm.stdout.readline()
    assert line, storm.communicate()[1]
    stops, count, got, wrong, descriptors = (int(word) for word in line.split())
    other.stdin.write("\n")
    other.stdin.flush()
    other_count, other_wrong, last, slots, pins = map(int, other.communicate(timeout=30)[0].split())
    storm.stdin.write("\n")
    _, errors = storm.communicate(timeout=30)
    print(f"{stops} signals in {count} calls; {got} frames here, {other_count} there")
    assert errors == ""
    assert (wrong, other_wrong) == (0, 0)
    assert stops > 300
    assert descriptors < 40
    if other_role == "r":
        assert other_count > 50
        assert last == 10**9 + 1  # what was written after the storm arrived
    else:
        assert got > 50
        assert slots <= 16
        assert pins <= 1  # the reader's own last frame
