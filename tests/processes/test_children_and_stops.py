"""Processes that begin and end in every way: nobody is disturbed, and nothing is left for long."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from console import Console, Failed
from processes import (
    OURS,
    STOPPER,
    Namespace,
    can_unshare,
    define,
    live_and_end,
    remains,
    run_in_namespace,
    run_script,
    stopped,
    wait_for_stop,
)

from ndsharray import ClosedError, NdShArray, WriterExistsError
from ndsharray._system import at_exit

pytestmark = [
    pytest.mark.alternately,
    pytest.mark.skipif(os.name != "posix", reason="POSIX"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]

FINDING_OUT = """
from ndsharray._system import clock

def find_out(write):
    holding = w._writer._holding
    due, begun, last = holding.due, clock.now_ns(), 0  # when it looks at its lock file again
    while True:
        began = clock.now_ns()
        try:
            write()
            last = began
        except Exception as error:
            try:
                write()
            except Exception as later:
                in_time = last < due <= begun + 1_000_000_000
                return in_time, type(error).__name__, type(later).__name__
        time.sleep(0.01)  # the pace

def lend():
    with w.loan() as frame:
        frame[:] = 3
"""


@pytest.fixture(scope="module")
def standing() -> Iterator[list[Console]]:
    """A console that serves many tests: a process of one's own for each takes long to start."""
    consoles: list[Console] = []
    yield consoles
    for each in consoles:
        each.end()
        assert each.errors == ""


@pytest.fixture
def child(standing: list[Console], root: Path) -> Iterator[Console]:
    """Another process, which may be stopped and goes on; not to be killed."""
    if not standing:
        standing.append(Console())
        define(standing[0], "import gc, os, time\n" + STOPPER + FINDING_OUT)
    console = standing[0]
    console.run(f"os.environ.__setitem__('NDSHARRAY_DIR', {str(root)!r})")
    yield console
    console.process.send_signal(signal.SIGCONT)
    try:
        for held in ("held", "got", "r", "w"):
            console.run(f"globals().pop({held!r}, None) and None")
        assert console.run("gc.collect() and 'tidy' or 'tidy'") == "tidy"
    except (AssertionError, EOFError, Failed):  # the test failed, and left it in the middle
        standing.pop().kill()


LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux")

# --- children of multiprocessing, from the first line to every kind of end

ENDS = {
    "return": 0,
    "exception": 1,
    "sys.exit": 3,
    "os._exit": 4,
    "SIGTERM": -signal.SIGTERM,
    "SIGKILL": -signal.SIGKILL,
}
CLEAN = {"return", "exception", "sys.exit"}  # the child comes to its end as Python wants it


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_a_child_that_ends_disturbs_nobody(
    name: str, transport: str, root: Path, tmp_path: Path, account: Any, method: str, end: str
) -> None:
    context = multiprocessing.get_context(method)
    errors = tmp_path / "errors"
    how = {"root": str(root), "name": name, "transport": transport, "end": end}
    how["errors"] = str(errors)
    writer = NdShArray(name, np.arange(3), "w", transport=transport)
    reader = NdShArray(name, r_w="r", transport=transport)
    held = reader.read(copy=False)[1]
    pipe, its_pipe = context.Pipe()
    arguments = (how, reader, pickle.dumps(reader), its_pipe)
    child: Any = context.Process(target=live_and_end, args=arguments)
    child.start()
    its_pipe.close()
    assert pipe.recv() == [[0, 1, 2]] * 3
    of_child = NdShArray(name + " of the child", r_w="r", transport=transport)
    last = of_child.read()[1]
    assert last.tolist() == list(range(7))
    pipe.send("end")
    child.join(60)
    pipe.close()
    assert child.exitcode == ENDS[end]
    child.close()
    told = errors.read_text()
    assert ("ZeroDivisionError: on purpose" in told) == (end == "exception")
    assert told.count("Error: ") == (end == "exception")
    assert "Warning" not in told
    if end not in CLEAN:
        account(f"{end} of a {method} child", 1)

    # The parent's own: as if nothing had been.
    for value in range(20):
        writer.write(np.arange(value + 4))
        assert reader.read()[1].tolist() == list(range(value + 4))
    assert held.tolist() == [0, 1, 2]

    check_what_the_child_left(name + " of the child", transport, root, of_child, end)
    del held
    reader.close()
    of_child.close()
    writer.close()
    assert os.listdir(root) == []


def check_what_the_child_left(
    name: str, transport: str, root: Path, follower: NdShArray, end: str
) -> None:
    if end in CLEAN:
        assert [entry for entry in remains(root, name) if entry[-3:-2] != "r"] == []
    else:
        with NdShArray(name, r_w="r", transport=transport) as late:
            assert late.read()[1].tolist() == list(range(7))
    with NdShArray(name, r_w="w", transport=transport) as following:
        assert follower.read()[1].tolist() == list(range(7))  # until the next frame
        following.write(np.arange(9))
        assert follower.read(timeout=10)[1].tolist() == list(range(9))
        assert following.frame_id == (1 if end in CLEAN else 4)
    assert [entry for entry in remains(root, name) if entry[-3:-2] != "r"] == []


# --- exceptions in a loan


def raise_in_loan(writer: NdShArray, error: type[BaseException]) -> None:
    with writer.loan() as frame:
        frame[:] = 9
        raise error


def ctrl_c_in_loan(writer: NdShArray, _: type[BaseException]) -> None:
    with writer.loan() as frame:
        frame[:] = 9
        signal.raise_signal(signal.SIGINT)


def close_generator_in_loan(writer: NdShArray, error: type[BaseException]) -> None:
    def generator() -> Iterator[None]:
        with writer.loan() as frame:
            frame[:] = 9
            yield

    suspended = generator()
    next(suspended)
    suspended.close()  # raises GeneratorExit inside
    raise error


RAISE = {
    "Exception": (raise_in_loan, Exception),
    "MemoryError": (raise_in_loan, MemoryError),
    "KeyboardInterrupt": (raise_in_loan, KeyboardInterrupt),
    "SystemExit": (raise_in_loan, SystemExit),
    "GeneratorExit": (raise_in_loan, GeneratorExit),
    "Ctrl-C": (ctrl_c_in_loan, KeyboardInterrupt),
    "generator closed": (close_generator_in_loan, GeneratorExit),
}


@pytest.mark.parametrize("how", RAISE)
def test_whatever_ends_a_loan_early_publishes_nothing(
    name: str, transport: str, root: Path, how: str
) -> None:
    act, error = RAISE[how]
    with NdShArray(name, np.arange(3), "w", transport=transport) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            assert reader.read()[0]
            before = remains(root, name)
            for count in range(1, 8):  # in every slot
                with pytest.raises(error):
                    act(writer, error)
                assert not reader.read()[0]
                assert reader.read()[1].tolist() == [0, 1, count + 1]
                assert writer.frame_id == count
                writer.write(np.array([0, 1, count + 2]))
                assert reader.read()[1].tolist() == [0, 1, count + 2]
            assert reader.missed == 0
            assert remains(root, name) == before


LOAN_HEAD = """
import contextlib, os, signal, sys, threading
import numpy as np
from ndsharray import NdShArray
w = NdShArray(sys.argv[1], np.arange(3), "w", transport=sys.argv[2])
print("begin", flush=True)
sys.stdin.readline()
"""

# How the interpreter ends while a loan is open: code, exit code, what is the last line of stderr.
LOAN_ENDS = {
    "sys.exit": ("with w.loan() as f:\n    f[:] = 9\n    sys.exit(3)", 3, ""),
    "exception": ("with w.loan() as f:\n    f[:] = 9\n    1 / 0", 1, "ZeroDivisionError"),
    "Ctrl-C": (
        "with w.loan() as f:\n    f[:] = 9\n    signal.raise_signal(2)",
        -signal.SIGINT,
        "KeyboardInterrupt",
    ),
    "never ended": ("loan = w.loan()\nf = loan.__enter__()\nf[:] = 9", 0, ""),
    "exit stack": ("s = contextlib.ExitStack()\ns.enter_context(w.loan())[:] = 9", 0, ""),
    "generator": (
        """
def fill():
    with w.loan() as f:
        f[:] = 9
        yield f
g = fill()
f = next(g)
""",
        0,
        "",
    ),
    "daemon thread": (
        """
filled = threading.Event()
def fill():
    with w.loan() as f:
        f[:] = 9
        filled.set()
        threading.Event().wait()
threading.Thread(target=fill, daemon=True).start()
filled.wait()
""",
        0,
        "",
    ),
    "os._exit": ("with w.loan() as f:\n    f[:] = 9\n    os._exit(4)", 4, ""),
    "SIGTERM": (
        "with w.loan() as f:\n    f[:] = 9\n    os.kill(os.getpid(), 15)",
        -signal.SIGTERM,
        "",
    ),
}


@pytest.mark.parametrize("end", LOAN_ENDS)
def test_the_end_of_the_interpreter_inside_a_loan_publishes_nothing(
    name: str, transport: str, root: Path, end: str
) -> None:
    code, exit_code, last_line = LOAN_ENDS[end]
    child = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", LOAN_HEAD + code, name, transport],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    child.stdout.readline()
    with NdShArray(name, r_w="r", transport=transport) as reader:
        assert reader.read()[1].tolist() == [0, 1, 2]
        _, errors = child.communicate("go on\n", timeout=60)
        assert child.returncode == exit_code
        assert errors.rstrip().rpartition("\n")[2].partition(":")[0] == last_line
        assert "Exception ignored" not in errors
        assert not reader.read()[0]
        assert list(reader.frames(0)) == []
        if end in ("os._exit", "SIGTERM"):
            with NdShArray(name, np.arange(4), "w", transport=transport) as following:
                assert following.frame_id == 2
                assert reader.read()[1].tolist() == [0, 1, 2, 3]
    assert os.listdir(root) == []


# --- the order in which things go at the end of the interpreter

END_HEAD = """
import sys
def early():
    pass
import atexit
atexit.register(lambda: early())  # before the library is imported: it runs after the library's own
import contextvars, functools, gc, threading, weakref
import numpy as np
from ndsharray import ClosedError, NdShArray
def make(role="w", suffix=""):
    return NdShArray(sys.argv[1] + suffix, np.arange(5000), role, transport=sys.argv[2])
def check(array):
    assert (array == np.arange(5000)).all()
"""

HOLDERS = {
    "globals, the reader first": "a = make(); b = make('r'); c = b.read(copy=False)[1]",
    "names that sort the other way": "_b = make(); _a = make('r'); __c = _a.read(copy=False)[1]",
    "a cycle of both sides": """
w, r = make(), make("r")
w.other, r.other = r, w
w.held = r.read(copy=False)[1]
w.frames = r.frames(0)
del w, r
""",
    "a cycle, and the collector is off": """
gc.disable()
w = make(); w.me = w; w.reader = make("r"); w.held = w.reader.read(copy=False)[1]
del w
""",
    "an atexit handler that writes, registered after": """
w = make(); r = make("r")
atexit.register(lambda: (w.write(np.arange(9)), check(held), print(r.read()[1].size)))
held = r.read(copy=False)[1]
""",
    "an atexit handler that writes, registered before all": """
w = make(); r = make("r"); held = r.read(copy=False)[1]
def early():
    for use in (lambda: w.write(held), lambda: w.loan().__enter__(), r.read):
        try:
            use()
        except ClosedError:
            print(end="closed ")
        else:
            raise AssertionError("it still works")
    print(w, r)
    w.close(); r.close()
""",
    "an atexit handler that makes everything": """
def late():
    global w, r, held
    w = make(); r = make("r"); held = r.read(copy=False)[1]
    check(held)
atexit.register(late)
""",
    "the very last atexit handler makes everything": """
def early():
    global w, r, held
    w = make(); r = make("r"); held = r.read(copy=False)[1]
    check(held)
    del held, r
    w.close()
""",
    "daemon threads that write, wait and hold": """
w = make()
started = threading.Barrier(4)
def write():
    started.wait()
    try:
        while True:
            w.write(np.arange(5000))
    except ClosedError:
        pass
def wait():
    r = make("r"); r.read(); started.wait()
    try:
        while True:
            r.read(timeout=None)
    except ClosedError:
        pass
def hold():
    r = make("r"); held = r.read(copy=False)[1]; started.wait()
    threading.Event().wait()
for target in (write, wait, hold):
    threading.Thread(target=target, daemon=True).start()
started.wait()
""",
    "a thread that goes on when the main one has ended": """
w, r = make(), make("r")
def go_on():
    threading.main_thread().join()
    for size in range(1, 50):
        w.write(np.arange(size))
        assert r.read()[1].size == size
threading.Thread(target=go_on).start()
""",
    "class attributes": """
class Camera:
    w = make()
    r = make("r")
    held = r.read(copy=False)[1]
""",
    "functools.lru_cache": """
@functools.lru_cache(None)
def side(role):
    return make(role)
@functools.lru_cache(None)
def frame():
    return side("r").read(copy=False)[1]
side("w"); frame()
""",
    "arrays in place that outlive reader and writer": """
w = make(); r = make("r")
held = [r.read(copy=False)[1][i:] for i in range(3)]
r.close(); w.close(); del r
""",
    "arrays in place of a collected reader": """
w = make()
held = [make("r").read(copy=False)[1] for _ in range(3)]
""",
    "modules, and things that numpy and threads hold": """
w = make(); np.writer = w
r = make("r"); sys.reader = r; sys.modules["frame"] = r.read(copy=False)[1]
local = threading.local(); local.w = make("w", "2")
variable = contextvars.ContextVar("w"); variable.set(make("w", "3"))
""",
    "a traceback": """
def fail():
    w, r = make(), make("r")
    held = r.read(copy=False)[1]
    raise ValueError
try:
    fail()
except ValueError as e:
    error = e
""",
    "a __del__ that uses and closes": """
class Camera:
    def __init__(self):
        self.w, self.r = make(), make("r")
        self.held = self.r.read(copy=False)[1]
    def __del__(self):
        assert int(self.held[4999]) == 4999
        try:
            self.w.write(self.held); self.r.read()
        except ClosedError:
            pass
        self.r.close(); self.w.close()
camera = Camera()
camera.me = camera
""",
    "a finalizer of the user's that closes": """
w, r = make(), make("r")
class Owner: pass
owner = Owner()
weakref.finalize(owner, w.close); weakref.finalize(owner, r.close)
""",
    "a suspended frames() and a waiting coroutine": """
import asyncio
w, r, s = make(), make("r"), make("r")
frames = iter(s.frames(0.5, copy=False)); first = next(frames); check(first)
async def main():
    r.read()
    global task
    task = asyncio.ensure_future(r.read_async())
    await asyncio.sleep(0)
asyncio.run(main())
""",
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_whoever_holds_it_to_the_end_the_end_is_clean(
    name: str, transport: str, root: Path, holder: str
) -> None:
    ended = run_script(END_HEAD + HOLDERS[holder], name, transport)
    assert ended.stderr == ""
    assert ended.returncode == 0
    assert os.listdir(root) == []
    assert remains(root, name) == []


@pytest.mark.parametrize("how", ["read", "frames", "in place"])
def test_a_daemon_thread_that_waits_at_exit_leaves_no_lock_file_of_its_reader(
    name: str, transport: str, root: Path, how: str
) -> None:
    code = f"""
import sys, threading
from ndsharray import ClosedError, NdShArray
r = NdShArray(sys.argv[1], r_w="r", transport=sys.argv[2])
first = threading.Event()
def follow():
    try:
        while True:
            if {how!r} == "frames":
                next(r.frames(None))
            else:
                r.read(timeout=None, copy={how != "in place"})
            first.set()
    except ClosedError:
        pass  # at exit
threading.Thread(target=follow, daemon=True).start()
first.wait()
"""
    with NdShArray(name, np.arange(3), "w", transport=transport):
        before = remains(root, name)
        ended = run_script(code, name, transport)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert remains(root, name) == before


# What a daemon thread does when the program ends; it must not come back from there.
DAEMON = {
    "read": "r.read(timeout=None)",
    "read, no writer": "nobody.read(timeout=None)",
    "read in place": "held = r.read(copy=False)[1]; r.read(timeout=None, copy=False)",
    "short reads": "while True: r.read(timeout=0.01); nobody.read()",
    "frames": "for frame in r.frames(): pass",
    "frames, no writer": "for frame in nobody.frames(): pass",
    "read_async": "asyncio.run(wait_for(r))",
    "read_async, no writer": "asyncio.run(wait_for(nobody))",
    "read_async, in tasks": "asyncio.run(wait_in_tasks())",
    "write": "while True: w.write(w_array)",
    "loan": "while True:\n        with w.loan(): pass",
    "a thread pool": "multiprocessing.pool.ThreadPool(1).apply(lambda: r.read(timeout=None))",
}
DAEMON_CODE = """
import sys
sys.path[:] = {path!r}
import asyncio, logging, multiprocessing.pool, threading
import numpy as np
from ndsharray import NdShArray
# With -X dev it tells of steps that took 0.1 s, as they do on a busy machine.
logging.getLogger("asyncio").setLevel(logging.ERROR)
w_array = np.zeros((300, 300))
w = NdShArray({name!r}, w_array, "w", transport={transport!r})
r = NdShArray({name!r}, r_w="r", transport={transport!r})
nobody = NdShArray({name!r} + " nobody", r_w="r", transport={transport!r})
r.read()
begun = threading.Event()
async def wait_for(reader):
    await reader.read_async()
    await reader.read_async()
async def wait_in_tasks():
    await asyncio.gather(*[asyncio.create_task(wait_for(each)) for each in (r, nobody)])
def run():
    begun.set()
    {what}
def run_and_tell():
    try:
        run()
    finally:
        print("came back", flush=True)
threading.Thread(target=run_and_tell, daemon=True).start()
begun.wait()
threading.Event().wait(0.05)  # it may be anywhere, but as a rule it waits
"""


@pytest.mark.parametrize("what", DAEMON)
def test_a_daemon_thread_does_not_come_back_when_the_program_ends(
    name: str, transport: str, root: Path, what: str
) -> None:
    flags = [["-W", "error", "-X", "dev"], ["-O"], ["-S"], ["-I", "-B"]]
    programs = []
    for number, each in enumerate(flags):
        code = DAEMON_CODE.format(
            path=sys.path, name=f"{name} {number}", transport=transport, what=DAEMON[what]
        )
        command = [sys.executable, *each, "-c", code]
        pipe = subprocess.PIPE
        programs.append(subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True))
    for each, program in zip(flags, programs):
        output, errors = program.communicate(timeout=60)
        assert (each, program.returncode, output, errors) == (each, 0, "", "")
    assert os.listdir(root) == []


@pytest.mark.parametrize("how", ["r.read(timeout=None)", "w.write(np.zeros(3))"])
def test_a_daemon_thread_that_is_stopped_does_not_keep_a_lock_for_ever(
    name: str, transport: str, how: str
) -> None:
    code = f"""
import atexit, sys, threading
lock, begun = threading.Lock(), threading.Event()
@atexit.register  # before the library registers anything: so it runs after that
def late():
    with lock:
        print("late")
import numpy as np
from ndsharray import NdShArray
w = NdShArray(sys.argv[1], np.zeros(3), "w", transport=sys.argv[2])
r = NdShArray(sys.argv[1], r_w="r", transport=sys.argv[2])
def run():
    with lock:
        begun.set()
        while True:
            {how}
threading.Thread(target=run, daemon=True).start()
begun.wait()
"""
    ended = run_script(code, name, transport)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "late\n", "")


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_daemon_thread_of_a_child_of_multiprocessing_does_not_come_back(
    name: str, transport: str, root: Path, tmp_path: Path, method: str
) -> None:
    script = tmp_path / "child.py"
    script.write_text("""
import multiprocessing.util, sys, threading
from ndsharray import NdShArray
kept = []
def live(name, transport):
    kept.append(NdShArray(name, r_w="r", transport=transport))
    begun = threading.Event()
    def run():
        kept[0].read()
        begun.set()
        kept[0].read(timeout=None)
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    begun.wait()
    # After ours: time for a thread that comes back.
    multiprocessing.util.Finalize(None, thread.join, args=(0.5,), exitpriority=-101)
if __name__ == "__main__":
    child = multiprocessing.get_context(sys.argv[1]).Process(target=live, args=sys.argv[2:])
    child.start()
    child.join()
    sys.exit(child.exitcode)
""")
    with NdShArray(name, np.zeros(3), "w", transport=transport):
        before = remains(root, name)
        command = [sys.executable, str(script), method, name, transport]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
        assert remains(root, name) == before


# --- descriptors of children that are other programs

LAUNCH = {
    "subprocess": "subprocess.Popen(['sleep', '99']).pid",
    "close_fds=False": "subprocess.Popen(['sleep', '99'], close_fds=False).pid",
    "a new session": "subprocess.Popen(['sleep', '99'], close_fds=False, preexec_fn=os.setsid).pid",
    "os.posix_spawn": "os.posix_spawn('/bin/sleep', ['sleep', '99'], {})",
    "os.spawnv": "os.spawnv(os.P_NOWAIT, '/bin/sleep', ['sleep', '99'])",
    "fork": (
        "(p := multiprocessing.get_context('fork').Process(target=signal.pause)).start() or p.pid"
    ),
    "multiprocessing": (
        "(p := multiprocessing.get_context('spawn').Process(target=signal.pause)).start() or p.pid"
    ),
}


def opened_by(pid: int) -> list[str]:
    """Return what a process has open."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(os.readlink(entry))
        except FileNotFoundError:
            pass  # closed just now: it is still starting
    return found


@LINUX
@pytest.mark.parametrize("how", LAUNCH)
def test_a_child_that_lives_long_keeps_nothing_of_a_killed_parent(
    name: str, transport: str, root: Path, console: Any, account: Any, how: str
) -> None:
    parent = console()
    parent.run("import multiprocessing, os, signal, subprocess")
    parent.run(f"w = NdShArray({name!r}, np.arange(3), 'w', transport={transport!r})")
    parent.run(f"r = NdShArray({name!r}, r_w='r', transport={transport!r})")
    parent.run("held = r.read(copy=False)[1]")
    pid = parent.run(LAUNCH[how])
    try:
        if how in ("os.spawnv", "multiprocessing"):  # which return before the other program runs
            own = Path(f"/proc/{parent.process.pid}/cmdline").read_bytes()
            while Path(f"/proc/{pid}/cmdline").read_bytes() in (own, b""):  # empty: half way
                os.sched_yield()
        if (
            how != "fork"
        ):  # which has the descriptors of mappings, and drops lock files when it begins
            assert [target for target in opened_by(pid) if re.search(OURS, target)] == []
        parent.process.kill()  # its standard streams are the child's too: no end of file
        parent.process.wait()
        account("SIGKILL of a parent whose child lives on", 1)
        begun = time.monotonic()
        with NdShArray(name, np.arange(4), "w", transport=transport) as writer:
            assert time.monotonic() - begun < 5
            assert writer.frame_id == 2
            assert [entry for entry in remains(root, name) if entry[-3:-2] == "r"] == []
            os.kill(pid, 0)  # it lives
    finally:
        os.kill(pid, signal.SIGKILL)
        parent.end()
    assert os.listdir(root) == []


# --- process ids


def write_pid(reader: NdShArray, pid: int) -> None:
    """Have a dead writer's process id be somebody else's by now."""
    reader._reader._source.cursor.instance.memory.words[74] = pid  # type: ignore[union-attr]


@pytest.mark.parametrize("whose", ["the next writer's", "a bystander's", "nobody's", "process 1"])
def test_a_pid_that_is_somebody_elses_by_now_means_nothing(
    name: str, transport: str, console: Any, whose: str
) -> None:
    first, other = console(), console()
    first.run(f"w = NdShArray({name!r}, np.arange(3), 'w', transport={transport!r})")
    first.kill()
    other_pid = other.run("__import__('os').getpid()")
    pids = {"the next writer's": os.getpid(), "a bystander's": other_pid, "process 1": 1}
    with NdShArray(name, r_w="r", transport=transport) as reader:
        write_pid(reader, pids.get(whose, 2**31 - 2))
        with NdShArray(name, np.arange(4), "w", transport=transport) as writer:
            assert writer.frame_id == 2
            assert reader.read()[1].tolist() == [0, 1, 2, 3]
            # The error names the process that has it now.
            with pytest.raises(Failed, match=f"WriterExistsError.*process {os.getpid()}"):
                other.run(f"NdShArray({name!r}, r_w='w', transport={transport!r})")


REUSE = """
import subprocess, sys
import numpy as np
from ndsharray import NdShArray
name, transport = sys.argv[1:]
head = "import sys, numpy as np; from ndsharray import *; print(0, flush=True); "
make = "w = NdShArray(sys.argv[1], np.arange(3), 'w', transport=sys.argv[2]); "
first = subprocess.Popen([sys.executable, "-c", head.replace("print", make + "print") + "input()",
    name, transport], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
first.stdout.readline()
pid = first.pid
first.kill()
first.communicate()
with open("/proc/sys/kernel/ns_last_pid", "w") as last:
    last.write(str(pid - 1))
second = subprocess.Popen(["sleep", "99"])
assert second.pid == pid, (second.pid, pid)
with NdShArray(name, r_w="r", transport=transport) as reader:
    assert reader.read()[1].tolist() == [0, 1, 2]
    with NdShArray(name, np.arange(4), "w", transport=transport) as writer:
        assert reader.read()[1].tolist() == [0, 1, 2, 3]
second.kill()
second.wait()
print("done")
"""


@pytest.fixture
def namespace(root: Path) -> Iterator[Callable[[], Namespace]]:
    """Start consoles in namespaces of process ids of their own."""
    if not can_unshare():
        pytest.skip("needs the right to make namespaces")
    consoles: list[Namespace] = []

    def start() -> Namespace:
        consoles.append(Namespace())
        return consoles[-1]

    yield start
    for each in consoles:
        each.end()


@LINUX
def test_a_pid_that_the_kernel_gave_out_again_means_nothing(
    name: str, transport: str, root: Path
) -> None:
    if not can_unshare() or os.geteuid() != 0:
        pytest.skip("needs the right to choose the next process id")
    ended = run_in_namespace(REUSE, name, transport)
    assert (ended.stderr, ended.stdout) == ("", "done\n")
    assert os.listdir(root) == []


@LINUX
def test_a_writer_in_another_namespace_lives_and_dies_for_all(
    name: str, transport: str, console: Any, namespace: Any, account: Any
) -> None:
    inside, outside = namespace(), console()
    make = f"w = NdShArray({name!r}, np.arange(3), 'w', transport={transport!r})"
    inside.run(make)
    assert inside.run("__import__('os').getpid()") == 1  # nobody outside can ask for that one
    with NdShArray(name, r_w="r", transport=transport) as reader:
        assert reader.read()[1].tolist() == [0, 1, 2]
        with pytest.raises(Failed, match="WriterExistsError"):
            outside.run(make)
        # Process 1 of another namespace has the same id as the writer, and is refused as well.
        other = namespace()
        with pytest.raises(Failed, match="WriterExistsError"):
            other.run(make)
        inside.begin("w.write(np.arange(4))")
        assert reader.read(timeout=20)[1].tolist() == [0, 1, 2, 3]  # futexes reach across
        inside.result()
        inside.kill()
        account("SIGKILL of a writer in another namespace", 1)
        assert not reader.read()[0]
        outside.run(make)  # takes over, and is refused to the other namespace in turn
        assert outside.run("w.frame_id") == 3
        assert reader.read()[1].tolist() == [0, 1, 2]
        with pytest.raises(Failed, match="WriterExistsError"):
            other.run(make)
        outside.kill()
        other.run(make)
        assert reader.read()[1].tolist() == [0, 1, 2]
        assert reader.frame_id == 4


@LINUX
def test_readers_in_another_namespace_live_and_die_for_the_writer(
    name: str, transport: str, root: Path, namespace: Any, account: Any
) -> None:
    living, dying = namespace(), namespace()
    with NdShArray(name, np.arange(3), "w", transport=transport) as writer:
        for child in (living, dying):
            child.run(f"r = NdShArray({name!r}, r_w='r', transport={transport!r})")
            child.run("held = r.read(copy=False)[1]")
        dying.kill()
        account("SIGKILL of a reader in another namespace", 1)
        for value in range(50):  # needs slots: the dead one's pin goes, not the living one's
            writer.write(np.arange(3) + value)
        for _ in range(2):  # what was set at two looks, a second apart, is looked into
            writer._writer._holding.due = 0  # type: ignore[union-attr]
            writer.write(np.arange(3) + 49)
        pins = writer._writer._holding.control.memory.group(832, 1080).tobytes()  # type: ignore[union-attr]
        assert len(pins) - pins.count(0) == 1
        assert living.run("held.tolist()") == [0, 1, 2]
        assert living.run("r.read()[1].tolist()") == [49, 50, 51]
    living.run("del held; r.close()")
    assert os.listdir(root) == []


# --- stopped writers

FLOOD = """
import threading, itertools
def flood(pause=0.0):
    import time
    try:
        for count in itertools.count():
            w.write(np.full(4000 + count % 3, count))
            time.sleep(pause)  # the pace
    except Exception as error:
        ended.append((time.monotonic(), type(error).__name__))
ended = []
def start():
    threading.Thread(target=flood, daemon=True).start()
"""


def whole(frame: Any) -> bool:
    return bool((frame == frame[0]).all())


@pytest.mark.times(1, 200)
def test_a_writer_that_is_stopped_for_long_keeps_its_array(
    name: str, transport: str, console: Any, account: Any, times: int
) -> None:
    child, other = console(), console()
    pid = child.process.pid
    child.run(f"w = NdShArray({name!r}, np.zeros(4000), 'w', transport={transport!r})")
    define(child, FLOOD)
    child.run("start()")
    with NdShArray(name, r_w="r", transport=transport) as reader:
        for _ in range(times):
            assert reader.read(timeout=20)[0]
            with stopped(child):
                account("SIGSTOP of a writer", 1)
                reader.read()
                last = reader.read()[1]
                assert whole(last)
                begun = time.monotonic()
                # Longer than the patience of a successor (0.25 s), a nap (0.25 s), a look (1 s).
                assert reader.read(timeout=0.5) == (False, last)
                assert 0.5 <= time.monotonic() - begun < 5
                with pytest.raises(Failed, match=f"WriterExistsError.*process {pid}\\)"):
                    other.run(f"NdShArray({name!r}, r_w='w', transport={transport!r})")
                with NdShArray(name, r_w="r", transport=transport) as late:
                    valid, frame = late.read()
                    assert valid
                    assert (frame == last).all()
                    assert list(late.frames(0.4)) == []
            before = reader.frame_id
            assert reader.read(timeout=20)[0]
            assert reader.frame_id > before
    child.kill()
    other.end()
    NdShArray(name, r_w="w", transport=transport).close()


@pytest.mark.parametrize("wake", ["write", "loan", "close", "del"])
def test_a_stopped_writer_without_its_lock_file_can_be_replaced_and_finds_out(
    name: str, transport: str, root: Path, child: Console, account: Any, wake: str
) -> None:
    child.run(f"w = NdShArray({name!r}, np.full(9, 1), 'w', transport={transport!r})")
    reader = NdShArray(name, r_w="r", transport=transport)
    assert reader.read()[0]
    with stopped(child):
        account("SIGSTOP of a writer that is replaced", 1)
        (lock_file,) = root.glob("*-w")
        lock_file.unlink()
        second = NdShArray(name, np.full(9, 2), "w", transport=transport)
        assert reader.read()[1].tolist() == [2] * 9
    if wake in ("close", "del"):  # it owns nothing any more, and removes nothing
        child.run("w.close()" if wake == "close" else "exec('del w')")
    else:
        write = "lend" if wake == "loan" else "lambda: w.write(np.full(9, 3))"
        child.begin(f"find_out({write})")
        in_time, error, again = child_result(child, reader, second)
        assert (error, again) == ("WriterExistsError", "ClosedError")
        assert in_time, "it wrote for longer than a second"
    second.write(np.full(9, 4))
    assert reader.read(timeout=10)[1].tolist() == [4] * 9
    with NdShArray(name, r_w="r", transport=transport) as late:
        assert late.read()[1].tolist() == [4] * 9
    reader.close()
    second.close()


def child_result(child: Console, reader: NdShArray, second: NdShArray) -> Any:
    """Write and read beside a replaced writer until it has found out; return its answer."""
    answer: list[Any] = []
    import threading

    waiting = threading.Thread(target=lambda: answer.append(child.result()))
    waiting.start()
    while waiting.is_alive():
        second.write(np.full(9, 2))
        valid, frame = reader.read(timeout=0.02)
        if valid:
            assert frame.tolist() in ([2] * 9, [3] * 9)  # a whole frame of one of the two
    waiting.join()
    return answer[0]


# Where a writer is stopped inside a write that fits, and inside one that grows.
STEPS = [
    ("ndsharray._protocol.writing.WriteSide", "begin", 9),
    ("ndsharray._writer.segment.FrameSegment", "fill", 9),
    ("ndsharray._protocol.writing.WriteSide", "publish", 9),
    ("ndsharray._writer.control.ControlSegment", "next_segment", 9000),
    ("ndsharray._writer.control.ControlSegment", "set_table", 9000),
    ("ndsharray._protocol.writing.WriteSide", "publish", 9000),
    ("ndsharray._writer.control.ControlSegment", "remove_frames", 9000),
]


def stop_inside(child: Console, where: str, step: str, size: int) -> None:
    """Have a console stop itself inside its next write."""
    child.run(f"import {where.rpartition('.')[0]}")
    child.run(f"stop_before({where}, {step!r})")
    child.begin(f"w.write(np.full({size}, 3))")


@pytest.mark.parametrize(("where", "step", "size"), STEPS)
def test_a_writer_that_is_stopped_inside_a_write_leaves_the_last_frame(
    name: str, transport: str, child: Console, account: Any, where: str, step: str, size: int
) -> None:
    child.run(f"w = NdShArray({name!r}, np.full(9, 1), 'w', transport={transport!r})")
    with NdShArray(name, r_w="r", transport=transport) as reader:
        stop_inside(child, where, step, size)
        with stopped(child, by_itself=True):
            account("SIGSTOP of a writer", 1)
            published = step == "remove_frames" and reader.read()[1].size == size
            expected = [3] * size if published else [1] * 9
            assert reader.read()[1].tolist() == expected
            with NdShArray(name, r_w="r", transport=transport) as late:
                assert late.read()[1].tolist() == expected
            assert not reader.read(timeout=0.1)[0]
        child.result()
        reader.read(timeout=10)
        assert reader.read()[1].tolist() == [3] * size
        child.run("w.close()")


@pytest.mark.parametrize(("where", "step", "size"), STEPS)
def test_a_writer_that_was_replaced_inside_a_write_makes_no_wrong_frame(
    name: str, transport: str, root: Path, child: Console, where: str, step: str, size: int
) -> None:
    child.run(f"w = NdShArray({name!r}, np.full(9, 1), 'w', transport={transport!r})")
    reader = NdShArray(name, r_w="r", transport=transport)
    assert reader.read()[0]
    stop_inside(child, where, step, size)
    with stopped(child, by_itself=True):
        (lock_file,) = root.glob("*-w")
        lock_file.unlink()
        second = NdShArray(name, np.full(9, 2), "w", transport=transport)
        assert reader.read()[1].tolist() == [2] * 9
        second.write(np.full(9, 2))
    with pytest.raises(Failed, match=r"WriterExistsError|FileExistsError"):
        child.result()  # may well come to its end: it has looked at its lock file just before
        child.run("w._writer._holding.due = 0")  # a second has passed
        child.run("w.write(np.full(9, 3))")
    second._writer._holding.due = 0  # type: ignore[union-attr]  # and here: it mends what was done to it
    for value in range(4, 8):
        second.write(np.full(9, value))
        valid, frame = reader.read(timeout=10)
        assert valid
        assert frame.tolist() == [value] * 9
        with NdShArray(name, r_w="r", transport=transport) as late:
            assert late.read()[1].tolist() == [value] * 9
    reader.close()
    second.close()


# --- stopped readers

READER_STEPS = [
    ("ndsharray._protocol.reading.ReadSide", "head", "r.read()"),
    ("ndsharray._protocol.reading.ReadSide", "confirm", "r.read(copy=False)"),
    ("ndsharray._reader.instance.Instance", "decode", "r.read()"),
    ("ndsharray._reader.instance.Instance", "follow", "r.read()"),
    ("ndsharray._reader.instance.Instance", "table", "r.read()"),
    ("ndsharray._protocol.reading.ReadSide", "pin", "r.read(copy=False)"),
    ("ndsharray._reader.pins.Pins", "guard", "r.read(copy=False)"),
    ("ndsharray._protocol.reading.ReadSide", "begin_waiting", "r.read(timeout=30)"),
    ("ndsharray._system.wait.Waiter", "sleep", "r.read(timeout=30)"),
    ("ndsharray._protocol.reading.ReadSide", "end_waiting", "r.read(timeout=30)"),
    (
        "ndsharray._reader.own_entry",
        "claim",
        "NdShArray(r.name, r_w='r', transport=r.transport).read()",
    ),
]


def write_beside(writer: NdShArray, root: Path) -> None:
    """Write on, sometimes more than fits; nothing holds it up, and nothing piles up."""
    took = []
    for value in range(300):
        begun = time.monotonic()
        writer.write(np.full(50 + 8 * value, value))
        took.append(time.monotonic() - begun)
    assert sorted(took)[-2] < 1.0  # seconds; it waits for nobody, but others use this machine
    names = [entry for entry in remains(root, writer.name) if "-" not in entry]
    assert len(names) == 2  # control segment, one frame segment
    frames: Any = writer._writer._holding.segment  # type: ignore[union-attr]
    assert frames.table.slots <= 3 + 2 * 4


@pytest.mark.parametrize(("where", "step", "read"), READER_STEPS)
def test_a_reader_that_is_stopped_anywhere_holds_nobody_up(
    name: str,
    transport: str,
    root: Path,
    child: Console,
    account: Any,
    where: str,
    step: str,
    read: str,
) -> None:
    with NdShArray(name, np.full(9, 1), "w", transport=transport) as writer:
        child.run(f"r = NdShArray({name!r}, r_w='r', transport={transport!r})")
        if "timeout" in read:
            child.run("r.read()[0]")
        if step in ("follow", "table"):
            writer.write(np.full(40, 1))  # grew
        module, _, kind = where.rpartition(".")
        child.run(f"import {where if kind.startswith('_') else module}")
        child.run(f"stop_before({where}, {step!r})")
        child.begin(f"got = {read}")
        if step == "end_waiting":
            wake_when_it_waits(writer)
        wait_for_stop(child)
        account("SIGSTOP of a reader", 1)
        try:
            write_beside(writer, root)
        finally:
            child.process.send_signal(signal.SIGCONT)
        child.result()
        assert child.run("got[0]") is True
        assert child.run("bool((got[1] == got[1][0]).all())") is True
        # Whatever it was doing: that read, or at the latest the next one, gives the newest.
        assert child.run("[r.read(), r.read()[1].tolist()][1]") == [299] * (50 + 8 * 299)
        write_beside(writer, root)
        child.run("r.close()")


def wake_when_it_waits(writer: NdShArray) -> None:
    """Write as soon as a reader says that it waits."""
    control: Any = writer._writer._holding.control.memory  # type: ignore[union-attr]
    while not any(control.group(768, 768 + 62).tobytes()):
        os.sched_yield()
    writer.write(np.full(9, 1))


def test_a_stopped_reader_keeps_its_pins_and_costs_the_writer_nothing_more(
    name: str, transport: str, root: Path, child: Console, account: Any
) -> None:
    with NdShArray(name, np.full(9, 0), "w", transport=transport) as writer:
        child.run(f"r = NdShArray({name!r}, r_w='r', transport={transport!r}); held = []")
        for value in range(1, 5):
            writer.write(np.full(9, value))
            child.run("held.append(r.read(copy=False)[1])")
        with stopped(child):
            account("SIGSTOP of a reader", 1)
            write_beside(writer, root)
            write_beside(writer, root)
        assert child.run("[array.tolist() for array in held]") == [[v] * 9 for v in range(1, 5)]
        assert child.run("int(r.read()[1][0])") == 299
        child.run("[held.clear(), r.close()][0]")


FOLLOW = """
import threading
wrong, stop, last = [], [], [-1]
def follow(copy):
    while not stop:
        valid, frame = r.read(timeout=0.05, copy=copy)
        if valid:
            if not (frame == frame[0]).all() or frame[0] < last[0]:
                wrong.append(frame)
            last[0] = frame[0]
def start(copy):
    global thread
    thread = threading.Thread(target=follow, args=(copy,))
    thread.start()
def until(value):
    while last[0] < value and thread.is_alive():
        pass
    stop.append(1)
    thread.join()
"""


@pytest.mark.times(5, 1000)
@pytest.mark.parametrize("copy", [True, False], ids=["copy", "in place"])
def test_a_reader_that_is_stopped_at_random_moments_goes_on_with_the_newest_frame(
    name: str, transport: str, root: Path, console: Any, account: Any, times: int, copy: bool
) -> None:
    child = console()
    with NdShArray(name, np.full(9, 0), "w", transport=transport) as writer:

        def write(count: int) -> None:
            for _ in range(count):
                value = writer.frame_id
                writer.write(np.full(20_000 + value % 5, value))

        child.run(f"r = NdShArray({name!r}, r_w='r', transport={transport!r})")
        define(child, FOLLOW)
        child.run(f"start({copy})")
        for _ in range(times):
            write(50)
            with stopped(child):
                write(50)
                assert len(names_of_segments(root, name)) == 2
            assert child.run("len(wrong)") == 0
        account("SIGSTOP of a reader", times)
        child.run(f"until({writer.frame_id - 1})")
        assert child.run("len(wrong)") == 0
        child.end()
    assert child.errors == ""


def names_of_segments(root: Path, name: str) -> list[str]:
    return [entry for entry in remains(root, name) if "-" not in entry]


def test_errors_of_a_replaced_writer_say_what_happened(name: str, root: Path, console: Any) -> None:
    with NdShArray(name, np.arange(3), "w", transport="mmap") as writer:
        (lock_file,) = root.glob("*-w")
        lock_file.unlink()
        child = console()
        child.run(f"w = NdShArray({name!r}, np.arange(3), 'w', transport='mmap')")
        writer._writer._holding.due = 0  # type: ignore[union-attr]  # a second has passed
        with pytest.raises(WriterExistsError, match=str(child.process.pid)) as refused:
            writer.write(np.arange(3))
        assert refused.value.pid == child.process.pid
        with pytest.raises(ClosedError, match="its lock file was removed"):
            writer.write(np.arange(3))


def test_what_cannot_be_closed_at_exit_keeps_nothing_else_open(
    caplog: pytest.LogCaptureFixture,
) -> None:
    closed = []

    class Side:
        def __init__(self, error: Exception | None) -> None:
            self.error = error

        def close(self) -> None:
            if self.error:
                raise self.error
            closed.append(self)

    sides = [Side(None), Side(OSError("no")), Side(None)]
    at_exit._call_each([side.close for side in sides])
    assert closed == [sides[0], sides[2]]
    assert [record.message for record in caplog.records] == ["could not be closed"]
