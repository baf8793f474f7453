"""Resources that run out, or that somebody takes away: an error that says so, and it goes on.

Limits are set in child processes, and file systems are changed in mount namespaces of a child's
own. Each test ends with nothing left (the fixture ``root`` sees to that).
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from console import Console, Failed
from processes import run_script

from ndsharray import NdShArray, WriterExistsError
from ndsharray._reader import finder
from ndsharray._registry.names import Address, address_of
from ndsharray._system import clock
from ndsharray.backends import resolve

pytestmark = [
    pytest.mark.alternately,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux' limits"),
]

SHM = Path("/dev/shm")
ROOM = 3 * 8 * 2**20  # three slots of LARGE
LARGE = "np.ones(2**20)"  # 8 MiB

# What a child is told first. `outcomes` tries something with no descriptor left, then with one,
# and so on until it works: so each system call that needs one is the first to fail once.
CHILD = """
import errno, gc, os, resource
from ndsharray.backends import _load
from ndsharray._system import clock
# What is loaded late is loaded now: a module that cannot be opened is not what is tested.
_load("mmap"), _load("posix_shm"), clock.boot_id()
filled = []
def starve(left):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    try:
        while True:
            filled.append(os.dup(1))
    except OSError:
        pass
    for _ in range(left):
        os.close(filled.pop())
def feed():
    while filled:
        os.close(filled.pop())
def names(name):
    address = address_of(resolve(transport), name)
    places = (os.environ["NDSHARRAY_DIR"], "/dev/shm")
    return sorted(e for p in places for e in os.listdir(p) if e.startswith(address.control_name))
def attempt(act):
    try:
        return act() or "done"
    except MemoryError:
        return "ENOMEM"
    except OSError as error:
        assert os.strerror(error.errno) in str(error), error
        return errno.errorcode[error.errno]
def outcomes(act, name):
    found = []
    while True:
        before, open_before = names(name), len(os.listdir("/proc/self/fd"))
        starve(len(found))
        try:
            found.append(attempt(act))
        finally:
            feed()
        gc.collect()
        if found[-1] != "EMFILE" or len(found) > 20:
            return found
        assert names(name) == before, (len(found) - 1, set(names(name)) ^ set(before))
        assert len(os.listdir("/proc/self/fd")) == open_before
def limit_memory(extra):
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (used + extra, hard))
def free_memory():
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
from ndsharray._registry.names import address_of
from ndsharray.backends import resolve
"""


class ConsoleIn(Console):
    """A console that is started by another command."""

    def __init__(self, command: list[str]) -> None:
        popen = subprocess.Popen

        def prefixed(arguments: list[str], **keywords: Any) -> Any:
            return popen([*command, *arguments], **keywords)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(subprocess, "Popen", prefixed)
            super().__init__()


@pytest.fixture
def console_in() -> Iterator[Callable[[list[str]], Console]]:
    """Start consoles by another command; skip where that one may not be used."""
    consoles: list[Console] = []

    def start(command: list[str]) -> Console:
        if not shutil.which(command[0]):
            pytest.skip(f"needs {command[0]}")
        tried = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
        if tried.returncode != 0:
            pytest.skip(f"the system refuses: {tried.stderr.strip()}")
        consoles.append(ConsoleIn(command))
        return consoles[-1]

    yield start
    for each in consoles:
        each.end()


@pytest.fixture
def child(console: Callable[..., Console], transport: str) -> Console:
    return prepared(console(), transport)


def prepared(console: Console, transport: str) -> Console:
    console.run(f"exec({CHILD!r}); transport = {transport!r}")
    return console


def make(name: str, transport: str, role: str, array: str = "") -> str:
    """Return what makes an array's side in a console."""
    given = f", {array}" if array else ""
    return f"NdShArray({name!r}{given}, r_w={role!r}, transport={transport!r})"


def define(child: Console, code: str) -> None:
    """Run several lines."""
    child.run(f"exec({code!r}, globals())")


def new(name: str, transport: Any, role: str, *array: Any) -> NdShArray:
    return NdShArray(name, *array, r_w=role, transport=transport)


def names_of(address: Address) -> list[str]:
    found = []
    for place in (Path(address.transport.root), SHM):
        if place.is_dir():
            found += [place / e for e in os.listdir(place) if e.startswith(address.control_name)]
    return sorted(map(str, found))


def look_now(side: NdShArray) -> None:
    """Let the time have passed after which a side looks up its names again."""
    inner: Any = side
    if side.access == "w":
        inner._writer._holding.due = inner._writer._holding.looked_at_names = 0
    else:
        inner._reader._source.finder._looked = -finder.LOOK_NS


# --- descriptors


def test_what_a_side_costs_in_descriptors(name: str, transport: str) -> None:
    each = (
        1 if sys.version_info >= (3, 13) else 3
    )  # its lock file; before 3.13 also of two mappings

    def opened() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = opened()
    with NdShArray(name, np.zeros(3), "w", transport=transport) as writer:
        assert opened() == before + each
        with NdShArray(name, r_w="r", transport=transport) as reader:
            held = reader.read(copy=False)[1]
            assert opened() == before + 2 * each
            writer.write(np.zeros(100_000))  # grew
            assert opened() == before + 2 * each
            reader.read()  # what is held keeps the memory before mapped
            assert opened() == before + 2 * each + (each > 1)
            del held
    assert opened() == before


DAEMON = """
import os, sys
import numpy as np
from ndsharray import NdShArray
name, transport, log = sys.argv[1:]
w = NdShArray(name, np.zeros(50_000), "w", transport=transport)
r = NdShArray(name, r_w="r", transport=transport)
held = r.read(copy=False)[1]
pid = os.fork()
if pid == 0:  # a daemon: it closes all, and opens its own
    try:
        os.closerange(3, 4096)
        logs = [os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND) for _ in range(12)]
        assert w.closed
        r.read()
        with NdShArray(name + " own", np.ones(3), "w", transport=transport) as own:
            with NdShArray(name + " own", r_w="r", transport=transport) as of_own:
                assert of_own.read()[0]
        w.close(); r.close()
        del held, w, r
        for fd in logs:
            os.fstat(fd)
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
w.write(np.zeros(3))
assert r.read()[0]
r.close(); w.close()
"""


@pytest.mark.skipif(sys.version_info < (3, 13), reason="mmap keeps descriptors, as is documented")
def test_a_daemon_that_closed_all_descriptors_keeps_those_that_it_opens(
    name: str, transport: str, tmp_path: Path
) -> None:
    ended = run_script(DAEMON, name, transport, str(tmp_path / "log"))
    assert (ended.returncode, ended.stderr) == (0, "")


# --- no descriptor left


def assert_refused_then_done(outcomes: list[str]) -> None:
    assert len(outcomes) > 1
    assert outcomes == ["EMFILE"] * (len(outcomes) - 1) + ["done"]


def test_no_descriptor_at_creation_is_an_error_and_leaves_nothing(
    name: str, transport: str, child: Console
) -> None:
    define(child, f"def act():\n    {make(name, transport, 'w', 'np.zeros(3)')}.close()")
    assert_refused_then_done(child.run(f"outcomes(act, {name!r})"))


def test_no_descriptor_at_growth_keeps_the_last_frame_and_smaller_writes(
    name: str, transport: str, child: Console
) -> None:
    child.run(f"w = {make(name, transport, 'w', 'np.zeros(10)')}")
    with new(name, transport, "r") as reader:
        assert reader.read()[0]
        child.run("count = 0")
        define(
            child,
            """
def act():
    global count
    count += 1
    w.write(np.full(10, count))
    w.write(np.full(1000, count))
""",
        )
        outcomes = child.run(f"outcomes(act, {name!r})")
        assert_refused_then_done(outcomes)
        assert reader.read()[1].tolist() == [len(outcomes)] * 1000
        child.run("starve(0)")
        with pytest.raises(Failed, match="Too many open files"):
            child.run("w.write(np.full(9999, 1))")
        child.run("w.write(np.full(3, 7))")
        assert reader.read()[1].tolist() == [7, 7, 7]  # the small one that was written after it
        child.run("feed(); w.close()")


def test_no_descriptor_at_attach_leaves_the_array_as_it_was(
    name: str, transport: str, child: Console
) -> None:
    with new(name, transport, "w", np.arange(3)) as writer, new(name, transport, "r") as other:
        define(
            child,
            f"""
def act():
    reader = {make(name, transport, "r")}
    try:
        valid, frame = reader.read()
        assert valid and frame.tolist() == [0, 1, 2]
    finally:
        reader.close()
""",
        )
        assert_refused_then_done(child.run(f"outcomes(act, {name!r})"))
        writer.write(np.arange(4))
        assert other.read()[1].tolist() == [0, 1, 2, 3]


def test_a_reader_that_could_not_open_a_segment_goes_on_when_it_can(
    name: str, transport: str, child: Console
) -> None:
    child.run(f"r = {make(name, transport, 'r')}; starve(0)")
    with new(name, transport, "w", np.arange(3)) as writer:
        with pytest.raises(Failed, match="Too many open files"):  # the array
            child.run("r.read()")
        child.run("feed()")
        assert child.run("r.read(timeout=10)[1].tolist()") == [0, 1, 2]
        child.run("starve(0)")
        writer.write(np.arange(3) + 1)
        assert child.run("r.read()[1].tolist()") == [1, 2, 3]  # what it has, it has
        writer.write(np.arange(3000))
        for _ in range(3):
            with pytest.raises(Failed, match="Too many open files"):  # the larger segment
                child.run("r.read()")
        assert child.run("r.frame_id") == 2
        child.run("feed()")
        assert child.run("r.read(timeout=10)[1].tolist()") == list(range(3000))
        child.run("r.close()")


def test_a_reader_without_a_descriptor_for_an_entry_reads_and_gets_one_later(
    name: str, transport: str, child: Console
) -> None:
    with new(name, transport, "w", np.arange(3)) as writer:
        define(
            child,
            f"""
from unittest import mock
from ndsharray._system import lockfile
def no_descriptor(*_):
    raise OSError(errno.EMFILE, "Too many open files")
with mock.patch.object(lockfile.LockFile, "_open", no_descriptor):  # only here: the rest has enough
    r = {make(name, transport, "r")}
    valid, held = r.read(copy=False)
    assert valid and held.tolist() == [0, 1, 2] and not held.flags.writeable
    assert r._reader._source._entry._entry is None
""",
        )
        for value in range(10):
            writer.write(np.full(3, value))
        assert child.run("held.tolist()") == [0, 1, 2]  # a private copy
        child.run("r._reader._source._entry._tried -= 10**9")  # a second later
        assert child.run("r.read(copy=False)[1].tolist()") == [9, 9, 9]
        assert child.run("r._reader._source._entry._entry.index") == 0
        child.run("r.close()")


def test_no_descriptor_at_a_close_still_removes_everything(
    name: str, transport: str, child: Console
) -> None:
    for left in range(4):
        child.run(f"w = {make(name, transport, 'w', 'np.zeros(3)')}")
        child.run(f"r = {make(name, transport, 'r')}; r.read()")
        child.run(f"starve({left}); ends = [attempt(w.close), attempt(r.close)]; feed()")
        assert child.run("ends") == ["done", "done"]
        assert child.run(f"names({name!r})") == []


def test_no_descriptor_at_a_take_over_keeps_the_dead_writers_frame(
    name: str, transport: str, child: Console, console: Callable[..., Console]
) -> None:
    dead = console()
    dead.run(f"w = {make(name, transport, 'w', 'np.arange(3)')}")
    dead.kill()
    with new(name, transport, "r") as reader:
        assert reader.read()[1].tolist() == [0, 1, 2]
        define(
            child,
            f"""
def act():
    global w
    w = {make(name, transport, "w", "np.arange(4)")}
""",
        )
        assert_refused_then_done(child.run(f"outcomes(act, {name!r})"))
        assert reader.read(timeout=10)[1].tolist() == [0, 1, 2, 3]
        assert reader.frame_id == 2  # so nothing of the array was lost on the way
        child.run("w.close()")


def test_no_descriptor_when_a_lock_file_has_to_be_made_anew(
    name: str, transport: str, child: Console
) -> None:
    child.run(f"w = {make(name, transport, 'w', 'np.arange(3)')}")
    os.unlink(address_of(resolve(transport), name).writer_lock())
    with new(name, transport, "r") as reader:
        child.run("starve(0); w._writer._holding.due = 0")
        with pytest.raises(Failed, match="Too many open files"):
            child.run("w.write(np.zeros(3))")
        assert reader.read()[1].tolist() == [0, 1, 2]
        child.run("feed(); w._writer._holding.due = 0")
        child.run("w.write(np.arange(4))")
        assert reader.read(timeout=10)[1].tolist() == [0, 1, 2, 3]
        child.run("w.close()")


def test_no_descriptor_makes_a_lock_file_look_held_and_a_sweep_spare_everything(
    name: str, transport: str, child: Console
) -> None:
    with new(name, transport, "w", np.arange(3)), new(name, transport, "r") as reader:
        lock_file = address_of(resolve(transport), name).writer_lock()
        child.run("from ndsharray._system.lockfile import may_be_held")
        child.run(f"starve(0); answer = may_be_held({lock_file!r}); feed()")
        assert child.run("answer") is True  # who cannot look must not remove anything
        child.run("from ndsharray._registry.cleanup import sweep, _swept")
        root = os.environ["NDSHARRAY_DIR"]
        for left in range(4):
            child.run(f"_swept.clear(); starve({left})")
            child.run(f"sweep({root!r}, lambda _: resolve(transport)); feed()")
        assert reader.read()[1].tolist() == [0, 1, 2]
        with new(name, transport, "r") as late:
            assert late.read()[1].tolist() == [0, 1, 2]


# --- no address space left


def test_a_reader_that_cannot_map_a_frame_leaves_the_writers_segment(
    name: str, transport: str, child: Console
) -> None:
    large = np.ones(2**20)
    with new(name, transport, "w", large) as writer, new(name, transport, "r") as other:
        before = names_of(address_of(resolve(transport), name))
        child.run(f"r = {make(name, transport, 'r')}; limit_memory({ROOM // 4}); reads = 0")
        for _ in range(3):
            assert child.run("attempt(r.read)") == "ENOMEM"
        # A whole attach, construction included.
        assert child.run(f"attempt(lambda: {make(name, transport, 'r')}.read())") == "ENOMEM"
        child.run("gc.collect()")
        assert set(names_of(address_of(resolve(transport), name))) >= set(before)
        writer.write(large)
        assert other.read()[0]
        with new(name, transport, "r") as late:
            assert late.read()[0]
        child.run("free_memory(); valid, frame = r.read()")
        assert child.run("valid and frame.shape == (2**20,) and (frame == 1).all()")
        child.run("r.close()")


def test_a_reader_that_cannot_copy_a_frame_gets_it_later(
    name: str, transport: str, child: Console
) -> None:
    with new(name, transport, "w", np.ones(2**20)) as writer:
        child.run(f"r = {make(name, transport, 'r')}; r.read(copy=False)[0]")
        writer.write(np.full(2**20, 2.0))
        child.run("limit_memory(2**20)")
        assert child.run("attempt(r.read)") == "ENOMEM"
        assert child.run("r.frame_id") == 1
        assert child.run("float(r.read(copy=False)[1][-1])") == 2  # needs no memory
        writer.write(np.full(2**20, 3.0))
        assert child.run("attempt(r.read)") == "ENOMEM"
        child.run("free_memory()")
        assert child.run("float(r.read()[1][-1])") == 3
        for value in range(5):
            writer.write(np.full(2**20, value))
        assert writer._writer._holding.segment.table.slots == 3  # type: ignore[union-attr]  # no pin stayed
        child.run("r.close()")


def test_a_writer_that_cannot_map_a_larger_segment_keeps_the_last_frame(
    name: str, transport: str, child: Console
) -> None:
    child.run(f"w = {make(name, transport, 'w', 'np.arange(3)')}; large = {LARGE}")
    address = address_of(resolve(transport), name)
    with new(name, transport, "r") as reader:
        assert reader.read()[0]
        before = names_of(address)
        child.run(f"limit_memory({ROOM // 4})")
        for value in range(3):
            assert child.run("attempt(lambda: w.write(large))") == "ENOMEM"
            assert names_of(address) == before
            assert not reader.read()[0]
            with new(name, transport, "r") as late:
                assert late.read()[0]  # the last one, or the small one after it
            child.run(f"w.write(np.full(3, {value}))")
            assert reader.read()[1].tolist() == [value] * 3
        child.run("free_memory(); w.write(large)")
        assert reader.read()[1].sum() == 2**20
        child.run("w.close()")


def test_a_writer_that_cannot_map_its_first_frame_leaves_nothing(
    name: str, transport: str, child: Console
) -> None:
    child.run(f"large = {LARGE}; limit_memory({ROOM // 4})")
    what = make(name, transport, "w", "large")
    assert child.run(f"attempt(lambda: {what}.close())") == "ENOMEM"
    assert names_of(address_of(resolve(transport), name)) == []
    child.run("free_memory()")
    assert child.run(f"attempt(lambda: {what}.close())") == "done"


# --- no permission

NOBODY = 65534
DROP = f"import os; os.geteuid() or (os.setgroups([]), os.setgid({NOBODY}), os.setuid({NOBODY}))"


@pytest.fixture
def foreign(root: Path) -> Iterator[Path]:
    """A root in which a child after `DROP` may make files; for any user."""
    directory = root.with_name(root.name + "-foreign")
    directory.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(directory, NOBODY, NOBODY)
    yield directory
    left = os.listdir(directory)
    shutil.rmtree(directory)
    assert left == []


def without_rights(console: Callable[..., Console], transport: str, root: Path) -> Console:
    child = prepared(console(), transport)
    # What is imported at first use has to be there already: others may not enter our environment.
    child.run(f"w = NdShArray('warm', np.zeros(3), 'w', transport={transport!r})")
    child.run(f"r = NdShArray('warm', r_w='r', transport={transport!r}); r.read(copy=False)")
    child.run("r.close(); w.close(); del r, w")
    child.run(DROP)
    child.run(f"os.environ['NDSHARRAY_DIR'] = {str(root)!r}")
    return child


def test_a_root_without_write_permission_refuses_a_writer(
    name: str, transport: str, foreign: Path, console: Callable[..., Console]
) -> None:
    child = without_rights(console, transport, foreign)
    foreign.chmod(0o500)
    with pytest.raises(Failed, match="Permission denied") as caught:
        child.run(make(name, transport, "w", "np.zeros(3)"))
    assert caught.value.args[0] == "PermissionError"
    assert str(foreign) in str(caught.value)  # says where
    assert child.run(f"names({name!r})") == []
    child.run(f"r = {make(name, transport, 'r')}")
    assert child.run("r.read()[0]") is False
    foreign.chmod(0o700)
    child.run(f"w = {make(name, transport, 'w', 'np.arange(3)')}")
    assert child.run("r.read()[1].tolist()") == [0, 1, 2]
    child.run("w.close(); r.close()")


def test_a_root_that_loses_write_permission_leaves_readers_and_small_writes(
    name: str, transport: str, foreign: Path, console: Callable[..., Console]
) -> None:
    child = without_rights(console, transport, foreign)
    child.run(f"w = {make(name, transport, 'w', 'np.arange(3)')}")
    foreign.chmod(0o500)
    child.run(f"r = {make(name, transport, 'r')}")  # cannot make the lock file of an entry
    assert child.run("r.read()[1].tolist()") == [0, 1, 2]
    assert child.run("r.read(copy=False)[0], r._reader._source._entry._entry") == (False, None)
    child.run(
        "w._writer._holding.due = 0; w.write(np.full(3, 5)); valid, held = r.read(copy=False)"
    )
    assert child.run("held.tolist()") == [5, 5, 5]
    if transport == "mmap":
        with pytest.raises(Failed, match="Permission denied"):
            child.run("w.write(np.zeros(5000))")
    child.run("w.write(np.full(3, 6))")
    assert child.run("r.read(timeout=10)[1].tolist(), held.tolist()") == ([6] * 3, [5] * 3)
    foreign.chmod(0o700)
    child.run("w.write(np.zeros(5000))")
    assert child.run("r.read()[1].shape") == (5000,)
    child.run("del held; r.close(); w.close()")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be two users")
def test_another_users_root_is_refused_and_says_why(
    name: str, transport: str, root: Path, console: Callable[..., Console]
) -> None:
    with new(name, transport, "w", np.arange(3)) as writer, new(name, transport, "r") as reader:
        child = without_rights(console, transport, root)
        for mode in (0o700, 0o755):
            root.chmod(mode)
            for role in "wr":
                with pytest.raises(Failed) as caught:
                    child.run(f"{make(name, transport, role)}.read()")
                assert caught.value.args[0] == "PermissionError"
                assert "/" in str(caught.value)  # says where
        writer.write(np.arange(4))
        assert reader.read()[1].tolist() == [0, 1, 2, 3]


# --- a read-only file system

READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
PRIVATE = ["unshare", "--mount", "--propagation", "private"]


def test_a_reader_on_a_read_only_file_system_reads(
    name: str, transport: str, root: Path, console_in: Callable[[list[str]], Console]
) -> None:
    """A container that is given the directory read-only: it reads by copies, and polls."""
    with new(name, transport, "w", np.arange(3)) as writer:
        child = prepared(console_in([*PRIVATE, "sh", "-c", READ_ONLY, str(root)]), transport)
        child.run(f"r = {make(name, transport, 'r')}")
        assert child.run("r.read()[1].tolist()") == [0, 1, 2]
        child.begin("r.read(timeout=20)[1].tolist()")
        writer.write(np.arange(4))
        assert child.result() == [0, 1, 2, 3]
        writer.write(np.arange(5000))
        assert child.run("r.read(timeout=20, copy=False)[1].shape") == (5000,)
        child.run("held = r.read(copy=False)[1]")
        for value in range(5):
            writer.write(np.full(5000, value))
        assert child.run("held.tolist()") == list(range(5000))
        with pytest.raises(Failed) as caught:
            child.run(make(name, transport, "w"))
        assert "Read-only file system" in str(caught.value)
        assert str(root) in str(caught.value)
        child.run("del held; r.close()")


def test_a_writer_on_a_read_only_file_system_is_refused(
    name: str, transport: str, root: Path, console_in: Callable[[list[str]], Console]
) -> None:
    child = prepared(console_in([*PRIVATE, "sh", "-c", READ_ONLY, str(root)]), transport)
    with pytest.raises(Failed) as caught:
        child.run(make(name, transport, "w", "np.zeros(3)"))
    assert "Read-only file system" in str(caught.value)
    assert str(root) in str(caught.value)
    assert names_of(address_of(resolve(transport), name)) == []


# --- no shared-memory objects

LACKING = {
    "missing": 'mount -t tmpfs tmpfs /dev && exec "$@"',
    "not writable": 'mount -t tmpfs -o ro tmpfs /dev/shm && exec "$@"',
}


@pytest.mark.parametrize("how", LACKING)
def test_posix_shm_without_dev_shm_names_the_cure(
    name: str, how: str, tmp_path: Path, console_in: Callable[[list[str]], Console]
) -> None:
    child = prepared(console_in([*PRIVATE, "sh", "-c", LACKING[how], "sh"]), "posix_shm")
    child.run(f"os.environ['NDSHARRAY_DIR'] = {str(tmp_path / 'root')!r}")
    # Where it only cannot be written to, another's arrays may be there, to be read.
    for role in "wr" if how == "missing" else "w":
        with pytest.raises(Failed) as caught:
            child.run(make(name, "posix_shm", role))
        for part in ("/dev/shm", 'transport="mmap"', "NDSHARRAY_TRANSPORT=mmap"):
            assert part in str(caught.value)
        error = "NotADirectoryError" if how == "missing" else "PermissionError"
        assert caught.value.args[0] == error
    assert list((tmp_path / "root").iterdir()) == []
    child.run(f"w = {make(name, 'mmap', 'w', 'np.arange(3)')}")  # the cure works
    child.run(f"r = {make(name, 'mmap', 'r')}")
    assert child.run("r.read()[1].tolist()") == [0, 1, 2]
    child.run("r.close(); w.close()")


# --- no file left (inodes)

INODES = 'mount -t tmpfs -o size=24m,nr_inodes=20 tmpfs /dev/shm && exec "$@"'


def test_no_file_left_for_lock_files(
    name: str, transport: str, console_in: Callable[[list[str]], Console]
) -> None:
    child = prepared(console_in([*PRIVATE, "sh", "-c", INODES, "sh"]), transport)
    child.run("os.environ['NDSHARRAY_DIR'] = '/dev/shm/root'")
    child.run(f"w = {make(name, transport, 'w', 'np.arange(3)')}")
    define(
        child,
        """
def fill():
    count = 0
    try:
        while True:
            open(f"/dev/shm/filler{count}", "x").close()
            count += 1
    except OSError as error:
        assert error.errno == errno.ENOSPC, error
""",
    )
    child.run(f"fill(); before = names({name!r})")
    for free in range(3):  # none for a lock file; for the control segment; for the frame segment
        other = make(name + "2", transport, "w", "np.zeros(3)")
        assert child.run(f"attempt(lambda: {other})") == "ENOSPC"
        child.run("gc.collect()")
        assert child.run(f"names({name + '2'!r})") == []
        if free == 0:  # readers need no file
            child.run(f"r = {make(name, transport, 'r')}; valid, held = r.read(copy=False)")
            assert child.run("held.tolist(), r._reader._source._entry._entry") == ([0, 1, 2], None)
            assert child.run("attempt(lambda: w.write(np.zeros(5000)))") == "ENOSPC"
            child.run("w.write(np.arange(3) + 1)")
            assert child.run("r.read(timeout=10)[1].tolist()") == [1, 2, 3]
            assert child.run("held.tolist()") == [0, 1, 2]
            assert child.run(f"names({name!r}) == before")
        child.run(f"os.unlink('/dev/shm/filler{free}')")
    child.run(f"attempt(lambda: {other}.close())")
    child.run("w.write(np.zeros(5000))")
    assert child.run("r.read()[1].shape") == (5000,)
    child.run("del held; r.close(); w.close()")
    assert child.run(f"names({name!r})") == []


# --- files that somebody removes


@pytest.fixture
def address(name: str, transport: str) -> Address:
    return address_of(resolve(transport), name)


class Files:
    """The files of an array with a writer and a reader, by what they are."""

    def __init__(self, address: Address, writer: NdShArray, reader: NdShArray) -> None:
        inner: Any = (writer, reader)
        control = inner[0]._writer._holding.control
        self._address = address
        self.segments = {
            "control": address.control_name,
            "frames": address.frames(control.instance, control.tables[1].segment),
        }
        self.lock_files = {
            "writer's lock file": address.writer_lock(),
            "entry's lock file": address.entry_lock(inner[1]._reader._source._entry._entry.index),
        }

    def remove(self, *kinds: str) -> None:
        for kind in kinds:
            if kind in self.lock_files:
                os.unlink(self.lock_files[kind])
            else:
                assert self._address.transport.unlink(self.segments[kind])


KINDS = ["control", "frames", "writer's lock file", "entry's lock file"]
SETS = [
    " and ".join(kinds) for count in (1, 2, 4) for kinds in itertools.combinations(KINDS, count)
]


@pytest.mark.parametrize("moment", ["write", "grow", "read in place", "close"])
@pytest.mark.parametrize("kinds", SETS)
def test_files_that_are_removed_cost_no_frame_and_leave_nothing(
    address: Address, kinds: str, moment: str
) -> None:
    """Never a wrong frame, never one that changes; after a second the attached readers follow."""
    name, transport = address.name, address.transport
    with new(name, transport, "w", np.full(50, 1)) as writer, new(name, transport, "r") as reader:
        held = [reader.read(copy=False)[1]]
        Files(address, writer, reader).remove(*kinds.split(" and "))
        if moment == "read in place":
            writer.write(np.full(50, 2))
            held.append(reader.read(copy=False)[1])
            assert held[-1].tolist() == [2] * 50
        if moment != "close":
            look_now(writer)
            for value in range(3, 9):
                shape = 50 * value if moment == "grow" else 50
                writer.write(np.full(shape, value))
                look_now(reader)
                valid, frame = reader.read(copy=value % 2 == 0)
                assert valid
                assert frame.tolist() == [value] * shape
        assert [frame.tolist() for frame in held] == [[n] * 50 for n in range(1, len(held) + 1)]
        writer.close()
        assert [frame.tolist() for frame in held] == [[n] * 50 for n in range(1, len(held) + 1)]
        del held
    assert names_of(address) == []
    with new(name, transport, "w", np.arange(3)), new(name, transport, "r") as late:
        assert late.read()[1].tolist() == [0, 1, 2]


@pytest.mark.parametrize("kinds", SETS)
def test_a_late_reader_finds_an_array_whose_files_were_removed(
    address: Address, kinds: str
) -> None:
    """At the first write after the writer's look, which comes every ten seconds."""
    name, transport = address.name, address.transport
    with new(name, transport, "w", np.full(50, 1)) as writer, new(name, transport, "r") as reader:
        assert reader.read()[0]
        Files(address, writer, reader).remove(*kinds.split(" and "))
        look_now(writer)
        writer.write(np.full(50, 2))
        with new(name, transport, "r") as late:
            valid, frame = late.read()
            assert valid
            assert frame.tolist() == [2] * 50


def test_a_lock_file_that_was_removed_makes_two_writers_for_a_second_at_most(
    address: Address, child: Console
) -> None:
    name, transport = address.name, address.transport.name
    other = new(name, transport, "w", np.full(50, 0))
    with new(name, transport, "r") as reader:
        assert reader.read()[0]
        os.unlink(address.writer_lock())
        child.run(f"w = {make(name, transport, 'w')}")
        other._writer._holding.due = 2**63 - 1  # type: ignore[union-attr]  # its second lasts
        for value in range(1, 30):  # both write; no reader gets half of a frame, or garbage
            child.run(f"w.write(np.full({50 + value * 20}, {value}))")
            other.write(np.full(50, -value))
            frame = reader.read()[1]
            assert set(frame.tolist()) in ({value}, {-value}, {1 - value}, {value - 1})
            with new(name, transport, "r") as late:
                assert len(set(late.read()[1].tolist())) <= 1
        look_now(other)  # a second after its last look
        with pytest.raises(WriterExistsError, match=str(child.process.pid)):
            other.write(np.full(50, 99))
        assert other.closed
        other.close()
        child.run("w.write(np.full(7, 100))")
        look_now(reader)
        assert reader.read(timeout=10)[1].tolist() == [100] * 7
        child.run("w.close()")
    assert names_of(address) == []


@pytest.mark.parametrize(
    "writes", ["many", "growing", "by a successor", "after a look", "for pins"]
)
def test_frames_in_place_outlive_their_entry_lock_file(
    address: Address, child: Console, writes: str
) -> None:
    name, transport = address.name, address.transport.name
    # So many slots that all frames stay in one segment, whose slots serve again and again.
    child.run(f"w = {make(name, transport, 'w', 'np.full(50, 0)')[:-1]}, slots=9)")
    reader = new(name, transport, "r")
    held = [reader.read(copy=False)[1]]
    for value in (1, 2):
        child.run(f"w.write(np.full(50, {value}))")
        held.append(reader.read(copy=False)[1])
    inner: Any = reader
    os.unlink(address.entry_lock(inner._reader._source._entry._entry.index))  # a cleaner

    def assert_unchanged() -> None:
        assert [frame.tolist() for frame in held] == [[value] * 50 for value in range(3)]

    others = []
    for _ in range(64):  # more than there are entries
        others.append(new(name, transport, "r"))
        others[-1].read(copy=False)
    child.run("for value in range(9): w.write(np.full(50, 50 + value))")
    assert_unchanged()
    while others:
        others.pop().close()
    if writes == "by a successor":
        child.kill()
        writer = new(name, transport, "w")
    else:
        writer = None
    if writes == "after a look":
        child.run("for _ in range(3): w._writer._holding.due = 0; w.write(np.full(50, 40))")
    if writes == "for pins":
        child.run("import ndsharray._registry.entries")
        child.run(
            "ndsharray._registry.entries.clear_dead("
            "w._writer._address, w._writer._holding.control.memory)"
        )
    for value in range(30, 60):
        shape = 50 * (value - 28) if writes == "growing" else 50
        if writer is None:
            child.run(f"w.write(np.full({shape}, {value}))")
        else:
            writer.write(np.full(shape, value))
        assert_unchanged()
        assert set(reader.read()[1].tolist()) == {value}
    assert_unchanged()
    held.clear()
    reader.close()
    if writer is not None:
        writer.close()
    else:
        child.run("w.close()")
    assert names_of(address) == []


def test_a_root_that_is_removed_is_made_anew_and_readers_follow(
    address: Address, root: Path, child: Console
) -> None:
    name, transport = address.name, address.transport.name
    with new(name, transport, "w", np.arange(3)) as writer, new(name, transport, "r") as reader:
        valid, held = reader.read(copy=False)
        assert valid
        child.run(f"r = {make(name, transport, 'r')}; r.read()")
        for value in range(3):
            shutil.rmtree(root)
            writer.write(np.full(3, 70))  # not yet noticed
            assert set(reader.read()[1].tolist()) == {70}
            child.run("r.read(timeout=10)")
            child.begin("r.read(timeout=20)[1].tolist()")  # looks up the name while it waits
            look_now(writer)
            writer.write(np.full(3, value))
            assert child.result() == [value] * 3
            look_now(reader)
            assert reader.read()[1].tolist() == [value] * 3
            with new(name, transport, "r") as late:
                assert late.read()[1].tolist() == [value] * 3
            assert root.stat().st_mode & 0o777 == 0o700
        assert held.tolist() == [0, 1, 2]
        del held
        child.run("r.close()")
    assert names_of(address) == []


def test_a_root_that_is_removed_before_the_close_leaves_nothing(
    address: Address, root: Path
) -> None:
    writer = new(address.name, address.transport, "w", np.arange(3))
    reader = new(address.name, address.transport, "r")
    assert reader.read()[0]
    shutil.rmtree(root)
    writer.close()
    assert reader.read()[1].tolist() == [0, 1, 2]
    reader.close()
    assert not root.exists()
    assert names_of(address) == []


def test_a_root_that_became_something_else_is_an_error_until_it_is_back(
    address: Address, root: Path
) -> None:
    name, transport = address.name, address.transport
    with new(name, transport, "w", np.arange(3)) as writer, new(name, transport, "r") as reader:
        assert reader.read()[0]
        away = root.with_name(root.name + "-away")
        root.rename(away)
        root.touch()
        look_now(writer)
        with pytest.raises(NotADirectoryError, match=str(root)):
            writer.write(np.arange(4))
        assert reader.read()[1].tolist() == [0, 1, 2]
        root.unlink()
        away.rename(root)
        look_now(writer)
        writer.write(np.arange(5))
        look_now(reader)
        assert reader.read()[1].tolist() == [0, 1, 2, 3, 4]


# --- clocks

DAY = 86400 * 10**9


@pytest.mark.parametrize("jump", [DAY, -DAY])
def test_a_wall_clock_that_jumps_changes_nothing(
    address: Address, console: Callable[..., Console], jump: int
) -> None:
    name, transport = address.name, address.transport.name
    jumped = prepared(console(), transport)
    jumped.run(f"import time; true = time.time_ns; time.time_ns = lambda: true() + {jump}")
    with new(name, transport, "w", np.arange(3)) as writer:
        jumped.run(f"r = {make(name, transport, 'r')}")
        assert jumped.run("r.read()[1].tolist()") == [0, 1, 2]
        writer.write(np.arange(4))
        assert jumped.run("r.read(timeout=10)[1].tolist()") == [0, 1, 2, 3]
        assert 0 <= jumped.run("r.read_time_ms") < 60_000
    jumped.run(f"w = {make(name, transport, 'w', 'np.arange(5)')}")
    with new(name, transport, "r") as reader:
        assert reader.read()[1].tolist() == [0, 1, 2, 3, 4]
        assert 0 <= reader.read_time_ms < 60_000
        jumped.kill()
        with new(name, transport, "w") as writer:
            writer.write(np.arange(6))
            assert reader.frame_id == 1
            assert reader.read(timeout=10)[1].tolist() == [0, 1, 2, 3, 4, 5]
            assert reader.frame_id == 2  # it was taken over, not made anew


@pytest.mark.parametrize("jump", [DAY, -DAY])
def test_a_living_writer_is_of_this_boot_whatever_the_clock_says(
    address: Address, monkeypatch: pytest.MonkeyPatch, jump: int
) -> None:
    """Where the system has no boot id (Windows), clocks stand for it: but they can be set."""
    monkeypatch.setattr(clock, "boot_id", lambda: bytes(16))
    with new(address.name, address.transport, "w", np.arange(3)):
        true = time.time_ns
        monkeypatch.setattr(time, "time_ns", lambda: true() + jump)
        with new(address.name, address.transport, "r") as late:
            assert late.read()[1].tolist() == [0, 1, 2]


@pytest.mark.parametrize("seconds", [100_000, -100])
def test_another_time_namespace_shares_arrays(
    address: Address, console_in: Callable[[list[str]], Console], seconds: int
) -> None:
    name, transport = address.name, address.transport.name
    if time.monotonic() < 200:
        seconds = abs(seconds)  # the clock may not begin below zero
    there = console_in(["unshare", "--time", "--monotonic", str(seconds)])
    prepared(there, transport)
    shift = there.run("import time") or there.run("time.monotonic()") - time.monotonic()
    assert abs(shift - seconds) < 60
    with new(name, transport, "w", np.arange(3)) as writer:
        there.run(f"r = {make(name, transport, 'r')}")
        assert there.run("r.read()[1].tolist()") == [0, 1, 2]
        there.run("begun = time.monotonic(); waited = r.read(timeout=0.2)[0]")
        assert there.run("waited, 0.2 <= time.monotonic() - begun < 60") == (False, True)
        there.begin("r.read(timeout=20)[1].tolist()")
        writer.write(np.arange(4))
        assert there.result() == [0, 1, 2, 3]
        there.run("r.close()")
    there.run(f"w = {make(name, transport, 'w', 'np.arange(5)')}")
    with new(name, transport, "r") as reader:
        assert reader.read()[1].tolist() == [0, 1, 2, 3, 4]
        there.kill()
        with new(name, transport, "w", np.arange(6)):  # taken over across the namespaces
            assert reader.read(timeout=10)[1].tolist() == [0, 1, 2, 3, 4, 5]
            assert reader.frame_id == 2
