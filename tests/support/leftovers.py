"""What a test has left: shared memory, names in the temporary directory, open descriptors."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ndsharray import MmapTransport, NdShArray, PosixShmTransport
from ndsharray._registry import cleanup
from ndsharray.backends.base import control_name

SHM = Path("/dev/shm")
# Not by looking alone: Windows' Python under Wine finds the directory, too.
HAS_SHM = sys.platform.startswith("linux") and SHM.is_dir()


class Leftovers:
    """What there is before a test; `compare` fails if there is more after it."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.shm = _shm_names()
        self.temporary = _temporary_names()
        self.descriptors = _descriptors()

    def compare(self) -> None:
        left = _left_in_shm(self.shm, self.root)
        assert left == [], f"left in {SHM}: {left}"
        left = _left_in_temporary(self.temporary)
        assert left == [], f"left in the temporary directory: {left}"
        left = _left_open(self.descriptors)
        assert left == [], f"descriptors left open: {left}"


def left_in_root(root: Path) -> list[str]:
    """Return the names that were left in a root.

    Not what was mapped on Windows when its writer closed: the next writer removes it.
    """
    return still_there(lambda: _swept_root(root))


def _swept_root(root: Path) -> set[str]:
    names = set(os.listdir(root)) if root.is_dir() else set()
    if os.name == "nt" and names:
        cleanup._swept.clear()  # at once
        for transport in (MmapTransport(root), PosixShmTransport(root)):
            NdShArray("sweeper", np.zeros(1), "w", transport=transport).close()
        names = set(os.listdir(root))
    return names


def _shm_names() -> set[str]:
    if not HAS_SHM:
        return set()
    # As the library names them: whatever else runs on this machine comes and goes.
    return {entry for entry in os.listdir(SHM) if re.fullmatch("nd[0-9a-f]{16}[a-z2-7]*", entry)}


def _left_in_shm(before: set[str], root: str) -> list[str]:
    """Return what was left; what another program is using at this moment goes sooner or later.

    What a writer that another worker of pytest-xdist killed has left may have no control segment
    that would tell whose it is; it goes with the test of that worker.
    """
    for _ in range(600):
        new = sorted(_shm_names() - before)
        left = [entry for entry in new if not _is_of_another_root(entry, root)]
        if not left:
            break
        threading.Event().wait(0.05)
    return left


def _is_of_another_root(segment: str, root: str) -> bool:
    """Tell whether a segment belongs to some other program that runs at the same time."""
    file = SHM / segment[:18]
    try:
        page = file.read_bytes() if file.is_file() else b""  # a FIFO would keep us waiting
    except OSError:
        return False
    length = int.from_bytes(page[64:72], sys.byteorder)
    name = page[72 : 72 + min(length, 255)].decode("utf8", "replace")
    return bool(name) and control_name(root, name) != segment[:18]


def _temporary_names() -> set[str]:
    place = Path(tempfile.gettempdir())
    found = os.listdir(place)
    other_runs = re.compile(f"ndsharray-test-(?!{os.getpid()}-)")  # at the same time
    ours = {entry for entry in found if entry.startswith("nd") and not other_runs.match(entry)}
    return ours | {entry for entry in found if _is_of_dead_fork_server(place / entry)}


def _is_of_dead_fork_server(directory: Path) -> bool:
    """Tell whether multiprocessing made it for a fork server to whom nobody listens any more."""
    if not directory.name.startswith("pymp-") or not sys.platform.startswith("linux"):
        return False
    try:
        sockets = list(directory.glob("listener-*"))
    except OSError:  # another user's
        return False
    living = Path("/proc/net/unix").read_text()
    return bool(sockets) and not any(str(socket) in living for socket in sockets)


def _left_in_temporary(before: set[str]) -> list[str]:
    """Return what was left; a program that is just ending removes its fork server's at once."""
    return still_there(lambda: _temporary_names() - before)


def _left_open(before: set[str]) -> list[str]:
    """Return what was left; threads of zenoh's close sockets after their session."""
    return still_there(lambda: _descriptors() - before)


def still_there(look: Callable[[], set[str]]) -> list[str]:
    """Return what is found again and again, for three seconds."""
    for _ in range(60):
        left = look()
        if not left:
            break
        threading.Event().wait(0.05)
    return sorted(left)


def _descriptors() -> set[str]:
    """Return what is open (but pipes: the resource tracker of Python before 3.13 has one)."""
    if not sys.platform.startswith("linux"):
        return set()
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{fd}")
        except FileNotFoundError:
            continue  # the one that lists them
        if not target.startswith(("pipe:", "/dev/pts", "/dev/null")):
            found.add(f"{fd}: {target}")
    return found
