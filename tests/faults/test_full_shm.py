"""A full /dev/shm: an error at the write that needs the room, and everything goes on.

Runs in a mount namespace of its own, where /dev/shm is a tmpfs of 24 MiB; what the system says
between the look at the room and its reservation is made up.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ndsharray import NdShArray
from ndsharray.backends import pages

SCRIPT = """
import errno, os, sys
import numpy as np
from ndsharray import NdShArray

transport = sys.argv[1]
os.environ["NDSHARRAY_DIR"] = "/dev/shm/root"
small, large = np.full(1_000_000, 7, np.uint8), np.full(20_000_000, 8, np.uint8)
writer = NdShArray("full", small, "w", transport=transport)
reader = NdShArray("full", r_w="r", transport=transport)
assert reader.read()[0]

def names():
    return sorted(os.listdir("/dev/shm") + os.listdir("/dev/shm/root"))

before = names()
for attempt in range(3):  # at growth
    try:
        writer.write(large)
        raise SystemExit("no error")
    except OSError as error:
        assert error.errno == errno.ENOSPC, error
        assert str(3 * 20_000_000)[:3] in str(error), error
        disk = os.statvfs("/dev/shm")
        assert str(disk.f_bavail * disk.f_frsize) in str(error), error
        assert "--shm-size" in str(error) and "NDSHARRAY_DIR" in str(error)
    assert names() == before
    valid, last = reader.read()
    assert not valid and (last == 7).all()
    late = NdShArray("full", r_w="r", transport=transport)
    assert (late.read()[1] == 7).all()  # the array goes on with its last frame
    late.close()

writer.write(small[:500] + 1)  # a smaller write works
valid, last = reader.read()
assert valid and (last == 8).all()
writer.write(np.full(1_500_000, 3, np.uint8))  # and so does one that grows within the room
assert (reader.read()[1] == 3).all()

try:  # at creation of the first frame
    NdShArray("second", large, "w", transport=transport)
    raise SystemExit("no error")
except OSError as error:
    assert error.errno == errno.ENOSPC

with open("/dev/shm/filler", "wb", buffering=0) as file:  # not one page left
    try:
        while True:
            file.write(bytes(4096))
    except OSError:
        pass
before = names()
for role in "wr":  # at creation of the control segment
    try:
        other = NdShArray("third", r_w=role, transport=transport)
        assert role == "r" and not other.read()[0]
        other.close()
    except OSError as error:
        assert role == "w" and error.errno == errno.ENOSPC, error
assert names() == before, (names(), before)
writer.write(np.full(1_500_000, 4, np.uint8))  # what it has, it has: no SIGBUS
assert (reader.read()[1] == 4).all()
for other in (np.full((300, 500), 5, "f8"), np.full((), 6, "c16"), np.full((0, 9), 7, "i2")):
    writer.write(other)  # another layout that fits needs no room
    valid, last = reader.read()
    assert valid and last.dtype == other.dtype and last.shape == other.shape
    assert (last == other).all()
held = []
for value in range(3):  # no slot is free any more, and there is no room for a larger segment
    writer.write(np.full(9000, value))
    held.append(reader.read(copy=False)[1])
try:
    writer.write(np.full(9000, 9))
    raise SystemExit("no error")
except OSError as error:
    assert error.errno == errno.ENOSPC, error
assert [frame.tolist() for frame in held] == [[value] * 9000 for value in range(3)]
assert names() == before
held.pop(0)  # one is free again
writer.write(np.full(9000, 10))
assert reader.read()[1].tolist() == [10] * 9000
assert [frame.tolist() for frame in held] == [[value] * 9000 for value in (1, 2)]
held.clear()
writer.write(np.full(1_500_000, 4, np.uint8))
assert reader.read()[0]
late = NdShArray("full", r_w="r", transport=transport)
assert (late.read()[1] == 4).all()
late.close()
os.unlink("/dev/shm/filler")
writer.close()
reader.close()
assert names() == ["root"], names()
print("alive")
"""

CAMERA = """
import os, sys
import numpy as np
from ndsharray import NdShArray

transport = sys.argv[1]
os.environ["NDSHARRAY_DIR"] = "/dev/shm/root"
picture = np.ones(3_000_000, np.uint8)
with NdShArray("large", np.ones(10_000_000, np.uint8), "w", transport=transport):
    pass  # 2 slots: there is no room for 3
writer = NdShArray("camera", picture, "w", transport=transport)
viewers = [NdShArray("camera", r_w="r", transport=transport) for _ in range(4)]
with open("/dev/shm/filler", "wb") as file:
    file.write(bytes(3_000_000))  # leaves room for a segment of 4 slots
held = []
for number in range(1, 5):
    writer.write(picture * number)
    held.append(viewers[number - 1].read(copy=False)[1])
    assert (held[-1] == number).all()
assert [int(array[-1]) for array in held] == [1, 2, 3, 4]
assert writer._writer._holding.segment.table.slots == 4
disk = os.statvfs("/dev/shm")
assert disk.f_bavail * disk.f_frsize < 3_000_000
held.clear()
for viewer in viewers:
    viewer.close()
writer.close()
print("alive")
"""

PRIVATE = ["unshare", "--mount", "--propagation", "private"]
MOUNT = 'mount -t tmpfs -o size=24m tmpfs /dev/shm && exec "$@"'


def private_shm() -> list[str]:
    """Return a command that runs another one with a small /dev/shm of its own."""
    if not sys.platform.startswith("linux") or not shutil.which("unshare"):
        pytest.skip("needs Linux and unshare")
    for extra in ([], ["--user", "--map-root-user"]):
        command = [*PRIVATE, *extra, "sh", "-c", MOUNT, "sh"]
        if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
            return command
    pytest.skip("may not make a mount namespace")


@pytest.mark.parametrize("script", [SCRIPT, CAMERA], ids=["an error", "fewer slots"])
def test_a_full_shm_is_an_error_and_nothing_more(transport: str, script: str) -> None:
    command = [*private_shm(), sys.executable, "-W", "error", "-c", script, transport]
    ended = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert ended.stderr == ""
    assert ended.stdout == "alive\n"
    assert ended.returncode == 0


def answer(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Have the system refuse to reserve pages."""

    def refuse(*_arguments: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "posix_fallocate", refuse)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="Linux")
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EIO])
def test_room_that_is_gone_after_the_look_is_an_error_at_that_write(
    name: str, transport: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with NdShArray(name, np.ones(3), "w", transport=transport) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            with monkeypatch.context() as patch:
                answer(patch, code)
                with pytest.raises(OSError, match=os.strerror(code)) as caught:
                    writer.write(np.zeros(100_000))
            assert caught.value.errno == code
            assert ("asked for" in str(caught.value)) == (code != errno.EIO)
            assert reader.read()[1].tolist() == [1.0] * 3
            writer.write(np.zeros(100_000))  # there is room again
            assert reader.read()[1].shape == (100_000,)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="Linux")
@pytest.mark.parametrize("code", [errno.EINVAL, errno.EOPNOTSUPP])
def test_where_pages_cannot_be_reserved_they_are_written(
    name: str, transport: str, code: int, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, code)
    with open(root / "segment", "wb") as file:
        pages.reserve(file.fileno(), 3_000_001, str(root))
        found = os.fstat(file.fileno())
    os.unlink(root / "segment")
    assert found.st_size == 3_000_001
    assert found.st_blocks * 512 >= found.st_size
    with NdShArray(name, np.ones(300_001), "w", transport=transport):
        with NdShArray(name, r_w="r", transport=transport) as reader:
            assert (reader.read()[1] == 1).all()
