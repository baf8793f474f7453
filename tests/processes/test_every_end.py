"""Every end is clean: close, with, del, exit, children, fork; and what kills leave."""

from __future__ import annotations

import gc
import multiprocessing
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from console import Failed
from processes import OURS

import ndsharray._registry.cleanup
from ndsharray import ClosedError, MmapTransport, NdShArray
from ndsharray.backends.base import control_name

POSIX = pytest.mark.skipif(os.name != "posix", reason="POSIX")


def left(root: Path) -> list[str]:
    return sorted(os.listdir(root))


def segments_of(root: Path, name: str) -> list[str]:
    """Return what is left of an array's segments, on either transport."""
    control = control_name(str(root), name)
    places = [root, Path("/dev/shm")]
    return [e for p in places if p.is_dir() for e in os.listdir(p) if e.startswith(control)]


def test_close_removes_everything(name: str, transport: str, root: Path) -> None:
    writer = NdShArray(name, np.zeros(3), "w", transport=transport)
    writer.write(np.zeros(30_000))  # grew
    assert segments_of(root, name)
    writer.close()
    assert segments_of(root, name) == []


def test_del_removes_everything(name: str, transport: str, root: Path) -> None:
    writer = NdShArray(name, np.zeros(3), "w", transport=transport)
    reader = NdShArray(name, r_w="r", transport=transport)
    reader.read()
    del writer
    gc.collect()
    del reader
    gc.collect()
    assert left(root) == []


def test_with_removes_everything_also_on_an_exception(
    name: str, transport: str, root: Path
) -> None:
    with pytest.raises(ZeroDivisionError):
        with NdShArray(name, np.zeros(3), "w", transport=transport):
            raise ZeroDivisionError
    assert left(root) == []


def test_readers_leave_nothing_of_their_own(name: str, transport: str, root: Path) -> None:
    with NdShArray(name, np.zeros(3), "w", transport=transport):
        before = left(root)
        for _ in range(3):
            reader = NdShArray(name, r_w="r", transport=transport)
            assert reader.read()[0]
            reader.close()
        assert left(root) == before


ENDS = {
    "exit": "pass",
    "sys.exit": "sys.exit(0)",
    "exception": "raise SystemExit('message')",
    "cycle": "w.me = w; del w",
    "daemon thread": """
def flood():
    try:
        while True:
            w.write(np.zeros(9))
    except ValueError:  # closed under its hands
        pass
import threading
threading.Thread(target=flood, daemon=True).start()
""",
    "held frames": "frames = [r.read()[1], r.read()[1][1:]]",
}


@pytest.mark.parametrize("end", ENDS)
def test_the_end_of_the_interpreter_is_clean(
    name: str, transport: str, root: Path, end: str
) -> None:
    code = f"""
import sys
import numpy as np
from ndsharray import NdShArray
w = NdShArray({name!r}, np.zeros(100_000), "w", transport={transport!r})
r = NdShArray({name!r}, r_w="r", transport={transport!r})
assert r.read()[0]
{ENDS[end]}
"""
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    errors = ended.stderr.replace("message\n", "")
    assert errors == ""
    assert left(root) == []
    assert segments_of(root, name) == []


def child_main(root: str, name: str, transport: str, role: str, go: Any, done: Any) -> None:
    os.environ["NDSHARRAY_DIR"] = root  # the fork server has the environment of its own start
    if role == "w":
        writer = NdShArray(name, np.arange(5), "w", transport=transport)
        keep.append(writer)  # a global: only the end of the child can close it
    else:
        reader = NdShArray(name, r_w="r", transport=transport)
        keep.append(reader)
        assert reader.read()[1].tolist() == [0, 1, 2, 3, 4]
    done.set()
    go.wait()


keep: list[NdShArray] = []


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_the_end_of_a_multiprocessing_child_is_clean(
    name: str, transport: str, root: Path, method: str
) -> None:
    context = multiprocessing.get_context(method)
    go, writer_done, reader_done = context.Event(), context.Event(), context.Event()
    children: list[Any] = []
    for role, done in (("w", writer_done), ("r", reader_done)):
        child = context.Process(
            target=child_main, args=(str(root), name, transport, role, go, done), daemon=True
        )
        child.start()
        children.append(child)
        assert done.wait(60)
    with NdShArray(name, r_w="r", transport=transport) as reader:
        assert reader.read()[1].tolist() == [0, 1, 2, 3, 4]
    go.set()
    for child in children:
        child.join(60)
        assert child.exitcode == 0
        child.close()
    assert left(root) == []
    assert segments_of(root, name) == []


RELATIVE = """
import importlib, os, sys
import numpy as np
from ndsharray import NdShArray

keep = []


def live(name, transport):
    keep.append(NdShArray(name, np.zeros(1000), "w", transport=transport))
    reader = NdShArray(name, r_w="r", transport=transport)
    keep.extend([reader, reader.read()[1], NdShArray(name, r_w="r", transport=transport)])
    keep.append(keep[-1].read(copy=False)[1])
    assert keep[-1].base is not None


def told(*arguments):  # a hook of the user's that still has all open, and raises
    assert not keep[0].closed and keep[-1].sum() == 0
    print("told", flush=True)
    raise ZeroDivisionError


if __name__ == "__main__":
    library, method, how, name, transport = sys.argv[1:]
    context = importlib.import_module(library).get_context(method)
    if how == "process":
        child = context.Process(target=live, args=(name, transport))
        child.start()
        child.join()
        print(child.exitcode)
    else:
        hook = {"on_process_exit": told} if how == "pool with a hook" else {}
        pools = importlib.import_module(f"{library}.pool")
        pool = pools.Pool(1, context=context, **hook)
        pool.starmap(live, [(f"{name} {number}", transport) for number in range(2)])
        pool.terminate() if how == "terminated pool" else pool.close()
        pool.join()
        print(0)
"""


@POSIX
@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize(
    ("library", "how"),
    [
        ("multiprocess", "process"),
        ("multiprocess", "pool"),
        ("billiard", "process"),
        ("billiard", "pool"),
        ("billiard", "terminated pool"),  # whose workers it ends gently
        ("billiard", "pool with a hook"),  # of the user's
    ],
)
def test_the_end_of_a_child_of_multiprocessings_relatives_is_clean(
    name: str, transport: str, root: Path, tmp_path: Path, library: str, method: str, how: str
) -> None:
    pytest.importorskip(library)
    script = tmp_path / "relative.py"
    script.write_text(RELATIVE)
    ended = subprocess.run(
        [sys.executable, str(script), library, method, how, name, transport],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split() == ["told"] * (how == "pool with a hook") + ["0"]
    assert "could not be closed" not in ended.stderr
    assert left(root) == []
    assert segments_of(root, name + " 0") + segments_of(root, name + " 1") == []


def use_given_reader(reader: NdShArray, queue: Any) -> None:
    queue.put(reader.read()[1].tolist())


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_a_reader_can_be_given_to_a_child(name: str, transport: str, method: str) -> None:
    context = multiprocessing.get_context(method)
    queue = context.SimpleQueue()
    with NdShArray(name, np.arange(3), "w", transport=transport) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            child = context.Process(target=use_given_reader, args=(reader, queue))
            child.start()
            assert queue.get() == [0, 1, 2]
            child.join()
            child.close()
            writer.write(np.arange(4))
            assert reader.read()[1].tolist() == [0, 1, 2, 3]
    queue.close()


def run_forked(code: Any) -> int:
    """Run `code` in a forked child that ends like a script does: finalizers and all."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            code()
            gc.collect()
            status = 0
        finally:
            import atexit

            atexit._run_exitfuncs()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_neither_writes_nor_disturbs(name: str, transport: str, root: Path) -> None:
    writer = NdShArray(name, np.arange(3), "w", transport=transport)
    reader = NdShArray(name, r_w="r", transport=transport)
    before = left(root)

    def inherited_writer() -> None:
        with pytest.raises(ClosedError, match="make the writer in the process that writes"):
            writer.write(np.zeros(3))
        assert writer.closed
        writer.close()

    def inherited_reader() -> None:
        assert reader.read()[1].tolist() == [0, 1, 2]
        reader.close()

    assert run_forked(inherited_writer) == 0
    assert run_forked(inherited_reader) == 0
    assert run_forked(lambda: None) == 0
    assert left(root) == before
    writer.write(np.arange(3) + 1)
    assert reader.read()[1].tolist() == [1, 2, 3]
    writer.close()
    reader.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_does_not_keep_the_lock_file_of_a_dead_parent(
    name: str, transport: str, root: Path, console: Any
) -> None:
    child = console()
    child.run("import os, time")
    child.run(f"w = NdShArray({name!r}, np.arange(3), 'w', transport={transport!r})")
    reader, writer = os.pipe()
    child.run("r, w2 = os.pipe()")
    grandchild = child.run("pid = os.fork(); os.read(r, 1) if pid == 0 else None")
    assert grandchild is None
    pid = child.run("pid")
    child.process.kill()
    child.process.wait()
    os.close(reader)
    os.close(writer)
    with NdShArray(name, np.arange(4), "w", transport=transport):
        pass
    os.kill(pid, signal.SIGKILL)
    child.end()


@POSIX
def test_a_child_of_subprocess_inherits_nothing(name: str, transport: str) -> None:
    code = (
        "import os; print([os.readlink(f'/proc/self/fd/{f}') for f in os.listdir('/proc/self/fd') "
    )
    code += "if os.path.exists(f'/proc/self/fd/{f}')])"
    with NdShArray(name, np.zeros(3), "w", transport=transport):
        with NdShArray(name, r_w="r", transport=transport) as reader:
            assert reader.read()[0]
            if not os.path.isdir("/proc/self/fd"):
                pytest.skip("needs /proc")
            found = subprocess.run(
                [sys.executable, "-c", code],
                capture_output=True,
                text=True,
                check=True,
                close_fds=False,
            )
    assert re.search(OURS, found.stdout) is None


# --- what a kill leaves


def test_what_a_killed_writer_left_is_adopted_by_the_next_of_that_name(
    name: str, transport: str, root: Path, console: Any
) -> None:
    child = console()
    child.run(f"w = NdShArray({name!r}, np.arange(3), 'w', transport={transport!r})")
    child.kill()
    with NdShArray(name, r_w="r", transport=transport) as late:
        assert late.read()[1].tolist() == [0, 1, 2]  # the last frame stays readable
        with NdShArray(name, r_w="w", transport=transport) as writer:
            with NdShArray(name, r_w="r", transport=transport) as later:
                assert later.read()[1].tolist() == [0, 1, 2]  # until the next one publishes
            writer.write(np.arange(4))
            assert late.read()[1].tolist() == [0, 1, 2, 3]
    assert left(root) == []
    assert segments_of(root, name) == []


@pytest.mark.parametrize("sweeper", ["mmap", "posix_shm"])
def test_what_a_killed_writer_left_is_swept_by_any_later_writer(
    name: str, transport: str, root: Path, console: Any, sweeper: str
) -> None:
    child = console()
    for i in range(3):
        child.run(
            f"w{i} = NdShArray({name + str(i)!r}, np.arange(9), 'w', transport={transport!r})"
        )
        child.run(f"w{i}.write(np.zeros(5000))")
    child.run(f"r = NdShArray({name + '0'!r}, r_w='r', transport={transport!r})")
    child.kill()
    assert len(left(root)) >= 4
    ndsharray._registry.cleanup._swept.clear()
    with NdShArray(name, r_w="w", transport=sweeper):
        for i in range(3):
            assert segments_of(root, name + str(i)) == []
        assert len(left(root)) == (2 if sweeper == "mmap" else 1)


@pytest.mark.parametrize("mapped", ["all", "frames"])
def test_names_that_cannot_be_removed_yet_are_swept_later(
    name: str, root: Path, monkeypatch: pytest.MonkeyPatch, mapped: str
) -> None:
    real = MmapTransport.unlink

    def unlink(self: MmapTransport, segment: str) -> bool:
        if segment[:18] != array or (mapped == "frames" and len(segment) == 18):
            return real(self, segment)
        raise PermissionError("somebody holds its memory")  # as Windows says

    writer = NdShArray(name, np.zeros(3), "w", transport="mmap")
    array = segments_of(root, name)[0][:18]
    monkeypatch.setattr(MmapTransport, "unlink", unlink)
    writer.write(np.zeros(5000))
    writer.close()
    assert len(segments_of(root, name)) == (
        4 if mapped == "all" else 3
    )  # ... frames twice, lock file
    ndsharray._registry.cleanup._swept.clear()
    NdShArray(name + "other", r_w="w", transport="mmap").close()
    assert len(segments_of(root, name)) == (4 if mapped == "all" else 3)
    monkeypatch.setattr(MmapTransport, "unlink", real)
    ndsharray._registry.cleanup._swept.clear()
    NdShArray(name + "other", r_w="w", transport="mmap").close()
    assert left(root) == []


def test_a_control_segment_that_cannot_be_removed_is_adopted_closed(
    name: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = NdShArray(name, np.arange(3), "w", transport="mmap")
    reader = NdShArray(name, r_w="r", transport="mmap")
    with monkeypatch.context() as windows:

        def unlink(self: MmapTransport, segment: str) -> bool:
            raise PermissionError("mapped by another process")

        windows.setattr(MmapTransport, "unlink", unlink)
        writer.close()
        assert reader.read()[1].tolist() == [0, 1, 2]
        with NdShArray(name, np.arange(4), "w", transport="mmap"):
            assert reader.read()[1].tolist() == [0, 1, 2, 3]
    reader.close()
    NdShArray(name, r_w="w", transport="mmap").close()


def test_a_sweep_spares_the_living(name: str, transport: str, console: Any) -> None:
    child = console()
    child.run(f"w = NdShArray({name!r}, np.arange(9), 'w', transport={transport!r})")
    killed = console()
    killed.run(f"w = NdShArray({name + 'read'!r}, np.arange(8), 'w', transport={transport!r})")
    child.run(f"r = NdShArray({name + 'read'!r}, r_w='r', transport={transport!r})")
    killed.kill()
    ndsharray._registry.cleanup._swept.clear()
    with NdShArray(name + "other", r_w="w", transport=transport):
        child.run("w.write(np.arange(3))")
        with NdShArray(name, r_w="r", transport=transport) as reader:
            assert reader.read()[1].tolist() == [0, 1, 2]
        with NdShArray(name + "read", r_w="r", transport=transport) as reader:
            assert reader.read()[1].tolist() == list(range(8))  # one of its readers lives
        assert child.run("r.read()[1].tolist()") == list(range(8))
    child.end()
    ndsharray._registry.cleanup._swept.clear()
    NdShArray(name + "other", r_w="w", transport=transport).close()


def test_a_killed_reader_gives_its_entry_back(
    name: str, transport: str, root: Path, console: Any
) -> None:
    with NdShArray(name, np.arange(3), "w", transport=transport):
        for _ in range(3):
            child = console()
            child.run(f"r = NdShArray({name!r}, r_w='r', transport={transport!r})")
            child.run("c = r._reader._source.cursor; c.side.pin(c.pins.entry.index, 0, 1)")
            child.kill()
        assert len([entry for entry in left(root) if "-r" in entry]) == 1  # each claimed entry 0
    assert left(root) == []


def test_a_successor_clears_the_pins_of_dead_readers(
    name: str, transport: str, root: Path, console: Any
) -> None:
    child = console()
    child.run(f"w = NdShArray({name!r}, np.arange(3), 'w', transport={transport!r})")
    child.run(f"r = NdShArray({name!r}, r_w='r', transport={transport!r})")
    child.run("r._reader._source.cursor.side.pin(r._reader._source.cursor.pins.entry.index, 0, 1)")
    with NdShArray(name, r_w="r", transport=transport) as living:
        cursor: Any = living._reader._source.cursor  # type: ignore[union-attr]
        cursor.side.pin(cursor.pins.entry.index, 2, 2)
        child.kill()
        with NdShArray(name, r_w="w", transport=transport) as writer:
            control = writer._writer._holding.control.memory  # type: ignore[union-attr]
            pins = control.group(832, 1080).tobytes()
            assert pins == bytes(4) + b"\0\0\3\0" + bytes(240)


@POSIX
def test_sigterm_counts_as_a_kill(name: str, transport: str, root: Path, console: Any) -> None:
    child = console()
    child.run(f"w = NdShArray({name!r}, np.arange(3), 'w', transport={transport!r})")
    child.process.terminate()
    child.end()
    with NdShArray(name, r_w="r", transport=transport) as reader:
        assert reader.read()[1].tolist() == [0, 1, 2]
    NdShArray(name, r_w="w", transport=transport).close()


@POSIX
def test_a_stopped_writer_still_has_its_array(name: str, transport: str, console: Any) -> None:
    child = console()
    child.run(f"w = NdShArray({name!r}, np.arange(3), 'w', transport={transport!r})")
    child.process.send_signal(signal.SIGSTOP)
    try:
        other = console()
        with pytest.raises(Failed, match="WriterExistsError"):
            other.run(f"NdShArray({name!r}, r_w='w', transport={transport!r})")
    finally:
        child.process.send_signal(signal.SIGCONT)
    child.run("w.write(np.arange(4))")
