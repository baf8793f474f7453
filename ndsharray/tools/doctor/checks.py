"""What ``doctor`` looks at: a function for each thing, which says what to do about it."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np

from ... import NdShArray, NdShArrayError, __version__, backends
from ..._registry.cleanup import stale
from ..._registry.inspection import arrays, transports
from ..._system import clock, wait
from ..._system.waitv import can_sleep
from ...backends.base import DIR_VARIABLE, check_root, resolve_root
from ..common import human, milliseconds, plural

__all__ = ["Check", "all_checks"]

_LITTLE_ROOM = 256 * 2**20  # bytes: three frames of a 4K camera take 75 MB
_FEW_FILES = 256
_IN_MEMORY = ("tmpfs", "ramfs", "hugetlbfs")
_EXTRAS = {
    "view": ("starlette", "uvicorn"),
    "record": ("mcap",),
    "bridge": ("zenoh",),
}
_ADVICE = {
    "damaged": "end its writer; then 'ndsharray clean --yes' removes it",
    "foreign version": "end its writer, or update the library on both sides",
}
_FRAME = (512, 2048)  # 1 MiB of uint8


class Check(NamedTuple):
    """The outcome of one check.

    Attributes
    ----------
    what : str
        What was looked at.
    verdict : {'ok', 'warn', 'fail'}
        ``'warn'``: arrays work, slower or not for long; ``'fail'``: they do not.
    found : str
        What was found.
    advice : str
        What to do; "" if all is well.
    """

    what: str
    verdict: Literal["ok", "warn", "fail"]
    found: str
    advice: str = ""


def all_checks(transport: str | None, directory: str | None) -> Iterator[Check]:
    """Yield the outcome of each check, for one transport or all (None)."""
    yield versions()
    yield extras()
    try:
        root = resolve_root(directory)
    except (OSError, ValueError) as error:
        yield Check("directory", "fail", str(error), f"choose another one: {DIR_VARIABLE}, --root")
        return
    rights = directory_rights(root)
    yield rights
    yield from limits()
    yield waiting()
    yield huge_pages()
    yield clocks()
    if rights.verdict != "fail":
        yield file_system(root)
        yield room(root)
        yield from round_trips(transport, root)
        yield from what_is_there(transport, directory)


def versions() -> Check:
    """Tell the versions of what takes part."""
    found = f"ndsharray {__version__}, Python {platform.python_version()}, numpy {np.__version__}, "
    return Check(
        "versions", "ok", f"{found}{platform.system()} {platform.release()} {platform.machine()}"
    )


def extras() -> Check:
    """Tell which extras are installed."""
    have = [extra for extra, modules in _EXTRAS.items() if all(map(_is_installed, modules))]
    lack = [extra for extra in _EXTRAS if extra not in have]
    advice = f'for more: pip install "ndsharray[{",".join(lack)}]"' if lack else ""
    return Check("extras", "ok", ", ".join(have) or "none installed", advice)


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def directory_rights(root: str) -> Check:
    """Check that the root can be used, by its owner and no other user."""
    parent = os.path.dirname(root)
    if not os.path.isdir(parent):
        return Check(
            "directory", "fail", f"there is no {parent}", f"make it, or set {DIR_VARIABLE}"
        )
    if not os.path.lexists(root):
        if not os.access(parent, os.W_OK | os.X_OK):
            advice = f"make {root} and give it to this user, or set {DIR_VARIABLE}"
            return Check("directory", "fail", f"no right to make {root}", advice)
        return Check("directory", "ok", f"{root}, which the first writer makes")
    try:
        check_root(root, 0o600)
    except PermissionError as error:
        if not os.access(root, os.W_OK | os.X_OK):
            advice = f"choose another one: {DIR_VARIABLE}, --root"
            return Check("directory", "fail", f"no right to write to {root}", advice)
        advice = "right if users share it: MmapTransport(directory=..., mode=0o660)"
        return Check("directory", "warn", str(error), advice)
    except OSError as error:
        return Check("directory", "fail", str(error), f"choose another one: {DIR_VARIABLE}, --root")
    if not os.access(root, os.W_OK | os.X_OK):
        return Check("directory", "fail", f"no right to write to {root}", f"chmod 700 {root}")
    return Check("directory", "ok", root)


def _existing(root: str) -> str:
    return root if os.path.isdir(root) else os.path.dirname(root)


def file_system(root: str) -> Check:
    """Check that the root is in memory."""
    kind = _kind_of_file_system(_existing(root))
    if not kind:
        return Check("file system", "ok", "not known on this system")
    if kind in _IN_MEMORY:
        return Check("file system", "ok", f"{kind}, in memory")
    advice = "frames are written to the disk now and then; a directory in /dev/shm is faster"
    return Check("file system", "warn", f"{kind}, not in memory", advice)


def _kind_of_file_system(path: str) -> str:
    """Return the kind of the file system that a directory is on; "" where it is not known."""
    try:
        with open("/proc/self/mounts", encoding="utf8", errors="surrogateescape") as file:
            mounts = [line.split()[1:3] for line in file]
    except OSError:
        return ""
    real, kind, longest = os.path.realpath(path) + "/", "", -1
    for point, name in mounts:
        point = point.replace("\\040", " ").rstrip("/") + "/"
        if real.startswith(point) and len(point) >= longest:  # the last one mounted there counts
            kind, longest = name, len(point)
    return kind


def room(root: str) -> Check:
    """Check that there is room for frames, where the transports put them."""
    places = {_existing(root)}
    has_shm = sys.platform.startswith("linux") and os.path.isdir("/dev/shm")
    if has_shm and os.stat("/dev/shm").st_dev != os.stat(_existing(root)).st_dev:
        places.add("/dev/shm")  # of posix_shm
    free = {place: shutil.disk_usage(place) for place in sorted(places)}
    found = ", ".join(f"{human(f.free)} of {human(f.total)} in {p}" for p, f in free.items())
    little = [place for place, usage in free.items() if usage.free < _LITTLE_ROOM]
    if not little:
        return Check("room", "ok", found)
    if has_shm and any(place.startswith("/dev/shm") for place in little):
        advice = "in a container: --shm-size=1g or --ipc=host; else 'ndsharray clean', or mount "
        return Check("room", "warn", found, f"{advice}-o remount,size=4g /dev/shm")
    advice = f"'ndsharray clean', make room there, or choose another one: {DIR_VARIABLE}, --root"
    return Check("room", "warn", found, advice)


def limits() -> Iterator[Check]:
    """Check the limits of this process."""
    if sys.platform == "win32":
        return
    import resource

    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if 0 <= files < _FEW_FILES:
        advice = "each writer and reader needs one or two: ulimit -n 4096"
        yield Check("open files", "warn", f"{files} at most", advice)
    else:
        yield Check("open files", "ok", f"{files} at most")
    for name, text in (("RLIMIT_FSIZE", "file size"), ("RLIMIT_AS", "address space")):
        limit = resource.getrlimit(getattr(resource, name))[0]
        if limit != resource.RLIM_INFINITY:
            yield Check(text, "warn", f"{human(limit)} at most", "a larger frame fails: ulimit")


def waiting() -> Check:
    """Check that a reader can sleep until a frame comes."""
    if wait.working_futex() is None:
        slow = f"readers look every {milliseconds(wait.LONGEST_PAUSE * 1e3)} at the latest"
        return Check("waiting", "ok" if sys.platform != "linux" else "warn", f"no futex: {slow}")
    several = "futex_waitv: also on several arrays" if can_sleep(2) else "several arrays are polled"
    return Check("waiting", "ok", f"futex: readers sleep until the writer wakes them; {several}")


def huge_pages() -> Check:
    """Tell whether shared memory comes in huge pages."""
    try:
        with open("/sys/kernel/mm/transparent_hugepage/shmem_enabled", encoding="ascii") as file:
            text = file.read()
    except OSError:
        return Check("huge pages", "ok", "not known on this system")
    return Check("huge pages", "ok", text.partition("[")[2].partition("]")[0] or text.strip())


def clocks() -> Check:
    """Check the clock that frames' times are taken from."""
    cost = min(_cost_of_clock() for _ in range(10))  # without what a busy machine adds
    boot = "boot id known" if any(clock.boot_id()) else "no boot id"
    found = f"{cost:.0f} ns to read, {boot}"
    try:
        with open(
            "/sys/devices/system/clocksource/clocksource0/current_clocksource", encoding="ascii"
        ) as file:
            found = f"{file.read().strip()}, {found}"
    except OSError:
        pass
    if cost > 1000:
        return Check("clock", "warn", found, "each write reads it: choose the clocksource tsc")
    return Check("clock", "ok", found)


def _cost_of_clock() -> float:
    """Return the mean nanoseconds that reading the clock takes."""
    began, reads = time.perf_counter_ns(), 200
    for _ in range(reads):
        time.perf_counter_ns()
    return (time.perf_counter_ns() - began) / reads


def round_trips(transport: str | None, root: str) -> Iterator[Check]:
    """Send a frame through each transport, in a directory of its own beside the arrays."""
    for name in [transport] if transport else backends.known():
        what = f"trip {name}"
        try:
            place = tempfile.mkdtemp(prefix="ndsharray-doctor-", dir=_existing(root))
        except OSError as error:
            yield Check(what, "fail", str(error), "see 'directory'")
            continue
        try:
            yield _round_trip(what, name, place)
        finally:
            shutil.rmtree(place, ignore_errors=True)


def _round_trip(what: str, name: str, place: str) -> Check:
    sent = np.arange(_FRAME[0] * _FRAME[1], dtype=np.uint8).reshape(_FRAME)
    try:
        where = backends.at(name, place if name in backends.known() else None)
        array = f"doctor {os.getpid()}"
        with NdShArray(array, sent, "w", transport=where) as writer:
            with NdShArray(array, r_w="r", transport=where) as reader:
                reader.read()
                began = time.perf_counter()
                writer.write(sent[::-1])
                valid, received = reader.read(timeout=1.0)
                took = time.perf_counter() - began
    except (NdShArrayError, NotImplementedError, OSError, TypeError, ValueError) as error:
        return Check(what, "fail", f"{type(error).__name__}: {error}", "see the lines above")
    if not valid or not np.array_equal(received, sent[::-1]):
        return Check(what, "fail", "the frame did not come through", "please report this")
    return Check(what, "ok", f"1 MiB written and read in {milliseconds(took * 1e3)}")


def what_is_there(transport: str | None, directory: str | None) -> Iterator[Check]:
    """Check the arrays themselves."""
    try:
        infos = arrays(transport=transport, directory=directory)
        left = [one for where in transports(transport, directory) for one in stale(where)]
    except (NdShArrayError, OSError, ValueError) as error:
        yield Check("arrays", "fail", str(error))
        return
    live = sum(info.state == "live" for info in infos)
    yield Check("arrays", "ok", f"{plural(live, 'living writer')}")
    for info in infos:
        if info.state in _ADVICE:
            yield Check("arrays", "warn", f"{info.name!r}: {info.problem}", _ADVICE[info.state])
    if left:
        found = f"{plural(len(left), 'array')} that killed writers left"
        yield Check("arrays", "warn", found, "ndsharray clean --yes")
