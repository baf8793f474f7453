"""What a writer asks of the kernel: nothing that waits, and next to nothing at all."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from lookers import run_lookers

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or shutil.which("strace") is None,
    reason="needs Linux and strace",
)

QUIET = """
import os, sys, time
import numpy as np
from ndsharray import NdShArray
name, transport = sys.argv[1:3]
writer = NdShArray(name, np.zeros((720, 1280, 3), np.uint8), "w", transport=transport)
reader = NdShArray(name, r_w="r", transport=transport)
reader.read()
frame = np.ones((720, 1280, 3), np.uint8)
for _ in range(20):
    writer.write(frame)
os.path.lexists("/begin")  # seen in the trace
end = time.monotonic() + 2.6
count = 0
while time.monotonic() < end:
    writer.write(frame)
    count += 1
os.path.lexists("/end")
writer.close()
print(count)
"""


def traced(file: Path, *options: str) -> list[str]:
    return ["strace", "-f", "-o", str(file), *options]


def can_trace(tmp_path: Path) -> bool:
    command = traced(tmp_path / "try", "true")
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_a_write_with_nobody_waiting_makes_no_system_call_but_a_look_a_second(
    name: str, transport: str, tmp_path: Path
) -> None:
    if not can_trace(tmp_path):
        pytest.skip("strace may not trace here")
    file = tmp_path / "calls"
    ended = subprocess.run(
        [*traced(file), sys.executable, "-c", QUIET, name, transport],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    lines = file.read_text().splitlines()
    first = next(at for at, line in enumerate(lines) if '"/begin"' in line)
    last = next(at for at, line in enumerate(lines) if '"/end"' in line)
    ours = _thread_of(lines[first])  # not those of numpy's libraries
    between = [line for line in lines[first + 1 : last] if _thread_of(line) == ours]
    print(ended.stdout, between)
    assert int(ended.stdout) > 100
    # The path's and the descriptor's stat, once a second.
    assert 2 <= len(between) <= 6, between
    assert all(re.search(r"(lstat|fstat|newfstatat|statx)\(", line) for line in between), between


def _thread_of(line: str) -> str:
    """Return the number at the head of a line of strace's; empty while there is one thread."""
    return line.partition(" ")[0] if line[:1].isdigit() else ""


# What may put a process to sleep until somebody does something. (Locks are taken without waiting:
# F_OFD_SETLK, never F_OFD_SETLKW.)
BLOCKING = {
    *"poll ppoll select pselect6 epoll_wait epoll_pwait nanosleep clock_nanosleep".split(),
    *"flock wait4 waitid pause rt_sigsuspend sched_yield msgrcv semop semtimedop".split(),
    *"recvfrom recvmsg accept accept4 connect".split(),
}


@pytest.mark.timeout(200)
def test_a_writer_that_floods_past_pinned_slots_never_waits(
    name: str, transport: str, tmp_path: Path
) -> None:
    if not can_trace(tmp_path):
        pytest.skip("strace may not trace here")
    file = tmp_path / "calls"
    (count, grown, *_), readers = run_lookers(name, transport, 5, *traced(file))
    text = file.read_text()
    start = text.index('"writing')
    writer = text[text.rindex("\n", 0, start) + 1 : start].partition(" ")[0]  # its thread
    end = re.compile(r'write\(1, "\d').search(text, start)
    assert end is not None
    between = text[start : end.start()]
    # Threads of numpy's libraries may begin, and go to sleep, only now.
    own = [line for line in between.splitlines() if _thread_of(line) in ("", writer)]
    made = {call[1] for line in own if (call := re.match(r"(?:\d+ +)?(\w+)\(", line))}
    print(count, grown, readers, made)
    assert grown <= 2
    assert all(wrong == 0 for _, wrong in readers)
    assert "futex" in made  # readers were woken
    assert made & BLOCKING == set()
    waits = [line for line in own if "futex(" in line and "FUTEX_WAIT" in line]
    assert waits == []
    assert "SETLKW" not in between
