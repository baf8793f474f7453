"""Fixtures: a transport, a name, a root of the test's own, another console, and the leak check.

Also how often random faults are injected, and the account of them at the end of a run.
"""

from __future__ import annotations

import gc
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from console import Console

from ndsharray import MmapTransport, NdShArray, PosixShmTransport
from ndsharray._registry import cleanup
from ndsharray._system import root_watch
from ndsharray.backends.base import control_name

SHM = Path("/dev/shm")
# Not by looking alone: Windows' Python under Wine finds the directory, too.
HAS_SHM = sys.platform.startswith("linux") and SHM.is_dir()
TRANSPORTS = ["mmap", "posix_shm"]
# The modules that are marked `core`: what differs between platforms (words, byte order, files,
# locks, waiting), without what starts so many processes that it takes hours where each start takes
# seconds, under emulation.
CORE = """
    test_cells test_clock test_errors test_flood test_frames test_in_place test_layout test_lease
    test_loan test_memory test_ndsharray test_protocol test_protocol_waiting test_selection
    test_transport_contract test_wait
""".split()
# About POSIX alone, whose signals and users they name as soon as they are imported.
collect_ignore = (
    ["test_crashes.py", "test_process_life.py", "test_resources.py"] if os.name == "nt" else []
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--transport",
        choices=TRANSPORTS,
        default=None,
        help="run the tests of one transport only (tox factors)",
    )
    parser.addoption(
        "--long", action="store_true", help="inject faults as often as RELIABILITY.md says"
    )
    parser.addoption(
        "--account", metavar="FILE", help="append the faults injected to FILE, as JSON lines"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_ACCOUNT] = {}
    config.addinivalue_line("markers", "core: runs on every platform; see CORE in conftest.py")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # As shells begin what runs in the background; children would ignore Ctrl-C like us.
        signal.signal(signal.SIGINT, signal.default_int_handler)


_ACCOUNT: pytest.StashKey[dict[str, int]] = pytest.StashKey()


@pytest.fixture
def times(request: pytest.FixtureRequest) -> int:
    """How often the fault is injected: ``@pytest.mark.times(short, long)``, by ``--long``."""
    short, long = request.node.get_closest_marker("times").args
    return int(long if request.config.getoption("--long") else short)


@pytest.fixture
def account(request: pytest.FixtureRequest) -> Callable[[str, int], None]:
    """Count what was injected or survived, for the account at the end of the run."""
    counts = request.config.stash[_ACCOUNT]

    def add(what: str, count: int) -> None:
        counts[what] = counts.get(what, 0) + count
        file = request.config.getoption("--account")
        if file:
            line = {"test": request.node.nodeid, "what": what, "count": count}
            with open(file, "a", encoding="utf8") as out:
                out.write(json.dumps(line) + "\n")

    return add


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    counts = terminalreporter.config.stash[_ACCOUNT]
    if counts:
        terminalreporter.section("faults injected")
        for what, count in sorted(counts.items()):
            terminalreporter.write_line(f"{count:>10,}  {what}")


def pytest_itemcollected(item: pytest.Item) -> None:
    if item.path.stem in CORE:
        item.add_marker("core")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes minutes, and what was not chosen."""
    if config.getoption("--long"):
        for item in items:
            if item.get_closest_marker("times"):
                item.add_marker(pytest.mark.timeout(7200))
    chosen = config.getoption("--transport")
    gone = []
    for item in items:
        if "stress" in item.keywords and "stress" not in (config.option.markexpr or ""):
            gone.append(item)
        callspec = getattr(item, "callspec", None)
        transport = callspec.params.get("transport") if callspec else None
        if chosen and isinstance(transport, str) and transport != chosen:
            gone.append(item)
    if not chosen and not config.getoption("--long") and not any("::" in a for a in config.args):
        gone += _other_turns(items)
    if gone:
        config.hook.pytest_deselected(items=gone)
        items[:] = [item for item in items if item not in gone]


def _other_turns(items: list[pytest.Item]) -> list[pytest.Item]:
    """Return, of the tests marked alternately, those of the transport whose turn it is not."""
    turns: dict[str, int] = {}
    others = []
    for item in items:
        callspec = getattr(item, "callspec", None)
        if item.get_closest_marker("alternately") and callspec and "transport" in callspec.params:
            transport = str(callspec.params["transport"])
            case = item.nodeid.replace(transport, "")
            turn = turns.setdefault(case, len(turns))
            if transport != TRANSPORTS[turn % len(TRANSPORTS)]:
                others.append(item)
    return others


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def name() -> str:
    return f"test {uuid.uuid4().hex}"


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give each test a root of its own, in memory, and see that it leaves nothing anywhere."""
    place = SHM if HAS_SHM else Path(tempfile.gettempdir())
    directory = place / f"ndsharray-test-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    monkeypatch.setenv("NDSHARRAY_DIR", str(directory))
    monkeypatch.delenv("NDSHARRAY_TRANSPORT", raising=False)
    shm = _shm_names()
    temporary = _temporary_names()
    descriptors = _descriptors()
    directory.mkdir(mode=0o700)
    yield directory
    gc.collect()
    root_watch.close_spares()  # the process keeps a few
    if os.name == "nt" and directory.is_dir():
        monkeypatch.undo()  # other systems' names
        # What was mapped when its writer closed could not be removed then: the next writer does it.
        cleanup._swept.clear()  # at once
        for transport in (MmapTransport(directory), PosixShmTransport(directory)):
            NdShArray("sweeper", np.zeros(1), "w", transport=transport).close()
    left = sorted(os.listdir(directory)) if directory.is_dir() else []
    shutil.rmtree(directory, ignore_errors=True)
    assert left == [], f"left in the root: {left}"
    left = _left_in_shm(shm, str(directory))
    assert left == [], f"left in {SHM}: {left}"
    left = _left_in_temporary(temporary)
    assert left == [], f"left in the temporary directory: {left}"
    left = sorted(_descriptors() - descriptors)
    assert left == [], f"descriptors left open: {left}"


def _shm_names() -> set[str]:
    if not HAS_SHM:
        return set()
    # As the library names them: whatever else runs on this machine comes and goes.
    return {entry for entry in os.listdir(SHM) if re.fullmatch("nd[0-9a-f]{16}[a-z2-7]*", entry)}


def _left_in_shm(before: set[str], root: str) -> list[str]:
    """Return what was left; what another program is using at this moment goes within seconds."""
    for _ in range(60):
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
    for _ in range(60):
        left = sorted(_temporary_names() - before)
        if not left:
            break
        threading.Event().wait(0.05)
    return left


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


@pytest.fixture
def console(root: Path) -> Iterator[Callable[..., Console]]:
    """Start other Python processes that run what they are told; end them with the test."""
    consoles: list[Console] = []

    def start(*arguments: str) -> Console:
        consoles.append(Console(*arguments))
        return consoles[-1]

    yield start
    for each in consoles:
        each.end()
