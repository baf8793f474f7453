"""Lock files: one holder, freed by the kernel, never held on a file that nobody looks at."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ndsharray._system import lockfile
from ndsharray._system.held import is_held
from ndsharray._system.lockfile import acquire, may_be_held

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be removed there")


@pytest.fixture
def path(root: Path) -> str:
    return str(root / "lock_file")


def test_a_lock_file_has_one_holder(path: str) -> None:
    lock_file = acquire(path)
    assert lock_file is not None
    assert lock_file.held
    assert may_be_held(path)
    assert acquire(path) is None
    lock_file.release()
    lock_file.release()
    assert not lock_file.held
    assert not may_be_held(path)
    assert not os.path.exists(path)
    again = acquire(path)
    assert again is not None
    again.release()


def test_probing_has_no_side_effect(path: str) -> None:
    assert not may_be_held(path)
    assert not os.path.exists(path)
    lock_file = acquire(path)
    assert lock_file is not None
    assert may_be_held(path)
    assert lock_file.standing() == "held"
    lock_file.release()


def test_another_process_sees_it_and_a_kill_frees_it(path: str, console: Any) -> None:
    child = console()
    child.run("from ndsharray._system.lockfile import acquire, may_be_held")
    child.run(f"lock_file = acquire({path!r})")
    assert may_be_held(path)
    assert acquire(path) is None
    child.kill()
    lock_file = acquire(path, patience=5)
    assert lock_file is not None
    lock_file.release()


def test_patience_waits_for_a_holder_that_goes(path: str) -> None:
    first = acquire(path)
    assert first is not None
    begun = threading.Event()
    taken: list[Any] = []

    def wait() -> None:
        begun.set()
        taken.append(acquire(path, patience=30))

    thread = threading.Thread(target=wait)
    thread.start()
    begun.wait()
    first.release()
    thread.join()
    assert taken[0].held
    taken[0].release()


@POSIX
def test_standing_tells_when_the_file_was_removed_or_replaced(path: str) -> None:
    lock_file = acquire(path)
    assert lock_file is not None
    os.unlink(path)
    assert lock_file.standing() == "gone"
    other = acquire(path)
    assert other is not None
    assert lock_file.standing() == "other"
    lock_file.release()  # leaves the other one's file
    assert other.standing() == "held"
    other.release()


@POSIX
def test_a_successor_never_keeps_a_file_that_was_just_removed(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Callable[[int], bool] = lockfile._lock

    def lock(fd: int) -> bool:  # the holder before removes its file between our open and our lock
        monkeypatch.setattr(lockfile, "_lock", real)
        os.unlink(path)
        return real(fd)

    monkeypatch.setattr(lockfile, "_lock", lock)
    lock_file = acquire(path)
    assert lock_file is not None
    assert lock_file.standing() == "held"
    lock_file.release()


def test_a_lock_file_that_is_dropped_is_free(path: str) -> None:
    lock_file = acquire(path)
    assert lock_file is not None
    del lock_file
    assert not may_be_held(path)
    os.unlink(path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
def test_a_forked_child_neither_holds_nor_removes_it(path: str) -> None:
    lock_file = acquire(path)
    assert lock_file is not None
    child = os.fork()
    if child == 0:
        ok = not lock_file.held and may_be_held(path)
        lock_file.release()
        os._exit(0 if ok and os.path.exists(path) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert lock_file.standing() == "held"
    lock_file.release()


@POSIX
def test_links_are_not_followed(path: str, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.touch()
    os.symlink(target, path)
    with pytest.raises(OSError, match="symbolic links"):
        acquire(path)
    os.unlink(path)


@POSIX
@pytest.mark.parametrize(
    ("mode", "made"),
    [
        (0o600, 0o600),
        (0o640, 0o600),
        (0o644, 0o600),
        (0o660, 0o660),
        (0o664, 0o660),
        (0o666, 0o666),
        (0o755, 0o600),
        (0o620, 0o660),
    ],
)
def test_the_file_is_for_those_alone_who_may_write_the_array(
    path: str, mode: int, made: int
) -> None:
    """Whoever can open it, if only to read, can lock it. The umask cuts nothing."""
    lock_file = acquire(path, mode=mode)
    assert oct(os.stat(path).st_mode & 0o777) == oct(made)
    assert lock_file is not None
    lock_file.release()


@POSIX
def test_a_file_that_more_users_can_open_is_tightened_when_it_is_taken(path: str) -> None:
    """An older version of the library left it, with the mode of the array."""
    Path(path).touch()
    os.chmod(path, 0o644)
    before = os.stat(path).st_mtime_ns
    lock_file = acquire(path, mode=0o640)
    assert lock_file is not None
    assert oct(os.stat(path).st_mode & 0o777) == oct(0o600)
    assert os.stat(path).st_mtime_ns == before  # part of its number
    lock_file.release()


@POSIX
def test_a_file_system_without_modes_is_no_error(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fchmod(_fd: int, _mode: int) -> None:
        raise PermissionError

    Path(path).touch()
    os.chmod(path, 0o755)
    monkeypatch.setattr(os, "fchmod", fchmod)
    lock_file = acquire(path)
    assert lock_file is not None
    lock_file.release()


def test_is_held_says_what_may_be_held_says(path: str) -> None:
    assert not is_held(path)
    lock_file = acquire(path)
    assert lock_file is not None
    assert is_held(path)
    lock_file.abandon()
    assert not is_held(path)
    os.unlink(path)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc/locks is Linux's")
def test_a_file_that_may_not_be_opened_is_held_if_the_kernel_lists_it(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a user of a group that may only read; the tests of other users have a real one."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(lockfile, "may_be_held", lambda _: True)
    lock_file = acquire(path)
    assert lock_file is not None
    assert is_held(path)
    lock_file.abandon()
    assert not is_held(path)
    os.unlink(path)
    assert is_held(path)  # gone meanwhile: nobody can know
