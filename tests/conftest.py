"""Which tests run, and their fixtures: a transport, a name, a root of the test's own, consoles.

The folder of a test tells when it runs: what is in `FULL` runs with ``--full``, with ``--long``, or
if the command names it (``pytest tests/faults``); everything else runs always.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from console import Console
from leftovers import HAS_SHM, SHM, Leftovers, left_in_root

from ndsharray._system import root_watch

TESTS = Path(__file__).resolve().parent
FULL = ["processes", "faults", "programs", "model"]
TRANSPORTS = ["mmap", "posix_shm"]
# About POSIX alone, whose signals and users they name as soon as they are imported.
collect_ignore = []
if os.name == "nt":
    collect_ignore += ["faults/test_kills_at_every_step.py", "faults/test_resources.py"]
    collect_ignore += ["processes/test_children_and_stops.py"]
    collect_ignore += ["processes/test_commands_on_terminals.py"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--transport",
        choices=TRANSPORTS,
        default=None,
        help="run the tests of one transport only (tox factors)",
    )
    parser.addoption(
        "--full", action="store_true", help=f"run the tests in {', '.join(FULL)} as well"
    )
    parser.addoption(
        "--long",
        action="store_true",
        help="--full, with faults injected as often as RELIABILITY.md says (hours)",
    )
    parser.addoption(
        "--account", metavar="FILE", help="append the faults injected to FILE, as JSON lines"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_ACCOUNT] = {}
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # As shells begin what runs in the background; children would ignore Ctrl-C like us.
        signal.signal(signal.SIGINT, signal.default_int_handler)


# --- which tests run


def _all_run(config: pytest.Config) -> bool:
    return bool(config.getoption("--full") or config.getoption("--long"))


def _named(config: pytest.Config) -> set[Path]:
    """Return what the command names: files and folders."""
    where = config.invocation_params.dir
    return {(where / argument.partition("::")[0]).resolve() for argument in config.args}


def pytest_report_header(config: pytest.Config) -> str:
    if _all_run(config):
        return "tests: all"
    return f"tests: the quick ones; --full adds those in {', '.join(FULL)}"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Pass by the folders in `FULL`, unless they are asked for."""
    if collection_path.parent != TESTS or collection_path.name not in FULL or _all_run(config):
        return None
    asked_for = any(collection_path in (named, *named.parents) for named in _named(config))
    return None if asked_for else True


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what was not chosen."""
    long = config.getoption("--long")
    chosen = config.getoption("--transport")
    gone = []
    for item in items:
        if long and item.get_closest_marker("times"):
            item.add_marker(pytest.mark.timeout(7200))
        elif long and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(1200))  # some take each line of a call
        callspec = getattr(item, "callspec", None)
        transport = callspec.params.get("transport") if callspec else None
        if (chosen and isinstance(transport, str) and transport != chosen) or (
            item.get_closest_marker("long") and not long
        ):
            gone.append(item)
    if not chosen and not long and not any("::" in a for a in config.args):
        gone += _of_the_other_transport(items)
    if gone:
        config.hook.pytest_deselected(items=gone)
        items[:] = [item for item in items if item not in gone]


def pytest_collection_finish() -> None:
    """Leave all that is imported out of the collection of garbage after each test."""
    gc.collect()
    if hasattr(gc, "freeze"):
        gc.freeze()


def _of_the_other_transport(items: list[pytest.Item]) -> list[pytest.Item]:
    """Return, of the tests marked alternately, those that do not run on their transport."""
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


# --- the account of injected faults

_ACCOUNT: pytest.StashKey[dict[str, int]] = pytest.StashKey()


@pytest.fixture
def times(request: pytest.FixtureRequest) -> int:
    """How often the fault is injected: ``@pytest.mark.times(short, long)``, by ``--long``."""
    short, long = request.node.get_closest_marker("times").args
    return int(long if request.config.getoption("--long") else short)


def _add(config: pytest.Config, what: str, count: int) -> None:
    counts = config.stash[_ACCOUNT]
    counts[what] = counts.get(what, 0) + count


@pytest.fixture
def account(request: pytest.FixtureRequest) -> Callable[[str, int], None]:
    """Count what was injected or survived, for the account at the end of the run."""

    def add(what: str, count: int) -> None:
        _add(request.config, what, count)
        file = request.config.getoption("--account")
        if file:
            line = {"test": request.node.nodeid, "what": what, "count": count}
            with open(file, "a", encoding="utf8") as out:
                out.write(json.dumps(line) + "\n")

    return add


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the account of a worker of pytest-xdist to the process that starts them."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["account"] = session.config.stash[_ACCOUNT]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    for what, count in getattr(node, "workeroutput", {}).get("account", {}).items():
        _add(node.config, what, count)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    counts = terminalreporter.config.stash[_ACCOUNT]
    if counts:
        terminalreporter.section("faults injected")
        for what, count in sorted(counts.items()):
            terminalreporter.write_line(f"{count:>10,}  {what}")


# --- fixtures


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def lasting_memory(transport: str) -> None:
    """What a killed process leaves can be seen."""
    if os.name == "nt" and transport == "posix_shm":
        pytest.skip("Windows frees memory with the last handle")


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
    before = Leftovers(directory)
    directory.mkdir(mode=0o700)
    yield directory
    gc.collect()
    root_watch.close_spares()  # the process keeps a few
    if os.name == "nt":
        monkeypatch.undo()  # other systems' names
    # A thread of the viewer's that has just been told to end still removes its own.
    left = left_in_root(directory)
    shutil.rmtree(directory, ignore_errors=True)
    assert left == [], f"left in the root: {left}"
    before.compare()


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
