"""Who may do what: alone by default, shared by a mode, read-only by rights. With real users.

The children give up being root before they import the library. Their user and group ids are
numbers that nobody has; they need no entry in any file.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from console import _LOOP, Console, Failed
from processes import OURS

from ndsharray import MmapTransport
from ndsharray.backends.base import control_name

pytestmark = [
    pytest.mark.alternately,
    pytest.mark.skipif(
        not sys.platform.startswith("linux") or os.getuid() != 0,
        reason="needs Linux and root: its children become other users",
    ),
]

SHM = Path("/dev/shm")
# Of this run alone, so that two runs at a time do not meet in /dev/shm.
FIRST = 100_000_000 + os.getpid() * 10
UIDS = {"alice": FIRST + 1, "bob": FIRST + 2, "eve": FIRST + 3}
TEAM = FIRST + 5
GROUPS = {"alice": [TEAM], "bob": [TEAM], "eve": []}
PATIENCE = 10.0  # seconds until a child that hangs is ended, which turns its test red

# Python's own files may lie where the new user cannot go (somebody's home directory), so each
# directory of modules is held open, and found through its descriptor.
BECOME = """
import os, sys
def held(entry):
    entry = entry or "."
    return f"/proc/self/fd/{os.open(entry, os.O_PATH)}" if os.path.isdir(entry) else entry
sys.path[:] = map(held, sys.path)
for module in list(sys.modules.values()):
    if hasattr(module, "__path__"):
        module.__path__ = list(map(held, module.__path__))
uid, *groups = map(int, sys.argv[1:])
os.setgroups(groups)
os.setgid(uid)
os.setuid(uid)
os.chdir("/")
"""

# What the children know besides numpy and ndsharray.
HELP = """
import contextlib, ctypes, gc, mmap, re, socket, threading
import ndsharray
import numpy as np
from ndsharray import MmapTransport, NdShArray, PosixShmTransport
from ndsharray._registry import entries
from ndsharray.backends import base

def opened(role, name, directory, mode):
    return NdShArray(name, r_w=role, transport=MmapTransport(directory, mode=mode))

def forget(kept=[]):
    kept[:] = kept or list(globals())
    for new in [key for key in globals() if key not in kept]:
        del globals()[new]
    gc.collect()
    os.umask(0o022)

def can(call, *arguments):
    try:
        found = call(*arguments)
    except PermissionError:
        return False
    if type(found) is int and call is os.open:
        os.close(found)
    return True

class Flood(threading.Thread):
    # Frames of one value each; now and then one that does not fit; sometimes another writer.
    def __init__(self, name, directory, mode):
        super().__init__(daemon=True)
        self.make = lambda: opened("w", name, directory, mode)
        self.end, self.count, self.restarts = threading.Event(), 0, 0
        self.writer = self.make()

    def run(self):
        while not self.end.is_set():
            self.count += 1
            if self.count % 200 == 0:
                self.writer.close()
                self.writer, self.restarts = self.make(), self.restarts + 1
            size = 1000 * (1 + self.count % 200 // 20)
            self.writer.write(np.full(size, self.count))

    def stop(self):
        self.end.set()
        self.join()
        return self.restarts

def look(reader, count, **how):
    # Returns how many of the frames were mixed.
    mixed = 0
    for _ in range(count):
        valid, frame = reader.read(timeout=10, **how)
        assert valid
        mixed += not (frame == frame[0]).all()
    return mixed
"""


class Person(Console):
    """A console of another user."""

    def __init__(self, uid: int, groups: list[int]) -> None:
        ids = [str(each) for each in (uid, *groups)]
        self.uid = uid
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", BECOME + HELP + _LOOP, *ids],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.begin("forget()")

    def result(self) -> Any:
        watchdog = threading.Timer(PATIENCE, self.process.kill)
        watchdog.start()
        try:
            return super().result()
        finally:
            watchdog.cancel()

    @property
    def lives(self) -> bool:
        return self.process.poll() is None and not self.process.stdin.closed  # type: ignore

    def refused(self, code: str, error: str = "PermissionError") -> str:
        """Run what must raise `error`; return the message."""
        with pytest.raises(Failed) as caught:
            self.run(code)
        kind, message = caught.value.args
        print(f"{code}\n    {kind}: {message}")
        assert kind == error, message
        return str(message)


Get = Callable[..., Person]


@pytest.fixture(scope="module")
def everybody() -> Iterator[dict[str, Person]]:
    """Keep the children from test to test: starting one takes half a second."""
    people: dict[str, Person] = {}
    yield people
    for each in people.values():
        each.end()


@pytest.fixture
def get(everybody: dict[str, Person], place: Path) -> Iterator[Get]:
    """Return people by name, from here on with a root (NDSHARRAY_DIR)."""

    def get(who: str, directory: Path | None = None) -> Person:
        if who not in everybody or not everybody[who].lives:
            everybody[who] = Person(UIDS[who], GROUPS[who])
            try:
                everybody[who].result()
            except EOFError as error:
                del everybody[who]
                if "setgroups" in str(error) or "setuid" in str(error):
                    pytest.skip("no other user ids here (a container that maps few)")
                raise
        person = everybody[who]
        person.run(f"os.environ['NDSHARRAY_DIR'] = {'' if directory is None else str(directory)!r}")
        return person

    yield get
    for who, person in list(everybody.items()):
        if person.lives:
            person.run("forget()")
        else:  # killed, by its test or as it hung
            person.end()
            del everybody[who]


def _owner(path: Path) -> int | None:
    try:
        return path.lstat().st_uid
    except FileNotFoundError:  # another program's, which has just removed it
        return None


@pytest.fixture
def place(root: Path) -> Iterator[Path]:
    """Give each test a directory like /dev/shm: everybody may put things there."""
    root.chmod(0o1777)
    yield root
    left = [path for path in root.rglob("*") if not path.is_dir() or path.is_symlink()]
    left += [path for path in SHM.iterdir() if _owner(path) in UIDS.values()]
    for path in root.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for path in SHM.iterdir():
        if path in left:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    assert left == []


def directory_of(path: Path, who: str, mode: int, group: int | None = None) -> Path:
    path.mkdir()
    uid = UIDS.get(who, 0)
    os.chown(path, uid, group if group is not None else uid)
    path.chmod(mode)
    return path


@pytest.fixture
def team(place: Path) -> Path:
    """Make a directory as an administrator would for a group: setgid, closed to all others."""
    return directory_of(place / "team", "root", 0o2770, TEAM)


def bits(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def segments(transport: str, root: Path, name: str) -> list[Path]:
    where = root if transport == "mmap" else SHM
    control = control_name(str(root), name)
    return sorted(path for path in where.iterdir() if re.match(control + "[a-z0-9]*$", path.name))


# By default


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_what_is_made_by_default_is_its_owners_alone(
    get: Get, transport: str, name: str, umask: int
) -> None:
    alice = get("alice")  # with the default root
    root = SHM / f"ndsharray-{alice.uid}"
    alice.run(f"os.umask({umask})")
    try:
        alice.run(f"w = NdShArray({name!r}, np.arange(3), 'w', transport={transport!r})")
        alice.run(f"r = NdShArray({name!r}, r_w='r', transport={transport!r})")
        assert alice.run("r.read(copy=False)[1].tolist()") == [0, 1, 2]
        made = [*root.iterdir(), *segments(transport, root, name)]
        assert bits(root) == 0o700
        assert len(set(made)) == 4  # control, frames, two lock files
        assert {bits(path) for path in made} == {0o600}
        assert {path.stat().st_uid for path in [root, *made]} == {alice.uid}
        alice.run("r.close(), w.close()")
        assert list(root.iterdir()) == []
    finally:
        alice.run("forget()")
        shutil.rmtree(root, ignore_errors=True)


def test_file_names_tell_neither_the_arrays_name_nor_its_data(
    get: Get, place: Path, transport: str
) -> None:
    root = place / "alice"
    alice = get("alice", root)
    alice.run(f"w = NdShArray('payroll', np.full(9, 0x5eC2e7), 'w', transport={transport!r})")
    alice.run(f"r = NdShArray('payroll', r_w='r', transport={transport!r})")
    alice.run("r.read()")
    files = {path.name for path in [*root.iterdir(), *segments(transport, root, "payroll")]}
    assert len(files) == 4
    pattern = rf"nd[0-9a-f]{{16}}([a-z2-7]{{11}}|-{transport}-(w|r\d\d))?"
    assert all(re.fullmatch(pattern, file) for file in files)
    alice.run("r.close(), w.close()")


def test_another_user_can_do_nothing_with_an_array(
    get: Get, place: Path, transport: str, name: str
) -> None:
    root = place / "alice"
    alice, eve = get("alice", root), get("eve", root)
    alice.run(f"w = NdShArray({name!r}, np.arange(3), 'w', transport={transport!r})")
    alice.run(f"r = NdShArray({name!r}, r_w='r', transport={transport!r})")
    for path in {str(each) for each in [*root.iterdir(), *segments(transport, root, name)]}:
        for flags in ("os.O_RDONLY", "os.O_WRONLY", "os.O_RDWR"):
            assert not eve.run(f"can(os.open, {path!r}, {flags})"), path
        for call in ("os.unlink", "os.truncate", "os.chmod"):
            more = {"os.truncate": ", 0", "os.chmod": ", 0o666"}.get(call, "")
            assert not eve.run(f"can({call}, {path!r}{more})"), path
    assert not eve.run(f"can(os.listdir, {str(root)!r})")
    for role in "rw":
        message = eve.refused(f"NdShArray({name!r}, r_w={role!r}, transport={transport!r})")
        assert str(root) in message
        assert f"user {alice.uid}" in message
        assert "MmapTransport(directory=" in message
    assert alice.run("w.write(np.arange(4))") is None
    assert alice.run("r.read()[1].tolist()") == [0, 1, 2, 3]
    alice.run("r.close(), w.close()")


def test_the_posix_shm_transport_shares_with_nobody(get: Get, team: Path, name: str) -> None:
    alice = get("alice", team)
    assert "mode" in alice.refused("PosixShmTransport(mode=0o660)", "TypeError")
    message = alice.refused(f"NdShArray({name!r}, r_w='w', transport='posix_shm')")
    assert str(team) in message
    assert "MmapTransport(directory=..., mode=0o660)" in message
    assert list(team.iterdir()) == []


def test_a_root_of_ones_own_that_others_may_write_to_is_refused(
    get: Get, place: Path, transport: str, name: str
) -> None:
    for mode in (0o770, 0o707):
        root = directory_of(place / oct(mode), "alice", mode)
        alice = get("alice", root)
        for role in "wr":
            message = alice.refused(f"NdShArray({name!r}, r_w={role!r}, transport={transport!r})")
            assert "others" in message
            assert str(root) in message


# Somebody was there before


@pytest.mark.parametrize("mode", [0o700, 0o777, 0o1777])
def test_a_root_that_another_user_made_first_is_refused(
    get: Get, transport: str, name: str, mode: int
) -> None:
    alice, eve = get("alice"), get("eve")  # with the default root
    root = SHM / f"ndsharray-{alice.uid}"
    eve.run(f"os.mkdir({str(root)!r}), os.chmod({str(root)!r}, {mode})")
    try:
        for role in "wr":
            message = alice.refused(f"NdShArray({name!r}, r_w={role!r}, transport={transport!r})")
            assert str(root) in message
            assert f"user {eve.uid}" in message  # whom to ask
            assert "NDSHARRAY_DIR" in message  # what to do
        assert list(root.iterdir()) == []
        assert segments(transport, root, name) == []
    finally:
        shutil.rmtree(root)


@pytest.mark.parametrize("kind", ["link", "file", "fifo"])
def test_a_root_that_is_no_directory_is_refused(
    get: Get, place: Path, transport: str, name: str, kind: str
) -> None:
    alice, eve = get("alice"), get("eve")
    root = SHM / f"ndsharray-{alice.uid}"
    private = directory_of(place / "private", "alice", 0o700)
    make = {
        "link": f"os.symlink({str(private)!r}, {str(root)!r})",
        "file": f"os.close(os.open({str(root)!r}, os.O_CREAT, 0o666))",
        "fifo": f"os.mkfifo({str(root)!r})",
    }
    eve.run(make[kind])
    try:
        for role in "wr":
            error = "PermissionError" if kind == "link" else "NotADirectoryError"
            message = alice.refused(
                f"NdShArray({name!r}, r_w={role!r}, transport={transport!r})", error
            )
            assert str(root) in message
        assert list(private.iterdir()) == []
        assert segments(transport, private, name) == []
    finally:
        root.unlink()


def test_a_link_of_ones_own_is_taken_for_what_it_points_to(
    get: Get, place: Path, name: str
) -> None:
    private = directory_of(place / "private", "alice", 0o700)
    alice = get("alice", place / "link")
    alice.run(f"os.symlink({str(private)!r}, {str(place / 'link')!r})")
    alice.run(f"w = NdShArray({name!r}, np.arange(3), 'w')")
    assert len(list(private.iterdir())) == 3
    alice.run("w.close()")
    (place / "link").unlink()


SQUATS = {
    "unreadable": "os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))",
    "empty": "os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o666)), os.chmod(path, 0o666)",
    "whole": "open(path, 'wb').write(bytes(4096)), os.chmod(path, 0o666)",
    "holes": "open(path, 'wb').truncate(4096), os.chmod(path, 0o666)",
    "fifo": "os.mkfifo(path), os.chmod(path, 0o666)",
    "fifo to read": "os.mkfifo(path), os.chmod(path, 0o444)",
    "directory": "os.mkdir(path)",
    "socket": "socket.socket(socket.AF_UNIX).bind(path), os.chmod(path, 0o666)",
    "link": "os.symlink(secret, path)",
}


def squat(eve: Person, path: Path, kind: str, secret: Path) -> None:
    with_socket = "import warnings; warnings.simplefilter('ignore')"  # left open on purpose
    eve.run(f"path, secret = {str(path)!r}, {str(secret)!r}")
    eve.run(with_socket if kind == "socket" else "None")
    eve.run(SQUATS[kind])


def clear(path: Path) -> None:
    path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


@pytest.fixture
def secret(place: Path) -> Path:
    """Make a file of Alice's that nobody may touch."""
    path = place / "secret"
    path.write_bytes(b"precious" * 1024)
    os.chown(path, UIDS["alice"], UIDS["alice"])
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("kind", SQUATS)
def test_a_shared_memory_name_that_another_user_took_is_refused(
    get: Get, place: Path, name: str, secret: Path, kind: str
) -> None:
    root = place / "alice"
    alice, eve = get("alice", root), get("eve")
    squatted = SHM / control_name(str(root), name)
    squat(eve, squatted, kind, secret)
    try:
        for role in "wr":
            message = alice.refused(f"NdShArray({name!r}, r_w={role!r}, transport='posix_shm')")
            assert squatted.name in message
            assert f"user {eve.uid}" in message
        # Nor is the mmap transport disturbed, which looks there to give a hint.
        alice.run(f"r = NdShArray({name!r}, r_w='r')")
        alice.run(f"w = NdShArray({name!r}, np.arange(3), 'w')")
        assert alice.run("r.read()[0]")
        alice.run("r.close(), w.close()")
        assert secret.read_bytes() == b"precious" * 1024
        assert squatted.lstat().st_uid == eve.uid
    finally:
        clear(squatted)
        secret.unlink()
        for each in root.iterdir():  # the lock file of the writer that could not be made
            each.unlink()


# Shared by a group


def test_two_users_of_a_group_share_an_array(get: Get, team: Path, name: str) -> None:
    alice, bob, eve = get("alice"), get("bob"), get("eve")
    for each in (alice, bob):
        each.run("os.umask(0o077)")  # it does not cut the mode
        each.run(f"where = {name!r}, {str(team)!r}, 0o660")
    bob.run("r = opened('r', *where)")
    alice.run("w = opened('w', *where)")
    alice.run("w.write(np.arange(3))")
    assert bob.run("r.read(copy=False)[1].tolist()") == [0, 1, 2]
    assert bob.run("r._reader._source._entry._entry.index") == 0
    files = list(team.iterdir())
    assert sorted(path.stat().st_uid for path in files) == [alice.uid] * 3 + [bob.uid]
    assert {(bits(path), path.stat().st_gid) for path in files} == {(0o660, TEAM)}

    bob.begin("r.read(timeout=15)[1].tolist()")  # sleeps: its waiting byte is set
    alice.run("memory = w._writer._holding.control.memory")
    alice.run("while not memory.group(768, 830).tobytes().strip(bytes(1)): pass")
    alice.run("del memory")
    alice.run("w.write(np.arange(4))")
    assert bob.result() == [0, 1, 2, 3]

    for role in "rw":
        message = eve.refused(f"opened({role!r}, {name!r}, {str(team)!r}, 0o660)")
        assert str(team) in message
    alice.run("w.close()")
    bob.run("r.close()")
    assert list(team.iterdir()) == []


def test_a_reader_without_the_mode_is_told_of_it(get: Get, team: Path, name: str) -> None:
    alice, bob = get("alice"), get("bob", team)
    alice.run(f"w = opened('w', {name!r}, {str(team)!r}, 0o660)")
    message = bob.refused(f"NdShArray({name!r}, r_w='r')")
    assert "MmapTransport(directory=..., mode=0o660)" in message
    alice.run("w.close()")


def test_another_user_of_the_group_takes_over(get: Get, team: Path, name: str) -> None:
    alice, bob = get("alice"), get("bob")
    for each in (alice, bob):
        each.run("os.umask(0o077)")
        each.run(f"where = {name!r}, {str(team)!r}, 0o660")
    alice.run("w = opened('w', *where)")
    alice.run("for i in range(5): w.write(np.full(3, i))")
    bob.run("r = opened('r', *where)")
    assert "living writer" in bob.refused("opened('w', *where)", "WriterExistsError")
    alice.kill()
    assert bob.run("r.read()[1].tolist()") == [4, 4, 4]
    bob.run("w = opened('w', *where)")
    bob.run("w.write(np.arange(9))")
    assert bob.run("r.read()[1].tolist()") == list(range(9))
    assert bob.run("r.frame_id, r.missed") == (6, 0)
    alice = get("alice")  # once more, reading now
    alice.run(f"r = opened('r', {name!r}, {str(team)!r}, 0o660)")
    assert alice.run("r.read(copy=False)[1].tolist()") == list(range(9))
    assert {bits(path) for path in team.iterdir()} == {0o660}
    bob.kill()
    alice.run(f"w = opened('w', {name!r}, {str(team)!r}, 0o660)")
    alice.run("w.write(np.arange(2))")
    assert alice.run("r.read()[1].tolist()") == [0, 1]
    alice.run("w.close(), r.close()")
    assert list(team.iterdir()) == []


def test_the_entry_of_a_killed_reader_of_another_user_is_cleared(
    get: Get, team: Path, name: str
) -> None:
    alice, bob = get("alice"), get("bob")
    alice.run(f"w = opened('w', {name!r}, {str(team)!r}, 0o660)")
    alice.run("w.write(np.arange(3))")
    bob.run(f"r = opened('r', {name!r}, {str(team)!r}, 0o660)")
    bob.run("held = r.read(copy=False)")
    marked = "entries.marked(w._writer._holding.control.memory)"
    assert alice.run(marked) == {0}
    bob.kill()
    for _ in range(3):
        alice.run("w._writer._holding.due = 0")  # a second has passed
        alice.run("w.write(np.arange(3))")
    assert alice.run(f"list({marked})") == []
    assert not [path for path in team.iterdir() if path.name.endswith("-r00")]
    alice.run("w.close()")


def test_what_a_killed_writer_left_is_swept_by_another_user(
    get: Get, team: Path, name: str
) -> None:
    alice, bob = get("alice"), get("bob")
    alice.run(f"w = opened('w', {name!r}, {str(team)!r}, 0o660)")
    alice.run("w.write(np.arange(3))")
    alice.kill()
    bob.run(f"w = opened('w', {name + ' another'!r}, {str(team)!r}, 0o660)")
    assert segments("mmap", team, name) == []
    bob.run("w.close()")
    assert list(team.iterdir()) == []


def test_a_mode_that_locks_out_the_owner_is_refused_at_once(place: Path) -> None:
    for mode in (660, 0o60, 0o4660, 0, -1):  # 660 is not 0o660
        with pytest.raises(ValueError, match="mode"):
            MmapTransport(place, mode=mode)


@pytest.mark.parametrize(
    ("mode", "made"), [(0o660, 0o770), (0o640, 0o750), (0o644, 0o755), (0o600, 0o700)]
)
def test_a_missing_directory_is_made_for_those_whom_the_mode_lets_in(
    get: Get, place: Path, name: str, mode: int, made: int
) -> None:
    alice = get("alice")
    for umask in (0o000, 0o022, 0o077):
        root = place / f"made {umask}"
        alice.run(f"os.umask({umask})")
        alice.run(f"opened('w', {name!r}, {str(root)!r}, {mode}).close()")
        assert oct(bits(root)) == oct(made)


# A plain file is what a member of the group may put there.
NO_FILES = ["hard link", "device", "fifo", "fifo to read", "directory", "socket", "link"]


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("file", ["segment", "lease"])
def test_what_is_no_file_of_ours_in_a_shared_directory_is_refused(
    get: Get, team: Path, name: str, secret: Path, kind: str, file: str
) -> None:
    """A member of the group is not a friend: what can be checked is checked, nothing hangs."""
    alice, bob = get("alice"), get("bob")
    path = team / (control_name(str(team), name) + ("-mmap-w" if file == "lease" else ""))
    if kind == "hard link":
        os.link(secret, path)  # as root: fs.protected_hardlinks may keep Bob from it
    elif kind == "device":
        try:
            os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))  # /dev/null
        except PermissionError:
            secret.unlink()
            pytest.skip("no devices can be made here (a container)")
        path.chmod(0o666)
    else:
        squat(bob, path, kind, secret)
    try:
        for role in "wr" if file == "segment" else "w":
            with pytest.raises(Failed) as caught:
                alice.run(f"opened({role!r}, {name!r}, {str(team)!r}, 0o660)")
            print(role, caught.value.args)
            error, message = caught.value.args
            assert error in ("PermissionError", "OSError", "IsADirectoryError")
            assert path.name in message
        assert secret.read_bytes() == b"precious" * 1024
    finally:
        clear(path)
        secret.unlink()
        for each in team.iterdir():  # the lock file of the writer that could not be made
            each.unlink()


@pytest.mark.parametrize("file_mode", [0o600, 0o666])
def test_a_file_of_another_user_in_a_root_of_ones_own_is_refused(
    get: Get, place: Path, name: str, file_mode: int
) -> None:
    root = directory_of(place / "alice", "alice", 0o700)
    alice = get("alice", root)
    path = root / control_name(str(root), name)
    path.write_bytes(b"precious" * 1024)
    os.chown(path, UIDS["eve"], UIDS["eve"])
    path.chmod(file_mode)
    for role in "wr":
        assert str(path) in alice.refused(f"NdShArray({name!r}, r_w={role!r})")
    assert path.read_bytes() == b"precious" * 1024
    for each in root.iterdir():
        each.unlink()


@pytest.mark.parametrize("kind", ["unreadable", "held"])
def test_a_lock_file_that_a_stranger_took_in_a_directory_for_everybody_is_named(
    get: Get, place: Path, name: str, kind: str
) -> None:
    alice, eve = get("alice"), get("eve")
    path = place / (control_name(str(place), name) + "-mmap-w")
    if kind == "held":
        eve.run("from ndsharray._system import lockfile")
        eve.run(f"lock_file = lockfile.acquire({str(path)!r}, 0o666)")
        message = alice.refused(
            f"opened('w', {name!r}, {str(place)!r}, 0o666)", "WriterExistsError"
        )
        assert "living writer" in message
        eve.run("lock_file.release()")
    else:
        squat(eve, path, kind, place)
        message = alice.refused(f"opened('w', {name!r}, {str(place)!r}, 0o666)")
        assert str(path) in message
        path.unlink()
    alice.run(f"opened('w', {name!r}, {str(place)!r}, 0o666).close()")
    assert list(place.iterdir()) == []


# Read-only rights

READABLE = pytest.mark.parametrize(
    ("file_mode", "directory_mode"), [(0o640, 0o2750), (0o644, 0o755)]
)


@pytest.fixture
def published(place: Path, directory_mode: int) -> Path:
    """Make a directory that Alice alone may write to, and others may read."""
    return directory_of(place / "published", "alice", directory_mode, TEAM)


@READABLE
def test_a_reader_with_read_only_rights_reads_what_a_flooding_writer_writes(
    get: Get, published: Path, name: str, file_mode: int
) -> None:
    who = "bob" if file_mode == 0o640 else "eve"
    alice, reader = get("alice"), get(who)
    alice.run("os.umask(0o077)")
    reader.run(f"r = opened('r', {name!r}, {str(published)!r}, {file_mode})")  # before the writer
    assert reader.run("r.read()[0]") is False
    reader.begin("r.read(timeout=15)[0]")
    alice.run(f"flood = Flood({name!r}, {str(published)!r}, {file_mode})")
    alice.run("flood.start()")
    assert reader.result() is True
    assert reader.run("look(r, 150)") == 0
    assert reader.run("look(r, 150, copy=False)") == 0
    assert alice.run("flood.stop()") > 0
    alice.run("flood.writer.write(np.full(7, -1))")
    reader.run("r.read()")
    alice.run("for i in range(3): flood.writer.write(np.full(7, i))")
    order = "[int(frame[0]) for frame in r.frames(timeout=0)]"
    assert reader.run(order) in ([0, 1, 2], [1, 2])  # three slots: the first may be gone
    alice.kill()
    assert reader.run("r.read()[0]") is False
    alice = get("alice")
    alice.run(f"w = opened('w', {name!r}, {str(published)!r}, {file_mode})")
    alice.run("w.write(np.arange(5))")
    assert reader.run("r.read(timeout=15)[1].tolist()") == [0, 1, 2, 3, 4]
    alice.run("w.close()")
    reader.run("r.close()")
    assert list(published.iterdir()) == []


@READABLE
def test_a_file_whose_mode_is_not_yet_set_is_still_being_made(
    get: Get, published: Path, name: str, file_mode: int
) -> None:
    """The umask stands in the way for a moment, between a file's making and its mode."""
    alice, bob = get("alice"), get("bob")
    path = published / control_name(str(published), name)
    squat(alice, path, "unreadable", path)
    bob.run(f"r = opened('r', {name!r}, {str(published)!r}, {file_mode})")
    assert bob.run("r.read()[0], r.is_valid") == (False, False)
    path.chmod(file_mode)
    assert bob.run("r.read()[0], r.is_valid") == (False, False)
    alice.run(f"w = opened('w', {name!r}, {str(published)!r}, {file_mode})")
    alice.run("w.write(np.arange(3))")
    assert bob.run("r.read()[1].tolist()") == [0, 1, 2]
    bob.run("r.close()")
    alice.run("w.close()")


def contents(directory: Path) -> dict[str, tuple[bytes, int, int]]:
    found = {}
    for path in directory.iterdir():
        status = path.stat()
        found[path.name] = (path.read_bytes(), status.st_mode, status.st_mtime_ns)
    return found


@READABLE
def test_a_reader_with_read_only_rights_changes_not_one_byte(
    get: Get, published: Path, name: str, file_mode: int
) -> None:
    alice, bob = get("alice"), get("bob")
    alice.run(f"w = opened('w', {name!r}, {str(published)!r}, {file_mode})")
    alice.run("for i in range(3): w.write(np.full(5000, i))")
    before = contents(published)
    assert len(before) == 3
    bob.run(f"r = opened('r', {name!r}, {str(published)!r}, {file_mode})")
    assert bob.run("r.is_valid")
    assert bob.run("r.read()[0], r.read(timeout=0.05)[0]") == (True, False)
    assert bob.run("len(list(r.frames(timeout=0.05)))") == 0
    bob.run("r2 = opened('r', *[r.name, r.transport.root, r.transport.mode])")
    assert bob.run("len(list(r2.frames(timeout=0, copy=False)))") >= 2
    bob.run("r2.close()")
    assert contents(published) == before
    alice.run("w.write(np.full(5000, 9))")  # so that a frame is new
    before = contents(published)
    assert bob.run("r.read(copy=False)[0]")
    bob.run("r.close()")
    assert contents(published) == before
    alice.run("w.close()")


@READABLE
def test_a_reader_with_read_only_rights_cannot_store(
    get: Get, published: Path, name: str, file_mode: int
) -> None:
    alice, bob = get("alice"), get("bob")
    alice.run(f"w = opened('w', {name!r}, {str(published)!r}, {file_mode})")
    alice.run("w.write(np.arange(1000))")
    bob.run(f"r = opened('r', {name!r}, {str(published)!r}, {file_mode})")
    assert bob.run("r.read()[0]")
    before = contents(published)
    maps = bob.run(f"[e.split()[1] for e in open('/proc/self/maps') if re.search({OURS!r}, e)]")
    assert maps == ["r--s", "r--s"]  # the control and the frame segment
    for segment in ("instance.memory", "side.segment"):
        bob.run(f"memory = r._reader._source.cursor.{segment}")
        bob.refused("exec('memory.words[0] = 1')", "TypeError")
        bob.refused("exec('memory.bytes[0] = 1')", "TypeError")
        bob.refused("exec('np.frombuffer(memory.bytes, np.uint8)[0] = 1')", "ValueError")
        bob.refused("np.frombuffer(memory.bytes, np.uint8).setflags(write=True)", "ValueError")
        # Nor by the kernel, whatever Python thinks.
        bob.run("at = np.frombuffer(memory.bytes, np.uint8).ctypes.data")
        bob.run("libc = ctypes.CDLL(None, use_errno=True)")
        protect = "libc.mprotect(ctypes.c_void_p(at), 4096, mmap.PROT_READ | mmap.PROT_WRITE)"
        assert bob.run(protect) == -1
        bob.run("del memory")
    for path in published.iterdir():
        for call in ("os.open", "os.truncate", "os.unlink", "os.chmod"):
            more = {"os.open": "os.O_RDWR", "os.truncate": "0", "os.chmod": "0o666"}.get(call)
            assert not bob.run(f"can({call}, {str(path)!r}{', ' + more if more else ''})")
    message = bob.refused(f"opened('w', {name!r}, {str(published)!r}, {file_mode})")
    assert str(published) in message
    assert contents(published) == before
    assert alice.run("w.write(np.arange(3))") is None
    assert bob.run("r.read()[1].tolist()") == [0, 1, 2]
    bob.run("r.close()")
    alice.run("w.close()")


@READABLE
@pytest.mark.parametrize("older", [False, True])
def test_who_may_only_read_cannot_lock_a_writer_out(
    get: Get, published: Path, name: str, file_mode: int, older: bool
) -> None:
    alice, bob = get("alice"), get("bob")
    where = f"{name!r}, {str(published)!r}, {file_mode}"
    lock_file = published / (control_name(str(published), name) + "-mmap-w")
    if older:  # a writer of an older version was killed: its lock file has the array's mode
        alice.run(f"os.close(os.open({str(lock_file)!r}, os.O_CREAT, 0o600))")
        lock_file.chmod(file_mode)
    alice.run(f"w = opened('w', {where})")
    alice.run("w.write(np.arange(3))")
    alice.run(f"r = opened('r', {where})")
    alice.run("held = r.read(copy=False)")  # a lock file for its entry
    paths = [str(path) for path in published.iterdir()]
    bob.run(f"paths = [path for path in {paths!r} if can(os.open, path, os.O_RDONLY)]")
    bob.run("fds = [os.open(path, os.O_RDONLY) for path in paths]")
    assert len(bob.run("fds")) == 2  # the control and the frame segment
    alice.kill()
    bob.run("import fcntl")  # now he can lock whatever he can open
    bob.run("for fd in fds: fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)")
    read_lock = "fcntl.F_OFD_SETLK, struct.pack('hhqqi', fcntl.F_RDLCK, 0, 0, 0, 0)"
    bob.run("import struct")
    bob.run(f"for fd in fds: fcntl.fcntl(fd, {read_lock})")
    alice = get("alice")
    alice.run(f"w = opened('w', {where})")
    alice.run("w.write(np.arange(4))")
    bob.run(f"r = opened('r', {where})")
    assert bob.run("r.read()[1].tolist()") == [0, 1, 2, 3]
    assert oct(bits(lock_file)) == oct(0o600)
    alice.run("w.close()")
    bob.run("r.close()")
    bob.run("for fd in fds: os.close(fd)")
    assert list(published.iterdir()) == []


def test_a_class_that_may_only_read_cannot_open_what_another_class_locks(
    get: Get, place: Path, name: str
) -> None:
    directory = directory_of(place / "mixed", "alice", 0o2775, TEAM)
    alice, bob, eve = get("alice"), get("bob"), get("eve")
    where = f"{name!r}, {str(directory)!r}, 0o664"
    alice.run(f"w = opened('w', {where})")
    alice.run("w.write(np.arange(3))")
    bob.run(f"r = opened('r', {where})")
    bob.run("held = r.read(copy=False)")
    modes = {path.name[18:]: oct(bits(path)) for path in directory.iterdir() if "-" in path.name}
    assert modes == {"-mmap-w": oct(0o660), "-mmap-r00": oct(0o660)}
    eve.run(f"r = opened('r', {where})")
    assert eve.run("r.read()[1].tolist()") == [0, 1, 2]
    assert alice.run("entries.has_readers(w._address)")
    alice.kill()
    bob.run(f"w = opened('w', {where})")  # from another user of the class that may write
    bob.run("w.write(np.arange(4))")
    assert eve.run("r.read()[1].tolist()") == [0, 1, 2, 3]
    bob.run("del held")
    bob.run("w.close(), r.close()")
    eve.run("r.close()")
    assert list(directory.iterdir()) == []


def test_read_only_files_in_a_directory_that_the_reader_may_write_to(
    get: Get, team: Path, name: str
) -> None:
    alice, bob = get("alice"), get("bob")
    alice.run(f"w = opened('w', {name!r}, {str(team)!r}, 0o640)")
    alice.run("w.write(np.arange(3))")
    bob.run(f"r = opened('r', {name!r}, {str(team)!r}, 0o640)")
    assert bob.run("r.read(copy=False)[1].tolist()") == [0, 1, 2]
    assert bob.run("r.read(timeout=0.01)[0]") is False
    assert len(list(team.iterdir())) == 3  # no entry
    bob.run("r.close()")
    alice.run("w.close()")


@READABLE
def test_arrays_in_place_are_private_copies_with_read_only_rights(
    get: Get, published: Path, name: str, file_mode: int
) -> None:
    alice, bob = get("alice"), get("bob")
    alice.run(f"w = opened('w', {name!r}, {str(published)!r}, {file_mode})")
    bob.run(f"r = opened('r', {name!r}, {str(published)!r}, {file_mode})")
    kept = []
    for value in range(10):  # more than there are slots, and than pins
        alice.run(f"w.write(np.full(5000, {value}))")
        bob.run(f"f{value} = r.read(copy=False)[1]")
        kept.append(f"f{value}")
    assert bob.run(f"[f.flags.writeable for f in [{','.join(kept)}]]") == [False] * 10
    assert bob.run(f"[set(f.tolist()) for f in [{','.join(kept)}]]") == [{v} for v in range(10)]
    assert alice.run("w._writer._holding.segment.table.slots") == 3  # nothing was pinned
    alice.run("w.close()")
    assert bob.run("int(f0[0])") == 0
    bob.run("r.close()")


# --- looking


LOOK = "[(each.name, each.state, each.problem) for each in ndsharray.arrays({})]"


def test_a_root_without_rights_is_one_clear_error(get: Get, place: Path) -> None:
    alice, eve = get("alice", place / "alice"), get("eve")
    alice.run("w = NdShArray('diary', np.arange(3), 'w')")
    look = LOOK.format(f"directory={str(place / 'alice')!r}")
    for code in (look, f"ndsharray.info('diary', directory={str(place / 'alice')!r})"):
        assert "no right to look into it" in eve.refused(code)
    (place / "alice").chmod(0o755)  # then eve may list, and open nothing
    ((name, state, problem),) = eve.run(LOOK.format(f"directory={str(place / 'alice')!r}"))
    assert name.startswith("nd")
    assert state == "damaged"
    assert "Permission denied" in problem
    assert alice.run(LOOK.format("")) == [("diary", "live", None)]
    (place / "alice").chmod(0o700)
    alice.run("w.close()")


@pytest.mark.parametrize("mode", [0o640, 0o660])
def test_a_group_sees_whose_writer_was_killed(get: Get, team: Path, mode: int) -> None:
    alice, bob = get("alice", team), get("bob", team)
    alice.run(f"w = opened('w', 'camera', {str(team)!r}, {mode})")
    alice.run(f"r = opened('r', 'camera', {str(team)!r}, {mode})")
    alice.run("w.write(np.arange(3)); r.read()")
    bob.run(f"r = opened('r', 'camera', {str(team)!r}, {mode})")
    for _ in range(2):
        assert bob.run(LOOK.format("")) == [("camera", "live", None)]
        assert bob.run("r.writer_state") == "live"
    bob_has_an_entry = mode == 0o660
    assert bob.run("ndsharray.info('camera').readers") == 1 + bob_has_an_entry
    alice.kill()
    assert bob.run(LOOK.format("")) == [("camera", "killed", None)]
    assert bob.run("r.writer_state, ndsharray.info('camera').shape") == ("killed", (3,))
    assert bob.run("ndsharray.info('camera').readers") == bob_has_an_entry
    bob.run("r.close()")
    alice = get("alice", team)
    alice.run(f"opened('w', 'camera', {str(team)!r}, {mode}).close()")
