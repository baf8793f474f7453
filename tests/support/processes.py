"""Other processes of the lifetime tests: scripts, stopped consoles, namespaces, what children do.

Without pytest, which a spawned child of ``multiprocessing`` would have to import as well.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from console import Console

from ndsharray import NdShArray
from ndsharray.backends.base import control_name

# In a path: a segment or a lock file. Not "/nd" alone, which stands in the path of a clone as well.
OURS = "/nd[0-9a-f]{16}"


def run_script(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script to its end; warnings are errors there."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def remains(root: Path, name: str) -> list[str]:
    """Return what there is of an array: its lock files and segments, on either transport."""
    control = control_name(str(root), name)
    places = [root, Path("/dev/shm")]
    return sorted(e for p in places if p.is_dir() for e in os.listdir(p) if e.startswith(control))


# --- stopping


def wait_for_stop(console: Console) -> None:
    """Wait until the kernel says that a console's process has been stopped."""
    status = os.waitpid(console.process.pid, os.WUNTRACED)[1]
    assert os.WIFSTOPPED(status), f"ended instead of stopping: {status}"


@contextmanager
def stopped(console: Console, by_itself: bool = False) -> Iterator[None]:
    """Have a console's process stopped during the block (it may do that itself)."""
    if not by_itself:
        console.process.send_signal(signal.SIGSTOP)
    wait_for_stop(console)
    try:
        yield
    finally:
        console.process.send_signal(signal.SIGCONT)


STOPPER = """
def stop_before(where, name, count=1):
    import os, signal
    real = getattr(where, name)
    left = [count]
    def instead(*args, **kwargs):
        left[0] -= 1
        if left[0] == 0:
            setattr(where, name, real)
            os.kill(os.getpid(), signal.SIGSTOP)
        return real(*args, **kwargs)
    setattr(where, name, instead)
"""


def define(console: Console, code: str) -> None:
    """Run several lines in a console."""
    console.run(f"exec({code!r})")


# --- namespaces of process ids

_UNSHARE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
if hasattr(os, "geteuid") and os.geteuid() != 0:
    _UNSHARE += ["--user", "--map-root-user"]


@cache
def can_unshare() -> bool:
    """Tell whether this process may make namespaces of process ids."""
    try:
        return subprocess.run([*_UNSHARE, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


class Namespace(Console):
    """A console that is process 1 of a namespace of its own."""

    def __init__(self, *arguments: str) -> None:
        real = subprocess.Popen

        class Unshared(real):  # type: ignore[type-arg,valid-type,misc]
            def __init__(self, command: Sequence[str], **how: Any) -> None:
                super().__init__([*_UNSHARE, *command], **how)

        subprocess.Popen = Unshared  # type: ignore[misc]
        try:
            super().__init__(*arguments)
        finally:
            subprocess.Popen = real  # type: ignore[misc]

    def kill(self) -> None:
        # First dead, then the end of its input: or it would come to a clean end.
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.read()
        self.end()


def run_in_namespace(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script to its end, as process 1 of a namespace of its own."""
    return subprocess.run(
        [*_UNSHARE, sys.executable, "-W", "error", "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


# --- children of multiprocessing


def redirect_errors(file: str) -> None:
    """Have all that this process and its end complain about written to a file."""
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(fd, 2)
    os.close(fd)
    sys.stderr = os.fdopen(2, "w", closefd=False)
    warnings.simplefilter("error")


kept: list[Any] = []  # a global: only the end of the child lets these go


def live_and_end(how: dict[str, Any], given: NdShArray, handed: bytes, pipe: Any) -> None:
    """Write, read in every way, say so, wait for the word, and end as told."""
    redirect_errors(how["errors"])
    os.environ["NDSHARRAY_DIR"] = how["root"]  # the fork server has that of its own start
    name, transport = how["name"], how["transport"]
    writer = NdShArray(name + " of the child", np.arange(5), "w", transport=transport)
    writer.write(np.arange(30_000))  # grew
    writer.write(np.arange(7))
    own = NdShArray(name, r_w="r", transport=transport)
    unpickled = pickle.loads(handed)
    arrays = [reader.read(copy=False)[1] for reader in (own, given, unpickled)]
    kept.extend([writer, own, given, unpickled, arrays])
    pipe.send([array.tolist() for array in arrays])
    pipe.recv()
    end_as(how["end"])


def end_as(end: str) -> None:
    if end == "exception":
        raise ZeroDivisionError("on purpose")
    if end == "sys.exit":
        sys.exit(3)
    if end == "os._exit":
        os._exit(4)
    if end in ("SIGTERM", "SIGKILL"):
        os.kill(os.getpid(), getattr(signal, end))
        signal.pause()


def side(name: str, role: str, transport: str) -> NdShArray:
    return NdShArray(name, *((np.arange(3),) if role == "w" else ()), r_w=role, transport=transport)


def use_block(block: str) -> None:
    """Be an ordinary user of the standard library's shared memory, which tracks it."""
    from multiprocessing import shared_memory

    if block:
        other = shared_memory.SharedMemory(block)
        other.buf[0] += 1
        other.close()


def obey(how: dict[str, str], ready: Any) -> None:
    """Write ``own``, read ``other``, as the frames of ``orders`` say: a size to write; -1, end."""
    os.environ["NDSHARRAY_DIR"] = how["root"]
    name, transport = how["name"], how["transport"]
    orders = side(name + " orders", "r", transport)
    own = side(name + " child's", "w", transport)
    other = side(name + " parent's", "r", transport)
    kept.extend([orders, own, other, other.read(copy=False)[1]])
    use_block(how["block"])
    ready.send(os.getpid())
    ready.close()
    while True:
        order = int(orders.read(timeout=60)[1])
        if order < 0:
            return
        own.write(np.arange(order))
        other.read()


def start_obeying(method: str, **how: str) -> int:
    """Start a child that obeys; return its process id once it is ready."""
    import multiprocessing

    context = multiprocessing.get_context(method)
    here, there = context.Pipe()
    child: Any = context.Process(target=obey, args=(how, there))
    child.start()
    there.close()
    pid = int(here.recv())
    here.close()
    kept.append(child)
    return pid
